#!/usr/bin/perl

# Messages of the master about logs that cannot be opened again, addresses in use, and names that do
# not resolve; the folders it makes; what -s prints when weir does not run; and the errors of -t
# that would keep a worker from starting.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;

# A log whose folder is gone.

mkdir $w->path('gone');
chmod 0777, $w->path('gone');
$w->start(<<'CONF');
stream {
    log_format f x;
    access_log %{dir}/gone/access.log f;
    server { listen %{web}; return hello; }
}
CONF
is $w->ask('web'), 'hello', 'it runs';
becomes { -s $w->path('gone/access.log') } 'and logs';
rename $w->path('gone'), $w->path('moved');
is +($w->command('-s', 'reopen'))[0], 0, '-s reopen';
my $log = $w->path('gone/access.log');
becomes { $w->error_log =~ /open\(\) "\Q$log\E" failed \(2: No such file or directory\)/ }
    'a log whose folder is gone is reported by its name';
unlike $w->error_log, qr/buffer 0/, 'and nothing else';
is_deeply [$w->stop], [], 'it quits';

# Folders of temporary files.

sub folders {
    my (@lines) = @_;
    my $it = Weir->new;
    my $conf = join '', map { "    $_\n" } @lines;
    $it->start("http {\n$conf}\n");
    my @made = map { s{.*/}{}r } grep { -d } glob $it->path('*temp*');
    $it->finish;
    return "@made";
}
my $PASS = 'server { listen %{web}; location / { proxy_pass http://127.0.0.1:1; } }';
SKIP: {
    skip 'built without http', 5 if ($w->bare('-V'))[1] =~ /--without-http/;
    is folders('server { listen %{web}; return 200 x; }'), '',
        'without proxy_pass no folder is made';
    is folders($PASS), 'client_body_temp proxy_temp', 'with proxy_pass both folders are made';
    is folders('client_body_temp_path my_temp;', $PASS), 'my_temp proxy_temp',
        'a folder with another name is made';
    is folders('client_body_temp_path temp1;', 'proxy_temp_path temp2;', $PASS), 'temp1 temp2',
        'other names for both: the usual ones are not made';
    is folders('proxy_request_buffering off;', 'proxy_max_temp_file_size 0;', $PASS), '',
        'without buffering no folder is made';
}

# -s when weir does not run; the pid file may name another process.

my $s = Weir->new;
$s->conf("stream { server { listen %{web}; return hello; } }\n");
my $pid_file = $s->path('weir.pid');
for my $word (qw(reload stop quit reopen trace)) {
    my ($code, $out, $err) = $s->command('-s', $word);
    is $code, 2, "-s $word, no weir: exit code";
    like $err, qr/weir is not running: open\(\) "\Q$pid_file\E" failed/,
        'and says that weir is not running';
}
my $other = Weir::Process::spawn(sub { sleep 600 });
$s->write('weir.pid', "$other\n");
for my $word (qw(reload stop)) {
    my ($code, $out, $err) = $s->command('-s', $word);
    is $code, 2, "-s $word, a pid file with the pid of another process: exit code";
    like $err, qr/weir is not running: process $other, named in "\Q$pid_file\E", did not write/,
        'and says that weir is not running';
    ok alive($other), 'that process gets no signal';
}
Weir::Process::end_process($other, 'KILL');
like +($s->command('-s', 'reload'))[2], qr/weir is not running: process $other, named in .*, does not exist/,
    'a pid file with the pid of no process';
unlink $pid_file;
is +($s->command('-s', 'nothing'))[0], 2, 'a word -s does not know: wrong use';
$s->start;
my ($code, $out, $err) = $s->command('-s', 'trace');
is $code, 0, '-s trace';
like $out, qr/error log, \Q@{[ $s->path('error.log') ]}\E$/, 'says where to look';

# Addresses in use.

my $second = Weir->new;
my $web = $s->address('web');
($code, $err) = $second->start(
    "daemon on;\nstream {\n    server { listen $web; return x; }\n}\n", fails => 1);
