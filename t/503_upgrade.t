#!/usr/bin/perl
# chaos: yes

# Replacing the binary as nginx does it: USR2 starts a new master on the same sockets (TCP and
# unix) with the old pid file as PIDFILE.oldbin; WINCH and QUIT to the old one complete the
# upgrade; HUP to the old one and QUIT to the new one take it back. Under load no session is
# refused, reset or cut off in either direction, with changed worker counts too. A new binary that
# does not start changes nothing.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;
$w->echo('echo');

sub conf {
    my ($workers) = @_;
    return "daemon on;\nworker_processes $workers;\n" . <<'CONF';
stream {
    server { listen %{web}; listen %{unix:web}; proxy_pass %{echo}; }
    server { listen %{all.port}; proxy_pass %{echo}; }
}
CONF
}

sub workers_of {
    my ($master) = @_;
    return grep { title($_) =~ /: worker process$/ } Weir::Process::children($master);
}

sub leaving_of {
    my ($master) = @_;
    return grep { title($_) =~ /is shutting down$/ } Weir::Process::children($master);
}

my $pid_file = $w->path('weir.pid');
my $oldbin = "$pid_file.oldbin";

$w->start(conf(1));
my $load = $w->load(['web', 'unix:web', '127.0.0.1:%{all.port}']);

# An upgrade that is completed.

$w->conf(conf(3));
my ($old, $new) = $w->upgrade;
is slurp($oldbin), "$old\n", 'the old pid is in PIDFILE.oldbin';
is slurp($pid_file), "$new\n", 'the new one in PIDFILE';
like title($new), qr/: master process /, 'the new master';
becomes { 3 == workers_of($new) } 'has its own number of workers';
is scalar(my @both = workers_of($old)), 1, 'the old one has its worker still';
ok $load->rounds(25), 'the load goes on';

$w->signal('WINCH', $old);
becomes { !workers_of($old) } 'WINCH: the old workers stop accepting';
ok alive($old), 'the old master stays';
ok $load->rounds(25), 'the load goes on';

$w->signal('QUIT', $old);
ok $load->rounds(25), 'QUIT to the old master: the load goes on';

# Its workers still hold the load's lasting sessions; only then can it end.
my ($good, @wrong) = $load->end;
cmp_ok $good, '>', 300, "$good exchanges went well";
is_deeply \@wrong, [], 'upgrade: no session was refused, reset or cut off';
is $w->ended($old), 0, 'the old master ends';
ok !-e $oldbin, 'PIDFILE.oldbin is gone';
is $w->pid, $new, 'PIDFILE stays';
ok -S $w->path('web.sock'), 'the unix socket stays';

# An upgrade that is taken back.

$load = $w->load(['web', 'unix:web', '127.0.0.1:%{all.port}']);
$w->conf(conf(2));
($old, $new) = $w->upgrade;
$w->signal('WINCH', $old);
becomes { !workers_of($old) } 'again: the old workers stop accepting';
ok $load->rounds(25), 'the load goes on';
$w->signal('HUP', $old);
becomes { workers_of($old) > 0 } 'HUP: the old master has workers again';
ok $load->rounds(25), 'the load goes on';
$w->signal('QUIT', $new);
becomes { !workers_of($new) } 'QUIT: the new one stops accepting';
ok $load->rounds(25), 'the load goes on';
($good, @wrong) = $load->end;
is_deeply \@wrong, [], 'taken back: no session was refused, reset or cut off';
becomes { !alive($new) } 'the new master ends';
becomes { $w->pid && $w->pid == $old } 'the old pid is in PIDFILE again';
ok !-e $oldbin, 'PIDFILE.oldbin is gone';
ok -S $w->path('web.sock'), 'the unix socket stays';
$w->{master} = $old;
ok $w->connect('unix:web')->echoes('hello'), 'and works';

# An upgrade in one go: USR2 and QUIT without WINCH, twice.

$load = $w->load('web', lasting => 0);
for my $time ('first', 'second') {
    ($old, $new) = $w->upgrade;
    $w->signal('QUIT', $old);
    is $w->ended($old), 0, "an upgrade in one go, the $time: the old master ends";
    ok $load->rounds(25), 'the load goes on';
}
($good, @wrong) = $load->end;
is_deeply \@wrong, [], 'no session was refused, reset or cut off';
becomes { !-e $oldbin } 'the last upgrade is complete';

# The new configuration is wrong: nothing changes.

my $master = $w->master;
$w->conf("daemon on;\nwrong;\n");
$w->signal('USR2');
my $told = qr/\[error\] .*new binary process \d+ exited with code 1, the old binary continues$/m;
becomes { $w->error_log =~ $told } 'the new master does not start';
like $w->error_log, qr/unknown directive "wrong"/, 'for this reason';
ok !-e $oldbin, 'the pid file keeps its name';
is $w->pid, $master, 'and the pid of the old master';
ok $w->connect('web')->echoes('hello'), 'which serves on';

is scalar(() = $w->error_log =~ /unknown directive "wrong"/g), 1, 'which is logged once';

# The new master's standard error goes to the log of the old one, in whole lines.

my $LINE = qr{^\d{4}/\d\d/\d\d \d\d:\d\d:\d\d \[\w+\] \d+#\d+: }m;
is_deeply [grep { !/$LINE/ } split /\n/, $w->error_log], [], 'the log has whole lines only';
my $apart = Weir->new;
my $OTHER = "daemon on;\nerror_log %{dir}/other.error;\n";
$apart->start($OTHER . "stream { server { listen %{web}; return x; } }\n");
$apart->write('weir.conf', $OTHER . "wrong;\n");
$apart->signal('USR2');
becomes { slurp($apart->path('other.error')) =~ $told } 'a new master does not start';
like slurp($apart->path('other.error')), qr/${LINE}unknown directive "wrong" in \S+:3$/m,
    'and the reason is in the configured log, not in that of -e';
is_deeply [grep { !/$LINE/ } split /\n/, slurp($apart->path('other.error'))], [],
    'in whole lines';
$apart->expect(qr/unknown directive "wrong"/);
$apart->finish;

$w->expect(qr/unknown directive "wrong"|\[error\].*exited with code/);
$w->finish;
done_testing;
