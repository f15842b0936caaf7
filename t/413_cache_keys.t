#!/usr/bin/perl

# As many keys as keys_zone is said to hold, 8,000 a megabyte: none is lost, a hit costs as much as
# with few keys, and a restart finds the files of all of them. 16,000 keys in memory and 2,000 files;
# with WEIR_WHOLE=1 (make test-all, ordinary build) a million and 100,000.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Client;
use Weir::Process qw(wait_for);

my $WHOLE = $ENV{WEIR_WHOLE} && !chaos() && ($ENV{WEIR_BIN} // '') !~ /asan|tsan/;
my ($IN_MEMORY, $FILES) = $WHOLE ? (1_000_000, 100_000) : (16_000, 2_000);
my $FEW = 1_000;
my $HITS = $WHOLE ? 100_000 : 8_000;    # to compare what they cost
my $PIPELINED = 200;
my $keys = $IN_MEMORY / 8_000;
my $memory = int($IN_MEMORY / 1_600) + 1;
my $w = Weir->new;

# weir is its own server, which answers with the target.
my $conf = <<"CONF";
worker_processes 1;
http {
    access_log off;
    proxy_cache_path unused keys_zone=memory:${keys}m memory=${memory}m disk=off inactive=1h;
    proxy_cache_path cache levels=1:2 keys_zone=disk:@{[int($FILES / 8000) + 1]}m inactive=1h;
    map \$arg_zone \$zone { default disk; memory memory; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    keepalive_requests 100000000;
    upstream b { server %{b}; keepalive 256; }
    server { listen %{b}; add_header Cache-Control max-age=36000; return 200 "\$request_uri\\n"; }
    server {
        listen %{web};
        proxy_cache \$zone;
        proxy_cache_key \$request_uri;
        add_header X-Cache \$upstream_cache_status;
        location / { proxy_pass http://b; }
    }
}
CONF

# Asks for n keys that next_key names; returns how many replies had which outcome.
sub ask_for {
    my ($zone, $n, $next_key) = @_;
    my $c = $w->connect('web');
    my %got;

    for (my $done = 0; $done < $n; $done += $PIPELINED) {
        my @targets = map { '/' . $next_key->() . "?zone=$zone" } 1 .. $PIPELINED;
        my ($in, $have) = ('', 0);
        $c->send(join '', map { "GET $_ HTTP/1.1\r\nHost: a\r\n\r\n" } @targets);
        while ($have < $PIPELINED) {
            my $more = $c->recv(1);
            $in .= $more . $c->recv(length $c->{in});
            while ($in =~ /\G.*?\r\nX-Cache: (\w+)\r\n(?:[^\r\n]+\r\n)*\r\n(\S+)\n/gcs) {
                $got{ $2 eq $targets[$have] ? $1 : "$2 for $targets[$have]" }++;
                $have++;
            }
            $in = substr $in, pos($in) // 0;
            die "no reply but: $in\n" if $more eq '';
        }
    }
    $c->close;
    return join ', ', map { "$got{$_} $_" } sort keys %got;
}

sub one_by_one {
    my $n = 0;
    return sub { $n++ };
}

sub any_of {
    my ($n) = @_;
    return sub { int rand $n };
}

# CPU seconds of the worker so far.
sub cpu {
    my ($worker) = $w->workers;
    my @f = split ' ', slurp("/proc/$worker/stat") =~ s/^.*\) //r;
    return ($f[11] + $f[12]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

sub cost {
    my ($n) = @_;
    my $before = cpu();
    is ask_for('memory', $HITS, any_of($n)), "$HITS HIT", "$HITS hits of $n keys";
    return (cpu() - $before) / $HITS * 1e6;
}

srand 1;
$w->start($conf);
is ask_for('memory', $IN_MEMORY, one_by_one()), "$IN_MEMORY MISS", "$IN_MEMORY keys in memory";
is ask_for('memory', $IN_MEMORY, one_by_one()), "$IN_MEMORY HIT", 'all of them are found'
    if !$WHOLE;    # then some, below
my $few = cost($FEW);
my $many = cost($IN_MEMORY);
note sprintf 'a hit takes %.1f us of CPU with %d keys, %.1f with %d', $few, $FEW, $many, $IN_MEMORY;
cmp_ok $many, '<', 5 * $few + 50, 'a look-up takes as long with many keys';
note sprintf 'the worker has %.0f MB in all', rss(($w->workers)[0]) / 1048576;

is ask_for('disk', $FILES, one_by_one()), "$FILES MISS", "$FILES files";
ok wait_for(sub { ask_for('disk', $FILES, one_by_one()) eq "$FILES HIT" }, 120), 'all are found';
$w->stop;
$w->start($conf);
ok wait_for(sub { $w->error_log =~ /http file cache: .* $FILES files/ }, 200), 'a restart finds them'
    or diag $w->error_log;
is ask_for('disk', $FILES, any_of($FILES)), "$FILES HIT", 'and they are hits';
$w->finish;
done_testing;