is $code, 1, 'an address in use: exit code';
is scalar(() = $err =~ /bind\(\) to \Q$web\E failed \(98/g), 1, 'is reported once';
like $err, qr/bind\(\) to \Q$web\E failed \(98: [^)]+\) in \S+weir\.conf:3$/m, 'with the line';
like $err, qr/still could not bind/, 'and that it was tried again';
my $process = qr/process @{[ $s->master ]}, "weir: master process \S+weir .*"$/m;
like $err, qr/\Q$web\E is in use by another weir, which has its own pid file: $process/,
    'and that another weir has it';
$second->has_ended;

# Without a master weir waits for the address, too, and handles signals meanwhile.
my $single = "daemon off;\nmaster_process off;\nstream { server { listen $web; return x; } }\n";
$second->conf($single);
my $waits = Weir::Process::spawn(sub {
    $second->redirect($second->path('stdout'), $second->path('stderr'));
    exec { $second->{bin} } $second->{bin}, $second->words or die "exec: $!\n";
});
becomes { $second->error_log =~ /\b$waits#\d+: using the "epoll"/ }
    'master_process off: it waits';
kill 'TERM', $waits;
is $second->ended($waits), 0, 'and ends when it is told to';
unlike $second->error_log, qr/still could not bind.*still could not bind/s, 'without giving up';
my $held = Weir->new;
$held->conf("stream { server { listen %{web}; return x; } }\n");
$held->backend('web');
(undef, undef, $err) = $held->command('-g', 'daemon off; master_process off;');
like $err, qr/\Q@{[ $held->address('web') ]}\E is in use by process \d+, "[^"]+"$/m,
    'and that another program has it';
$held->expect(qr/bind|is in use by/);
$held->finish;
$second->expect(qr/bind|is in use by/);
$second->finish;

($code, $out, $err) = $s->bare($s->words, '-g', 'daemon off; pid ' . $pid_file . ';');
is $code, 1, 'weir runs already: exit code';
like $err, qr/weir is already running as process \d+ \(pid file "\Q$pid_file\E"\)/, 'is reported';
is $s->ask('web'), 'hello', 'the running weir serves';

# Ports that weir's old workers still have are not an error: ports that go and come, stop and start.
my $was = -s $s->path('error.log');
for my $time (1 .. 3) {
    for my $ports ('listen %{web};', 'listen %{web}; listen %{more};') {
        $s->conf("stream { server { $ports return hello; } }\n");
        is +($s->command('-s', 'reload'))[0], 0, "reload with $ports";
    }
}
is $s->ask('more'), 'hello', 'it is there';
is_deeply [$s->stop], [], 'it quits';
$s->start;
unlike substr($s->error_log, $was), qr/\[emerg\]/, 'without an error, at the next start, too';
$s->expect(qr/bind\(\)|already running/);
$s->finish;

# A start in the background names the hosts that do not resolve.

my $names = Weir->new;
$names->start("daemon on;\nstream { server { listen %{web}; proxy_pass no.such.invalid:1; } }\n");
like slurp($names->path('stderr')), qr/host not found in upstream "no\.such\.invalid:1"/,
    'a start in the background names the hosts that do not resolve';
$names->finish;

# Errors that -t finds.

my $t = Weir->new;
my $LISTEN = "stream { server { listen %{web}; return x; } }\n";
for my $row (
    ["working_directory %{dir}/none;\n", qr/chdir\("\S+none"\) failed \(2: .*weir\.conf:1\n.*\n +\| +\^/],
    ["working_directory %{dir}/weir.conf;\n", qr/chdir\(\S+ failed \(20: .*weir\.conf:1\n/],
) {
    my ($line, $says) = @$row;
    $t->conf($line . $LISTEN);
    ($code, $out, $err) = $t->command('-t');
    is $code, 1, "-t: $line";
    like $err, $says, 'is reported with the line';
}
SKIP: {
    skip 'built without http', 2 if ($w->bare('-V'))[1] =~ /--without-http/;
    $t->conf("http { client_body_temp_path %{dir}/weir.conf/x; $PASS }\n");
    ($code, $out, $err) = $t->command('-t');
    is $code, 1, '-t: a folder that cannot be made';
    like $err, qr/mkdir\(\) "\S+weir\.conf\/x" failed/, 'is reported';
}
$t->expect(qr/chdir|mkdir/);
$t->finish;

$w->expect(qr/open\(\) "\Q$log\E"/);
$w->finish;
done_testing;
