#!/usr/bin/perl
# chaos: yes
# threads: yes

# Reload: `weir -s reload` waits for the verdict; a wrong configuration leaves the old one
# running and says why; a good one takes over without a refused, reset or interrupted session
# while load runs and the number of workers goes 1 -> 4 -> 2 -> 1; listeners come and go; old
# workers serve their sessions to the end and then leave.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;
$w->echo('echo');
$w->greeter('one', 'two');

sub conf {
    my ($workers, $extra) = @_;
    return "worker_processes $workers;\n" . <<'CONF' . ($extra // '') . "}\n";
stream {
    server { listen %{web}; listen %{unix:web}; proxy_pass %{echo}; }
    server { listen %{all.port}; proxy_pass %{echo}; }
CONF
}

$w->start(conf(1));
my $master = $w->master;

# The verdict.

my ($code, $out, $err) = $w->reload(conf(1, '    server { listen %{new}; proxy_pass %{one}; }'));
is $code, 0, 'a good configuration: exit code' or diag $err;
is $w->ask('new'), 'one', 'a new listener is there when the command returns';
is $w->master, $master, 'the master stays';

my @workers = $w->workers;
for my $wrong (
    ['a wrong directive', '    serber { }', qr/unknown directive "serber" in \S+weir\.conf:\d+/],
    ['a missing brace', '    map $pid $x {', qr/the block "map" opened on line \d+ is not closed/],
    ['an address that is taken', '    server { listen %{echo}; return x; }',
        qr/bind\(\) to \Q@{[ $w->address('echo') ]}\E failed \(98: Address already in use\)/],
    ['a log that cannot be opened', '    log_format x y; access_log %{dir}/no/such/log x;',
        qr/no\/such\/log.* \(2: No such file or directory\)/],
) {
    my ($name, $extra, $reason) = @$wrong;
    ($code, $out, $err) = $w->reload(conf(1, "$extra\n"));
    isnt $code, 0, "$name: exit code";
    like $err, $reason, "$name: the reason is printed";
    is $w->ask('new'), 'one', "$name: the old configuration runs on";
    is "@{[ $w->workers ]}", "@workers", "$name: with the same workers";
}

($code, $out, $err) = $w->reload(conf(1));
is $code, 0, 'and a good one works again' or diag $err;
becomes { !$w->connect('new') } 'an address that is no longer configured is closed';

# Sessions live on in the old worker.

my $old = $w->connect('web');
ok $old->echoes("before\n"), 'a session';
@workers = $w->workers;
$w->reload;
is_deeply [$w->processes('worker process is shutting down')], \@workers,
    'its worker is shutting down';
ok $old->echoes("after\n"), 'the session goes on in it';
$old->close;
becomes { !$w->processes('worker process is shutting down') } 'and when it ends the worker does';

# Under load.

my $load = $w->load(['web', 'unix:web', '127.0.0.1:%{all.port}']);
for my $count (4, 2, 1, 3, 1) {
    ($code, $out, $err) = $w->reload(conf($count));
    is $code, 0, "reload to $count workers" or diag $err;
    becomes { $count == $w->workers } "$count workers";
    ok $load->rounds(25), 'the load goes on';
}
($code, $out, $err) = $w->reload("wrong;\n");
isnt $code, 0, 'a wrong configuration under load';
ok $load->rounds(10), 'the load goes on';
$w->conf(conf(2));

# HUP, as other tools send it, several at once.
$w->signal('HUP') for 1 .. 5;
becomes { 2 == $w->workers } 'several HUP at once';
ok $load->rounds(25), 'the load goes on';

my ($good, @wrong) = $load->end;
cmp_ok $good, '>', 1000, "$good exchanges went well";
is_deeply \@wrong, [], 'no session was refused, reset or cut off';
becomes { !$w->processes('worker process is shutting down') } 'the old workers end';

# A new configuration for the same listener.

($code, $out, $err) = $w->reload(<<'CONF');
stream {
    server { listen %{web}; proxy_pass %{two}; }
}
CONF
is $code, 0, 'another server behind the same address' or diag $err;
is join(' ', map { $w->ask('web') } 1 .. 10), join(' ', ('two') x 10), 'new sessions go there';
becomes { !-S $w->path('web.sock') } 'a unix socket that is no longer listened on is gone';

# An address that gives way to a wildcard, and back: the kernel prefers it until it is closed.

my $turns = Weir->new;
$turns->echo('echo');

sub listen_on {
    my ($address, $workers) = @_;
    return "worker_processes $workers;\n"
        . "stream { server { listen $address; proxy_pass %{echo}; } }\n";
}
$turns->start(listen_on('%{all.port}', 2));
my $over = $turns->load('127.0.0.1:%{all.port}');
for my $next (['%{all}', 3], ['%{all.port}', 1], ['%{all}', 1], ['%{all}', 2], ['%{all.port}', 3]) {
    ($code, $out, $err) = $turns->reload(listen_on(@$next));
    is $code, 0, "now $next->[0]" or diag $err;
    ok $over->rounds(10), 'the load goes on';
}
my (undef, @lost) = $over->end;
SKIP: {
    skip 'some kernels let only root end handshakes', 1 if !is_root;
    is_deeply \@lost, [], 'no session was refused or reset';
}
# Back and forth faster than the old workers leave.
for my $next (['%{all}', 2], ['%{all.port}', 2], ['%{all}', 2]) {
    $turns->conf(listen_on(@$next));
    is +($turns->command('-s', 'reload'))[0], 0, "at once $next->[0]";
}
ok $turns->connect('all')->echoes('x'), 'served';
$turns->expect(qr/bind\(\)/);
$turns->finish;

# New processes do not have the logs of the old configuration open.

my $logs = Weir->new;
my $LOGS = "stream { log_format line x; access_log %{dir}/NAME.log line;\n"
    . "error_log %{dir}/NAME.error notice; server { listen %{web}; return NAME; } }\n";
$logs->start($LOGS =~ s/NAME/old/gr);
$logs->conf($LOGS =~ s/NAME/new/gr);
is +($logs->command('-s', 'reload'))[0], 0, 'a reload to other logs';
becomes { $logs->ask('web') eq 'new' } 'it serves';
becomes { $logs->workers == 1 && $logs->processes('keeper process') == 1 } 'alone';
for my $pid ($logs->workers, $logs->keeper) {
    last if !is_root;    # only root sees into a process that cannot be dumped
    my @open = map { readlink } glob "/proc/$pid/fd/*";
    is_deeply [grep { m{/old\.} } @open], [], 'the new processes have none of the old logs open';
    is +(grep { m{/new\.} } @open), 2, 'and both new ones';
}
unlink map { $logs->path("old.$_") } qw(log error);
rename $logs->path('new.log'), $logs->path('new.log.1') or die "rename: $!\n";
is +($logs->command('-s', 'reopen'))[0], 0, 'the logs are opened again';
becomes { $logs->ask('web'); -s $logs->path('new.log') } 'by the worker, too';
ok !-e $logs->path("old.$_"), "old.$_ is not made again" for qw(log error);
$logs->finish;

# The pid file moves with the configuration, which is refused when it cannot be written.

my $moving = Weir->new;
my $CONF = "pid %{dir}/NAME.pid;\nstream { server { listen %{web}; return NAME; } }\n";

sub move {
    my ($name) = @_;
    $moving->conf($CONF =~ s/NAME/$name/gr);
    $moving->signal('HUP');
}
$moving->start($CONF =~ s/NAME/one/gr);
move('no/such');
becomes { $moving->error_log =~ m{open\(\) "\S+/no/such\.pid" failed \(2: } } 'no such folder';
is $moving->ask('web'), 'one', 'the old configuration runs on';
ok -e $moving->path('one.pid'), 'with its pid file';
move('two');
becomes { $moving->ask('web') eq 'two' } 'another name is taken';
is $moving->pid, $moving->master, 'the file is there';
ok !-e $moving->path('one.pid'), 'and the old one is gone';
$moving->expect(qr/no\/such/);
$moving->finish;

$w->expect(qr/serber|unexpected end|bind\(\)|still could not|is in use by|no\/such\/log|"wrong"/);
$w->finish;
done_testing;
