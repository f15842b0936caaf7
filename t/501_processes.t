#!/usr/bin/perl

# Processes: master, workers and keeper under their titles, what each signal does to the master
# and to a worker, the pid file, a keeper and a master that are killed, and the directives that
# concern processes: daemon, master_process, user, env, worker_processes, worker_rlimit_nofile,
# worker_cpu_affinity, worker_priority, worker_shutdown_timeout, error_log in all its places.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::IP;
use Socket qw(SOCK_DGRAM);
use Test::More;
use Weir;
use Weir::Process qw(children);

my $w = Weir->new;
my $SERVER = <<'CONF';
stream {
    server { listen %{web}; proxy_pass %{echo}; }
    server { listen %{pid}; return $pid; }
}
CONF

$w->echo('echo');

sub session {
    my $c = $w->connect('web');
    return $c && $c->echoes("hello\n") ? $c : undef;
}

sub proc_status {
    my ($pid, $field) = @_;
    return slurp("/proc/$pid/status") =~ /^$field:\s*(.*)$/m ? $1 : undef;
}

# The processes.

$w->start("worker_processes 3;\n$SERVER");
my $master = $w->master;
is slurp($w->path('weir.pid')), "$master\n", 'the pid file';
like title($master), qr/^weir: master process \S*weir\b.* -c /, 'the title of the master';
becomes { 3 == $w->workers } 'three workers';
ok defined $w->keeper, 'a keeper';
is scalar(children($master)), 4, 'and no other process';
my $server = $w->ask('pid');
is scalar(grep { $_ == $server } $w->workers), 1, 'a worker serves';

# Signals to workers: what happens to a session, and whether the worker is replaced.

for my $row (
    ['TERM', 'ends',    'replaced'],
    ['INT',  'ends',    'replaced'],
    ['QUIT', 'goes on', 'replaced'],
    ['KILL', 'ends',    'replaced'],
    ['HUP',  'goes on', 'stays'],
    ['USR1', 'goes on', 'stays'],
    ['USR2', 'goes on', 'stays'],
    ['ALRM', 'goes on', 'stays'],
    ['IO',   'goes on', 'stays'],
) {
    my ($signal, $session, $worker) = @$row;
    my $c = session();
    my @before = $w->workers;
    $w->signal($signal, @before);
    if ($session eq 'ends') {
        like $c->ending, qr/^(?:eof|reset)$/, "$signal to the workers: a session ends";
    } else {
        ok $c->echoes("again\n"), "$signal to the workers: a session goes on";
    }
    $c->close;
    if ($worker eq 'replaced') {
        my %old = map { $_ => 1 } @before;
        becomes { my @now = $w->workers; @now == 3 && !grep { $old{$_} } @now }
            "$signal to the workers: they are replaced";
    } else {
        is "@{[ $w->workers ]}", "@before", "$signal to the workers: they stay";
        ok $w->ask('pid'), 'and serve on';
    }
}
becomes { !$w->processes('worker process is shutting down') } 'the quitting workers end';

# The keeper.

my $load = $w->load('web');
for my $signal ('KILL', 'TERM') {
    my $keeper = $w->keeper;
    $w->signal($signal, $keeper);
    becomes { my $now = $w->keeper; $now && $now != $keeper } "$signal to the keeper: it is replaced";
    ok $load->rounds(10), 'traffic goes on';
}
my ($good, @wrong) = $load->end;
is_deeply \@wrong, [], 'and no session failed';

# Signals to the master.

my $with = session();
$w->signal($_) for qw(ALRM IO PIPE);
ok $with->echoes('x') && $w->ask('pid') && alive($master), 'some signals mean nothing to the master';
$with->close;
for my $row (
    ['TERM', 'ends'],
    ['INT',  'ends'],
    ['QUIT', 'goes on'],
) {
    my ($signal, $session) = @$row;
    $w->start if !$w->master;
    $master = $w->master;
    my $c = session();
    $w->signal($signal);
    if ($session eq 'goes on') {
        becomes { !$w->connect('web') } "$signal: no client can connect any more";
        ok $c->echoes("again\n"), "$signal: a session goes on";
        ok alive($master), "$signal: and the master waits for it";
    } else {
        like $c->ending, qr/^(?:eof|reset)$/, "$signal: a session ends";
    }
    $c->close;
    is $w->ended($master), 0, "$signal: weir ends with 0";
    is $w->pid, undef, "$signal: the pid file is gone";
    $w->has_ended;
}

