#!/usr/bin/perl

# Many misses while weir is reloaded again and again, and while another process writes any bytes into
# the memory that the cache shares: workers end cleanly, no process dies, and what was overwritten is
# never a reason to send more than what is there.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Fcntl qw(SEEK_SET);
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;
use Weir::Process qw(spawn end_process wait_for);

my $w = Weir->new;
my $round = 0;

sub body_of {
    my ($target) = @_;
    my ($size) = $target =~ /size=(\d+)/;
    return substr "$target|" x (1 + $size / length $target), 0, $size;
}

$w->backend('b', serve => Weir::HttpServer::serve(sub {
    my ($r) = @_;
    return Weir::HttpServer::reply(200, body_of($r->{target}), 'Cache-Control' => 'max-age=600',
        Vary => 'X-Vary', 'Cache-Tag' => 'a,b');
}));

my $conf = <<'CONF';
daemon on;
worker_processes 2;
http {
    proxy_cache_path cache keys_zone=z:1m memory=2m max_size=4m;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_cache_lock on;
    proxy_cache_tag $upstream_http_cache_tag;
    upstream b { server %{b}; keepalive 4; }
    server {
        listen %{web};
        proxy_cache z;
        proxy_cache_key $request_uri;
        location / { proxy_pass http://b; }
    }
}
CONF

# Clients that ask for other objects all the time; $again: each one again.
sub crowd {
    my ($n, $again) = @_;
    $round++;
    return map { my $client = $_; spawn(sub {
        for (my $i = 0; ; $i++) {
            my $size = (200, 5000, 30_000, 100_000)[$i % 4];
            my $target = "/$round/$client/" . ($again ? $i % 12 : $i) . "?size=$size";
            my $r = eval { Weir::Http::ask($w, 'web', "GET $target", 'X-Vary' => $i % 3) } or next;
            next if $again || $r->{status} != 200 || $r->{wrong} ne '';
            next if $r->{body} eq body_of($target);
            open my $fh, '>>', $w->path('wrong');
            syswrite $fh, "$target\n";
        }
    }) } 1 .. $n;
}

$w->start($conf);
my @crowd = crowd(3, 0);
for (1 .. 6) {
    select undef, undef, undef, 0.2;
    $w->reload($conf);
}
end_process($_, 'KILL') for @crowd;
is slurp($w->path('wrong')), '', 'reloads: each body was right';

# ---- any bytes

sub segments {
    my %seen;
    my $master = $w->master;
    my @fh = map { open my $fh, '+<', $_; $fh // () }
        grep { (readlink $_ // '') =~ /memfd:/ } glob "/proc/$master/fd/*";
    return grep { -s $_ > 700_000 && !$seen{ (stat $_)[1] }++ } @fh;
}

sub write_at {
    my ($fh, $at, $bytes) = @_;
    sysseek $fh, $at, SEEK_SET;
    syswrite $fh, $bytes;
}

my @words = map { pack 'Q<', $_ } 0, 1, 0xffffffff, ~0, 1 << 62, (1 << 62) - 1, 1 << 31, 4096, 16384;

# Lengths and other words in the heads of objects.
sub write_objects {
    my ($fh) = @_;
    sysseek $fh, 0, SEEK_SET;
    my ($all, $at) = ('', -1);
    sysread $fh, $all, -s $fh;
    while (($at = index $all, 'weirobj1', $at + 1) >= 0) {
        write_at($fh, $at + 8 + 4 * int rand 27, $words[rand @words]);
    }
}

sub write_words {
    my ($fh) = @_;
    write_at($fh, 4 * int rand((-s $fh) / 4 - 2), $words[rand @words]) for 1 .. 2000;
}

sub write_noise {
    my ($fh) = @_;
    write_at($fh, int rand(-s $fh), join '', map { chr int rand 256 } 1 .. 4096) for 1 .. 20;
}

@crowd = crowd(3, 1);
my @segments = segments();
cmp_ok scalar @segments, '>=', 1, 'the memory of the cache';
for my $write (\&write_objects, \&write_words, \&write_noise) {
    for (1 .. 15) {
        $write->($_) for @segments;
        select undef, undef, undef, 0.1;
    }
}
end_process($_, 'KILL') for @crowd;
is Weir::Http::ask($w, 'web', "GET /new?size=10")->{status}, 200, 'it serves';
is +($w->reload($conf))[0], 0, 'and is reloaded';
is Weir::Http::ask($w, 'web', "GET /newer?size=10")->{body}, body_of('/newer?size=10'), 'and serves';
$w->finish;
done_testing;
