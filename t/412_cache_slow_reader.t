#!/usr/bin/perl
# chaos: yes

# Clients that read a stored reply of 64 KB slowly, while everything else in the memory of the cache
# is replaced ten times: what they get is theirs, to the last byte, also when it is purged meanwhile.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;
use Weir::Process qw(wait_for);

my $SIZE = 64 << 10;
my $MEMORY = 2 << 20;
my $TIMES = 10;
my $w = Weir->new;
my $asked = $w->path('asked');

sub body_of { return substr "$_[0]|" x (1 + $SIZE / length $_[0]), 0, $SIZE }

$w->backend('b', serve => Weir::HttpServer::serve(sub {
    my ($r) = @_;
    open my $out, '>>', $asked or die $!;
    syswrite $out, "$r->{target}\n";
    return Weir::HttpServer::reply(200, body_of($r->{target}), 'Cache-Control' => 'max-age=6000');
}));
$w->start(<<'CONF');
worker_processes 2;
http {
    proxy_cache_path unused keys_zone=z:1m memory=2m disk=off;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    keepalive_requests 100000;
    send_timeout 10m;
    map $request_method $purge { default 0; PURGE 1; }
    upstream b { server %{b}; keepalive 4; }
    server {
        listen %{web} sndbuf=4k;
        proxy_cache z;
        proxy_cache_key $request_uri;
        proxy_cache_purge $purge;
        add_header X-Cache $upstream_cache_status;
        location / { proxy_pass http://b; }
    }
}
CONF

my $c = $w->connect('web');

sub get {
    my ($target) = @_;
    $c->send(Weir::Http::request("GET $target"));
    my $r = Weir::Http::reply($c);
    return $r->{body} eq body_of($target) ? Weir::Http::field($r, 'X-Cache') : $r->{head};
}

my @slow = map {
    my $target = "/slow/$_";
    wait_for { get($target) eq 'HIT' };
    my $client = $w->connect('web', rcvbuf => 4096);
    $client->send(Weir::Http::request("GET $target"));
    $client->{begun} = $client->line;    # the rest waits in weir
    { target => $target, client => $client };
} 1 .. 4;
is scalar(grep { $_->{client}{begun} =~ /200/ } @slow), @slow, 'slow clients have begun to read';

is Weir::Http::ask($w, 'web', "PURGE $_->{target}")->{status}, 204, 'purged meanwhile'
    for @slow[0, 1];

# Each of these takes the place of another one.
my $others = $TIMES * $MEMORY / $SIZE;
my $misses = 0;
for my $n (1 .. $others) {
    $misses++ if get("/other/$n") eq 'MISS';
    get("/other/$n") for 1 .. $n % 2;
}
is $misses, $others, "memory was filled $TIMES times";
is get("/other/1"), 'MISS', 'what was stored first is gone';

my $right = 0;
for my $s (@slow) {
    my $client = $s->{client};
    1 while ($client->line // '') ne '';
    my $body = '';
    while (length $body < $SIZE) {
        my $part = $client->recv($SIZE - length $body < 1000 ? $SIZE - length $body : 1000);
        last if $part eq '';
        $body .= $part;
    }
    $right++ if $body eq body_of($s->{target});
}
is $right, @slow, 'slow clients got every byte';
is get($_->{target}), 'MISS', 'what was purged is not stored' for @slow[0, 1];
$w->finish;
done_testing;
