#!/usr/bin/perl

# Messages that are malformed, too large, smuggled, silent or slow, from either side. A request that
# could be read in two ways is never passed on as it came (the server behind writes down what
# arrives), a broken reply never reaches a client as a good one, and each failure is in the log.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep);
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;
my $HOST = "Host: test\r\n";

# The server behind answers as the request's path says, byte for byte.

my %ANSWER = (
    garbage => "garbage\r\n\r\n",
    binary => join('', map { chr } 0 .. 255) x 4,
    empty => '',
    'half-line' => 'HTTP/1.1 20',
    'half-head' => "HTTP/1.1 200 OK\r\nContent-Le",
    'http-2' => "HTTP/2.0 200 OK\r\n\r\n",
    lower => "http/1.1 200 OK\r\n\r\n",
    letters => "HTTP/1.1 abc OK\r\n\r\n",
    'two-digits' => "HTTP/1.1 20 OK\r\n\r\n",
    'four-digits' => "HTTP/1.1 2000 OK\r\n\r\n",
    'status-0' => "HTTP/1.1 000 OK\r\n\r\n",
    'bad-field' => "HTTP/1.1 200 OK\r\nno field\r\n\r\nunseen",
    'space-field' => "HTTP/1.1 200 OK\r\nX-A : b\r\n\r\nunseen",
    'many-names' => "HTTP/1.1 200 OK\r\nConnection: close" . ',x' x 65 . "\r\n\r\nunseen",
    'fold' => "HTTP/1.1 200 OK\r\nX-A: b\r\n c\r\n\r\nunseen",
    'nul' => "HTTP/1.1 200 OK\r\nX-A: b\0c\r\n\r\nunseen",
    'cr' => "HTTP/1.1 200 OK\r\nX-A: b\rX-B: c\r\n\r\nunseen",
    'two-lengths' => "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 6\r\n\r\nunseen",
    'list-length' => "HTTP/1.1 200 OK\r\nContent-Length: 6, 6\r\n\r\nunseen",
    'negative-length' => "HTTP/1.1 200 OK\r\nContent-Length: -6\r\n\r\nunseen",
    'huge-length' => "HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nunseen",
    'length-and-coding' => "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    'two-codings' => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    'other-coding' => "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nunseen",
    'big-head' => "HTTP/1.1 200 OK\r\nX-A: " . 'x' x 70_000 . "\r\n\r\nunseen",
    'many-fields' => "HTTP/1.1 200 OK\r\n" . "X-A: b\r\n" x 10_000 . "\r\nunseen",
    # these are cut, since the head is out
    'short' => "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
    'short-chunk' => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\na\r\nshort",
    'no-last-chunk' => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n",
    'bad-chunk' => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\nx\r\n",
    'long-chunk' => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        . "5\r\nshorter\r\n0\r\n\r\n",
    # and these are good
    interim => "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
        . "HTTP/1.1 102 Processing\r\n\r\n" x 20 . "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    '101' => "HTTP/1.1 101 Switching Protocols\r\nUpgrade: other\r\nConnection: upgrade\r\n\r\n",
    interim404 => "HTTP/1.1 103 Early Hints\r\nContent-Length: 9\r\n\r\n"
        . "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno",
    'space' => "HTTP/1.1 200 OK\r\nContent-Length:\t 2 \t\r\nX-A:\tb\t\r\n\r\nok",
    'until-end' => "HTTP/1.1 200 OK\r\n\r\nuntil the end",
    'version-10' => "HTTP/1.0 200 OK\r\n\r\nuntil the end",
    'nocontent' => "HTTP/1.1 204 No Content\r\n\r\n",
    'nocontent-length' => "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello",
    'notmodified' => "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nETag: \"x\"\r\n\r\n",
    'sums' => "HTTP/1.1 200 OK\r\nTrailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n"
        . "2\r\nok\r\n0\r\nX-Sum: 1\r\nContent-Length: 9\r\n\r\n",
    'longer' => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\npoison",
    'connection-named' => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close, X-Named\r\n"
        . "X-Named: 1\r\nX-Kept: 1\r\n\r\nok",
    'internal' => "HTTP/1.1 200 OK\r\nX-Accel-Redirect: /hidden/x?y\r\n"
        . "Content-Length: 6\r\n\r\nunseen",
    'named' => "HTTP/1.1 200 OK\r\nX-Accel-Redirect: \@named\r\nContent-Length: 6\r\n\r\nunseen",
    'escape' => "HTTP/1.1 200 OK\r\nX-Accel-Redirect: /a/../../etc/passwd\r\n\r\n",
    'loop' => "HTTP/1.1 200 OK\r\nX-Accel-Redirect: /loop\r\nContent-Length: 0\r\n\r\n",
);

