#!/usr/bin/perl
# chaos: yes
# threads: yes

# Threads read files, so that a slow disk delays only the clients that asked for a file on it. The
# bytes are the same whether a thread or the worker reads them, cold or warm.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA qw(sha256_hex);
use List::Util;
use Test::More;
use Weir;
use Weir::Http;
use Weir::SlowFs;

my $w = Weir->new;
my $slow = Weir::SlowFs::works();
my $SIZE = 5_000_077;
my $large = join '', map { sprintf '%07d ', $_ } 0 .. $SIZE / 8 + 1;
$large = substr $large, 0, $SIZE;
my $SLOW = substr $large, 0, 400_000;

mkdir $w->path('html');
chmod 0755, $w->path('html');
$w->write('html/large.bin', $large);
$w->write('html/chunk.bin', substr $large, 0, 262_144);
$w->write('html/middle.bin', substr $large, 0, 16_385);
$w->write('html/small.txt', 'small');
my $fs;
if ($slow) {
    $fs = Weir::SlowFs->new(at => $w->path('html/slow'),
        files => { 'a.bin' => $SLOW, 'b.bin' => $SLOW, 'late.txt' => 'late', 'later.txt' => 'later',
            map { ("$_.txt" => "text $_") } 'a' .. 'z' });
    push @{ $w->{helpers} }, $fs;
}

