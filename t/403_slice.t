#!/usr/bin/perl
# chaos: yes

# slice: a large reply in pieces, from the server or the cache; the client sees one reply, or the
# range of it that it asked for. Whatever is wrong with a piece, the reply does not look complete.

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
my $whole = join '', map { sprintf "%07d\n", $_ } 0 .. 12499;    # 100,000 bytes

sub answer {
    my ($r) = @_;
    my %field = map { lc $_->[0] => $_->[1] } @{ $r->{fields} };
    my $range = $field{range} // '';
    open my $out, '>>', $asked or die $!;
    syswrite $out, "$r->{method} $r->{target} $range\n";
    my @fields = (ETag => '"one"', 'Cache-Control' => 'max-age=600');
    my ($from, $to) = $range =~ /^bytes=(\d+)-(\d+)$/;
    return Weir::HttpServer::reply(200, $whole, @fields)
        if !defined $from || $r->{target} =~ /^\/plain/;
    return Weir::HttpServer::reply(416, '', 'Content-Range' => 'bytes */' . length $whole)
        if $from >= length $whole;
    $to = length($whole) - 1 if $to >= length $whole;
    $fields[1] = '"two"' if $r->{target} =~ /^\/changed/ && $from > 0;
    return Weir::HttpServer::reply(500, 'no') if $r->{target} =~ /^\/fails/ && $from > 40000;
    $from += 1 if $r->{target} =~ /^\/shifted/ && $from > 0;
    return Weir::HttpServer::reply(206, substr($whole, $from, $to - $from + 1), @fields,
        'Content-Range' => "bytes $from-$to/" . length $whole);
}

$w->backend('b', serve => Weir::HttpServer::serve(\&answer));
$w->start(<<'CONF');
http {
    proxy_cache_path cache levels=1:2 keys_zone=disk:1m;
    proxy_cache_path unused keys_zone=memory:1m memory=8m disk=off;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    upstream b { server %{b}; keepalive 4; }
    slice 16k;
    proxy_set_header Range $slice_range;
    map $arg_zone $zone { default off; disk disk; memory memory; }
    server {
        listen %{web};
        proxy_cache $zone;
        proxy_cache_key $uri$slice_range;
        proxy_cache_valid 200 206 10m;
        add_header X-Cache $upstream_cache_status;
        location / { proxy_pass http://b; }
    }
}
CONF

my $zone;

sub get {
    my ($target, @fields) = @_;
    return Weir::Http::ask($w, 'web', "GET $target?zone=$zone", @fields);
}

sub asked { return scalar(() = Weir::slurp($asked) =~ /\n/g) }

for (qw(off disk memory)) {
    $zone = $_;
    my $before = asked();
    my $r = get('/a');
    is $r->{status}, 200, "$zone: the client gets one reply";
    ok $r->{body} eq $whole, 'the whole of it';
    ok !defined Weir::Http::field($r, 'Content-Range'), 'which is no range';
    is asked() - $before, 7, 'the server was asked for 7 pieces';
    if ($zone ne 'off') {
        wait_for { my $n = asked(); get('/a'); asked() == $n };
        my $n = asked();
        ok get('/a')->{body} eq $whole, 'from the cache it is the same';
        is asked(), $n, 'the server is not asked';
    }
    $before = asked();
    $r = get('/part', Range => 'bytes=20000-20009');
    is "$r->{status} $r->{body}", '206 ' . substr($whole, 20000, 10), 'a range';
    is Weir::Http::field($r, 'Content-Range'), 'bytes 20000-20009/100000', 'of the whole';
    is asked() - $before, 1, 'needs one piece';
    $r = get('/part', Range => 'bytes=30000-50000');
    ok $r->{body} eq substr($whole, 30000, 20001), 'a range over three pieces';
    $r = get('/part', Range => 'bytes=-5');
    is "$r->{status} $r->{body}", '206 ' . substr($whole, -5), 'the end of it';
    $r = get('/part', Range => 'bytes=200000-');
    is $r->{status}, 416, 'behind the end there is nothing';
    $r = get('/part', Range => 'bytes=0-9', 'If-Range' => '"old"');
    ok $r->{status} == 200 && $r->{body} eq $whole, 'If-Range that does not hold: the whole';
    $r = Weir::Http::ask($w, 'web', "HEAD /a?zone=$zone");
    is Weir::Http::field($r, 'Content-Length'), 100000, 'HEAD';
    ok get('/plain')->{body} eq $whole, 'a server that does not know ranges';

    for my $bad (qw(changed fails shifted)) {
        my $c = $w->connect('web');
        $c->send(Weir::Http::request("GET /$bad?zone=$zone"));
        my $text = $c->rest;
        unlike $text, qr/0012499\n\z/, "$bad: the reply does not look complete";
        $c->close;
    }
}
$w->expect(qr/slice response/);
$w->finish;
done_testing;
