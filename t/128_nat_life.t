#!/usr/bin/perl

# forward nat when weir changes or ends: health checks move new flows; a transfer lives through an
# upgrade with the old master's QUIT, one that is undone, and the death of all of weir; the next
# start takes the rules over; forward_exit keep leaves them, stop removes them.

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
my $CONF = <<'CONF';
daemon on;
stream {
    upstream u { server 10.98.2.2:5000; server 10.98.3.2:5000; }
    server { listen 10.98.1.1:80; proxy_pass u; forward nat; health_check interval=200ms fails=2; }
}
CONF
$n->start($CONF);

sub served { return $n->order('10.98.1.1', 80, 6) =~ /^(?:ab){3}$|^(?:ba){3}$/ }

ok served(), 'both get flows';

# ---- health

my $b = $w->{backend}{'b 10.98.3.2:5000'};
$b->kill;
becomes { $w->error_log =~ /health check of "10.98.3.2:5000".*is down/ } 'a server is down';
becomes { $n->order('10.98.1.1', 80, 6) eq 'aaaaaa' } 'it gets no more flows';
is $n->order('10.98.1.1', 80, 10), 'a' x 10, 'none fails after that';
$n->begin_server('b', '10.98.3.2:5000');
becomes { served() } 'it is back, and gets flows again';

# ---- upgrades

$n->begin_transfer('10.98.1.1', 80);
my ($old, $new) = $w->upgrade;
ok served(), 'two masters: new flows';
$w->signal('QUIT', $old);
is $w->ended($old), 0, 'the old master ends, without waiting for the flow';
$n->moves('an upgrade');
ok served(), 'new flows, too';

($old, $new) = $w->upgrade;
$w->signal('QUIT', $new);
becomes { !alive($new) } 'undone: the new master ends';
$w->{master} = $old;
$n->moves('an upgrade that is undone');
becomes { served() } 'new flows, too';
is +($w->reload)[0], 0, 'the old master has the rules again: reload';
ok served(), 'new flows after it';

# ---- the death of all of weir

my @all = ($w->master, Weir::Process::children($w->master));
kill 'KILL', @all;
$w->ended($_) for @all;
$n->moves('all of weir is killed');
ok served(), 'new flows without weir';
unlink $w->path('weir.pid');
$w->has_ended;
$w->start;
ok served(), 'the next start takes over';
$n->moves('the next start');

# ---- the end

is +($w->reload($CONF =~ s/stream \{/stream { forward_exit keep;/r))[0], 0, 'forward_exit keep';
my $master = $w->master;
$w->signal('QUIT');
is $w->ended($master), 0, 'quit does not wait';
$n->moves('quit');
ok served(), 'the kernel goes on without weir';
$w->has_ended;
$w->start($CONF);
$n->end_transfer;
$master = $w->master;
$w->signal('TERM');
is $w->ended($master), 0, 'stop';
is $n->ask('10.98.1.1', 80), 'Connection refused', 'nothing is left';
$w->has_ended;

$w->finish;
done_testing;