# WINCH and back; only where there is no terminal to change its size: as a daemon.

$w->start("daemon on;\n$SERVER");
$master = $w->master;
my $c = session();
$w->signal('WINCH');
becomes { !$w->workers } 'WINCH: the workers stop';
ok $c->echoes("again\n"), 'a session goes on';
$c->close;
ok alive($master) && $w->pid == $master, 'the master stays';
$w->signal('HUP');
becomes { 1 == $w->workers } 'HUP: there is a worker again';
ok session(), 'that serves';

my (undef, undef, undef, $session_id) = Weir::Process::stat_fields($master);
is $session_id, $master, 'a daemon has a session of its own';
is readlink "/proc/$master/fd/$_", '/dev/null', "and nothing as descriptor $_" for 0, 1;

# A master that is killed: the workers accept no more clients, serve those they have, and end.

$c = session();
my @orphans = children($master);
$w->signal('KILL');
becomes { !alive($master) } 'the master is killed';
becomes { !$w->connect('web') } 'no client can connect any more';
ok $c->echoes("again\n"), 'a session goes on';
$c->close;
becomes { !grep { alive($_) } @orphans } 'then workers and keeper end by themselves';
unlink $w->path('weir.pid');
$w->has_ended;

# In one process.

$w->start("master_process off;\n$SERVER");
is $w->ask('pid'), $w->master, 'master_process off: one process serves';
is scalar(children($w->master)), 0, 'and has no children';
ok session(), 'sessions too';
is_deeply [$w->stop], [], 'it quits';
is $w->pid, undef, 'and takes its pid file with it';

# Directives about processes.

my ($allowed) = proc_status('self', 'Cpus_allowed_list') =~ /(\d+)/;
my $mask = '1' . '0' x $allowed;
my $online = () = slurp('/proc/cpuinfo') =~ /^processor\s*:/mg;
my ($soft) = slurp('/proc/self/limits') =~ /^Max open files\s+(\d+)/m;
my $files = $soft - 7;

$w->start(<<"CONF" . <<'CONF' . $SERVER);
worker_rlimit_nofile $files;
worker_cpu_affinity $mask;
CONF
worker_priority 5;
worker_rlimit_core 1m;
debug_points stop;
worker_processes auto;
worker_shutdown_timeout 2s;
env TZ=FOO-9;
env WEIR_TEST;
lock_file %{dir}/lock;
thread_pool default threads=4 max_queue=16;
pcre_jit on;
timer_resolution 100ms;
working_directory %{dir};
events { worker_connections 1024; use epoll; multi_accept on; accept_mutex on;
         accept_mutex_delay 100ms; debug_connection 127.0.0.1; worker_aio_requests 32; }
CONF
becomes { $online == $w->workers } "worker_processes auto: $online";
my ($worker) = $w->workers;
becomes { slurp("/proc/$worker/limits") =~ /^Max open files\s+$files\s/m } 'worker_rlimit_nofile';
SKIP: {
    my ($core) = slurp('/proc/self/limits') =~ /^Max core file size\s+\S+\s+(\S+)/m;
    skip 'core files are not allowed', 1 if $core =~ /^\d+$/ && $core < 1 << 20;
    becomes { slurp("/proc/$worker/limits") =~ /^Max core file size\s+1048576\s/m }
        'worker_rlimit_core';
}
becomes { proc_status($worker, 'Cpus_allowed_list') eq $allowed } 'worker_cpu_affinity';
becomes { (Weir::Process::stat_fields($worker))[16] == 5 } 'worker_priority';
becomes { $w->dir eq readlink "/proc/$worker/cwd" } 'working_directory';

