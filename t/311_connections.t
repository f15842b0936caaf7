#!/usr/bin/perl

# The connections of a worker: those to servers count for worker_connections, clients above it
# are refused, parked connections and clients between two requests make room. How many are parked:
# as many as `keepalive` allows and, without it, as many as were in use lately.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;
my $go = $w->path('go');

# Servers that answer when they may, so that many connections are in use at once.
for my $name (qw(lasting fixed)) {
    $w->backend($name, serve => Weir::HttpServer::serve(sub {
        open my $count, '>>', $w->path("$name.requests") or die;
        syswrite $count, '.';
        wait_for { -e $go };
        return Weir::HttpServer::reply(200, 'ok');
    }));
}

# ---- parked connections

$w->start(<<'CONF');
events { worker_connections 1000; }
worker_processes 1;
http {
    upstream lasting { server %{lasting}; }
    upstream fixed   { server %{fixed}; keepalive 32; }
    server { listen %{web};
             location /lasting { proxy_pass http://lasting; }
             location /fixed { proxy_pass http://fixed; } }
}
CONF

my %requests;

# That many requests at once.
sub at_once {
    my ($name, $n) = @_;
    my @clients = map { $w->connect('web') } 1 .. $n;

    unlink $go;
    $requests{$name} += $n;
    $_->send(Weir::Http::request("GET /$name")) for @clients;
    my $arrived = wait_for { (-s $w->path("$name.requests") // 0) == $requests{$name} };
    $w->write('go', '');
    my $good = grep { Weir::Http::reply($_)->{status} == 200 } @clients;
    $_->close for @clients;
    return $arrived ? $good : 'not all arrived';
}

is at_once($_, 40), 40, "$_: 40 requests at once" for qw(lasting fixed);
is at_once($_, 40), 40, "$_: and again" for qw(lasting fixed);
is $w->{backend}{lasting}->sessions, 40, 'without "keepalive": all are used again';
is $w->{backend}{fixed}->sessions, 48, 'keepalive 32: only so many';
$w->finish;

# ---- worker_connections

$w = Weir->new;
$w->echo('echo');
$w->backend('parked', serve => Weir::HttpServer::serve(Weir::HttpServer::reply(200, 'ok')));
$w->start(<<'CONF');
events { worker_connections 8; }
worker_processes 1;
stream { server { listen %{l4}; proxy_pass %{echo}; } }
http {
    upstream parked { server %{parked}; }
    server { listen %{l7}; location / { proxy_pass http://parked; } }
    server { listen %{local}; return 200 ok; }
}
CONF

my @served;
for (1 .. 4) {
    push @served, $w->connect('l4');
    ok $served[-1]->echoes('hello'), "session $_: a connection to the client and one to the server";
}
my $more = $w->connect('l4');
like $more->ending, qr/eof|reset/, 'the ninth connection would be too many: it is closed';
like $w->error_log, qr/\[error\].*: 8 worker_connections are not enough$/m, 'and the log says why';
(shift @served)->close;
becomes { $more->close; $more = $w->connect('l4'); $more->echoes('x') }
    'when there is room another one is served';
$_->close for $more, @served;

for my $n (1 .. 3) {
    my @both = map { $w->connect('l7') } 1 .. 3;
    $_->send(Weir::Http::request('GET /')) for @both;
    is scalar(grep { Weir::Http::reply($_)->{status} == 200 } @both), 3, "requests, round $n";
    $_->close for @both;
    my @l4 = map { $w->connect('l4') } 1 .. 4;
    is scalar(grep { $_->echoes('hello') } @l4), 4, 'parked connections make room';
    $_->close for @l4;
}

# Clients between two requests make room, too, however late they came to rest.

my @kept = map { $w->connect('local') } 1 .. 8;
for my $c (@kept) {
    $c->send(Weir::Http::request('GET /'));
    is Weir::Http::reply($c)->{status}, 200, 'a client that keeps its connection';
}
$more = $w->connect('l4');
ok $more->echoes('x'), 'another one finds room';
becomes {
    $w->error_log =~ /: 8 worker_connections are not enough(?:, \d+ clients .* were refused)?, reusing connections/
} 'and the log says why, within a second';
is scalar(grep { $_->ending(0) eq 'eof' } @kept), 2, 'two of those idle for longest were closed';
is $kept[0]->ending(0), 'eof', 'the first';
$kept[-1]->send(Weir::Http::request('GET /'));
is Weir::Http::reply($kept[-1])->{status}, 200, 'not the last';
$_->close for $more, @kept;
$w->finish;
done_testing;
