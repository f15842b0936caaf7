#!/usr/bin/perl
# chaos: yes

# 4,000 clients ask for one thing at once, spread over four workers: the server is asked once, and
# each of them gets the whole reply. From a folder, from memory, and from both.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::MD5 qw(md5_hex);
use IO::Handle;
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;
use Weir::Process qw(spawn end_process wait_for patience);

my $CROWDS = 8;
my $EACH = chaos() ? 50 : 500;    # clients of a process
my $ALL = $CROWDS * $EACH;
my $PATIENCE = 3 * patience();

my ($files) = qx(sh -c 'ulimit -Hn');
plan skip_all => "a process may open only $files files" if ($files // '') =~ /^\d+$/ && $files < 6000;

my $w = Weir->new;
my $asked = $w->path('asked');
my $held = $w->path('held');

sub body_of { return substr "$_[0]|" x 2000, 0, 20_000 }

sub touch { open my $fh, '>', $_[0] or die "$_[0]: $!" }

# The reply comes when the test lets it.
sub answer {
    my ($r) = @_;
    open my $out, '>>', $asked or die $!;
    syswrite $out, "$r->{target}\n";
    for (1 .. 50 * $PATIENCE) { last if !-e $held; select undef, undef, undef, 0.02; }
    return Weir::HttpServer::reply(200, body_of($r->{target}), 'Cache-Control' => 'max-age=600');
}

# Requests that do not wait for the first one would find the server full.
$w->backend('b', serve => Weir::HttpServer::serve(\&answer));
$w->start(<<'CONF');
worker_processes 4;
worker_rlimit_nofile 6000;
events { worker_connections 5000; }
http {
    proxy_cache_path cache levels=1:2 keys_zone=disk:1m;
    proxy_cache_path unused keys_zone=memory:1m memory=4m disk=off;
    proxy_cache_path both keys_zone=both:1m memory=4m;
    map $arg_zone $zone { default disk; memory memory; both both; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_cache_lock on;
    proxy_cache_lock_timeout 10m;
    proxy_cache_lock_age 10m;
    proxy_read_timeout 10m;
    keepalive_timeout 10m;
    add_header X-Cache $upstream_cache_status always;
    add_header X-Worker $pid always;
    upstream b { zone b 64k; server %{b} max_conns=16; }
    server {
        listen %{web} backlog=4096;
        proxy_cache $zone;
        proxy_cache_key $request_uri;
        location / { proxy_pass http://b; }
    }
}
CONF

# ---- clients: many of them in a process, which is told what to do

# Words to it: "GET target", then "read". It answers a line to each: "sent", and how many times it
# got which status, outcome and body.
sub crowd {
    my ($from, $tell) = @_;
    my @clients = map { $w->connect('web') // die "connect: $!\n" } 1 .. $EACH;

    print $tell "connected\n";
    while (defined(my $line = readline $from)) {
        $_->send(Weir::Http::request($line =~ s/\n//r), $PATIENCE) for @clients;
        print $tell "sent\n";
        readline $from;
        my %got;
        for my $c (@clients) {
            my $r = Weir::Http::reply($c);
            my @said = map { Weir::Http::field($r, $_) // '-' } 'X-Cache', 'X-Worker';
            $got{ join ' ', $r->{status}, md5_hex($r->{body}) . $r->{wrong} =~ s/\s/_/gr, @said }++;
        }
        print $tell join(',', map { "$_ $got{$_}" } sort keys %got) . "\n";
    }
}

my @crowds = map {
    pipe my $from, my $ask or die "pipe: $!";
    pipe my $heard, my $tell or die "pipe: $!";
    my $pid = spawn(sub {
        $tell->autoflush(1);
        close $_ for $ask, $heard;
        crowd($from, $tell);
    });
    $ask->autoflush(1);
    { pid => $pid, ask => $ask, heard => $heard }
} 1 .. $CROWDS;

sub tell_all {
    my ($line) = @_;
    print { $_->{ask} } "$line\n" for @crowds;
}

sub hear_all {
    return map { readline($_->{heard}) // "nothing\n" } @crowds;
}

# True: weir has read all that was sent to it.
sub all_is_read {
    my $port = sprintf ':%04X', $w->port('web');
    return !grep { my @f = split; @f > 4 && $f[1] =~ /$port$/ && $f[3] eq '01' && $f[4] !~ /:0+$/ }
        split /\n/, slurp('/proc/net/tcp');
}

is scalar(grep { $_ eq "connected\n" } hear_all()), $CROWDS, "$ALL clients are connected";

for my $zone (qw(disk memory both)) {
    my $target = "/one?zone=$zone";
    my (%outcome, %worker);
    my $good = 0;

    touch($held);
    tell_all("GET $target");
    is scalar(grep { $_ eq "sent\n" } hear_all()), $CROWDS, "$zone: all have asked";
    ok wait_for(sub { all_is_read() && -s $asked }, $PATIENCE), 'weir has read all of it';
    unlink $held;
    tell_all('read');
    for my $line (hear_all()) {
        for my $got (split /,/, $line) {
            my ($status, $body, $outcome, $worker, $n) = split ' ', $got;
            $good += $n if "$status $body" eq '200 ' . md5_hex(body_of($target));
            $outcome{ $outcome // $line } += $n // 1;
            $worker{ $worker // '-' } += $n // 1;
        }
    }
    note join ', ', map { "$worker{$_} at worker $_" } sort keys %worker;
    is $good, $ALL, 'all have the whole reply';
    is join(' ', map { "$outcome{$_} $_" } sort keys %outcome), ($ALL - 1) . ' HIT 1 MISS',
        'all but one from the cache';
    is scalar(() = slurp($asked) =~ /zone=$zone$/mg), 1, 'the server was asked once';
}
close $_->{ask} for @crowds;
end_process($_->{pid}) for @crowds;
$w->finish;
done_testing;
