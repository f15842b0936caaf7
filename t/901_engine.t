#!/usr/bin/perl
# chaos: yes

# Servers and clients that misbehave, each in a way that once made the engine fail.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep time);
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;
my $long = 'x' x 2_000_000;

# The target says how to misbehave; all of it on connections that stay open.
sub serve {
    my ($request, $fh) = @_;
    my ($how) = $request->{target} =~ m{^/(\w+)} or return Weir::HttpServer::reply(200, 'plain');
    my $ok = Weir::HttpServer::reply(200, "$request->{method} $request->{target}");

    return $ok . "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong" if $how eq 'more';
    return substr($ok, 0, -1) . 'yHTTP/1.1 200 OK' . ' ' x 70_000 if $how eq 'much';
    return "HTTP/1.1 103 Early Hints\r\n\r\n" x 20_000 . $ok if $how eq 'flood';
    return undef if $how eq 'gone';
    return Weir::HttpServer::reply(200, $long) if $how eq 'long';
    if ($how eq 'parts') { # the first in two parts, the second alone, the last in two again
        for my $part ("HTTP/1.1 100 Con", "tinue\r\n\r\n", "HTTP/1.1 103 Hints\r\n\r\n",
            substr($ok, 0, 20)) {
            Weir::HttpServer::give($fh, $part);
            sleep 0.1;
        }
        return substr $ok, 20;
    }
    if ($how eq 'trickle') { # for a client that does not read
        Weir::HttpServer::give($fh, "HTTP/1.1 200 OK\r\nContent-Length: 99000000\r\n\r\n");
        Weir::HttpServer::give($fh, 'b' x 6_000_000) or return;
        for (1 .. 1000) {
            sleep 0.1;
            Weir::HttpServer::give($fh, 'f' x 1000) or return;
        }
        return;
    }
    if ($how eq 'head') { # no body before the client shows that it has seen the head
        Weir::HttpServer::give($fh, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
        sleep 2;
        return 'late';
    }
    return $ok;
}

# Answers before it has read the body, then reads it and says how much of it was right.
sub hasty {
    my ($fh) = @_;
    my ($in, $body) = ('', '');

    until ($in =~ s/\A.*?\r\n\r\n//s) {
        sysread $fh, $in, 65536, length $in or return;
    }
    Weir::HttpServer::give($fh,
        "HTTP/1.1 200 OK\r\nContent-Length: 300000\r\n\r\n" . 'a' x 100_000);
    while (length $in < 600_000) {
        sysread $fh, $in, 65536, length $in or last;
    }
    my $verdict = $in eq 'b' x 600_000 ? 'r' : 'w';
    Weir::HttpServer::give($fh, $verdict x 200_000);
}

$w->backend('server', serve => Weir::HttpServer::serve(\&serve));
$w->backend('hasty', serve => \&hasty);
$w->backend('deaf', serve => sub {
    my $in = '';
    1 while length $in < 20_000 && sysread $_[0], $in, 65536, length $in;
});
$w->start(<<'CONF');
events { worker_connections 512; }
worker_processes 1;
http {
    client_body_timeout 2s;
    lingering_timeout 1s;
    upstream server { server %{server}; keepalive 4; }
    upstream pair { server %{server} max_fails=1 fail_timeout=60s; server %{nobody} backup; }
    server {
        listen %{web};
        large_client_header_buffers 4 1m;
        client_max_body_size 100k;
        location / { proxy_pass http://server; }
        location /direct/ { proxy_pass http://server; proxy_buffering off; }
        location /stream { proxy_pass http://pair; proxy_request_buffering off; }
        location /hasty { proxy_pass http://%{hasty}; proxy_request_buffering off;
                          client_max_body_size 1m; }
        location /pair { proxy_pass http://pair; }
        location /gone { proxy_pass http://server; error_page 502 /page; }
        location /unknown { set $name no-such-name.invalid; proxy_pass http://$name;
                            resolver 127.0.0.1:1; error_page 502 = @other; }
        location /lost { proxy_pass http://%{deaf}; proxy_request_buffering off;
                         error_page 502 = @other; }
        location @other { proxy_pass http://server; }
        location /page { root %{dir}; }
        location /no { return 403; }
        location /as-get/ { proxy_method GET; proxy_pass http://server/; }
        location /small { client_max_body_size 10; error_page 413 @other;
                          proxy_pass http://server; }
        location /trickle { send_timeout 2s; proxy_buffers 64 1m; proxy_max_temp_file_size 0;
                            proxy_pass http://server; }
        location /elsewhere { return 302 http://e$uri; }
        location /away { error_page 404 =302 http://e$uri; return 404; }
        location /page-of-400 { proxy_pass http://server; }
    }
    server {
        listen %{bad};
        error_page 400 @page;
        location @page { proxy_pass http://server; }
    }
}
CONF
$w->write('page', 'p' x 3_000_000);

# The CPU time that the worker has used, in hundredths of a second.
sub ticks {
    (my $stat = slurp('/proc/' . ($w->workers)[0] . '/stat')) =~ s/.*\)//;
    my @fields = split ' ', $stat;
    return $fields[11] + $fields[12];
}

sub get { return Weir::Http::ask($w, 'web', "GET $_[0]")->{body} }

# ---- bytes behind a reply are not the next reply

for my $how (qw(more much)) {
    get("/$how") for 1 .. 3;
    is get("/next"), 'GET /next', "bytes behind a reply ($how) are not the next one";
}

# ---- interim heads

is get('/parts'), 'GET /parts', 'interim heads in parts';
is Weir::Http::ask($w, 'web', 'GET /flood')->{status}, 502, 'too many of them';
sleep 0.1;

# ---- a head does not wait for the body

my $c = $w->connect('web');
$c->send(Weir::Http::request('GET /head'));
my $began = time;
like $c->line, qr/ 200 /, 'the head';
cmp_ok time - $began, '<', 1.8, 'comes before the body' if !chaos;
like $c->recv(65536, 4), qr/late\z/, 'and the body after it';
$c->close;

# ---- a reply that begins before the request has ended

$c = $w->connect('web');
$c->send("POST /hasty HTTP/1.1\r\nHost: a\r\nContent-Length: 600000\r\n\r\n" . 'b' x 200_000);
is substr($c->recv(100_000), -50), 'a' x 50, 'the reply has begun';
$c->send('b' x 400_000 . Weir::Http::request('GET /behind', Connection => 'close'));
my $rest = $c->rest;
ok $rest =~ /a(r+)HTTP/ && length $1 == 200_000,
    'the rest of the body arrives as it is, and so does the reply';
like $rest, qr{GET /behind\z}, 'and the next request is answered';
$c->close;

# ---- a slow client is the client's fault

$c = $w->connect('web');
$c->send("POST /stream HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
is $c->rest, '', 'no reply to a client that stops in its body';
is get('/pair'), 'GET /pair', 'and the server is not to blame';
$c->close;

# ---- limits of a body that streams

my $chunk = sprintf "%x\r\n%s\r\n", 60_000, 'c' x 60_000;
$c = $w->connect('web');
$c->send("POST /stream HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" . $chunk x 3);
like $c->line, qr/ 413 /, 'a streamed body that is too large';
$c->close;
is get('/pair'), 'GET /pair', 'and the server is not to blame';

$c = $w->connect('web');
$c->send("POST /small HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n");
my $r = Weir::Http::reply($c);
is "$r->{status} $r->{body}", '413 POST /small',
    'the server gets no body with the request for the page of a 413';
$c->close;

# ---- a HEAD that is asked as a GET does not wait for the body

$c = $w->connect('web');
$c->send(Weir::Http::request('HEAD /as-get/head') . Weir::Http::request('GET /behind'));
$began = time;
is +Weir::Http::reply($c, 1)->{status}, 200, 'HEAD';
is +Weir::Http::reply($c)->{body}, 'GET /behind', 'and the next';
cmp_ok time - $began, '<', 1.8, 'at once' if !chaos;
$c->close;

# ---- bytes for a client that does not read do not extend its timeout

SKIP: {
    skip 'slow', 1 if chaos;
    $c = $w->connect('web', rcvbuf => 4096);
    $c->send(Weir::Http::request('GET /trickle'));
    becomes { $w->error_log =~ /client timed out .*GET \/trickle/ } 'send_timeout', 40;
    $c->close;
}

# ---- 100-continue that was never said

$c = $w->connect('web');
$c->send("POST /no HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 70000\r\n\r\n");
like $c->rest(3), qr{\AHTTP/1.1 403 .*^Connection: close}ms,
    '403 before 100-continue closes, as a body may follow or not';
is $c->ending, 'eof', 'and the connection ends';
$c->close;

# ---- heads

$c = $w->connect('web');
$c->send("GET /head HTTP/1.1\r\nHost: a\r\nX: " . 'h' x 600_000 . "\r\n"
      . "Connection: close\r\n\r\n");
like $c->line, qr/ 200 |502/, 'a head larger than the scratch buffer';
$c->close;
$c = $w->connect('bad');
$c->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nbad line\r\n\r\n12345");
like $c->line, qr/ 400 /, 'the page of a bad request has no body to ask for';
$c->close;

for my $uri (qw(/elsewhere /away)) {
    $r = Weir::Http::ask($w, 'web', "GET $uri%0d%0aX-Evil:1");
    is $r->field('X-Evil'), undef, "a decoded URI ($uri) makes no field";
    is $r->field('Location'), "http://e$uri%0D%0AX-Evil:1", 'but a Location';
}

# ---- pages behind a failure

$c = $w->connect('web', rcvbuf => 4096);
$c->send(Weir::Http::request('GET /gone', Connection => 'close'));
sleep 1;
is length $c->rest =~ s/.*?\r\n\r\n//sr, 3_000_000, 'a page to a slow client, its server long gone';
$c->close;
is get('/unknown'), 'GET /unknown', 'a name that fails does not fail the page';
$c = $w->connect('web');
$c->send("POST /lost HTTP/1.1\r\nHost: a\r\nContent-Length: 50000\r\n\r\n" . 'l' x 10_000);
sleep 0.3;
$c->send('l' x 10_000);
like $c->line, qr/ 502 /, 'a body that was sent on is not sent to another';
$c->close;

# ---- more slow readers than pipes

SKIP: {
    skip 'slow', 2 if chaos;
    my @slow = map { $w->connect('web', rcvbuf => 4096) } 1 .. 40;
    $_->send(Weir::Http::request('GET /direct/long')) for @slow;
    sleep 1;
    my $before = ticks();
    is length get('/long'), 2_000_000, 'one more is served';
    sleep 1;
    cmp_ok ticks() - $before, '<', 80, 'and the worker does not spin';
    $_->abort for @slow;
}
is get('/next'), 'GET /next', 'it still serves';
$w->finish;
done_testing;
