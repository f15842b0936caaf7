#!/usr/bin/perl
# chaos: yes

# Workers and keepers are killed at any point of their work, again and again, under load, and
# nobody's count suffers: the servers never see more than max_conns at a time, in spite of all
# deaths, and in the end as many as before; nobody waits in the queue for a place that a dead
# process holds; least_conn sees no connection that has ended; health checks go on. Then all of an
# upgrade is killed, or all that it replaces, and at last the master.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep time);
use Weir;
use Weir::Http;
use Weir::Process qw(spawn end_process children);

my $KILLS = 36;
my $SECONDS = 40;    # no more kills after this time
my $QUEUE = 20;

my $w = Weir->new;
my %t = map { $_ => $w->turnstile($_) } qw(one two three four);
$t{$_} = $w->turnstile($_, http => 1) for qw(five six);
my %most = (one => 3, two => 2, five => 3, six => 2);

my $CONF = <<"CONF";
worker_processes 3;
error_log %{dir}/error.log info;
stream {
    upstream limited { server %{one} max_conns=3; server %{two} max_conns=2; queue $QUEUE timeout=50s; }
    upstream least { least_conn; server %{three}; server %{four}; }
    server { listen %{limited}; proxy_pass limited; }
    server { listen %{least}; proxy_pass least; }
}
http {
    access_log off;
    upstream web {
        server %{five} max_conns=3; server %{six} max_conns=2;
        queue $QUEUE timeout=50s; keepalive 4;
    }
    server {
        listen %{web};
        location / {
            proxy_pass http://web;
            health_check interval=100ms uri=/check fails=2 passes=1;
        }
    }
}
CONF
$w->start($CONF);

# ---- the load: clients that come back whatever happens

sub client {
    my ($code) = @_;
    return spawn(sub {
        my $test = getppid;
        srand $$;
        while (getppid == $test) {
            $code->();
            sleep rand 0.02;
        }
    });
}

sub session {
    my ($where) = @_;
    my $c = $w->connect($where) or return;
    sleep rand 0.03 if defined $c->line(15);
    rand() < 0.5 ? $c->close : $c->abort;
}

sub get { Weir::Http::ask($w, 'web', 'GET /') }

my @clients = (map({ client(sub { session('limited') }) } 1 .. 8),
    map({ client(sub { session('least') }) } 1 .. 3), map { client(\&get) } 1 .. 8);
push @{ $w->{helpers} }, map { bless { pid => $_ }, 'Weir::Turnstile' } @clients;

# ---- the deaths

sub pick { return $_[rand @_] }

my %victims = (
    worker => sub { pick($w->workers) },
    workers => sub { ($w->workers)[0, 1] },
    keeper => sub { $w->keeper },
    both => sub { (pick($w->workers), $w->keeper) },
);
my @order = qw(worker worker both worker keeper workers);
my ($begun, $killed, %before) = (time, 0);

becomes { !grep { $t{$_}->total < 3 } keys %t } 'all servers are busy';
$before{$_} = $t{$_}->total for keys %t;
while ($killed < $KILLS && time < $begun + $SECONDS) {
    my @pids = grep { defined } $victims{ $order[$killed % @order] }->();
    $killed++ if @pids && $w->signal('KILL', @pids);
    sleep rand 0.3;
}
cmp_ok $killed, '>=', 30, "$killed deaths";
becomes { 3 == $w->workers && $w->keeper } 'all processes are there';
$before{$_} = $t{$_}->total for keys %t;
becomes { !grep { $t{$_}->total < $before{$_} + 3 } keys %t } 'and all servers are busy';
end_process($_, 'KILL') for @clients;

# ---- what is left of them

cmp_ok $t{$_}->peak, '<=', $most{$_}, "$_: never more than max_conns" for sort keys %most;
is $t{$_}->peak, $most{$_}, "$_: and as many" for sort keys %most;
becomes { !grep { $t{$_}->now } keys %t } 'all sessions have ended';

# As many at a time as before any death, and as many places in the queue.
sub waiting { return scalar(() = $w->error_log =~ /waits for a server in the queue/g) }

