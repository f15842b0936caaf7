#!/usr/bin/perl
# chaos: yes

# proxy_cache_lock: requests that come while the reply is still arriving read it as it grows, in all
# workers. If the server fails, what they got does not look complete; who has nothing yet asks again.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;
use Weir::Process qw(wait_for);

my $w = Weir->new;
my $asked = $w->path('asked');
my $go = $w->path('go');
my $half = join '', map { sprintf "%07d\n", $_ } 0 .. 4999;    # 40,000 bytes

sub touch { open my $fh, '>', $_[0] or die "$_[0]: $!" }

$w->backend('b', serve => Weir::HttpServer::serve(sub {
    my ($r, $fh) = @_;
    open my $out, '>>', $asked or die $!;
    syswrite $out, "$r->{target}\n";
    my $n = () = Weir::slurp($asked) =~ m{^\Q$r->{target}\E$}mg;
    return Weir::HttpServer::reply(200, "again $n\n", 'Cache-Control' => 'max-age=60')
        if $r->{target} =~ /^\/breaks/ && $n > 1;
    Weir::HttpServer::give($fh, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: "
        . 2 * length($half) . "\r\n\r\n$half");
    for (1 .. 1200) { last if -e $go; select undef, undef, undef, 0.05; }
    return undef if $r->{target} =~ /^\/breaks/;
    return $half;
}));
$w->start(<<'CONF');
worker_processes 2;
http {
    proxy_cache_path cache keys_zone=both:1m memory=8m;
    proxy_cache_path unused keys_zone=memory:1m memory=8m disk=off;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    map $arg_zone $zone { memory memory; both both; }
    server {
        listen %{web};
        proxy_cache $zone;
        proxy_cache_key $request_uri;
        proxy_cache_lock on;
        proxy_cache_lock_timeout 60s;
        proxy_cache_lock_age 60s;
        add_header X-Cache $upstream_cache_status;
        location / { proxy_pass http://%{b}; }
    }
}
CONF

for my $zone (qw(memory both)) {
    unlink $go;
    my $target = "/grows?zone=$zone";
    my @clients = map {
        my $c = $w->connect('web');
        $c->send(Weir::Http::request("GET $target"));
        $c;
    } 1 .. 20;
    my $firsts = 0;
    for my $c (@clients) {
        my $got = $c->recv(length $half);
        $firsts++ if index($got, substr $half, 0, 30000) > 0;
        $c->{got} = $got;
    }
    is $firsts, 20, "$zone: all get the first half before there is a second one";
    touch($go);
    my $whole = 0;
    for my $c (@clients) {
        my $got = $c->{got};
        $got .= $c->recv(2 * length($half) + index($got, "\r\n\r\n") + 4 - length $got);
        $whole++ if substr($got, index($got, "\r\n\r\n") + 4) eq $half . $half;
        $c->close;
    }
    is $whole, 20, 'then all of it';
    is scalar(() = Weir::slurp($asked) =~ /^\Q$target\E$/mg), 1, 'the server was asked once';

    unlink $go;
    $target = "/breaks?zone=$zone";
    my @cut = map {
        my $c = $w->connect('web');
        $c->send(Weir::Http::request("GET $target"));
        $c;
    } 1 .. 5;
    for my $c (@cut) {
        my $got = $c->recv(length $half);
        $c->{got} = $got;
    }
    touch($go);
    my $complete = 0;
    for my $c (@cut) {
        my $got = $c->{got} . $c->rest;
        $complete++ if length $got >= 2 * length $half;
        $c->close;
    }
    is $complete, 0, 'the server breaks: no reply looks complete';
    is Weir::Http::ask($w, 'web', "GET $target")->{body}, "again 2\n", 'the next one asks again';
}
$w->expect(qr/prematurely closed|was cut/);
$w->finish;
done_testing;
