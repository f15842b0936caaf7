#!/usr/bin/perl
# chaos: yes

# proxy_cache_lock: one request asks the server, the others wait for it, whatever happens to the
# processes that share the index.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Fcntl qw(F_SETLK F_WRLCK F_UNLCK SEEK_SET);
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;
my $asked = $w->path('asked');

$w->backend('b', serve => Weir::HttpServer::serve(sub {
    my ($r) = @_;
    open my $out, '>>', $asked or die $!;
    syswrite $out, "$r->{target}\n";
    return Weir::HttpServer::reply(200, "$r->{target} " . 'x' x 3000,
        'Cache-Control' => 'max-age=60');
}));
$w->start(<<'CONF');
worker_processes 2;
http {
    proxy_cache_path disk keys_zone=disk:1m;
    proxy_cache_path both keys_zone=both:1m memory=8m;
    proxy_cache_path unused keys_zone=memory:1m memory=8m disk=off;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    server {
        listen %{web};
        proxy_cache $arg_zone;
        proxy_cache_key $request_uri;
        proxy_cache_lock on;
        proxy_cache_lock_timeout 60s;
        proxy_cache_lock_age 60s;
        add_header X-Cache $upstream_cache_status;
        location / { proxy_pass http://%{b}; }
    }
}
CONF

sub times_asked { return scalar(() = slurp($asked) =~ /^\Q$_[0]\E$/mg) }

sub clients {
    my ($n, $line, @fields) = @_;
    return map {
        my $c = $w->connect('web');
        $c->send(Weir::Http::request($line, @fields));
        $c;
    } 1 .. $n;
}

# The locks of the index, as a process has them that does not run.
my $master = $w->master;
my @segments = grep { -s $_ > 700_000 } map { open my $fh, '+<', $_; $fh // () }
    grep { (readlink $_ // '') =~ /memfd:/ } glob "/proc/$master/fd/*";

sub lock_index {
    my ($type) = @_;
    for my $fh (@segments) {
        fcntl $fh, F_SETLK, pack 's s x4 l! l! i x4', $type, SEEK_SET, 1, 64, 0
            or die "the locks of a segment: $!\n";
    }
}

for my $zone (qw(disk memory)) {
    my $target = "/busy?zone=$zone";
    lock_index(F_WRLCK);
    my @clients = clients(20, "GET $target");
    select undef, undef, undef, 1;
    lock_index(F_UNLCK);
    my $whole = grep { Weir::Http::reply($_)->{body} =~ /^\Q$target\E x{3000}$/ } @clients;
    is $whole, 20, "$zone: the index was locked for a second: all have their reply";
    is times_asked($target), 1, 'and the server was asked once';
    $_->close for @clients;
}

$w->finish;
done_testing;
