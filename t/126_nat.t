#!/usr/bin/perl

# forward nat: the kernel translates one connection from the client to the server. In namespaces:
# this one is weir's, others hold the client and two servers. IPv4 and IPv6, weights, the smooth
# order, hash, allow and deny, backups, groups without a usable server, clients of this machine; a
# transfer lives through reloads, the death of processes and quit.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

Weir->needs_programs(qw(unshare ip));
Weir->in_private_network;
require Weir::Nat;

my $w = Weir->new;
my $n = Weir::Nat->new($w);

sub count {
    my ($text, $letter) = @_;
    return scalar(() = $text =~ /$letter/g);
}

my $CONF = <<'CONF';
stream {
    upstream u { server 10.98.2.2:5000 weight=3; server 10.98.3.2:5000;
                 server [fd98:2::2]:5000 weight=3; server [fd98:3::2]:5000; }
    upstream h { hash $remote_addr; server 10.98.2.2:5000; server 10.98.3.2:5000; }
    upstream dead { server 10.98.2.2:5000 down; }
    upstream spare { server 10.98.2.2:5000 down; server 10.98.3.2:5000 backup; }
    server { listen 10.98.1.1:80; listen [fd98:1::1]:80; listen 81; proxy_pass u; forward nat; }
    server { listen 10.98.1.1:82; proxy_pass h; forward nat; }
    server { listen 10.98.1.1:83; proxy_pass dead; forward nat; }
    server { listen 10.98.1.1:84; proxy_pass u; forward nat; deny 10.98.1.2; }
    server { listen 10.98.1.1:85; proxy_pass u; forward nat; allow 10.98.1.0/24; deny all; }
    server { listen 10.98.1.1:86; proxy_pass spare; forward nat; }
    server { listen 10.98.1.1:87; listen 88; listen [fd98:1::1]:87; proxy_pass u;
             forward nat masquerade; }
    server { listen 10.98.1.1:90; proxy_pass u; }
}
CONF
$n->start($CONF);

is $n->ask('10.98.1.1', 80), 'a 10.98.1.2', 'the server sees the address of the client';
is $n->ask('fd98:1::1', 80), 'a fd98:1::2', 'IPv6, too';
is $n->ask('10.98.1.1', 90), 'a 10.98.2.1', 'without forward nat it sees ours';

my $order = $n->order('10.98.1.1', 81, 40);
is count($order, 'a'), 30, 'a wildcard: weight 3 gets 30 of 40';
is count($order, 'b'), 10, 'weight 1 gets 10';
like $order, qr/^(?:aaba|abaa|baaa|aaab){10}$/, 'in the smooth order';
is count($n->order('fd98:1::1', 80, 40), 'b'), 10, 'IPv6, too';

like $n->order('10.98.1.1', 82, 10), qr/^(?:a{10}|b{10})$/, 'hash: a client stays with a server';
is $n->ask('10.98.1.1', 83), 'Connection refused', 'no usable server: refused';
is $n->ask('10.98.1.1', 84), 'Connection refused', 'deny';
is $n->ask('10.98.1.1', 85), 'a 10.98.1.2', 'allow';
is $n->ask('10.98.1.1', 86), 'b 10.98.1.2', 'the backup, while no other server is usable';
is $n->once('10.98.1.1', 80), 'a 10.98.1.1', 'a client of this machine';

is $n->ask('10.98.1.1', 87), 'a 10.98.2.1', 'masquerade: the server sees an address of ours';
like $n->order('10.98.1.1', 87, 8), qr/^(?:aaba|abaa|baaa|aaab){2}$/, 'in the same order';
like $n->ask('fd98:1::1', 87), qr/^[ab] fd98:[23]::1$/, 'IPv6, too';
like $n->ask('10.98.1.1', 88), qr/^[ab] 10.98.[23].1$/, 'a wildcard, too';
is $n->ask('10.98.1.1', 80) =~ s/^. //r, '10.98.1.2', 'others are not masqueraded';

# ---- one connection

$n->begin_transfer('10.98.1.1', 80);
my $tcp = slurp('/proc/net/tcp') . slurp('/proc/net/tcp6');
unlike $tcp, qr/:0050 \S+:\S+ 01 /, 'there is no socket of it here';
unlike $tcp, qr/:0050 \S+:\S+ 0A /, 'and none that listens';

my $before = $n->order('10.98.1.1', 82, 1);
my @failed = grep { ($w->reload)[0] ne 0 } 1 .. (chaos() ? 10 : 100);
is "@failed", '', 'reloads';
$n->moves('they are done');
is count($n->order('10.98.1.1', 81, 8), 'b'), 2, 'the weights hold';
is $n->order('10.98.1.1', 82, 1), $before, 'hash: the same server';

# ---- death of processes

my ($nat) = $w->processes('nat process');
ok $nat, 'there is a nat process';
$w->expect(qr/nat process $nat exited on signal 9/);
kill 'KILL', $nat;
becomes { my ($new) = $w->processes('nat process'); $new && $new != $nat } 'killed, it is replaced';
$n->moves('its death');
is count($n->order('10.98.1.1', 81, 8), 'b'), 2, 'new flows, too';
my $keeper = $w->keeper;
$w->expect(qr/keeper process $keeper exited on signal 9/);
kill 'KILL', $keeper;
becomes { my $new = $w->keeper; $new && $new != $keeper } 'the keeper is killed and replaced';

# ---- changes

$CONF =~ s/server 10.98.3.2:5000;/server 10.98.3.2:5000 down;/;
is +($w->reload($CONF))[0], 0, 'reload: a server is down';
is $n->order('10.98.1.1', 81, 8), 'aaaaaaaa', 'it gets no new flows';
$CONF =~ s/listen 10.98.1.1:90;/listen 10.98.1.1:90; forward nat;/;
$CONF =~ s/(listen 10.98.1.1:82;[^;]*;) forward nat;/$1/;
is +($w->reload($CONF))[0], 0, 'reload: proxy and nat change places';
is $n->ask('10.98.1.1', 90), 'a 10.98.1.2', 'the kernel forwards what was proxied';
like $n->ask('10.98.1.1', 82), qr/ 10.98.[23].1$/, 'weir proxies what the kernel forwarded';
$n->moves('after all that');

# ---- the end

my $master = $w->master;
$w->signal('QUIT');
becomes { $n->ask('10.98.1.1', 80) eq 'Connection refused' } 'quit: no new flows';
$n->moves('quit');
ok alive($master), 'weir waits for it';
$n->end_transfer;
is $w->ended($master), 0, 'then weir ends, too';
$w->has_ended;

$w->finish;
done_testing;