my $had = waiting();
my @line = map { $w->connect('limited') } 1 .. 5;
becomes { $t{one}->now == 3 && $t{two}->now == 2 } 'as many connections as before any death';
push @line, map { $w->connect('limited') } 1 .. $QUEUE;
becomes { waiting() == $had + $QUEUE } 'as many wait as there are places';
is $w->connect('limited')->rest, '', 'and no more';
is waiting(), $had + $QUEUE, 'it did not wait';
becomes {
    my @had = grep { defined $_->line(0) } @line;
    my %gone = map { $_ => $_->close } @had;
    !(@line = grep { !exists $gone{$_} } @line);
} 'each of them is served';
becomes { !$t{one}->now && !$t{two}->now } 'all have ended';

@line = map { $w->connect('least') } 1 .. 12;
$_->line for @line;
becomes { 6 == $t{three}->now && 6 == $t{four}->now } 'least_conn: half of them each';
$_->close for @line;

# Checks.
sub state_of {
    my ($name) = @_;
    my $where = $w->address($name);
    return ($w->error_log =~ /health check of "\Q$where\E" in upstream "web": is (up|down)/g)[-1] // '';
}
is state_of($_), '', "$_: no check failed because of a death" for qw(five six);
my $checks = $t{five}->checks;
becomes { $t{five}->checks > $checks + 2 } 'health checks go on';
$t{five}->sick(1);
becomes { state_of('five') eq 'down' } 'a server that is sick is down';
is join('', map { get()->{body} } 1 .. 4), "six\n" x 4, 'the other one gets all requests';
$t{five}->sick(0);
becomes { state_of('five') eq 'up' } 'and is up again';

# ---- an upgrade: all processes of one of the two masters

sub worker_of {
    my ($c) = @_;
    my $port = $c->socket->sockport;
    return ($w->error_log =~ /(\d+)#\d+: \*\d+ client 127\.0\.0\.1:$port connected/g)[-1] // 0;
}

# Sessions up to max_conns, at least one of them in one of these processes.
sub sessions_in {
    my %in = map { $_ => 1 } @_;
    for (1 .. 40) {
        my @c = map { $w->connect('limited') } 1 .. 5;
        $_->line for @c;
        return @c if grep { $in{ worker_of($_) } } @c;
        $_->close for @c;
        wait_for { !$t{one}->now && !$t{two}->now };
    }
    return;
}

for my $who ('the new', 'the old') {
    my ($old, $new) = $w->upgrade;
    my ($dies, $stays) = $who eq 'the new' ? ($new, $old) : ($old, $new);
    my @victims = grep { $_ != $stays } children($dies);
    @line = sessions_in(@victims);
    kill 'KILL', $dies, @victims;
    $w->{master} = $stays;
    becomes { $t{one}->now + $t{two}->now < 5 } "$who processes of an upgrade die";
    push @line, map { $w->connect('limited') } 1 .. 5;
    becomes { $t{one}->now == 3 && $t{two}->now == 2 } 'their places are free';
    $_->close for @line;
    becomes { !$t{one}->now && !$t{two}->now } 'all have ended';
    becomes { ($w->pid // 0) == $stays } 'the other master goes on';
    unlink $w->path('weir.pid.oldbin');
}

# ---- the master

for my $round (1, 2) {
    my $c = $w->connect('limited');
    ok defined $c->line, 'a session';
    my @left = ($w->workers, $w->keeper);
    $w->signal('KILL', $w->master);
    ok $c->echoes("still here\n"), 'the master is killed: it goes on';
    $c->close;
    becomes { !grep { alive($_) } @left } 'workers and keeper end';
    unlink $w->path('weir.pid');
    $w->start($CONF);
    @line = map { $w->connect('limited') } 1 .. 6;
    becomes { $t{one}->now == 3 && $t{two}->now == 2 } 'a new weir: all places are free';
    $_->close for @line;
    becomes { !$t{one}->now && !$t{two}->now } 'all have ended';
    is get()->{status}, 200, 'requests are answered';
}
is $t{$_}->peak, $most{$_}, "$_: never more than max_conns" for sort keys %most;

$w->expect(qr/exited on signal 9/);
$w->finish;
done_testing;
