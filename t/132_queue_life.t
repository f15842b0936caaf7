#!/usr/bin/perl
# chaos: yes

# The queue of a group outlives what happens to processes: a worker that is killed gives back its
# places and what its sessions held, whether the keeper lives or is killed with it; those that wait
# in the workers of an earlier configuration, or of the other master during an upgrade and after it
# was taken back, keep their places in one order with all others, and each is called at once,
# whichever process it waits in. As an ordinary user, too.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(time);
use Weir;

sub conf {
    my ($places) = @_;
    return "daemon on;\nworker_processes 2;\n" . <<"CONF";
stream {
    upstream u { zone u 64k; server %{one} max_conns=1; queue $places; }
    server { listen %{web}; proxy_pass u; }
}
CONF
}

my $w;

sub waits { return scalar(() = $w->error_log =~ /waits for a server in the queue/g) }

# Connects, and returns when the session waits.
sub in_line {
    my $before = waits();
    my $c = $w->connect('web');
    wait_for { waits() > $before } or diag 'it does not wait';
    return $c;
}

sub worker_of {
    my ($c) = @_;
    my $port = $c->socket->sockport;
    return ($w->error_log =~ /(\d+)#\d+: \*\d+ client 127\.0\.0\.1:$port connected/g)[-1];
}

# The holder of the only server, and sessions that wait, at least two in each worker.
sub fill {
    my ($holder, @line, %in) = $w->connect('web');
    is $holder->line, 'one', 'a session has the server';
    while (@line < 40 && (@line < 4 || 2 > grep { $_ >= 2 } values %in)) {
        push @line, in_line();
        $in{ worker_of($line[-1]) }++;
    }
    return ($holder, @line);
}

# Ends the sessions one by one; returns how many were served out of order.
sub serve_in_order {
    my (@line) = @_;
    my $wrong = 0;
    for my $i (0 .. $#line) {
        $wrong++ if ($line[$i]->line // '') ne 'one';
        $wrong++ if grep { defined $_->line(0) } @line[$i + 1 .. $#line];
        $line[$i]->close;
    }
    return $wrong;
}

# All places are free: one session is served, $n wait, the next one is refused.
sub exactly {
    my ($n) = @_;
    my ($holder, @line) = $w->connect('web');
    return 0 if ($holder->line // '') ne 'one';
    push @line, in_line() for 1 .. $n;
    my $refused = $w->connect('web')->rest eq '';
    $holder->close;
    my $wrong = serve_in_order(@line);
    return $refused && !$wrong;
}

# A death: kills a worker that has, or has not, the server, and the keeper with it.
sub kill_worker {
    my ($what, %how) = @_;
    my ($holder, @line) = fill();
    my $has = worker_of($holder);
    my ($other) = grep { $_ != $has } $w->workers;
    my $victim = $how{holder} ? $has : $other;
    my @left = grep { worker_of($_) != $victim } @line;

    $w->signal('KILL', $victim, $how{keeper} ? $w->keeper : ());
    becomes { my @now = $w->workers; @now == 2 && !grep { $_ == $victim } @now } "$what: it is replaced";
    push @left, in_line();
    $holder->close;
    is serve_in_order(@left), 0, 'the others are served in order';
    $_->close for @line;
    ok exactly(40), 'exactly as many places as before';
    return;
}

# A worker is stopped whose session is the first of those that wait.
sub stop_first {
    my ($holder, @line) = fill();
    for (1 .. 20) {
        last if worker_of($line[0]) != worker_of($holder);
        $holder->close;
        serve_in_order(@line);
        ($holder, @line) = fill();
    }
    my $stopped = worker_of($line[0]);
    my ($next) = grep { worker_of($_) != $stopped } @line;
    $w->signal('STOP', $stopped);
    $holder->close;
    is $next->line, 'one', 'a worker has stopped: the first session of the other one is served';
    $w->signal('CONT', $stopped);
    $next->close;
    @line = grep { $_ != $next } @line;
    becomes {
        my %had = map { $_ => $_->close } grep { defined $_->line(0) } @line;
        !(@line = grep { !exists $had{$_} } @line);
    } 'it goes on: all are served';
    ok exactly(40), 'exactly as many places as before';
    return;
}

# By signal: another user than weir's gets no answer to -s reload.
sub reload {
    my ($places) = @_;
    my %old = map { $_ => 1 } $w->workers;
    $w->conf(conf($places));
    $w->signal('HUP');
    return wait_for { my @now = $w->workers; @now == 2 && !grep { $old{$_} } @now };
}

sub all_of_it {
    kill_worker('a worker with waiting sessions is killed');
    kill_worker('the worker whose session has the server', holder => 1);
    kill_worker('the keeper dies with it', holder => 1, keeper => 1);

    stop_first();

    # Reload: old and new workers in one line.

    my ($holder, @line) = fill();
    ok reload(41), 'reload with another number of places';
    push @line, in_line() for 1 .. 10;
    $holder->close;
    is serve_in_order(@line), 0, 'those in the old workers first, then the new ones';
    ok exactly(41), 'the new number of places';

    # A new worker has the server, the next one waits in an old one, and so on.

    ($holder, @line) = fill();
    for my $places (42, 40) {
        ok reload($places), 'reload';
        push @line, in_line();
    }
    my $begun = time;
    $holder->close;
    is serve_in_order(@line), 0, 'three generations in one line';
    cmp_ok time - $begun, '<', 10, 'each is called at once';

    # An upgrade, and back.

    ($holder, @line) = fill();
    my ($before, $after) = $w->upgrade;
    push @line, in_line() for 1 .. 4;
    $w->signal('WINCH', $before);
    becomes { !$w->workers_of($before) } 'an upgrade: the old workers stop accepting';
    push @line, in_line() for 1 .. 4;
    $holder->close;
    is $line[0]->line, 'one', 'the first of those that wait in the old ones';
    $w->signal('HUP', $before);
    becomes { $w->workers_of($before) } 'the old master has workers again';
    $w->signal('QUIT', $after);
    becomes { !$w->workers_of($after) } 'the upgrade is taken back';
    $w->{master} = $before;
    push @line, in_line() for 1 .. 2;
    shift(@line)->close;
    is serve_in_order(@line), 0, 'old, new and old again: in the order of arrival';
    becomes { !alive($after) } 'the new master ends';
    ok exactly(40), 'exactly as many places as before';
    return;
}

sub Weir::workers_of {
    my (undef, $master) = @_;
    return grep { title($_) =~ /: worker process$/ } Weir::Process::children($master);
}

for my $user ('', 'nobody') {
    next if $user && !is_root;
    $w = Weir->new;
    $w->backend('one', greet => "one\n");
    $w->give_away($user) if $user;
    note $user ? "as $user" : 'as this user';
    $w->start(conf(40), before => sub { Weir::become($user) if $user });
    all_of_it();
    $w->expect(qr/exited on signal 9/);
    $w->finish;
}
done_testing;
