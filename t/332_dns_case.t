#!/usr/bin/perl

# `resolver ... case_mixing=on`: the case of letters in questions is mixed, and only an answer that
# repeats them exactly is accepted. Any other answer is ignored, and the next one counts. Over TCP
# the case does not matter. Off by default.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;

my $w = Weir->new;
my $LONG = join '.', ('name-of-a-great-many-letters') x 8;
my $dns = $w->dns('dns',
    'an-honest-server-answers.test 60 A 127.0.0.1',
    'an-alias-of-the-honest-one.test 60 ALIAS an-honest-server-answers.test',
    "$LONG.test 60 A 127.0.0.1",
    'somebody-else-is-first.test 60 FORGED 127.0.0.12',
    'somebody-else-is-first.test 60 A 127.0.0.1',
    'only-somebody-else-answers.test 60 FORGED 127.0.0.12',
    'only-somebody-else-answers.test 60 SILENT -',
    'this-one-is-cut-off.test 60 TCP -',
    'this-one-is-cut-off.test 60 A 127.0.0.1',
    'there-is-no-such-thing.test 60 FAIL -');

$w->start(<<'CONF');
worker_processes 1;
http {
    server {
        listen %{on};
        resolver %{dns} case_mixing=on ipv6=off;
        resolver_timeout 20s;
        location / { proxy_pass http://$arg_h:%{back.port}; }
        location /soon { resolver_timeout 1s; proxy_pass http://$arg_h:%{back.port}; }
    }
    server {
        listen %{off};
        resolver %{dns} case_mixing=off ipv6=off;
        location / { proxy_pass http://$arg_h:%{back.port}; }
    }
    server {
        listen %{default};
        resolver %{dns} ipv6=off;
        location / { proxy_pass http://$arg_h:%{back.port}; }
    }
    server { listen %{back}; return 200 true; }
    server { listen 127.0.0.12:%{back.port}; return 200 forged; }
}
stream {
    resolver %{dns} case_mixing=on;
    server { listen %{l4}; proxy_pass $name:%{back.port}; set $name somebody-else-is-first.test; }
}
CONF

sub says {
    my ($where, $name, $path) = @_;
    my $r = Weir::Http::ask($w, $where, 'GET ' . ($path // '/') . "?h=$name.test");
    return $r->{status} == 200 ? $r->{body} : $r->{status};
}

is says('on', 'an-honest-server-answers'), 'true', 'a server that repeats the question';
is says('on', 'an-alias-of-the-honest-one'), 'true', 'an alias, whose target is asked for';
is says('on', $LONG), 'true', 'a long name';
is says('on', 'somebody-else-is-first'), 'true', 'a false answer is passed over, the true one taken';
is says('on', 'only-somebody-else-answers', '/soon'), 502, 'a server that lowers the case is ignored';
becomes { $w->error_log =~ /only-somebody-else-answers\.test could not be resolved \(110: / }
    'as if it had not answered';
is says('on', 'this-one-is-cut-off'), 'true', 'an answer by TCP';
is says('on', 'there-is-no-such-thing'), 502, 'a failure';
like $w->error_log, qr/there-is-no-such-thing\.test could not be resolved \(2: /, 'is logged';
is says($_, 'somebody-else-is-first'), 'forged', "$_: any case is accepted" for 'off', 'default';
is says($_, 'only-somebody-else-answers'), 'forged',
    "$_: a server that lowers the case is accepted, too" for 'off';

{
    my $c = $w->connect('l4');
    $c->send(Weir::Http::request('GET /', Connection => 'close'));
    like $c->rest, qr/\btrue$/, 'layer 4';
    $c->close;
}

my ($code, undef, $err) = $w->command('-t', '-c',
    $w->write('wrong.conf', "http { resolver 127.0.0.1 case_mixing=yes; }\nevents {}\n"));
ok $code && $err =~ /invalid parameter: case_mixing=yes/, 'a value that is neither' or diag $err;
my (undef, $help) = $w->command('--help', 'resolver');
like $help, qr/case_mixing=on/, 'weir --help resolver';

$w->expect(qr/wrong\.conf/);
$w->finish;
done_testing;
