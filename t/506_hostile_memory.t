#!/usr/bin/perl

# A process of the workers' user writes nonsense over all shared memory, again and again: servers
# and their counts, slots and bells of processes, TLS sessions and, as root, the map of socket
# owners. It tries to truncate the segments and locks what can be locked; then it dies. Meanwhile
# the configuration is loaded again and again, and the program is replaced, forth and back. The
# master lives, the nonsense ends no process, and the next reload finds everything well. The master
# does not rely on what it has written for others, and no process of the next reload has a full
# doorbell. WEIR_RELOADS: how many reloads (12).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Fcntl qw(F_SETFL F_SETLK F_WRLCK SEEK_SET);
use Test::More;
use Time::HiRes qw(sleep);
use Weir;
use Weir::Process qw(spawn end_process children);
use Weir::Http;
use Weir::Tls;

Weir::in_private_network();    # a server's address may become any
Weir::Tls::needs();
system('ip link set lo up') == 0 or plan skip_all => 'no loopback interface';

my $RELOADS = $ENV{WEIR_RELOADS} // 12;
my $ROUNDS = 2;
my $EACH = 4;    # reloads for each vandal: the next vandal opens the newest segments
my $w = Weir->new;
my $dns = $w->dns('dns', 'one.test 1 A 127.0.0.1', 'two.test 1 A 127.0.0.1');
Weir::Tls::certificate($w, 'server');
$w->echo('one', 'two', 'three');

