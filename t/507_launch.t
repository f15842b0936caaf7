#!/usr/bin/perl
# chaos: yes

# A new generation serves when all its processes are ready, or not at all. Workers that cannot
# start: `weir -s reload` and the log say why, the old processes serve on untouched, nobody loses a
# connection, and the next good configuration is taken. The same while one waits for another, for a
# worker that is killed or too slow, at the end, at the first start, and for a new binary.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::IP;
use Test::More;
use Weir;
use Weir::Process qw(children spawn);

my $w = Weir->new;
$w->echo('echo');
$w->greeter('one');

# No process can make its loop with so few open files.
my $BAD = "worker_rlimit_nofile 5;\n";

sub conf {
    my ($workers, $more, $before) = @_;
    return "worker_processes $workers;\n" . ($before // '') . <<'CONF' . ($more // '') . "}\n";
stream {
    server { listen %{web}; listen %{unix:web}; proxy_pass %{echo}; }
CONF
}

# Workers and keeper that are not about to end, once there is one keeper.
sub serving {
    my ($of) = @_;
    my @all;
    wait_for {
        @all = grep { title($_) =~ /: (?:worker|keeper) process$/ } children($of);
        1 == grep { title($_) =~ /keeper/ } @all;
    };
    return sort @all;
}

my $NEW = "    server { listen %{new}; listen %{unix:new}; proxy_pass %{one}; }\n";

$w->start(conf(2));
my $master = $w->master;
my $load = $w->load(['web', 'unix:web']);
my @before = serving($master);
is scalar(@before), 3, 'two workers and a keeper';

sub untouched {
    my ($name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    becomes { "@before" eq join ' ', serving($master) } "$name: the old processes, no others";
    ok !$w->connect('new'), "$name: no new address";
    ok !-e $w->path('new.sock'), "$name: nor its file";
    ok $load->rounds(5), "$name: the load goes on";
}

# The workers cannot start.

my ($code, $out, $err) = $w->reload(conf(3, $NEW, $BAD));
is $code, 1, 'workers that cannot start: -s reload fails';
like $err, qr/(?:worker|keeper) process \d+: .*Too many open files/,
    'and the message is that of the process';
like $err, qr/the previous configuration stays active/, 'and says which configuration is active';
like $w->error_log, qr/\[error\].*(?:worker|keeper) process \d+: .*Too many open files/,
    'the log has the reason';
like $w->error_log, qr/\[error\].*weir\.conf was not loaded; the previous configuration stays active$/m,
    'and the verdict';
untouched('-s reload');

$w->signal('HUP');
becomes { 2 == (() = $w->error_log =~ /the previous configuration stays active$/mg) }
    'HUP by a signal: the log has it, too';
untouched('HUP');

$w->conf("wrong;\n");
$w->signal('HUP');
becomes { 3 == (() = $w->error_log =~ /the previous configuration stays active$/mg) }
    'also of a wrong file';
untouched('a wrong file');

# Nothing that was made for a configuration stays when it is refused, however late, except a file in
# which something was written.

my $MAKES = "    log_format line x;\n    access_log %{dir}/new.access line;\n}\n"
    . "http {\n    client_body_temp_path %{dir}/temp/of/bodies;\n"
    . "    server { listen %{new_http}; access_log %{dir}/new.http;\n"
    . "        location / { proxy_pass http://%{one}; } }\n";
my $LOGS = "  error_log %{dir}/new.error;\n";
my @made = map { $w->path($_) } qw(new.access new.http temp/of/bodies);
for my $case (["wrong;\n", 'a wrong file'], [$BAD, 'workers that cannot start']) {
    is +($w->reload(conf(3, $MAKES, $LOGS . $case->[0])))[0], 1, "$case->[1]: refused";
    ok !-e $_, "$case->[1]: no $_" for @made, $w->path('temp');
    is -e $w->path('new.error') ? 1 : 0, $case->[0] eq $BAD ? 1 : 0,
        "$case->[1]: a log only where it says something";
}
ok -s $w->path('new.error'), 'a log in which there is something stays';
unlink $w->path('new.error');
mkdir $w->path('temp') or die "temp: $!\n";
$w->write('new.http', '');
is +($w->reload(conf(3, $MAKES, $BAD)))[0], 1, 'refused again';
ok -e $w->path($_), "$_ was there before" for 'temp', 'new.http';
ok !-e $w->path($_), "$_ was not" for 'temp/of', 'new.access';
is +($w->reload(conf(2, $MAKES)))[0], 0, 'a configuration that needs them is taken';
ok -e $_, "$_ stays" for @made;
is +($w->reload(conf(2)))[0], 0, 'and one without them';
ok -e $_, "$_ stays" for @made;
@before = serving($master);
is +($w->reload(conf(3, $MAKES, $BAD)))[0], 1, 'refused once more';
ok -e $_, "$_ stays" for @made;
untouched('a refusal');

($code, $out, $err) = $w->reload(conf(3, $NEW));
is $code, 0, 'the next good one is taken' or diag $err;
is scalar($w->workers), 3, 'three workers';
is $w->ask('new'), 'one', 'the new address';
is $w->ask('unix:new'), 'one', 'and its unix socket';
is +($w->reload(conf(2)))[0], 0, 'and back';
ok $load->rounds(5), 'the load goes on';
@before = serving($master);

# With processes that are held while they start.

my $hold;
my $may_hold = slurp($w->{bin}) =~ /WR_HOLD_START/;

# `weir -s reload` that runs while the test goes on; returns what waits for its answer.
sub later {
    my ($it) = @_;
    my $file = $it->path('later.' . ++$it->{later});
    my $pid = spawn(sub {
        $it->redirect($file, $file);
        exec { $it->{bin} } $it->{bin}, $it->words, '-s', 'reload' or die "exec: $!\n";
    });
    return sub {
        my $status = $it->ended($pid);
        return ($status >> 8, slurp($file));
    };
}

sub pending {
    my ($of, @known) = @_;
    my %known = map { $_ => 1 } @known;
    my @new = grep { !$known{$_} && title($_) =~ /: (?:worker|keeper) process$/ } children($of);
    return @new;
}

SKIP: {
    skip 'a release build', 1 if !$may_hold;
    my $held = Weir->new;
    $held->echo('echo');
    $hold = $held->path('hold');
    my $start = sub {
        my ($ms) = @_;
        local $ENV{WR_HOLD_START} = $hold;
        local $ENV{WR_READY_MS} = $ms;
        $held->start(conf(2));
        return serving($held->master);
    };
    @before = $start->(20000);
    $master = $held->master;
    my $held_load = $held->load(['web', 'unix:web']);

    # Killed before it is ready; another reload waits meanwhile.
    $held->write('hold', '');
    $held->conf(conf(3, "    server { listen %{new}; return new; }\n"));
    my $first = later($held);
    becomes { 4 == pending($master, @before) } 'a generation starts';
    my $second = later($held);
    is $held->ask('new'), 'connect: Connection refused', 'it does not serve yet';
    ok $held_load->rounds(5), 'the load goes on';
    $held->signal('USR1');
    kill 'KILL', (pending($master, @before))[0];
    ($code, $err) = $first->();
    is $code, 1, 'one process of it is killed: refused';
    like $err, qr/process \d+ exited on signal 9 before it was ready/, 'because of that';
    becomes { 4 == pending($master, @before) } 'the reload that waited has its turn';
    unlink $hold;
    ($code, $err) = $second->();
    is $code, 0, 'and is answered' or diag $err;
    is $held->ask('new'), 'new', 'it serves';
    ok $held_load->rounds(5), 'the load goes on';

    # The keeper is killed.
    @before = serving($master);
    $held->write('hold', '');
    $first = later($held);
    becomes { 4 == pending($master, @before) } 'another generation';
    my ($keeper) = grep { title($_) =~ /keeper/ } pending($master, @before);
    kill 'KILL', $keeper;
    ($code, $err) = $first->();
    is $code, 1, 'its keeper is killed: refused';
    like $err, qr/keeper process $keeper exited on signal 9/, 'because of that';
    unlink $hold;
    becomes { "@before" eq join ' ', serving($master) } 'the old processes, no others';
    is $held->ask('new'), 'new', 'serve';

    # WINCH and QUIT take it back.
    $held->write('hold', '');
    $first = later($held);
    becomes { 4 == pending($master, @before) } 'another generation';
    my (undef, @wrong) = $held_load->end;
    is_deeply \@wrong, [], 'no session was refused, reset or cut off';
    $held->signal('QUIT');
    ($code, $err) = $first->();
    is $code, 1, 'QUIT meanwhile: refused';
    like $err, qr/weir is shutting down/, 'because of that';
    is $held->ended($master), 0, 'and weir ends';
    $held->has_ended;

    # Too slow.
    unlink $hold;
    @before = $start->(1500);
    $master = $held->master;
    $held->write('hold', '');
    ($code, $out, $err) = $held->command('-s', 'reload');
    is $code, 1, 'not ready in time: refused';
    like $err, qr/process \d+ is not ready after 1500 ms/, 'because of that';
    unlink $hold;
    becomes { "@before" eq join ' ', serving($master) } 'the old processes, no others';
    is +($held->command('-s', 'reload'))[0], 0, 'the next one is taken';

    # A new binary whose workers are too slow.
    @before = ();
    @before = serving($master);
    is scalar(@before), 3, 'two workers and a keeper';
    $held->write('hold', '');
    $held->signal('USR2');
    becomes { 4 == children($master) } 'a new binary starts';
    is $held->pid, $master, 'the pid file stays';
    ok !-e $held->path('weir.pid.oldbin'), 'under its name';
    is +($held->command('-s', 'reload'))[0], 1, 'no reload meanwhile';
    becomes { $held->error_log =~ /new binary process \d+ exited with code 1,/m } 'it gives up';
    unlink $hold;
    is $held->pid, $master, 'the pid file stayed';
    becomes { "@before" eq join ' ', serving($master) } 'the old processes, no others';
    ok $held->connect('web')->echoes('x'), 'serve';
    $held->expect(qr/new binary process/);
    $held->finish;

    # The pid file is written before the new sockets listen: if that fails, no client waits in a
    # socket whose worker ends.
    my $late = Weir->new;
    $late->echo('echo');
    $hold = $late->path('hold');
    {
        local $ENV{WR_HOLD_START} = $hold;
        $late->start(conf(2, '', "pid %{dir}/weir.pid;\n"));
    }
    @before = serving($late->master);
    mkdir $late->path('folder') or die "folder: $!\n";
    $late->write('hold', '');
    $late->conf(conf(6, $NEW, "pid %{dir}/folder/weir.pid;\n"));
    $late->signal('HUP');
    becomes { 7 == pending($late->master, @before) } 'a generation starts';
    rmdir $late->path('folder') or die "folder: $!\n";
    unlink $hold;
    becomes { $late->error_log =~ /folder.weir\.pid" failed.*stays active$/sm }
        'its pid file cannot be written: refused';
    becomes { "@before" eq join ' ', serving($late->master) } 'the old processes, no others';
    is scalar(grep { $late->connect('web')->echoes('x') } 1 .. 20), 20, 'serve all clients';
    ok !$late->connect('new'), 'no new address';
    $late->expect(qr/open\(\)/);
    $late->finish;

    # Sockets that listen already keep their options when a new one cannot listen.
    SKIP: {
        skip 'no ss to see them with', 1 if !Weir::program('ss');
        my $tuned = Weir->new;
        my $backlog = sub { return (split ' ', qx(ss -Hltn sport = :@{[$tuned->port('web')]}))[2] };
        $hold = $tuned->path('hold');
        my $listens = sub { return "stream { server { listen %{web} $_[0]; return x; } $_[1] }\n" };
        {
            local $ENV{WR_HOLD_START} = $hold;
            $tuned->start("worker_processes 1;\n" . $listens->('backlog=77', ''));
        }
        is $backlog->(), 77, 'a backlog';
        @before = serving($tuned->master);
        $tuned->write('hold', '');
        $tuned->conf("worker_processes 1;\n"
            . $listens->('backlog=55', 'server { listen %{taken}; return x; }'));
        $first = later($tuned);
        becomes { 2 == pending($tuned->master, @before) } 'a reload with another one';
        my $taken = IO::Socket::IP->new(LocalHost => '127.0.0.1', ReuseAddr => 1, Listen => 5,
            LocalPort => $tuned->port('taken')) or die "taken: $!\n";
        unlink $hold;
        ($code, $err) = $first->();
        is $code, 1, 'is refused' or diag $err;
        like $err, qr/listen\(\) to \S+ failed \(98/, 'because a new address was taken meanwhile';
        is $backlog->(), 77, 'the backlog is as it was';
        close $taken;
        is +($tuned->command('-s', 'reload'))[0], 0, 'and then it is taken';
        is $backlog->(), 55, 'with its backlog';
        $tuned->expect(qr/listen\(\)/);
        $tuned->finish;
    }

    # Back from an upgrade: the new binary ends while the old one starts its workers again.
    my $back = Weir->new;
    $back->echo('echo');
    $hold = $back->path('hold');
    {
        local $ENV{WR_HOLD_START} = $hold;
        $back->start(conf(2));
    }
    my ($old, $new) = $back->upgrade;
    $back->signal('WINCH', $old);
    becomes { 1 == children($old) } 'the old workers end';
    $back->write('hold', '');
    $back->signal('HUP', $old);
    becomes { 4 == children($old) } 'and start again';
    $back->signal('QUIT', $new);
    becomes { $back->error_log =~ /new binary process $new exited with code 0/ } 'the new one ends';
    unlink $hold;
    $back->{master} = $old;
    is +($back->reload)[0], 0, 'the old one goes on';
    is scalar(() = $back->error_log =~ /starting workers again/g), 1, 'it started them once';
    $back->finish;

    # A first start that is told to end has not failed.
    my $told = Weir->new;
    $told->echo('echo');
    $told->conf(conf(2));
    $told->write('hold', '');
    my $pid = spawn(sub {
        $told->redirect($told->path('stdout'), $told->path('stderr'));
        $ENV{WR_HOLD_START} = $told->path('hold');
        exec { $told->{bin} } $told->{bin}, $told->words or die "exec: $!\n";
    });
    becomes { 3 == children($pid) } 'a first start';
    kill 'USR1', $pid;
    becomes { $told->error_log =~ /reopening logs$/m } 'USR1 meanwhile: the logs are opened again';
    kill 'QUIT', $pid;
    is $told->ended($pid), 0, 'QUIT meanwhile: it ends well';
    ok !-e $told->path('weir.pid'), 'and leaves no pid file';
    $told->finish;
}

# The first start.

my $early = Weir->new;
$early->echo('echo');
($code, $err) = $early->start(conf(1, '', "daemon on;\n$BAD"), fails => 1);
is $code, 1, 'a first start that fails, daemon on: exit code';
like $err, qr/process \d+: .*Too many open files/, 'and why';
ok !$early->connect('web'), 'nobody listens';
ok !-e $early->path('web.sock'), 'no file of a socket is left';
($code, $err) = $early->start(conf(1, '', $BAD), fails => 1);
is $code, 1, 'daemon off: exit code';
like $err, qr/process \d+: .*Too many open files/, 'and why';
$early->has_ended;

# USR2 with a configuration under which workers cannot start.

my $PID = "pid %{dir}/weir.pid;\n"; # in the configuration, not by -g
$early->start(conf(2, '', $PID));
$master = $early->master;
@before = serving($master);

# A pid file that cannot be written is found before any process starts.
for my $place ("$early->{dir}", "$early->{dir}/none/weir.pid") {
    $early->conf(conf(6, $NEW, "pid $place;\n"));
    $early->signal('HUP');
    becomes { $early->error_log =~ /"\Q$place\E" failed.*stays active$/sm } "pid $place: refused";
    is "@{[ serving($master) ]}", "@before", 'the old processes, no others';
}
unlike $early->error_log, qr/reconfiguring\n.*start worker/s, 'none was started';
$early->conf(conf(2, '', $PID));
my $over = $early->load(['web', 'unix:web']);
$early->conf(conf(2, $NEW, $PID . $BAD));
for my $time (1, 2) {
    $early->signal('USR2');
    becomes { $time == (() = $early->error_log =~ /new binary process \d+ exited with code 1,/mg) }
        "USR2, time $time: the new binary gives up";
    is $early->pid, $master, 'the pid file stays';
    ok !-e $early->path('weir.pid.oldbin'), 'under its name';
    is "@{[ serving($master) ]}", "@before", 'as do all processes';
    ok $over->rounds(5), 'the load goes on';
}
like $early->error_log, qr/\[error\].*process \d+: .*Too many open files/, 'the log says why';
$early->conf(conf(1, '', $PID));
my ($from, $to) = $early->upgrade;
kill 'QUIT', $from;
ok $over->rounds(5), 'an upgrade to a good configuration works';
my (undef, @lost) = $over->end;
is_deeply \@lost, [], 'no session was refused, reset or cut off';
is $early->ended($from), 0, 'the old master ends';
$early->expect(qr/open\(\)|new binary process|create the event loop|epoll|Too many open files/);
$early->finish;

(undef, @lost) = $load->end;
is_deeply \@lost, [], 'no session was refused, reset or cut off';
$w->expect(qr/create the event loop|epoll|"wrong"/);
$w->finish;
done_testing;