sub answer {
    my ($request, $fh) = @_;
    my ($name) = $request->{target} =~ m{([\w-]+)(?:\?|$)};

    if (defined $name && defined $ANSWER{$name}) {
        Weir::HttpServer::give($fh, $ANSWER{$name});
        return;
    }
    return if !$request->{complete};
    if (($name // '') eq 'silent') {
        sysread $fh, my $more, 1;
        return;
    }
    if (($name // '') eq 'slow') {
        Weir::HttpServer::give($fh, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        for my $i (1 .. 5) {
            sleep 0.2;
            Weir::HttpServer::give($fh, "2\r\n$i\n\r\n") or return;
        }
        return "0\r\n\r\n";
    }
    return Weir::HttpServer::reply(200, "$request->{method} $request->{target} "
        . length($request->{body}) . "\n");
}

$w->backend('behind', serve => Weir::HttpServer::serve(\&answer,
    record => $w->path('requests')));

sub arrived { return Weir::HttpServer::recorded($w->path('requests')) }

$w->start(<<'CONF');
http {
    log_format short '$status "$request" $request_length $body_bytes_sent';
    access_log %{dir}/access short;
    upstream behind { server %{behind} max_fails=0; }
    proxy_read_timeout 20s;

    server {
        listen %{web};
        large_client_header_buffers 4 4k;
        client_max_body_size 1000;
        client_body_buffer_size 100;
        location / { proxy_pass http://behind; }
        location /streamed/ {
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_pass http://behind;
        }
        location /short-time/ { proxy_read_timeout 1s; proxy_pass http://behind; }
        location /trailers/ { proxy_pass_trailers on; proxy_pass http://behind; }
        location /alone { return 200 "alone\n"; }
        location /hidden/ { internal; return 200 "hidden $uri $args\n"; }
        location @named { return 200 "named $uri\n"; }
    }
    server {
        listen %{strict};
        ignore_invalid_headers off;
        max_headers 5;
        location / { proxy_pass http://behind; }
    }
    server {
        listen %{impatient};
        client_header_timeout 1s;
        client_body_timeout 1s;
        keepalive_timeout 1s;
        keepalive_requests 3;
        send_timeout 2s;
        location / { proxy_pass http://behind; }
        location /streamed/ { proxy_request_buffering off; proxy_pass http://behind; }
    }
}
CONF

# All that comes back until the end.
sub raw {
    my ($where, $bytes) = @_;
    my $c = $w->connect($where);

    $c->send($bytes);
    my $all = $c->rest;
    my $ending = $c->ending(0);
    $c->close;
    return $ending eq 'eof' ? $all : "$all<$ending>";
}

# A test: the request is refused with this status, the connection closed, and no request arrives.
sub refused {
    my ($status, $name, $bytes, $where) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $got = raw($where // 'web', $bytes);

    subtest $name => sub {
        like $got, qr{\AHTTP/1\.1 $status }, "is $status";
        like $got, qr{^Connection: close\r$}m, 'says it closes';
        unlike substr($got, 1), qr{HTTP/1\.1 \d}, 'one reply, then the end';
        is_deeply [arrived()], [], 'nothing arrives behind';
    };
}

# A test: one request arrives, and it is this.
sub arrives_as {
    my ($name, $bytes, $expected) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $got = raw('web', $bytes);
    my @raw = map { s/^Host: [^\r]*\r\n//mr } arrived();

    is_deeply \@raw, [$expected], $name or diag $got;
}

# ---- requests that are refused

my $GET = "GET / HTTP/1.1\r\n$HOST";
my $CHUNKED = "POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n";

refused(400, @$_) for
    ['a method in lower case', "get / HTTP/1.1\r\n$HOST\r\n"],
    ['a TLS handshake', "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" . "\0" x 50],
    ['two spaces', "GET  / HTTP/1.1\r\n$HOST\r\n"],
    ['a tab', "GET\t/ HTTP/1.1\r\n$HOST\r\n"],
    ['NUL in the path', "GET /\0 HTTP/1.1\r\n$HOST\r\n"],
    ['NUL in the path, escaped', "GET /%00 HTTP/1.1\r\n$HOST\r\n"],
    ['a bare CR in the line', "GET /\r HTTP/1.1\r\n$HOST\r\n"],
    ['CR CR LF', "GET / HTTP/1.1\r\r\n$HOST\r\n"],
    ['a path above the root', "GET /../etc HTTP/1.1\r\n$HOST\r\n"],
    ['an invalid path', "GET a HTTP/1.1\r\n$HOST\r\n"],
    ['no path', "GET HTTP/1.1\r\n$HOST\r\n"],
    ['an invalid version', "GET / HTTP/1\r\n$HOST\r\n"],
    ['no Host', "GET / HTTP/1.1\r\n\r\n"],
    ['two Hosts', "${GET}Host: other\r\n\r\n"],
    ['an invalid Host', "GET / HTTP/1.1\r\nHost: a b\r\n\r\n"],
    ['a field without a name', "$GET: x\r\n\r\n"],
    ['a field without a colon', "${GET}X-A\r\n\r\n"],
    ['space before the colon', "${GET}X-A : b\r\n\r\n"],
    ['space before the colon of a length',
        "POST / HTTP/1.1\r\n${HOST}Content-Length : 3\r\n\r\nabc"],
    ['obs-fold', "${GET}X-A: b\r\n c\r\n\r\n"],
    ['obs-fold of a coding',
        "POST / HTTP/1.1\r\n${HOST}Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"],
    ['space before the first field', "GET / HTTP/1.1\r\n X-A: b\r\n$HOST\r\n"],
    ['NUL in a value', "${GET}X-A: b\0c\r\n\r\n"],
    ['a control in a value', "${GET}X-A: b\x01c\r\n\r\n"],
    ['a bare CR in a value', "${GET}X-A: b\rX-B: c\r\n\r\n"],
    ['a length and a coding', "${CHUNKED}Content-Length: 5\r\n\r\n0\r\n\r\n"],
    ['a coding and a length', "POST / HTTP/1.1\r\n${HOST}Content-Length: 5\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ['two lengths', "POST / HTTP/1.1\r\n${HOST}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc"],
    ['two equal lengths',
        "POST / HTTP/1.1\r\n${HOST}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"],
    ['a list of lengths', "POST / HTTP/1.1\r\n${HOST}Content-Length: 3, 3\r\n\r\nabc"],
    ['a coding in HTTP/1.0',
        "POST / HTTP/1.0\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ['two codings', "${CHUNKED}Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ['a coding behind chunked',
        "POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked, gzip\r\n\r\n"],
    map({ ["a length of '$_'", "POST / HTTP/1.1\r\n${HOST}Content-Length: $_\r\n\r\nabc"] }
        '', '-3', '+3', '3x', '0x3', '3 3', '3.0', '18446744073709551619', '9' x 30),
    map({ ["a chunk of size '$_->[0]'", "$CHUNKED\r\n$_->[0]\r\nabc\r\n0\r\n\r\n"] }
        ['x'], ['-3'], ['+3'], ['0x3'], [''], [' 3'], ['3 3'], ['f' x 16], ['f' x 40],
        ["3\r"], ["3;a\rb"], ["3;a\0"]),
    ['a chunk longer than its size', "$CHUNKED\r\n3\r\nabcd\r\n0\r\n\r\n"],
    ['a chunk line that ends in LF', "$CHUNKED\r\n3\nabc\r\n0\r\n\r\n"],
    ['a chunk that ends in LF', "$CHUNKED\r\n3\r\nabc\n0\r\n\r\n"],
    ['an invalid trailer', "$CHUNKED\r\n0\r\nno trailer\r\n\r\n"],
    ['a trailer section that ends in LF', "$CHUNKED\r\n0\r\n\n"],
    ['endless chunk extensions', "$CHUNKED\r\n3;" . 'x' x 10_000 . "\r\nabc\r\n0\r\n\r\n"],
    ['endless trailers', "$CHUNKED\r\n0\r\n" . "X-A: b\r\n" x 2000 . "\r\n"];
refused(400, 'a Connection that names very many fields',
    "${GET}X: 1\r\nConnection: close" . ',a' x 32 . "\r\nConnection: " . 'b,' x 33 . "\r\n\r\n");
refused(400, 'odd names, where they are not ignored', "${GET}X(A: b\r\n\r\n", 'strict');
refused(501, 'an unknown coding', "POST / HTTP/1.1\r\n${HOST}Transfer-Encoding: gzip\r\n\r\n");
refused(505, 'HTTP/2.0', "GET / HTTP/2.0\r\n$HOST\r\n");
refused(405, 'CONNECT', "CONNECT test:80 HTTP/1.1\r\nHost: test:80\r\n\r\n");
refused(414, 'a line too long', "GET /" . 'x' x 5000 . " HTTP/1.1\r\n$HOST\r\n");
refused(414, 'a line without an end', 'GET /' . 'x' x 20_000);
refused(431, 'a field too long', "${GET}X-A: " . 'x' x 5000 . "\r\n\r\n");
refused(431, 'a field without an end', "${GET}X-A: " . 'x' x 50_000);
refused(431, 'too many bytes of fields', $GET . ('X-A: ' . 'x' x 2000 . "\r\n") x 10 . "\r\n");
refused(400, 'too many fields', $GET . "X-A: b\r\n" x 5 . "\r\n", 'strict');
refused(413, 'a body too large', "POST / HTTP/1.1\r\n${HOST}Content-Length: 1001\r\n\r\n"
    . 'x' x 1001);
refused(413, 'a body too large that is announced and not sent',
    "POST / HTTP/1.1\r\n${HOST}Content-Length: 1001\r\n\r\n");
refused(413, 'chunks too large', "$CHUNKED\r\n" . ("100\r\n" . 'x' x 256 . "\r\n") x 4
    . "0\r\n\r\n");

# ---- requests that are cleaned

my $head = "POST / HTTP/1.1\r\n";
arrives_as('white space around values is removed',
    "GET / HTTP/1.1\r\nHost:\t test \t\r\nX-A:\t b c\t \r\n"
    . "Connection: close\r\n\r\n", "GET / HTTP/1.1\r\nX-A: b c\r\n\r\n");
arrives_as('lines that end in LF get their CR', "GET / HTTP/1.1\nHost: test\nX-A: b\n"
    . "Connection: close\n\n", "GET / HTTP/1.1\r\nX-A: b\r\n\r\n");
arrives_as('chunks become a length',
    "${CHUNKED}Connection: close\r\n\r\n3;a=\"b\"\r\nabc\r\n2\r\nde\r\n"
    . "0\r\nX-Sum: 1\r\n\r\n", "${head}Content-Length: 5\r\n\r\nabcde");
arrives_as('fields named in Connection are removed',
    "${GET}X-Named: 1\r\nX-Also: 1\r\nKeep-Alive: 3\r\n"
    . "Connection: close, x-named\r\nConnection: X-Also\r\nX-Kept: 1\r\n\r\n",
    "GET / HTTP/1.1\r\nX-Kept: 1\r\n\r\n");
arrives_as('fields named in a second Connection are removed, too',
    "${GET}X-Also: 1\r\nConnection: close\r\n"
    . "Connection: X-Also\r\n\r\n", "GET / HTTP/1.1\r\n\r\n");
arrives_as('Content-Length cannot be named in Connection', "POST / HTTP/1.1\r\n${HOST}"
    . "Content-Length: 3\r\nConnection: close, Content-Length\r\n\r\nabc",
    "${head}Content-Length: 3\r\n\r\nabc");
arrives_as('fields of the hop are removed', "${GET}TE: trailers\r\nTrailer: X\r\nUpgrade: h2c\r\n"
    . "Proxy-Connection: close\r\nHTTP2-Settings: x\r\nConnection: close, HTTP2-Settings\r\n\r\n",
    "GET / HTTP/1.1\r\n\r\n");
arrives_as('fields with odd names are removed',
    "${GET}X_A: 1\r\nX(B): 2\r\nX-C: 3\r\nConnection: close\r\n\r\n",
    "GET / HTTP/1.1\r\nX-C: 3\r\n\r\n");
{
    my $got = raw('web', "GET http://one/a?b HTTP/1.1\r\nHost: two\r\nConnection: close\r\n\r\n");
    like $got, qr{^GET /a\?b 0$}m, 'absolute-form';
    my ($raw) = arrived();
    unlike $raw, qr/two/, 'and the Host beside it is gone';
}

# Bytes behind a body are the next request, and nothing else.

{
    my $got = raw('web', "POST /1 HTTP/1.1\r\n${HOST}Content-Length: 4\r\n\r\nGET "
        . "GET /2 HTTP/1.1\r\n$HOST\r\n"
        . "POST /3 HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"
        . "HEAD /4 HTTP/1.1\r\n$HOST\r\n"
        . "\r\nGET /5 HTTP/1.1\r\n${HOST}Connection: close\r\n\r\nGET /6 HTTP/1.1\r\n$HOST\r\n");
    is join('; ', $got =~ m{^([A-Z]+ /\d \d)$}mg), 'POST /1 4; GET /2 0; POST /3 1; GET /5 0',
        'pipelined requests, in order; nothing behind the one that closes';
    is scalar(arrived()), 5, 'five arrived';
}
{
    my $c = $w->connect('web');
    $c->send(join '', map { "GET /n$_ HTTP/1.1\r\n$HOST\r\n" } 1 .. 200);
    is join(' ', map { (split ' ', Weir::Http::reply($c)->{body})[1] // 'none' } 1 .. 200),
        join(' ', map { "/n$_" } 1 .. 200), 'two hundred pipelined requests';
    $c->close;
    arrived();
}
{
    my $got = raw('web', "POST /alone HTTP/1.1\r\n${HOST}Content-Length: 12\r\n\r\nGET /x\r\n\r\nab"
        . "GET /alone HTTP/1.1\r\n${HOST}Connection: close\r\n\r\n");
    is scalar(() = $got =~ /^alone$/mg), 2, 'a body nobody reads is not taken for a request';
    is_deeply [arrived()], [], 'nothing arrives';
}

# ---- HTTP/1.0 and 0.9

like raw('web', "GET /a HTTP/1.0\r\n\r\n"),
    qr{\AHTTP/1\.1 200 .*^Connection: close\r.*^GET /a 0\n\z}ms,
    '1.0 closes';
{
    my $c = $w->connect('web');
    for (1, 2) {
        $c->send("GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        my $r = Weir::Http::reply($c);
        is $r->field('Connection') . " $r->{body}", "keep-alive GET /a 0\n", '1.0 with keep-alive';
    }
    $c->send("GET /until-end HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    my $r = Weir::Http::reply($c);
    is $r->field('Connection') . ' ' . ($r->field('Transfer-Encoding') // 'plain') . " $r->{body}",
        'close plain until the end', '1.0 gets no chunks: the end ends it';
    $c->close;
}
is raw('web', "GET /alone\r\n"), "alone\n", '0.9';
is raw('web', "GET /a\r\n"), "GET /a 0\n", '0.9, proxied';
arrived();

# ---- Expect: 100-continue

for my $path ('/b', '/streamed/b') {
    my $c = $w->connect('web');
    $c->send("POST $path HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    is $c->line . $c->line, 'HTTP/1.1 100 Continue', "$path: 100 before the body";
    $c->send('abc');
    is Weir::Http::reply($c)->{body}, "POST $path 3\n", 'and then the reply';
    $c->close;
    unlike +(arrived())[0], qr/expect/i, 'Expect itself does not arrive';
}
{
    my $c = $w->connect('web');
    $c->send("POST /b HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc");
    my $r = Weir::Http::reply($c);
    $r = Weir::Http::reply($c) if $r->{status} == 100;
    is $r->{body}, "POST /b 3\n", 'a body that is sent without waiting for 100';
    $c->send("POST /b HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 2000\r\n\r\n");
    is Weir::Http::reply($c)->{status}, 413, 'no 100 where the body is refused';
    $c->close;
    $c = $w->connect('web');
    $c->send("POST /alone HTTP/1.1\r\n${HOST}Expect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    is Weir::Http::reply($c)->{status}, 100, '100 where nobody reads the body, too';
    is Weir::Http::reply($c)->{body}, "alone\n", 'and the reply at once';
    $c->close;
}
arrived();

# ---- broken replies

my %CUT = map { $_ => 1 } qw(short short-chunk no-last-chunk bad-chunk long-chunk);
my @BROKEN = qw(many-names
    garbage binary empty half-line half-head http-2 lower letters two-digits four-digits
    status-0 bad-field space-field fold nul cr two-lengths list-length negative-length huge-length
    length-and-coding two-codings other-coding big-head many-fields);

for my $name (@BROKEN) {
    my $r = Weir::Http::ask($w, 'web', "GET /$name");
    is $r->{status}, 502, "$name: 502" or diag $r->{head};
    unlike $r->{body}, qr/unseen|garbage/, 'and nothing of it reaches the client';
    becomes { $w->error_log =~ m{\[error\].*upstream.*"GET /$name HTTP} } 'with a line in the log';
}
for my $name (sort keys %CUT) {
    for my $path ("/$name", "/streamed/$name") {
        my $r = Weir::Http::ask($w, 'web', "GET $path");
        isnt $r->{wrong}, '', "$path: the client sees that the reply is not complete";
        my $short = raw('web', "GET $path HTTP/1.0\r\n\r\n");
        unlike $short, qr/Content-Length: 5\r/, 'nor does HTTP/1.0 show it as complete';
    }
}
arrived();

# ---- good replies

my $r = Weir::Http::ask($w, 'web', 'GET /interim');
is "$r->{status} $r->{body} $r->{wrong}", '200 ok ', 'interim answers are passed over';
is $r->field('Link'), undef, 'with their fields';
$r = Weir::Http::ask($w, 'web', 'GET /interim404');
is "$r->{status} $r->{body} $r->{wrong}", '404 no ', 'also before a 404';
$r = Weir::Http::ask($w, 'web', 'GET /101');
is $r->{status}, 502, 'a 101 without a request for it is refused';
$r = Weir::Http::ask($w, 'web', 'GET /space');
is "$r->{body}:" . $r->field('X-A'), 'ok:b', 'white space around values of a reply is removed';
for my $path ('', '/streamed') {
    for my $name ('until-end', 'version-10') {
        $r = Weir::Http::ask($w, 'web', "GET $path/$name");
        is "$r->{body} $r->{wrong}", 'until the end ', "$path/$name: a reply without a length";
        is $r->field('Transfer-Encoding'), 'chunked', 'gets chunks';
    }
    for my $name ('nocontent', 'nocontent-length') {
        $r = Weir::Http::ask($w, 'web', "GET $path/$name");
        is "$r->{status} $r->{body} " . join(',', $r->all('Content-Length'),
            $r->all('Transfer-Encoding')), '204  ', "$path/$name has no body and no length";
    }
    $r = Weir::Http::ask($w, 'web', "GET $path/notmodified");
    is "$r->{status} " . $r->field('ETag'), '304 "x"', "$path/notmodified";
    $r = Weir::Http::ask($w, 'web', "HEAD $path/until-end");
    is "$r->{status} $r->{body}", '200 ', "$path: HEAD";
    $r = Weir::Http::ask($w, 'web', "GET $path/longer");
    is $r->{body}, 'ok', "$path/longer: nothing behind the length is passed";
    $r = Weir::Http::ask($w, 'web', "GET $path/next");
    is $r->{body}, "GET $path/next 0\n", 'nor taken for the next reply';
    $r = Weir::Http::ask($w, 'web', "GET $path/sums");
    is "$r->{body} $r->{wrong} " . scalar @{ $r->{trailers} }, 'ok  0', "$path: no trailers pass";
}
$r = Weir::Http::ask($w, 'web', 'GET /trailers/sums');
is "$r->{body} " . ($r->trailer('X-Sum') // 'none') . ' ' . scalar @{ $r->{trailers} }, 'ok 1 1',
    'with proxy_pass_trailers they do, but none that frames';
$r = Weir::Http::ask($w, 'web', 'GET /connection-named');
is join(',', map { $r->field($_) // 'none' } qw(X-Named X-Kept)), 'none,1',
    'fields that Connection names are removed';

# X-Accel-Redirect.

is +Weir::Http::ask($w, 'web', 'GET /internal')->{body}, "hidden /hidden/x y\n", 'X-Accel-Redirect';
is +Weir::Http::ask($w, 'web', 'POST /internal', body => 'abc')->{body}, "hidden /hidden/x y\n",
    'X-Accel-Redirect of a POST';
is +Weir::Http::ask($w, 'web', 'GET /named')->{body}, "named /named\n", 'to a named location';
is +Weir::Http::ask($w, 'web', 'GET /hidden/x')->{status}, 404, 'a client cannot go there';
is +Weir::Http::ask($w, 'web', 'GET /escape')->{status}, 404, 'it cannot leave its root';
is +Weir::Http::ask($w, 'web', 'GET /loop')->{status}, 500, 'nor go round for ever';
arrived();

# ---- silence

$r = Weir::Http::ask($w, 'web', 'GET /short-time/silent');
is $r->{status}, 504, 'a silent server: 504';
becomes { $w->error_log =~ m{upstream timed out.*GET /short-time/silent} } 'with a line in the log';

for my $path ('/silent', '/streamed/silent') {
    my $c = $w->connect('web');
    $c->send("GET $path HTTP/1.1\r\n$HOST\r\n");
    wait_for { arrived() };
    $c->close;
    becomes { slurp($w->path('access')) =~ m{^499 "GET $path HTTP/1\.1"}m }
        "$path: client gone: 499";
}
for my $path ('/b', '/streamed/b') {
    my $c = $w->connect('web');
    $c->send("POST $path HTTP/1.1\r\n${HOST}Content-Length: 10\r\n\r\nabc");
    $c->close;
    becomes { slurp($w->path('access')) =~ m{^(?:499|400) "POST $path HTTP/1\.1" }m }
        "$path: client gone within the body";
    sleep 0.1;
    is scalar(grep { /\r\n\r\nabc.*\z/ && length > 100 } arrived()), 0,
        'no body that was cut arrives as a complete one';
}

sub seconds_of {
    my ($what) = @_;
    my $begun = Time::HiRes::time();
    my $got = $what->();
    return ($got, Time::HiRes::time() - $begun);
}

is raw('impatient', ''), '', 'a client that sends nothing is closed';
is raw('impatient', "GET / HTTP/1.1\r\nHost:"), '', 'and so is one that sends half a head';
for my $path ('/b', '/streamed/b') {
    is raw('impatient', "POST $path HTTP/1.1\r\n${HOST}Content-Length: 5\r\n\r\nabc"), '',
        "$path: half a body is closed, too";
    becomes { slurp($w->path('access')) =~ m{^408 "POST $path HTTP/1\.1"}m } 'as 408 in the log';
}
unlike $w->error_log, qr{upstream timed out.*POST /streamed/b}, 'which is not the server\'s fault';
{
    my $c = $w->connect('impatient');
    for my $n (1 .. 3) {
        $c->send("GET /$n HTTP/1.1\r\n$HOST\r\n");
        my $r = Weir::Http::reply($c);
        is $r->field('Connection'), $n < 3 ? 'keep-alive' : 'close', "keepalive_requests 3: $n";
    }
    is $c->ending, 'eof', 'the third closes';
    $c = $w->connect('impatient');
    $c->send("GET / HTTP/1.1\r\n$HOST\r\n");
    is +Weir::Http::reply($c)->field('Connection'), 'keep-alive', 'kept';
    is $c->ending, 'eof', 'until keepalive_timeout';
}
arrived();

# ---- slow sides

for my $path ('/slow', '/streamed/slow') {
    is +Weir::Http::ask($w, 'web', "GET $path")->{body}, "1\n2\n3\n4\n5\n", "$path: a slow server";
}
{
    my $c = $w->connect('web');
    $c->send("GET /streamed/slow HTTP/1.1\r\n$HOST\r\n");
    my ($seen, $at_once) = ('', 0);
    $at_once = 1 if ($c->line // '') =~ /200/ && wait_for { $c->fill(0); $c->{in} =~ /1\n/ };
    is $at_once && $c->{in} !~ /5\n/, 1, 'unbuffered: the first bytes do not wait for the last';
    $c->close;
}
for my $path ('/b', '/streamed/b') {
    my $c = $w->connect('web');
    for my $piece (split /(?<=[:\n ])/,
        "POST $path HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n",
        -1) {
        $c->send($piece);
        sleep 0.01;
    }
    for my $i (1 .. 10) {
        $c->send($_), sleep 0.01 for '3', "\r", "\n", 'a', "bc\r\n";
    }
    $c->send("0\r\n\r\n");
    is +Weir::Http::reply($c)->{body}, "POST $path 30\n", "$path: a slow client";
    $c->close;
}
{
    my $c = $w->connect('web');
    $c->send("POST /streamed/b HTTP/1.1\r\n${HOST}Transfer-Encoding: chunked\r\n\r\n"
        . "3\r\nbad\r\nx\r\n");
    like $c->rest, qr{\A(?:HTTP/1\.1 400 |\z)}, 'unbuffered: a bad chunk ends the request';
    $c->close;
    sleep 0.2;
    my ($raw) = grep { /\r\n3\r\nbad\r\n/ } arrived();
    unlike $raw // '', qr/\r\n0\r\n\r\n\z/, 'and the server behind does not see it complete';
}

$w->finish;
done_testing;
