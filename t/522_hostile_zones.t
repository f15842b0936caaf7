#!/usr/bin/perl

# A process of the workers' user holds the locks of all zones, writes over their owner, their lists
# and their slots, and asks the kernel for locks without end. The keeper is not held up by it, and
# takes back what was written without a reload; neither is the master.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Fcntl qw(F_SETLK F_WRLCK SEEK_SET);
use Test::More;
use Weir;
use Weir::HttpServer;
use Weir::Process qw(spawn end_process);

my $SERVERS = 300;
my $LOCKS = 6_000;
my $w = Weir->new;
my $dns = $w->dns('dns', 'name.test 1 A 127.0.0.1');
$w->greeter(qw(first second));
$w->backend('other', at => '127.0.0.2:%{second.port}', serve => 'greet', greet => "other\n");
$w->backend('well', serve => Weir::HttpServer::serve(sub { Weir::HttpServer::reply(200, 'well') },
    record => $w->path('checks')));
$ENV{WR_ASK_MS} = 1000;    # debug builds; others ask every 5 s

sub conf {
    my ($servers) = @_;
    my $many = join ' ', map { "server 127.0.0.1:$_;" } 1 .. $servers;
    return <<"CONF";
worker_processes 2;
stream {
    resolver %{dns};
    resolver_grace 0;
    upstream u { server %{first}; server name.test:%{second.port}; }
    server { listen %{web}; proxy_pass u; }
}
http {
    upstream checked { server %{well}; $many }
    server { listen %{http};
        location / { proxy_pass http://checked; health_check interval=2s mandatory persistent; } }
}
CONF
}

sub answers {
    my %seen;
    $seen{ $w->ask('web') // '' }++ for 1 .. 12;
    return join ' ', sort keys %seen;
}

# The segments: the run segment, which is the only one with its size, comes first.
sub segments {
    my %seen;
    my $master = $w->master;
    my @fh = map { open my $fh, '+<', $_; $fh // () }
        grep { (readlink $_ // '') =~ /memfd:/ } glob "/proc/$master/fd/*";
    @fh = grep { !$seen{ (stat $_)[1] }++ } @fh;
    my $is_run = sub { -s $_[0] < 2048 * 128 + 4096 && -s $_[0] >= 2048 * 128 };
    return ((grep { $is_run->($_) } @fh), grep { !$is_run->($_) } @fh);
}

sub write_at {
    my ($fh, $at, $bytes) = @_;
    sysseek $fh, $at, SEEK_SET;
    syswrite $fh, $bytes;
}

sub lock_at {
    my ($fh, $at) = @_;
    return fcntl $fh, F_SETLK, pack 's s x4 q q l x4', F_WRLCK, SEEK_SET, $at, 1, 0;
}

# Runs the code in a process of its own, which then waits.
sub holder {
    my ($code) = @_;
    pipe my $ready, my $tell;
    my $pid = spawn(sub {
        Weir::become('nobody') if is_root();
        $code->();
        syswrite $tell, 'x';
        sleep 600;
    });
    close $tell;
    sysread $ready, my $byte, 1;
    return $pid;
}

# ---- locks

$w->start(conf($SERVERS));
becomes { answers() eq 'first second' } 'a server and a name';
becomes { slurp($w->path('checks')) =~ /GET/ } 'servers are checked';
my ($run, @zones) = segments();
cmp_ok scalar @zones, '>=', 2, 'the zones';
my $holder = holder(sub { lock_at($_, 0) or die for @zones });
$w->write('checks', '');
is +($w->reload(conf($SERVERS)))[0], 0, 'a reload while somebody holds the locks of all zones';
becomes { (() = slurp($w->path('checks')) =~ /GET/g) >= 3 } 'servers are checked, as before';
$dns->records('name.test 1 A 127.0.0.2');
becomes { answers() eq 'first other' } 'the name moves';
unlike $w->error_log, qr/has not answered/, 'and no keeper was replaced';
like $w->error_log, qr/its zone is locked by another process/, 'the log says it';
end_process($holder, 'KILL');

# ---- nonsense that stays

# Owner, version and lists of every zone with a roster; of its slots the keys.
for my $fh (@zones) {
    write_at($fh, 0, pack('Q', 0x5555_5555) . "\0" x 4344);
}
$dns->records('name.test 1 A 127.0.0.1');
becomes { answers() eq 'first second' } 'owner and lists are gone: the keeper takes them back';
like $w->error_log, qr/another process has written into its zone/, 'the log says it';
$w->write('checks', '');
becomes { slurp($w->path('checks')) =~ /GET/ } 'servers are checked again';

for my $fh (@zones) {
    my $size = -s $fh;
    write_at($fh, $_, "\xff" x 65536) for map { 65536 * $_ } 0 .. $size / 65536 - 1;
}
$w->expect(qr/exited on signal 9/);
$w->signal('KILL', ($w->workers)[0]);
becomes { answers() eq 'first second' } 'slots are nonsense, and a worker dies: all is written again';

# ---- locks without end

my $flood = holder(sub {
    lock_at($run, $_) for 0 .. 2047;
    lock_at($run, 1_000_000 - 2 * $_) for 1 .. $LOCKS;
});
is +($w->reload(conf(2)))[0], 0, 'a reload while the locks of all slots are held';
becomes { answers() eq 'first second' } 'it serves';
end_process($flood, 'KILL');
$w->finish;
done_testing;
