#!/usr/bin/perl

# UDP sessions live through a reload with fewer and more workers, an upgrade, its rollback, and a
# stop of their worker for a moment: the server sees the same port all the time. A worker that is
# killed takes its sessions with it, and no others.
# chaos: yes

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep);
use Weir;
use Weir::Datagrams;
use Weir::Process qw(children title alive);

my $w = Weir->new;
my $server = Weir::Datagrams->server(where => $w->address('one'), name => 'one');

sub client { return Weir::Datagrams->client($w->address($_[0])) }

sub workers_of { return grep { title($_) =~ /: worker process$/ } children($_[0]) }

sub conf {
    my ($workers, $more) = @_;
    return "daemon on;\nworker_processes $workers;\n" . <<'CONF' . ($more // '') . "}\n";
stream {
    proxy_timeout 30s;
    server { listen %{plain} udp; proxy_pass %{one}; }
    server { listen %{any.port} udp; proxy_pass %{one}; }
CONF
}

$w->start(conf(2));

# Sessions of many clients, so that each worker has some.
my @clients = map { client($_ % 2 ? 'plain' : 'any') } 1 .. 12;
my @first = map { $_->ask('who') } @clients;

sub all_the_same {
    my ($name) = @_;
    my @now = map { $_->ask('who') // 'no answer' } @clients;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    is_deeply \@now, \@first, $name;
    return;
}

all_the_same('each client has its session');
for my $workers (2, 1, 3) {
    is +($w->reload(conf($workers)))[0], 0, "a reload with $workers workers";
    all_the_same('... all sessions go on') for 1 .. 2;
}
like client('plain')->ask('who'), qr/^one/, 'new clients are served';

# ---- the owner of a session stops for a moment

my @stopped = $w->processes('worker process is shutting down');
SKIP: {
    skip 'no worker of an earlier generation is left', 2 if !@stopped;
    kill 'STOP', @stopped;
    $_->put('who') for @clients;
    sleep 0.3;
    kill 'CONT', @stopped;
    my @late = map { $_->get // 'no answer' } @clients;
    is_deeply \@late, \@first, 'what was asked while they were stopped is answered';
    all_the_same('... and all goes on');
}

# ---- an upgrade, and back

my ($old, $new) = $w->upgrade;
becomes { workers_of($new) } 'the new master has workers';
all_the_same('both masters run');
$w->signal('WINCH', $old);
becomes { !workers_of($old) } 'the old workers finish';
all_the_same('... with their sessions');
my $third = client('plain');
my $who = $third->ask('who');
$w->signal('HUP', $old);
becomes { workers_of($old) } 'the old master has workers again';
$w->signal('QUIT', $new);
becomes { !workers_of($new) } 'the new one finishes';
all_the_same('after the rollback');
is $third->ask('who'), $who, '... also a session that began with the new one';

# ---- a worker is killed

my $c = client('plain');
ok $c->ask('who'), 'a session';
kill 'KILL', workers_of($old);
becomes { defined $c->ask('who', 0.5) } 'the client of a killed worker is served again';
$w->expect(qr/exited on signal 9/);

# QUIT would wait for the sessions.
$w->signal('TERM', $_) for $new, $old;
becomes { !alive($new) && !alive($old) } 'stopped';
delete $w->{master};
$server->kill;
$w->finish;
done_testing;
