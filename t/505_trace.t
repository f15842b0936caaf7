#!/usr/bin/perl

# weir -s trace writes the steps of each live session to the error log, whatever its level; RTMIN to
# a worker does so for that worker alone. At level info the steps of a request that failed with 5xx
# are written without being asked for.
# chaos: yes

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;

$w->echo('echo');
$w->hole('hole');
$w->backend('silent', serve => Weir::HttpServer::serve(sub {
    my (undef, $fh) = @_;
    sysread $fh, my $more, 1;
    return;
}));
$w->start(<<'CONF');
error_log %{dir}/error.log error;
worker_processes 2;
stream {
    upstream two { server %{nobody}; server %{echo}; }
    server { listen %{web}; proxy_pass two; }
}
http {
    server {
        listen %{http};
        location / { proxy_pass http://%{silent}; }
        location /now { return 200 ok; }
    }
    server {
        listen %{failing};
        error_log %{dir}/failing.log info;
        location / { proxy_pass http://%{nobody}; }
    }
}
CONF

my @sessions = map { $w->connect('web') } 1 .. 4;
ok $_->echoes("hello\n"), 'a session' for @sessions;
my $request = $w->connect('http');
$request->send(Weir::Http::request('GET /waits?x'));
my $kept = $w->connect('http');
$kept->send(Weir::Http::request('GET /now'));
is(Weir::Http::reply($kept)->{body}, 'ok', 'a connection that is kept');

sub traced { return $w->error_log =~ /$_[0]/ }

my ($code, undef, $err) = $w->command('-s', 'trace');
is $code, 0, '-s trace' or diag $err;
becomes { 2 == (() = $w->error_log =~ /\[notice\] .*: trace of \d+ sessions$/mg) }
    'each worker says how many it has';
becomes { 4 == (() = $w->error_log =~ /\ trace\ at\ \+\d+\ ms:\ .*\ phases\b.*\ pick\b.*
    \ server.*\ dial\b.*\ relay.*\ while\ proxying\ connection,\ client:\ 127\.0\.0\.1,/gx) }
    'four sessions of layer 4, each in a line, with its step';
ok traced(qr/ retry\b.* failure\(1\) .* pick\b.* relay/), 'the retry of one of them is in its line';
becomes { traced(qr/ trace at \+\d+ ms:.* (?:send|head)\b.*, request: "GET \/waits\?x HTTP\/1\.1"/) }
    'a request, with the step in which it waits';
becomes { traced(qr/trace: a http session between exchanges, \d+ ms old$/m) } 'one that is idle';
ok $_->echoes("on\n"), 'they go on' for @sessions;

# One worker, by the signal.

my $before = () = $w->error_log =~ /trace of/g;
my ($worker) = $w->workers;
my $number = (split ' ', qx(bash -c 'kill -l RTMIN'))[0];
kill $number, $worker;
becomes { $before < (() = $w->error_log =~ /trace of/g) } 'SIGRTMIN to one worker';
is scalar(() = $w->error_log =~ /trace of/g), $before + 1, 'only that one';

# Failed with 5xx.

is(Weir::Http::ask($w, 'failing', 'GET /')->{status}, 502, 'a request that fails');
becomes { slurp($w->path('failing.log')) =~ /\[info\] .*: \*\d+ trace at .* dial.* retry.* finish\(502\)/ }
    'is logged with its steps, unasked';

$_->close for @sessions, $request, $kept;
$w->finish;
done_testing;
