#!/usr/bin/perl
# chaos: yes

# `retry_budget` bounds the retries of a group over all workers, by a share of its requests and a
# number a second: beyond it the failure is given to the client. `panic`: if too few servers are
# healthy all of them are tried. Both layers.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;

sub said { my ($what) = @_; return scalar grep { /$what/ } split /\n/, $w->error_log }

sub http_server {
    my ($name, $status, %how) = @_;
    return $w->backend($name, %how, serve => Weir::HttpServer::serve(
        Weir::HttpServer::reply($status, $name)));
}

# Status and body of n requests, counted.
sub answers {
    my ($where, $n) = @_;
    my %by;
    for (1 .. $n) {
        my $r = Weir::Http::ask($w, $where, 'GET /');
        $by{ $r->{status} }++;
    }
    return \%by;
}

my $v6 = Weir::Ports::has_ipv6() ? '[::1]:%{six.port}' : '127.0.0.1:%{six.port}';

# ---- retry_budget

http_server('good', 200);
http_server('busy', 503, at => 'unix:busy');
$w->greeter('hello');
$w->start(<<'CONF');
worker_processes 2;
http {
    upstream none  { server %{good} max_fails=0; server %{gone} max_fails=0; retry_budget 0% min=0/s; }
    upstream few   { server %{good} max_fails=0; server %{gone} max_fails=0; retry_budget 20% min=1/s; }
    upstream all   { server %{good} max_fails=0; server %{gone} max_fails=0; }
    upstream busy  { server %{good}; server %{unix:busy} max_fails=0; retry_budget 0% min=0/s; }
    proxy_next_upstream error http_503;
    server { listen %{none}; location / { proxy_pass http://none; } }
    server { listen %{few};  location / { proxy_pass http://few; } }
    server { listen %{all};  location / { proxy_pass http://all; } }
    server { listen %{busyweb}; location / { proxy_pass http://busy; } }
}
stream {
    upstream none { server %{hello} max_fails=0; server %{gone} max_fails=0; retry_budget 0% min=0/s; }
    upstream all  { server %{hello} max_fails=0; server %{gone} max_fails=0; }
    server { listen %{tcpnone}; proxy_pass none; }
    server { listen %{tcpall};  proxy_pass all; }
}
CONF

is_deeply answers('all', 20), { 200 => 20 }, 'without a budget each failure is retried';
is_deeply answers('none', 20), { 200 => 10, 502 => 10 }, 'a budget of nothing: none is';
is said(qr/"none": its retry_budget is spent/), 1, 'one line in 10 s';
is_deeply answers('busyweb', 20), { 200 => 10, 503 => 10 }, 'a status is passed on as it came';
my $few = answers('few', 80);
cmp_ok $few->{502} // 0, '>', 5, 'some failures are given to the client';
cmp_ok $few->{502} // 0, '<', 40, 'and some are not';
like $w->error_log, qr/"few": its retry_budget is spent, \d+ retries of \d+ requests within 10 s/,
    'the line has the numbers';
is scalar(grep { $w->ask('tcpall') eq 'hello' } 1 .. 10), 10, 'layer 4 without a budget';
is scalar(grep { $w->ask('tcpnone') eq 'hello' } 1 .. 10), 5, 'layer 4 with one';
$w->finish;

# ---- panic

$w = Weir->new;
http_server('good', 200);
my $spare = http_server('spare', 200);
my $conf = <<'CONF';
worker_processes 2;
http {
    upstream u {
        server %{good}; server %{gone} fail_timeout=60s; server V6 fail_timeout=60s;
        server %{late} fail_timeout=1s; server 127.0.0.1:1 down;
        SIZE
        panic 50%;
    }
    upstream quiet { server %{good}; server %{gone} fail_timeout=60s; server V6 fail_timeout=60s; }
    upstream spare { server %{gone} fail_timeout=60s; server %{spare} backup; panic 50%; }
    server { listen %{web};      location / { proxy_pass http://u; } }
    server { listen %{quiet};    location / { proxy_pass http://quiet; } }
    server { listen %{spareweb}; location / { proxy_pass http://spare; } }
}
CONF
$conf =~ s/V6/$v6/g;
sub sized { my ($size) = @_; (my $text = $conf) =~ s/SIZE/$size/; return $text }
$w->start(sized(''));

is_deeply answers('quiet', 12), { 200 => 12 }, 'no panic: two of three fail';
my $before = said(qr/Connection refused/);
is_deeply answers('quiet', 12), { 200 => 12 }, 'the one works';
is said(qr/Connection refused/), $before, 'the failed ones are left alone';

becomes { answers('web', 4); said(qr/"u": 1 of 4 servers healthy, panic is below 50%/) }
    'one of four is healthy';
$before = said(qr/Connection refused/);
is_deeply answers('web', 12), { 200 => 12 }, 'no client sees it';
cmp_ok said(qr/Connection refused/), '>=', $before + 12, 'all servers are tried';
is said(qr/panic is below/), 1, 'entering is one line';

is(($w->reload(sized('')))[0], 0, 'reload');
is_deeply answers('web', 12), { 200 => 12 }, 'it goes on';
is said(qr/panic is below/), 1, 'without another line';
is(($w->reload(sized('zone u 1m;')))[0], 0, 'reload with another size');
becomes { answers('web', 4); said(qr/panic is below/) == 2 } 'the new zone finds it again';

http_server('late', 200);
becomes { answers('web', 4); said(qr/"u": 2 of 4 servers healthy, the panic is over/) == 1 }
    'half are healthy: it is over';
$before = said(qr/Connection refused/);
is_deeply answers('web', 12), { 200 => 12 }, 'two servers';
is said(qr/Connection refused/), $before, 'the failed ones are left alone again';

is_deeply answers('spareweb', 8), { 200 => 8 }, 'a backup';
is said(qr/"spare":.*panic/), 0, 'a healthy backup spares the panic';

for ([ 'panic 0%;', 'it takes a share of the servers' ], [ 'panic 50;', 'it takes a share' ],
    [ 'retry_budget 101%;', 'it takes a share of the requests' ],
    [ 'retry_budget 20;', 'it takes a share of the requests' ],
    [ 'retry_budget 20% min=3;', 'retries a second: 3/s' ],
    [ 'retry_budget 20% mim=3/s;', 'min=' ]) {
    my ($text, $hint) = @$_;
    $w->write('wrong.conf', "events {}\nstream { upstream u { server 127.0.0.1:1; $text } }\n");
    my ($code, undef, $err) = $w->bare('-t', '-p', $w->dir . '/', '-c', $w->path('wrong.conf'));
    is $code, 1, $text;
    like $err, qr/invalid (?:parameter|value)/, "$text: is refused";
    like $err, qr/\Q$hint\E/, "$text: the hint";
}
$w->expect(qr/invalid (?:parameter|value)/);
$w->finish;
done_testing;