sub conf {
    my ($extra) = @_;
    return <<"CONF";
worker_processes 2;
stream {
    resolver %{dns};
    upstream mixed { server %{one}; server one.test:%{one.port} weight=3; server %{two} backup; }
    upstream limited { server %{three} max_conns=40; $extra }
    server { listen %{mixed}; proxy_pass mixed; }
    server { listen %{limited}; proxy_pass limited; proxy_connect_timeout 2s; }
    server { listen %{tls} ssl; ssl_certificate server.crt; ssl_certificate_key server.key;
             ssl_session_cache shared:sessions:1m; return "hello\\n"; }
}
http {
    upstream cookie { server %{said}; server %{said} route=a; sticky cookie s; }
    upstream learn { server %{said}; server %{said};
        sticky learn create=\$arg_s lookup=\$arg_s zone=learned:64k; }
    server { listen %{said}; return 200 "well\\n"; }
    server { listen %{http}; location / { proxy_pass http://cookie; }
             location /learn { proxy_pass http://learn; } }
}
CONF
}

# ---- the process that writes nonsense

# The segments, opened as root or the workers' user can. No worker has a descriptor of the owner
# map, with which it could truncate it.
my %cannot_cut;

sub segments {
    my ($pid) = @_;
    my (%seen, @fh);

    for my $path (glob "/proc/$pid/fd/*") {
        next if (readlink $path // '') !~ /memfd:/;
        open my $fh, '+<', $path or next;
        push @fh, $fh if !$seen{ (stat $fh)[1] }++;
    }
    for my $line (split /\n/, slurp("/proc/$pid/maps")) {
        my ($range) = $line =~ m{^(\S+) rw-s .* /dev/zero} or next;
        open my $fh, '+<', "/proc/$pid/map_files/$range" or next; # the kernel lets root alone
        push @fh, $fh;
        $cannot_cut{ fileno $fh } = 1;
    }
    return @fh;
}

sub words_of {
    my ($mode, $n) = @_;
    return pack 'L*', map { int rand 4_294_967_296 } 1 .. $n if $mode == 0;
    return pack 'L*', map { int rand 300 } 1 .. $n if $mode == 1;
    return "\xff" x (4 * $n) if $mode == 2;
    return "\0" x (4 * $n) if $mode == 3;
    return pack 'Q*', map { 1 << int rand 64 } 1 .. $n / 2;
}

sub write_all {
    my ($fh, $size, $words) = @_;

    for (my $at = 0; $at < $size; $at += length $words) {
        sysseek $fh, $at, SEEK_SET;
        syswrite $fh, $words, $size - $at;
    }
}

# Single words are wrong, all others as they were.
sub write_some {
    my ($fh, $size) = @_;

    for my $one (1 .. 300) {
        my $near = rand() < 0.5 ? 4096 : $size;
        sysseek $fh, 4 * int(rand($near / 4)), SEEK_SET;
        syswrite $fh, words_of(int rand 5, 2), 4 * (1 + int rand 2);
    }
}

sub lock_all {
    my ($fh) = @_;
    my $all = pack 's s x4 q q l x4', F_WRLCK, SEEK_SET, 0, 0, 0;
    fcntl $fh, F_SETLK, $all;
}

my $cut_off = $w->path('cut_off');

sub vandal {
    my ($seed) = @_;
    my @fh = segments($w->master);
    my $pid = spawn(sub {
        srand $seed;
        Weir::become('nobody') if is_root();
        for (my $pass = 0;; $pass++) {
            for my $fh (@fh) {
                my $size = -s $fh || 4096;
                $pass % 3 ? write_some($fh, $size)
                    : write_all($fh, $size, words_of($pass / 3 % 5, 4096));
                next if $cannot_cut{ fileno $fh };
                my $cut = truncate($fh, 0) || truncate($fh, $size * 2);
                if ($cut) {
                    open my $said, '>', $cut_off;
                }
                lock_all($fh) if $pass % 200 == 199;
            }
            sleep 0.002;
        }
    });
    return ($pid, scalar @fh);
}

# ---- what must continue to work

sub bad_sessions {
    my @bad;

    for my $i (1 .. 12) {
        for my $where (qw(mixed limited)) {
            my $c = $w->connect($where);
            push @bad, "$where $i" if !$c || !$c->echoes("well $i\n");
        }
        my $c = Weir::Tls->new($w, 'tls');
        push @bad, "tls $i" if !$c->{up} || $c->rest !~ /^hello/;
        for my $path ('/', "/learn?s=$i") {
            my $r = Weir::Http::ask($w, 'http', "GET $path", Cookie => 's=a');
            push @bad, "http $path: $r->{status}" if $r->{body} ne "well\n";
        }
    }
    return @bad;
}

# Counts are right again once the workers whose rows were overwritten have ended.
sub sessions_are_well {
    my ($name) = @_;
    my @bad;

    becomes { @bad = bad_sessions(); !@bad } "$name: every session is served" or diag "@bad";
}

sub reload_ends {
    my ($conf) = @_;
    $w->conf($conf);
    my ($code, $out, $err) = $w->command('-s', 'reload');
    return $code == 0 && alive($w->master) ? () : "code $code: $err";
}

$w->open_binary;
$w->start(conf(''));
sessions_are_well('at first');

# Three addresses with two sockets each.
sub owner_map {
    my ($at) = grep { $cannot_cut{ fileno $_ } && join(' ', owners($_)) eq '0 1 0 1 0 1' }
        segments($w->master);
    return $at;
}

sub owners {
    my ($fh) = @_;
    sysseek $fh, 0, SEEK_SET;
    sysread $fh, my $words, 24;
    return unpack 'L*', $words;
}

sub worker_is_replaced {
    my ($name) = @_;
    my @before = $w->workers;
    $w->expect(qr/exited on signal 9/);
    $w->signal('KILL', $before[0]);
    becomes { my @now = $w->workers; @now == 2 && "@now" ne "@before" } $name;
}

SKIP: {
    skip 'only root sees the owner map', 3 if !is_root();
    my $map = owner_map();
    ok $map, 'the map of the owners of sockets' or skip 'no map', 2;
    sysseek $map, 0, SEEK_SET;
    syswrite $map, pack 'L*', map { 0xe000_0000 | $_ } 1, 0, 1, 0, 1, 0;
    worker_is_replaced('somebody writes that all sockets go away, and a worker is replaced');
    becomes { join(' ', owners($map)) eq '0 1 0 1 0 1' } 'the master does not believe it';
}

# Makes the doorbells of a process blocking, and takes what was rung.
sub spoil_bells {
    my ($of) = @_;
    my ($PIDFD_OPEN, $PIDFD_GETFD) = (434, 438);    # on every machine
    my $process = syscall $PIDFD_OPEN, 0 + $of, 0;
    my $spoilt = 0;

    for my $path (glob "/proc/$of/fd/*") {
        next if (readlink $path // '') ne 'anon_inode:[timerfd]';
        my $fd = syscall $PIDFD_GETFD, $process, 0 + ($path =~ /(\d+)$/)[0], 0;
        open my $bell, '+<&=', $fd or next;
        sysread $bell, my $rings, 8;
        $spoilt++ if fcntl $bell, F_SETFL, 0;
    }
    return $spoilt;
}

SKIP: {
    spoil_bells($w->master) or skip 'descriptors of other processes are not to be had', 4;
    worker_is_replaced('all doorbells block: a worker is replaced');
    is join('', reload_ends(conf(''))), '', 'and no process waits for ever';
    sessions_are_well('then');
    my @before = $w->workers;
    is +($w->reload(conf('')))[0], 0, 'a reload';
    becomes { !grep { alive($_) } @before } 'they all end';
}

for my $round (1 .. $ROUNDS) {
    my ($pid, $n) = vandal($round);
    cmp_ok $n, '>=', 4, "round $round: nonsense for $n segments";
    my @failed;
    for my $i (1 .. $RELOADS / $ROUNDS) {
        if ($i % $EACH == 0) {
            end_process($pid, 'KILL');
            ($pid) = vandal(1000 * $round + $i);
        }
        push @failed, reload_ends(conf($i % 2 ? 'server %{two};' : ''));
        my $c = $w->connect('mixed');
        $c->close if $c;
        last if @failed || !alive($w->master);
    }
    is "@failed", '', 'all reloads are done';
    ok alive($w->master), 'the master lives';
    end_process($pid, 'KILL');
    is +($w->reload(conf('')))[0], 0, 'the next reload after its death succeeds';
    sessions_are_well('then');
}

# Upgrades, forth and back.

for my $back (0, 1) {
    my ($pid) = vandal(100 + $back);
    my ($old, $new) = $w->upgrade;
    ok alive($old) && alive($new), 'an upgrade: both masters live';
    sleep 0.3;
    my ($goes, $stays) = $back ? ($new, $old) : ($old, $new);
    $w->signal('QUIT', $goes);
    becomes { !alive($goes) } $back ? 'the new one ends' : 'the old one ends';
    $w->{master} = $stays;
    becomes { ($w->pid // 0) == $stays } 'the other one goes on';
    end_process($pid, 'KILL');
    is +($w->reload(conf('')))[0], 0, 'the next reload';
    sessions_are_well('then');
}
ok !-e $cut_off, 'nobody could change the size of a segment';

$w->finish;
done_testing;
