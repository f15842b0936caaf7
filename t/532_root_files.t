#!/usr/bin/perl

# Root opens, makes and gives away no file that the workers' user has replaced: a log or a folder of
# temporary files that has become a link to a file of root, or another name of one, is refused by
# name, at start, at a reload and when logs are opened again. Links that root made work as before.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;

plan skip_all => 'only root has something to give away' if !Weir::is_root();
my $w = Weir->new;
my ($NOBODY) = (getpwnam 'nobody')[2];
$w->expect(qr/root does not open it/, qr/access\.log" failed \(13: /, qr/(?:open|chown|mkdir|bind)\(.*failed \((?:1|13): /);

sub as_nobody {
    my ($code) = @_;
    my $pid = fork // die "fork: $!\n";
    if (!$pid) {
        Weir::become('nobody');
        POSIX::_exit($code->() ? 0 : 1);
    }
    waitpid $pid, 0;
    return $? == 0;
}

sub owner { return (stat $w->path($_[0]))[4] }

chmod 0755, $w->dir;
mkdir $w->path($_), 0755 or die "mkdir: $!\n" for qw(theirs ours secret);
chown $NOBODY, -1, $w->path('theirs');
$w->write('root.file', "precious\n");
chmod 0600, $w->path('root.file');
symlink 'linked.log', $w->path('ours/made-by-root.log');
symlink '/dev/stdout', $w->path('ours/stdout.log');

sub conf {
    my ($more, $pid) = (@_, 'weir.pid');
    return <<"CONF";
pid %{dir}/$pid;
user nobody @{[scalar getgrgid((getpwnam q(nobody))[3])]};
worker_processes 1;
error_log %{dir}/theirs/error.log;
error_log /dev/stderr;
http {
    access_log %{dir}/ours/made-by-root.log;
    access_log %{dir}/ours/stdout.log;
    access_log %{dir}/theirs/access.log;
    client_body_temp_path %{dir}/theirs/body;
    server { listen %{web}; $more return 200 ok; }
    server { listen %{proxy}; location / { proxy_pass http://%{web}; } }
}
CONF
}

$w->start(conf(''));
is Weir::Http::ask($w, 'web', 'GET /x')->{body}, 'ok', 'serves';
becomes { slurp($w->path('ours/linked.log')) =~ m{GET /x} } 'a log by a link of root';
is owner('theirs/body'), $NOBODY, 'a folder of temporary files is the workers\'';
ok !-e $w->path('theirs/other'), 'nothing else is there';

# USR1
my $error = $w->path('theirs/error.log');
ok as_nobody(sub { unlink $error; symlink $w->path('root.file'), $error }), 'a link in place of a log';
$w->signal('USR1');
becomes { slurp($w->path('stderr')) =~ /"error\.log" in ".*" is a link that root does not own/ } 'is refused';
is owner('root.file'), 0, 'the file is root\'s still';
is slurp($w->path('root.file')), "precious\n", 'and unchanged';

# A file of root in a folder of the workers' user that was renamed to the name of a log.
is owner('theirs/access.log'), $NOBODY, 'a new log in a folder of the workers\' user is theirs';
$w->write('theirs/audit', "precious\n");
chmod 0600, $w->path('theirs/audit');
my $access = $w->path('theirs/access.log');
ok as_nobody(sub { rename $access, "$access.1"; rename $w->path('theirs/audit'), $access }),
    'a file of root in place of a log';
$w->signal('USR1');
becomes { slurp($w->path('stderr')) =~ /"\Q$access\E" is not given to the workers' user/ }
    'is not given away';
is owner('theirs/access.log'), 0, 'it is root\'s still';
ok as_nobody(sub { unlink $access }), 'that file is removed';
$w->signal('USR1');
becomes { -e $access && owner('theirs/access.log') == $NOBODY }
    'the log is made again, and given to the workers\' user';
# The worker opens it again a little later than the master.
becomes {
    Weir::Http::ask($w, 'web', 'GET /again')->{body} eq 'ok' && slurp($access) =~ m{GET /again};
} 'a request is written there';

# a reload, and a start
my ($status, undef, $said) = $w->command('-s', 'reload');
my ($tested, undef, $why) = $w->command('-t', '-c', $w->path('weir.conf'));
isnt $tested, 0, 'a test of the configuration fails';
like $why, qr/"error\.log" in ".*" is a link that root does not own/, 'and says why';
unlink $error;

my $body = $w->path('theirs/body');
ok as_nobody(sub { rmdir $body; symlink $w->path('secret'), $body }), 'a link in place of a folder';
($status, undef, $said) = $w->command('-s', 'reload');
isnt $status, 0, 'the reload fails';
is owner('secret'), 0, 'the folder is root\'s still';
unlink $body;

# unix sockets
ok as_nobody(sub { symlink $w->path('secret'), $w->path('theirs/run') }), 'a link before a socket';
$w->conf(conf('listen unix:%{dir}/theirs/run/socket;'));
($status) = $w->command('-s', 'reload');
isnt $status, 0, 'no socket there';
ok !-e $w->path('secret/socket'), 'none was made';
unlink $w->path('theirs/run');
mkdir $w->path('run') or die;
symlink 'run', $w->path('var-run');
$w->reload(conf('listen unix:%{dir}/var-run/socket;'));
is +(stat $w->path('run/socket'))[2] & 0777, 0666, 'by a link of root, for all to connect';

is Weir::Http::ask($w, 'web', 'GET /y')->{body}, 'ok', 'serves on';
$w->reload(conf(''));

# A pid file whose folder became a link when it is to be removed.
my $master = $w->pid;
my $run = $w->path('theirs/run');
ok as_nobody(sub { mkdir $run }), 'a folder of the workers\' user';
$w->conf(conf('', 'theirs/run/other.pid'));
kill 'HUP', $master;
becomes { slurp("$run/other.pid") eq "$master\n" } 'the pid file moves there';
$w->write('secret/other.pid', "precious\n");
ok as_nobody(sub { rename $run, "$run.away" and symlink '../secret', $run }), 'it becomes a link';
$w->conf(conf(''));
kill 'HUP', $master;
becomes { $w->pid && $w->pid == $master } 'the pid file moves back';
becomes { slurp($w->path('stderr')) =~ /"run" in "\Q$run\E\/other\.pid" is a link/ } 'the link is refused';
is slurp($w->path('secret/other.pid')), "precious\n", 'nothing is removed behind it';
$w->finish;
done_testing;
