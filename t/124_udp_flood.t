#!/usr/bin/perl

# UDP sessions are bounded by worker_connections: clients that send one datagram each, more than
# there is room for, end one another's sessions, the oldest first; a session with more datagrams
# lives, and the newest client is answered.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Datagrams;

my $w = Weir->new;
my $server = Weir::Datagrams->server(where => $w->address('one'), name => 'one');

# Asks again where a full queue of the kernel has lost the datagram.
sub who {
    my ($c) = @_;
    my $answer;
    wait_for { defined($answer = $c->ask('who', 1)) };
    return $answer;
}

sub client { return Weir::Datagrams->client($w->address('front')) }

$w->start(<<'CONF');
worker_processes 1;
events { worker_connections 64; }
stream {
    proxy_timeout 8s;
    server { listen %{front} udp rcvbuf=1m; proxy_pass %{one}; }
}
CONF

my $old = client();
my $who = who($old);
is who($old), $who, 'a session with two datagrams';

my @flood = map { client() } 1 .. 300;
$_->put('nothing') for @flood;
is who($old), $who, 'it lives through a flood';
like who(client()), qr/^one/, 'a new client is served';
is who($old), $who, 'the old session is still there';
like slurp($w->path('error.log')), qr/ended to make room for other clients/, 'others made room';
like slurp($w->path('error.log')), qr/worker_connections are not enough/, '... which is logged';

my $files = () = glob '/proc/' . ($w->workers)[0] . '/fd/*';
cmp_ok $files, '<', 150, 'the worker has no more sockets than it may';

$server->kill;
$w->expect(qr/worker_connections/);
$w->finish;
done_testing;