$c = session();
$w->reload;
ok $c->echoes("again\n"), 'worker_shutdown_timeout: at first a session goes on';
becomes { $w->error_log =~ /\[debug\] \d+#\d+: \*\d+ stream relay$/m }
    'debug_connection: the steps of this client are in the log';
like $c->ending, qr/^(?:eof|reset)$/, 'then it is cut off';
becomes { !$w->processes('worker process is shutting down') } 'and the old workers end';
is_deeply [$w->stop], [], 'it quits';

# user.

SKIP: {
    skip 'only root can become somebody else', 4 if !is_root;
    my ($uid, $gid) = (getpwnam 'nobody')[2, 3];
    $w->start("user nobody " . getgrgid($gid) . ";\n$SERVER");
    my ($worker) = $w->workers;
    becomes { proc_status($worker, 'Uid') eq join "\t", ($uid) x 4 } 'user: the workers';
    like proc_status($w->master, 'Uid'), qr/^0\t/, 'the master stays root';
    becomes { proc_status($worker, 'CapEff') =~ /^0+$/ } 'workers have no capabilities';
    becomes { proc_status($worker, 'NoNewPrivs') == 1 } 'and get none';
    is_deeply [$w->stop], [], 'it quits';
    $w->conf("user no_such_user;\n$SERVER");
    like +($w->command('-t'))[2], qr/getpwnam\("no_such_user"\) failed.* in \S+weir\.conf:1/,
        'an unknown user is an error';
}
SKIP: {
    skip 'root may', 1 if is_root;
    $w->conf("user nobody;\n$SERVER");
    like +($w->command('-t'))[2], qr/\[warn\].*"user" directive makes sense only/,
        'an ordinary user is told that user does nothing';
}

# The places where errors are written.

my $syslog = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $w->port('syslog'),
    Type => SOCK_DGRAM);
$w->start(<<'CONF');
error_log %{dir}/error.log notice;
error_log %{dir}/crit.log crit;
error_log stderr error;
error_log syslog:server=%{syslog},facility=local0,tag=weirtest error;
error_log memory:1m debug;
stream {
    server { listen %{dead}; proxy_pass %{nobody}; }
    server { listen %{own}; proxy_pass %{nobody}; error_log %{dir}/own.log; }
}
CONF
is $w->ask('dead'), '', 'a session without a server';
my $said = qr/\[error\] \d+#\d+: \*\d+ connect\(\) failed \(111: Connection refused\) while connecting/;
becomes { $w->error_log =~ /^\d{4}\/\d\d\/\d\d \d\d:\d\d:\d\d $said/m } 'error_log FILE';
becomes { slurp($w->path('stderr')) =~ $said } 'error_log stderr';
is slurp($w->path('crit.log')), '', 'a level that is too high';
becomes { IO::Select->new($syslog)->can_read(0.1) } 'error_log syslog: a packet';
$syslog->recv(my $packet, 4000);
like $packet, qr/^<131>[A-Z][a-z]{2} [ \d]\d [\d:]{8} \S+ weirtest: .*connect\(\) failed/,
    'with facility, severity, tag and text';
my $lines = () = $w->error_log =~ /connect\(\) failed/g;
is $w->ask('own'), '', 'another one in a server with a log of its own';
becomes { slurp($w->path('own.log')) =~ $said } 'it is written there';
is scalar(() = $w->error_log =~ /connect\(\) failed/g), $lines, 'and not elsewhere';

# Opened again after it was moved away.

rename $w->path('own.log'), $w->path('moved.log');
$w->signal('USR1');
becomes { -e $w->path('own.log') } 'USR1: the log is opened again';
$w->ask('own');
becomes { slurp($w->path('own.log')) =~ $said } 'and written by the workers';

# A worker that is told by itself to open its logs again may not be allowed to; the master is.
$w->expect(qr/exited on signal 9/, qr/no_such_user/, qr/error\.log" failed \(13: Permission/);
$w->finish;
done_testing;