# debug_points: its user may look at the worker's files.
my $CONF = <<'CONF';
debug_points abort;
thread_pool few threads=1 max_queue=1;
worker_processes 1;
http {
    access_log off;
    root %{dir}/html;
    proxy_temp_path %{dir}/temp;
    proxy_buffers 4 4k;
    proxy_busy_buffers_size 8k;
    server {
        listen %{web};
        sendfile on;
        location /copied/ { sendfile off; alias %{dir}/html/; }
        location /off/ { aio off; alias %{dir}/html/; }
        location /on/ { aio on; directio 1m; alias %{dir}/html/; }
        location /direct/ { directio 512; alias %{dir}/html/; }
        location /aligned/ {
            sendfile off;
            directio 4k;
            directio_alignment 4k;
            output_buffers 1 128k;
            alias %{dir}/html/;
        }
        location /direct-off/ { aio off; directio 16k; alias %{dir}/html/; }
        location /ahead/ { read_ahead 1m; alias %{dir}/html/; }
        location /few/ { aio threads=few; alias %{dir}/html/; }
        location /chunks/ { sendfile_max_chunk 64k; alias %{dir}/html/; }
        location /variable/ { aio threads=$arg_pool; alias %{dir}/html/; }
        location /kept/ { open_file_cache max=10; alias %{dir}/html/; }
        location /text { return 200 text; }
        location /write/ { aio_write on; proxy_pass http://%{web}/; }
        location /write-off/ { aio off; aio_write on; proxy_pass http://%{web}/; }
        location /worker-writes/ { proxy_pass http://%{web}/; }
    }
}
CONF
$w->start($CONF);

sub ask { return Weir::Http::ask($w, 'web', @_) }

# Drops the file from the page cache, where the system can.
sub evict {
    my $file = $w->path("html/$_[0]");
    system "dd of=$file oflag=nocache conv=notrunc,fdatasync count=0 2>/dev/null";
}

sub is_body {
    my ($r, $status, $body, $name) = @_;
    my $got = "$r->{status} " . length($r->{body}) . " $r->{wrong}";
    return is $got . sha256_hex($r->{body}), "$status " . length($body) . ' ' . sha256_hex($body), $name;
}

sub threads { my ($pid) = @_; return scalar(() = glob "/proc/$pid/task/*") }

# ---- the same bytes, however they are read

is_body(ask("GET /off/$_"), 200, slurp($w->path("html/$_")), "the worker reads $_")
    for 'large.bin', 'small.txt';
is threads($w->workers), threads($w->keeper),
    'no thread is started before there is something for it';

for my $place ('', qw(copied/ off/ on/ few/ chunks/ direct/ aligned/ direct-off/ ahead/)) {
    for my $file (qw(large.bin chunk.bin middle.bin small.txt)) {
        my $text = slurp($w->path("html/$file"));
        for my $how ('cold', 'warm') {
            evict($file) if $how eq 'cold';
            is_body(ask("GET /$place$file"), 200, $text, "/$place$file $how");
        }
    }
    evict('large.bin');
    is_body(ask("GET /${place}large.bin", Range => 'bytes=300001-560000'), 206,
        substr($large, 300_001, 260_000), "/$place a range, cold");
    is_body(ask("GET /${place}large.bin", Range => 'bytes=-1'), 206, substr($large, -1),
        "/$place its last byte");
    evict('large.bin');
    my $r = ask("GET /${place}large.bin", Range => 'bytes=400000-400009,7-9,100-70000');
    my @parts = $r->{body} =~ /Content-Range: bytes \S+\r\n\r\n(.*?)\r\n--/sg;
    is sha256_hex(join '|', @parts), sha256_hex(join '|', substr($large, 400_000, 10),
        substr($large, 7, 3), substr($large, 100, 69_901)), "/$place three ranges, cold";
}
is_body(ask('GET /variable/large.bin?pool=few'), 200, $large, 'the name of the pool in a variable');
is ask('GET /variable/large.bin?pool=none')->{status}, 500, 'a name of no pool';
like $w->error_log, qr/\[error\] .*thread pool "none" not found/, 'is logged';

# ---- replies that wait in files for slow clients

# The size of all temp files that a process has open.
sub spilled {
    my ($pid) = @_;
    my $dir = $w->path('temp');
    return List::Util::sum0(map { -s $_ // 0 } grep { (readlink // '') =~ m{^\Q$dir\E/} }
        glob "/proc/$pid/fd/*");
}

for my $place (qw(write write-off worker-writes)) {
    my ($pid) = $w->workers;
    my $c = $w->connect('web', rcvbuf => 4096);
    $c->send(Weir::Http::request("GET /$place/large.bin", Connection => 'close'));
    becomes { spilled($pid) > 70_000 } "/$place/: a file for a slow client";
    is_body(Weir::Http::reply($c), 200, $large, "/$place/: from memory, file and server");
    $c->close;

    $c = $w->connect('web', rcvbuf => 4096);
    $c->send(Weir::Http::request("GET /$place/large.bin", Connection => 'close'));
    becomes { spilled($pid) > 70_000 } '  a file for a second client';
    $c->abort;
    becomes { spilled($pid) == 0 } '  is gone when it leaves';
}

# ---- past the system's cache

SKIP: {
    my $cached = sub {
        my ($n) = `fincore -nbo RES @{[$w->path('html/large.bin')]} 2>/dev/null` =~ /(\d+)/;
        return $n;
    };
    evict('large.bin');
    skip 'no fincore, or nothing is evicted here', 4 if ($cached->() // 1) != 0;
    skip 'no direct reading here', 4 if $w->error_log =~ /direct reading of|O_DIRECT/;
    for my $place (qw(direct/ aligned/ direct-off/)) {
        ask("GET /${place}large.bin");
        is $cached->(), 0, "/$place leaves nothing in the system's cache";
    }
    ask('GET /large.bin');
    cmp_ok $cached->(), '>=', $SIZE, 'other reads fill the cache';
}

if (!$slow) {
    diag 'no file system of our own without root and /dev/fuse: slow disks are left out';
    $w->finish;
    done_testing;
    exit;
}

# ---- a slow disk

# A connection with a request on it.
sub begin {
    my ($uri) = @_;
    my $c = $w->connect('web');
    $c->send(Weir::Http::request("GET $uri", Connection => 'close'));
    return $c;
}

sub stuck {
    my ($name) = @_;
    return becomes { grep { $_ eq $name } $fs->held } "a read of $name waits for the disk";
}

$fs->hold;
my ($waits, $second, $gone);
$waits = begin('/slow/a.bin');
stuck('a.bin');
is ask('GET /text')->{body}, 'text', 'while a read waits, the worker answers';
is_body(ask('GET /large.bin'), 200, $large, 'with a file from another disk too');
$waits->fill(time);
unlike $waits->{in}, qr/\r\n\r\n./s, 'and nothing of the first file has come';
$second = begin('/slow/a.txt');
stuck('a.txt');
is ask('GET /small.txt')->{body}, 'small', 'while two reads wait';
$fs->release;
is_body(Weir::Http::reply($waits), 200, $SLOW, 'then the first is answered');
is_body(Weir::Http::reply($second), 200, 'text a', 'and the second');
$_->close for $waits, $second;
for my $place (qw(copied/ off/ on/)) {
    is_body(ask("GET /${place}slow/b.bin"), 200, $SLOW, "/$place from the slow disk");
}

# ---- a name that is slow to be found

$fs->hold;
$waits = begin('/slow/late.txt');
stuck('late.txt');
is ask('GET /text')->{body}, 'text', 'while a file is opened, the worker answers';
$second = begin('/slow/late-but-not-there.txt');
stuck('late-but-not-there.txt');
$gone = begin('/slow/later.txt');
stuck('later.txt');
$gone->abort;
$fs->release;
is_body(Weir::Http::reply($waits), 200, 'late', 'what was found is sent');
is Weir::Http::reply($second)->{status}, 404, 'what was not found is 404';
$_->close for $waits, $second;
is_body(ask('GET /slow/late.txt'), 200, 'late', 'once it is known, it is opened at once');
is_body(ask('GET /kept/slow/later.txt'), 200, 'later', 'with open_file_cache') for 1, 2;

# ---- clients that leave, pools that are full

$fs->hold;
$gone = begin('/slow/c.txt');
stuck('c.txt');
$gone->abort;
$gone = begin('/slow/d.txt');
stuck('d.txt');
$gone->close;
is ask('GET /text')->{body}, 'text', 'two clients left while their files are read';
$fs->release;
becomes { !$fs->held } 'their reads end';
is ask('GET /slow/c.txt')->{body}, 'text c', 'and others read these files';

$fs->hold;
my @few = begin('/few/slow/e.txt');
stuck('e.txt');
push @few, begin('/few/slow/f.txt');
is ask('GET /text')->{body}, 'text', '(the worker has seen the second)';
becomes {
    my $c = begin('/few/slow/g.txt');
    push @few, $c;
    $c->rest(1) !~ /text g/ && $w->error_log =~ /queue overflow/;
} 'one reader more is refused';
like $w->error_log, qr/\[error\] .*thread pool "few" queue overflow: 1 tasks waiting/,
    'and the log says so in the words of nginx';
$fs->release;
is Weir::Http::reply($few[0])->{body}, 'text e', 'the first reader is answered';
is Weir::Http::reply($few[1])->{body}, 'text f', 'and the one that waited';
$_->close for @few;

# ---- the end

$fs->hold;
my $late = begin('/slow/h.txt');
stuck('h.txt');
my $left = begin('/slow/i.txt');
stuck('i.txt');
$left->abort;
my ($old) = $w->workers;
$w->reload($CONF);
ok alive($old), 'a worker does not end while it reads';
is ask('GET /text')->{body}, 'text', 'a new one answers';
$fs->release;
is Weir::Http::reply($late)->{body}, 'text h', 'what the old one read is sent';
$late->close;
becomes { !alive($old) } 'then it ends';

$fs->hold;
my $never = begin('/slow/j.txt');
stuck('j.txt');
$w->signal('TERM');
is $w->ended($w->master), 0, 'a worker that is told to end at once does not wait for a disk';
like $w->error_log, qr/\[warn\] .*a thread of pool "default" still waits for a disk/, 'it says so';
unlike $w->error_log, qr/did not end in time/, 'and nobody had to kill it';
$never->close;
$fs->release;

$w->has_ended;
$w->finish;
done_testing;
