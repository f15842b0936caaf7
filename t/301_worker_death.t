#!/usr/bin/perl
# chaos: yes

# A worker that dies takes its own sessions with it and nothing else: another one is there at
# once, connections that waited for the dead one are served, what it held in shared counts
# (max_conns) is given back, sessions of other workers go on, and all of that again and again.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;
my $LIMIT = 16;

$w->backend($_, greet => "$_\n") for 'limited', 'spare';
$w->start(<<'CONF');
worker_processes 2;
stream {
    upstream u { zone u 64k; server %{limited} max_conns=16; server %{spare} backup; }
    server { listen %{web}; proxy_pass u; }
    server { listen %{pid}; return $pid; }
}
CONF

# Opens $n sessions and returns them with the server each one got.
sub sessions {
    my ($n) = @_;
    my @c = map { $w->connect('web') } 1 .. $n;
    $_->{server} = $_->line for @c;
    return @c;
}

# One worker of two.

my @all = sessions($LIMIT + 1);
my ($spare, @rest) = grep { $_->{server} eq 'spare' } @all;
is scalar(@rest), 0, 'the server is full, and not before';
$spare->close;
@all = grep { $_ != $spare } @all;

my ($victim, $other) = $w->workers;
$w->signal('KILL', $victim);
becomes { my @now = $w->workers; @now == 2 && !grep { $_ == $victim } @now }
    'the killed worker is replaced';
ok alive($other), 'the other one stays';
becomes { $w->error_log =~ /worker process $victim exited on signal 9/ } 'the log says so';

my @alive = grep { $_->echoes("still there\n") } @all;
my $lost = @all - @alive;
cmp_ok $lost, '>', 0, 'sessions of the killed worker are gone';
cmp_ok $lost, '<', $LIMIT, 'those of the other one go on';
becomes { $w->{backend}{limited}->sessions >= $LIMIT } 'the server had them all';

# Exactly the places of the lost ones are free again.

my @new;
becomes {
    push @new, grep { $_->{server} eq 'limited' } sessions(1);
    @new == $lost;
} 'the places they held are free again';
is +(sessions(1))[0]{server}, 'spare', 'and no more than those';
$_->close for @alive, @new;

# Both workers at once.

becomes { my @c = sessions($LIMIT); $LIMIT == grep { $_->{server} eq 'limited' } @c }
    'all places are free';
my @held = sessions($LIMIT);
my @workers = $w->workers;
$w->signal('KILL', @workers);
my %old = map { $_ => 1 } @workers;
becomes { my @now = $w->workers; @now == 2 && !grep { $old{$_} } @now }
    'both killed: both replaced';
becomes { my @c = sessions($LIMIT); $LIMIT == grep { $_->{server} eq 'limited' } @c }
    'all places are free again';

# Connections that wait for a worker that will not come.

@workers = $w->workers;
$w->signal('STOP', @workers);
my @waiting = map { $w->connect('pid') } 1 .. 24;
$w->signal('KILL', $workers[0]);
$w->signal('CONT', $workers[1]);
is scalar(grep { $_->rest =~ /^\d+$/ } @waiting), 24,
    'clients that waited for a dead worker are served';

# Again and again, also workers that have just started.

for my $time (1 .. 6) {
    my ($worker) = $w->workers;
    $w->signal('KILL', $worker);
    wait_for { !alive($worker) };
    is scalar(grep { $w->ask('pid') =~ /^\d+$/ } 1 .. 4), 4, "death $time costs no new session";
}
becomes { 2 == $w->workers } 'two workers in the end';

# While they count: whatever a death leaves half done, the places are exactly as many afterwards.

my $load = $w->load('web');
for my $time (1 .. 10) {
    my @now = $w->workers;
    $load->rounds(2);
    $w->signal('KILL', $now[$time % @now]) if @now;
    wait_for { 2 == $w->workers };
}
$load->end;
becomes {
    my @c = sessions($LIMIT + 1);
    my $exact = $LIMIT == grep { $_->{server} eq 'limited' } @c;
    $_->close for @c;
    $exact;
} 'killed under load again and again: as many places as at first';

$w->expect(qr/exited on signal 9/);
$w->finish;
done_testing;
