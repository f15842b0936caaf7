#!/usr/bin/perl

# The same requests, as raw bytes, to nginx and to weir with the same configuration, in front of
# servers that write down what arrives: status, header fields and body of each reply and what the
# server behind got must be the same. Where weir differs on purpose %DIFFERS says why.
#
# Not compared: Date, Server, Connection and Keep-Alive (how this hop goes on is each server's own
# choice), the order of fields, the reason behind the status, the product's name in error pages and
# with it their length, and how a body that was buffered is framed where both framings are right.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;
use Weir::Process;

my $nginx = Weir::program('nginx') // plan skip_all => 'nginx is not installed';
my $w = Weir->new;

# ---- deliberate differences: what the case's name matches, and why

my @DIFFERS = (
    [qr/^path \/a(?:\?x)?#/, 'a fragment is no part of a target (RFC 9112 3.2): it is cut, where a '
        . 'server might take it for a path that was not checked'],
    [qr/^line <two spaces/, 'stricter: single spaces (RFC 9112 3)'],
    [qr/^line <space at the end/, 'stricter: nothing behind the version (RFC 9112 3)'],
    [qr/^line <1\.01>/, 'stricter: a version has two digits (RFC 9112 2.3)'],
    [qr/^line <11\.1>/, 'stricter: a version has two digits, so it is 400 and not 505'],
    [qr/^(?:authority|asterisk)-form/,
        '405, as newer nginx has it for CONNECT, says more than 400'],
    [qr/^Host <(?:\.a|a\@b|\[|a:b|test:99999|t\xE4st)>/, 'stricter: no host (RFC 3986 3.2.2)'],
    [qr/^too large: field/, '431 (RFC 6585) says more than 400'],
    [qr/^field: (?:control|DEL)/, 'stricter: control characters are in no field (RFC 9110 5.5)'],
    [qr/^field: tab around/, 'TAB is white space around a value, too (RFC 9110 5.6.3)'],
    [qr/^field without colon/, 'stricter: a line without a colon is no field (RFC 9112 5)'],
    [qr/^hop:/, 'fields of this hop, and those Connection names, go no further (RFC 9110 7.6.1)'],
    [qr/^trailer announced/, 'Trailer is a field of this hop: trailers are not passed on'],
    [qr/^merge_slashes off: \/uri/,
        'the value of the server that was asked, not the default one\'s'],
    [qr/^route \/vars\/a%20b/, 'a space from a variable does not end the path'],
    [qr/^coding <chunked, /, 'what is behind "chunked" has no end: 400, not 501 (RFC 9112 6.3)'],
    [qr/^reply: (?:two lengths|length and chunked|bad length)/, 'stricter: 502 (RFC 9112 6.3)'],
    [qr/^reply: (?:garbage|status of letters)/, '502: replies of HTTP/0.9 are not taken'],
    [qr/^reply: hop/, 'fields of the hop to the server go no further (RFC 9110 7.6.1)'],
    [qr/^reply: interim/, 'interim answers are passed over, any number (RFC 9110 15.2)'],
);

# ---- the two servers

my $CONF = <<'CONF';
http {
    server_tokens off;
    types { text/plain txt; text/html html; }
    upstream backend { server %{BACK}; keepalive 32; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_read_timeout 5s;
    proxy_next_upstream off;
    NGINX

    server {
        listen %{FRONT};
        server_name test;
        root %{dir}/root;

        location / { proxy_pass http://backend; }
        location /uri/ { proxy_pass http://backend/other/; }
        location /strip/ { proxy_pass http://backend/; }
        location /plain { proxy_pass http://backend/x; }
        location ~ ^/re/(.*)$ { proxy_pass http://backend; }
        location /vars/ { proxy_pass http://backend/v$uri?was=$args; }
        location /headers/ {
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Real-IP $remote_addr;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
            proxy_set_header X-Uri $request_uri;
            proxy_set_header X-Args $arg_a:$args:$is_args;
            proxy_set_header X-Method $request_method:$server_protocol:$scheme;
            proxy_set_header X-Len $content_length:$content_type:$http_x_own:$cookie_c;
            proxy_set_header Accept-Encoding "";
            proxy_pass http://backend;
        }
        location /hide/ {
            proxy_hide_header X-Secret;
            proxy_pass_header X-Accel-Buffering;
            proxy_pass http://backend;
        }
        location /redirect/ { proxy_redirect http://backend/ /moved/; proxy_pass http://backend; }
        location /redirect-default/ { proxy_pass http://backend/deep/; }
        location /cookie/ {
            proxy_cookie_domain inner.test outer.test;
            proxy_cookie_path /in/ /out/;
            proxy_pass http://backend;
        }
        location /internal/ { internal; return 200 "internal $uri $args\n"; }
        location /intercept/ {
            proxy_intercept_errors on;
            error_page 404 500 /page;
            error_page 403 =200 /page;
            error_page 410 @gone;
            proxy_pass http://backend;
        }
        location /page { return 200 "page $status\n"; }
        location @gone { return 200 "gone $uri\n"; }
        location /return/204 { return 204; }
        location /return/301 { return 301 /elsewhere; }
        location /return/302 { return 302 http://elsewhere.test/x?y; }
        location /return/307 { return 307 https://$host$request_uri; }
        location /return/200 { default_type text/plain; return 200 "a text\n"; }
        location /return/404 { return 404; }
        location /return/410 { return 410 "a text\n"; }
        location /return/444 { return 444; }
        location /return/503 { return 503; }
        location /unbuffered/ {
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_pass http://backend;
        }
        location /small/ { client_max_body_size 10; proxy_pass http://backend; }
        location /version10/ { proxy_http_version 1.0; proxy_pass http://backend; }
        location /limit/ { limit_except GET { deny all; } proxy_pass http://backend; }
        location /rewrite/ {
            rewrite ^/rewrite/(.*)$ /other/$1?from=$1 break;
            proxy_pass http://backend;
        }
        location /rewrite-uri/ {
            rewrite ^/rewrite-uri/(.*)$ /$1 break;
            proxy_pass http://backend/ignored/;
        }
        location /rewrite-last/ { rewrite ^ /headers/last? last; }
        location /method/ { proxy_method PUT; proxy_pass http://backend; }
        location /set-body/ { proxy_set_body "set $args"; proxy_pass http://backend; }
        location /no-body/ {
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header Connection "";
            proxy_pass http://backend;
        }
        location /no-fields/ { proxy_pass_request_headers off; proxy_pass http://backend; }
        location /files/ { }
        location /alias/ { alias %{dir}/root/files/; }
        location /try/ { try_files $uri $uri/ /files/a.txt; }
        location /exact { return 200 "prefix\n"; }
        location = /exact { return 200 "exact\n"; }
        location ^~ /stop/ { return 200 "stop\n"; }
        location ~* \.(png|jpg)$ { return 200 "picture $1\n"; }
        location /added/ {
            add_header X-Added "$uri" always;
            add_header X-Good yes;
            expires 1h;
            proxy_pass http://backend;
        }
    }
    server {
        listen %{FRONT};
        server_name other.test *.wild.test;
        return 200 "server $server_name host $host http_host $http_host\n";
    }
    server {
        listen %{FRONT};
        server_name ~^(?<who>\w+)\.regex\.test$;
        return 200 "regex $who\n";
    }
    server {
        listen %{FRONT};
        server_name nomerge.test;
        merge_slashes off;
        underscores_in_headers on;
        location / { proxy_pass http://backend; }
        location /uri/ { proxy_pass http://backend/other/; }
    }
}
CONF

mkdir $w->path('root');
mkdir $w->path('root/files');
$w->write("root/$_->[0]", $_->[1]) for ['files/a.txt', "0123456789\n"], ['files/empty.txt', ''],
    ['files/b c.html', "<p>b c</p>\n"], ['files/none', "no type\n"];
utime 1_600_000_000, 1_600_000_000, glob($w->path('root/files') . '/*');
chmod 0755, $w->path('root'), $w->path('root/files');

# ---- what the servers behind answer, by the request's field X-Reply

my %REPLY = (
    'no length' => "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nuntil the end",
    'version 1.0' => "HTTP/1.0 200 OK\r\nConnection: close\r\nContent-Type: text/x\r\n\r\nold",
    chunked => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        . "5\r\nhello\r\n1;ext=1\r\n,\r\n6\r\n world\r\n0\r\n\r\n",
    'chunked, empty' => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    'chunked, trailers' => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        . "2\r\nab\r\n0\r\nX-Sum: 1\r\n\r\n",
    'no reason' => "HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nok",
    'odd status' => "HTTP/1.1 299 Whatever\r\nContent-Length: 2\r\n\r\nok",
    'LF only' => "HTTP/1.1 200 OK\nContent-Length: 2\nX-A: b\n\nok",
    'folded case' => "HTTP/1.1 200 OK\r\ncontent-LENGTH: 2\r\nCONTENT-type: a/b\r\n\r\nok",
    'field spaces' => "HTTP/1.1 200 OK\r\nContent-Length:2\r\nX-A:  a b  \r\nX-B:\r\n\r\nok",
    twice => "HTTP/1.1 200 OK\r\nSet-Cookie: a=1\r\nSet-Cookie: b=2\r\nX-T: 1\r\nX-T: 2\r\n"
        . "Content-Length: 2\r\n\r\nok",
    'set of fields' => Weir::HttpServer::reply(200, 'x', ETag => '"e"', Vary => 'Accept',
        'Last-Modified' => 'Mon, 01 Jan 2024 00:00:00 GMT', 'Cache-Control' => 'max-age=5',
        Age => 3, 'Accept-Ranges' => 'bytes', 'Content-Language' => 'de', Via => '1.0 a'),
    'charset' => Weir::HttpServer::reply(200, 'x', 'Content-Type' => 'text/html; charset=utf-8'),
    'X-Accel fields' => Weir::HttpServer::reply(200, 'x', 'X-Accel-Buffering' => 'no',
        'X-Accel-Expires' => '@1', 'X-Pad' => 'p', 'X-Accel-Limit-Rate' => 1 << 20),
    secret => Weir::HttpServer::reply(200, 'x', 'X-Secret' => 's', 'X-Public' => 'p',
        'X-Accel-Buffering' => 'yes'),
    'accel redirect' => Weir::HttpServer::reply(200, 'unseen',
        'X-Accel-Redirect' => '/internal/a?b',
        'Set-Cookie' => 'kept=1', 'X-Lost' => 1, 'Content-Type' => 'x/y'),
    'accel file' => Weir::HttpServer::reply(200, 'unseen', 'X-Accel-Redirect' => '/files/a.txt'),
    'accel unsafe' => Weir::HttpServer::reply(200, 'x', 'X-Accel-Redirect' => '/../etc/passwd'),
    'location' => Weir::HttpServer::reply(302, '', Location => 'http://backend/deep/a/b?c=d'),
    'location, other' => Weir::HttpServer::reply(302, '', Location => 'http://other.test/a'),
    'location, path' => Weir::HttpServer::reply(301, '', Location => '/deep/x'),
    'refresh' => Weir::HttpServer::reply(200, 'x', Refresh => '5; url=http://backend/deep/r'),
    cookies => Weir::HttpServer::reply(200, 'x',
        'Set-Cookie' => 'a=b; Domain=inner.test; Path=/in/x; HttpOnly',
        'Set-Cookie' => 'c=d; path=/in/', 'Set-Cookie' => 'e=f; domain=else.test'),
    'bad line' => "HTTP/1.1 200 OK\r\nthis is no field\r\nContent-Length: 2\r\n\r\nok",
    garbage => "garbage, not HTTP\r\n\r\n",
    'status of letters' => "HTTP/1.1 abc OK\r\n\r\n",
    'bad length' => "HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n",
    'two lengths' => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc",
    'length and chunked' => "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n"
        . "Transfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n",
    'obs-fold' => "HTTP/1.1 200 OK\r\nX-A: 1\r\n 2\r\nContent-Length: 2\r\n\r\nok",
    'bare CR' => "HTTP/1.1 200 OK\r\nX-A: 1\r2\r\nContent-Length: 2\r\n\r\nok",
    NUL => "HTTP/1.1 200 OK\r\nX-A: 1\0002\r\nContent-Length: 2\r\n\r\nok",
    'interim 100' => "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    'hop fields' => Weir::HttpServer::reply(200, 'x', 'Keep-Alive' => 'timeout=3',
        'Proxy-Connection' => 'keep-alive', Connection => 'X-Named', 'X-Named' => 1, TE => 'x',
        Upgrade => 'h2c', Trailer => 'X-Sum'),
    'longer than its length' => "HTTP/1.1 200 OK\r\nConnection: close\r\n"
        . "Content-Length: 2\r\n\r\nokmore",
    map({ ("status $_" => Weir::HttpServer::reply($_, $_ == 304 ? '' : "body $_\n")) }
        qw(200 201 202 203 206 226 300 303 307 308 400 401 403 404 405 409 410 416 418 422 429 451
            500 501 502 503 504 599)),
    'status 204' => "HTTP/1.1 204 No Content\r\nX-A: b\r\n\r\n",
    'status 304' => "HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Type: text/x\r\n\r\n",
    'large' => Weir::HttpServer::reply(200, join '', map { "line $_\n" } 1 .. 20000),
    'large, chunked' => "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
        . join('', map { "1000\r\n" . ('x' x 4096) . "\r\n" } 1 .. 40) . "0\r\n\r\n",
);

sub server_behind {
    my ($name) = @_;
    $w->backend($name, serve => Weir::HttpServer::serve(sub {
        my ($request) = @_;
        return Weir::HttpServer::reply(200, "hello\n", 'Content-Type' => 'text/plain')
            if $request->{raw} !~ /^X-Reply: (.*?)\r$/m;
        my $text = $REPLY{$1} // die "no reply $1\n";
        $text =~ s/\r\n\r\n\K.*//s if $request->{method} eq 'HEAD';
        return $text;
    }, record => $w->path("$name.requests")));
}

# ---- the table: [name, raw request]

my @TABLE;

sub case {
    my ($name, $raw) = @_;
    push @TABLE, [$name, $raw];
}

# A request that asks for the connection's end; fields as in Weir::Http, Host is added.
sub request {
    my ($name, $line, @fields) = @_;
    case($name, Weir::Http::request($line, @fields, Connection => 'close'));
}

# Paths and encodings, by each way of making the request's path.
for my $path ('/', '/a', '/a/b', '/a/', '/a//b', '//a', '/a/./b', '/a/../b', '/a/b/..', '/a/.',
    '/a/...', '/..a', '/%61', '/%2e%2e/a', '/a/%2e%2e/b', '/a%2Fb', '/a%2fb', '/a%20b', '/a+b',
    '/a%3Fb', '/a%23b', '/a%25b', '/%C3%A4', "/\xC3\xA4", '/a;b', '/a;b=c', '/a:b', '/a@b', '/a&b',
    '/a=b', '/a,b', "/a'b", '/a"b', '/a<b>', '/a[b]', '/a{b}', '/a|b', '/a\\b', '/a^b', '/a`b',
    '/a~b', '/a*b', '/a$b', '/a!b', '/a(b)', '/a%0Ab', '/a%0D%0Ab', '/a%7Fb', '/a%09b', '/a%E4b',
    '/a#b', '/a%', '/a%2', '/a%zz', '/a%00b', '/../', '/a/../../b', '/a?', '/a?b', '/a?b=c&d=e',
    '/a?b=/../c', '/a?b?c', '/a?%20', '/a?b c=d', "/a?\xFF", '/a?x#y', '/?', '/a/b/../../c/./d?e',
    '/a/..%2f..%2fb', '/%2F', '/.', '/./', '/a/%2E', '/a//..//b') {
    request("path $path", "GET $path") if $path !~ / /;
    request("path /uri$path", "GET /uri$path") if $path !~ / /;
}
for my $path ('/strip/a', '/strip/a/b?c', '/strip/', '/strip', '/strip//a', '/plain', '/plain/a',
    '/plainer',
    '/plain?x', '/re/a', '/re/a%20b?c', '/re/a//b', '/vars/a?b', '/vars/a%20b?c=d', '/uri',
        '/uri?a',
    '/uri/a%20b', '/uri/%E4%2F', '/rewrite/a', '/rewrite/a%20b?c', '/rewrite/a?b=c',
        '/rewrite-uri/a',
    '/rewrite-uri/a%3Fb', '/rewrite-last/x?y', '/exact', '/exact/', '/exactly', '/stop/a.png',
        '/a.png',
    '/a.PNG', '/a.jpg?b', '/internal/x', '/page', '/vars/', '/nowhere/%2e/x') {
    request("route $path", "GET $path");
}
request("merge_slashes off: $_", "GET $_", Host => 'nomerge.test')
    for '/a//b', '//a', '/uri//a', '/a/..//b';

# Server names.
for my $host ('test', 'TEST', 'test.', 'test:80', 'test:', 'other.test', 'OTHER.test',
    'a.wild.test',
    'a.b.wild.test', 'wild.test', 'bob.regex.test', 'unknown', '127.0.0.1', '[::1]', '[::1]:80',
        'a_b',
    'a..b', '.a', 'a/b', 'a b', 'a@b', '[', '', 'a:b', 'test:99999', "t\xE4st", 'a,b') {
    request("Host <$host>", 'GET /headers/a', Host => $host);
    request("Host <$host>, a server's", 'GET /headers/a', Host => $host) if $host =~ /wild|regex/;
}
case('no Host, 1.1', "GET /headers/ HTTP/1.1\r\nConnection: close\r\n\r\n");
case('no Host, 1.0', "GET /headers/ HTTP/1.0\r\n\r\n");
case('no Host, 1.0, a text', "GET /return/200 HTTP/1.0\r\n\r\n");
case('two Hosts', "GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n");
case('Host, 1.0', "GET /headers/ HTTP/1.0\r\nHost: test\r\n\r\n");
case('absolute-form',
    "GET http://test/headers/a?b HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
case('absolute-form, other Host', "GET http://test/headers/a HTTP/1.1\r\nHost: other.test\r\n"
    . "Connection: close\r\n\r\n");
case('absolute-form, port', "GET http://test:81/headers/ HTTP/1.1\r\nHost: test:81\r\n"
    . "Connection: close\r\n\r\n");
case('absolute-form, no path',
    "GET http://test HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
case('absolute-form, query',
    "GET http://test?x HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
case('absolute-form, https',
    "GET https://test/a HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
case('absolute-form, no host', "GET http:///a HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
case('authority-form', "CONNECT test:80 HTTP/1.1\r\nHost: test:80\r\n\r\n");
case('asterisk-form', "OPTIONS * HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");

# Methods.
request("method $_", "$_ /m") for qw(GET HEAD POST PUT DELETE OPTIONS PATCH PROPFIND MKCOL COPY MOVE
    LOCK UNLOCK SEARCH X-OWN M_Y A);
request("method $_ to a text", "$_ /return/200") for qw(GET HEAD POST PUT DELETE OPTIONS PATCH);
request("method $_ to a file", "$_ /files/a.txt") for qw(GET HEAD POST PUT DELETE OPTIONS PATCH);
request("method <$_>", "$_ /m") for qw(get Get G1 G: TRACE);
request("limit_except, $_", "$_ /limit/x") for qw(GET HEAD POST DELETE);
request('proxy_method', 'POST /method/x', body => 'abc');

# The request line.
case("line <$_->[0]>", "$_->[1]\r\nHost: test\r\nConnection: close\r\n\r\n") for
    ['two spaces', 'GET  / HTTP/1.1'], ['two spaces before the version', 'GET /  HTTP/1.1'],
    ['space at the end', 'GET / HTTP/1.1 '], ['tab', "GET\t/ HTTP/1.1"], ['leading space',
        ' GET / HTTP/1.1'],
    ['no path', 'GET HTTP/1.1'], ['no slash', 'GET a HTTP/1.1'], ['lower case', 'GET / http/1.1'],
    ['1.2', 'GET / HTTP/1.2'], ['2.0', 'GET / HTTP/2.0'], ['3.0', 'GET / HTTP/3.0'],
    ['0.9', 'GET / HTTP/0.9'], ['1.01', 'GET / HTTP/1.01'], ['1.', 'GET / HTTP/1.'],
    ['1', 'GET / HTTP/1'], ['11.1', 'GET / HTTP/11.1'], ['no version', 'GET / HTTP/'],
    ['other protocol', 'GET / FTP/1.1'], ['space in the path', 'GET /a b HTTP/1.1'],
    ['NUL in the path', "GET /a\0b HTTP/1.1"], ['CR in the path', "GET /a\rb HTTP/1.1"],
    ['control in the path', "GET /a\x01b HTTP/1.1"], ['DEL in the path', "GET /a\x7Fb HTTP/1.1"],
    ['tab in the path', "GET /a\tb HTTP/1.1"];
case('empty line first', "\r\nGET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
case('LF only', "GET /headers/ HTTP/1.1\nHost: test\nConnection: close\n\n");
case('0.9', "GET /return/200\r\n");
case('0.9, proxied', "GET /headers/\r\n");
case('0.9, a post', "POST /\r\n");

# Fields.
request("field: $_->[0]", 'GET /headers/a?a=1', 'X-Own' => $_->[1]) for ['spaces around',
    '  a b  '],
    ['tab around', "\ta\t"], ['tab inside', "a\tb"], ['empty', ''], ['high', "\xE4\xFF"],
    ['quoted', '"a, b"'], ['control', "a\x01b"], ['DEL', "a\x7Fb"], ['NUL', "a\0b"], ['CR', "a\rb"],
    ['long', 'x' x 2000];
request("field name $_", 'GET /f', $_ => 1) for split(' ',
    q{X-A x_under X.dot X!bang X#hash X$dollar X'quote X*star
    X+plus X~tilde X|bar X^caret X`tick 1digit - A}), 'X A', 'X(a)', 'X/a',
    'X[a]', 'X"a', "X\xE4", 'X@a';
request('underscores on', 'GET /f', Host => 'nomerge.test', x_under => 1);
request('field without a name', 'GET /f', '' => 'x');
case("$_->[0]", "GET /f HTTP/1.1\r\nHost: test\r\nConnection: close\r\n$_->[1]\r\n\r\n") for
    ['obs-fold', "X-A: 1\r\n 2"], ['obs-fold, tab', "X-A: 1\r\n\t2"], ['space before colon',
        'X-A : 1'],
    ['field without colon', 'X-A'], ['field of spaces', '  '], ['two fields', "X-A: 1\r\nX-A: 2"],
    ['two cookies', "Cookie: a=1\r\nCookie: b=2"], ['no space', 'X-A:1'];
request('hop: Keep-Alive', 'GET /f', 'Keep-Alive' => 'timeout=1');
request('hop: Proxy-Connection', 'GET /f', 'Proxy-Connection' => 'keep-alive');
request('hop: Upgrade', 'GET /f', Upgrade => 'websocket');
request('TE: trailers', 'GET /f', TE => 'trailers');
request('trailer announced', 'GET /f', Trailer => 'X-Sum');
case('hop: named in Connection', "GET /f HTTP/1.1\r\nHost: test\r\nX-Named: 1\r\n"
    . "Connection: close, X-Named\r\n\r\n");
request('X-Forwarded-For', 'GET /headers/', 'X-Forwarded-For' => '1.2.3.4');
request('two X-Forwarded-For', 'GET /headers/', 'X-Forwarded-For' => '1.2.3.4',
    'X-Forwarded-For' => '5.6.7.8');
request('usual fields', 'GET /headers/a', 'User-Agent' => 'x/1', Accept => '*/*',
    'Accept-Encoding' => 'gzip', 'Accept-Language' => 'de', Referer => 'http://r/',
        Cookie => 'c=d; e=f',
    Authorization => 'Basic eDp5', 'If-Modified-Since' => 'Mon, 01 Jan 2024 00:00:00 GMT',
    'If-None-Match' => '"x"', Range => 'bytes=0-1', 'If-Range' => '"y"', Pragma => 'no-cache',
    'Cache-Control' => 'no-cache', Origin => 'http://o', Via => '1.1 v', Forwarded => 'for=x',
    'X-Request-Id' => 'abc', DNT => 1, 'X-Real-IP' => 'forged');
request('fields are not passed', 'GET /no-fields/x', 'X-A' => 1, Cookie => 'a=b');
request('too large: field', 'GET /f', 'X-Long' => 'x' x 9000);
request('too large: fields', 'GET /f', map { ("X-$_" => 'x' x 8000) } 1 .. 6);
request('too large: line', 'GET /' . 'x' x 9000);
request("twice: $_", 'GET /f', $_ => 'x',
    $_ => 'x') for qw(User-Agent Referer Accept Range Authorization
    If-None-Match X-Forwarded-For Upgrade Content-Type);
request("Expect: $_", 'POST /f', Expect => $_, body => 'abc') for 'other', '100-CONTINUE';

# Bodies.
request("body, $_", "$_ /b", body => 'abc') for qw(GET HEAD POST PUT DELETE OPTIONS PATCH);
request('body, empty', 'POST /b', 'Content-Length' => 0);
request('body, none', 'POST /b');
request('body, a form', 'POST /headers/f', body => 'a=1&b=2',
    'Content-Type' => 'application/x-www-form-urlencoded');
request('body, 100 KB', 'POST /b', body => 'x' x 100_000);
request('body, zeros', 'POST /b', body => "\0\r\n\r\n" x 20);
request('body, unbuffered', 'POST /unbuffered/b', body => 'abc');
request('body, unbuffered, 100 KB', 'POST /unbuffered/b', body => 'x' x 100_000);
request('body, to a text', 'POST /return/200', body => 'abc');
request('body, set', 'POST /set-body/x?y', body => 'abc');
request('body, set, of a GET', 'GET /set-body/x?y');
request('body, not passed', 'POST /no-body/x', body => 'abc');
request('body, version 1.0', 'POST /version10/x', body => 'abc');
request("body, of $_ where 10 may be", 'POST /small/x', body => 'x' x $_) for 9, 10, 11;
request("chunked: $_->[0]", 'POST /b', 'Transfer-Encoding' => 'chunked', body => $_->[1]) for
    ['one', "3\r\nabc\r\n0\r\n\r\n"], ['two', "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"], ['none',
        "0\r\n\r\n"],
    ['extension', "3;a=b\r\nabc\r\n0\r\n\r\n"], ['zeros', "0003\r\nabc\r\n0\r\n\r\n"],
    ['upper', "A\r\n0123456789\r\n0\r\n\r\n"], ['trailers', "3\r\nabc\r\n0\r\nX-Sum: 1\r\n\r\n"],
    ['bad size', "g\r\nabc\r\n0\r\n\r\n"], ['minus', "-1\r\nabc\r\n0\r\n\r\n"],
    ['huge', "fffffffffffffffff\r\nabc\r\n0\r\n\r\n"], ['no size', "\r\nabc\r\n0\r\n\r\n"],
    ['too long data', "3\r\nabcd\r\n0\r\n\r\n"], ['hex prefix', "0x3\r\nabc\r\n0\r\n\r\n"];
request('chunked, of 11 where 10 may be', 'POST /small/x', 'Transfer-Encoding' => 'chunked',
    body => "b\r\n12345678901\r\n0\r\n\r\n");
request('chunked, version 1.0 behind', 'POST /version10/x', 'Transfer-Encoding' => 'chunked',
    body => "3\r\nabc\r\n0\r\n\r\n");
case('chunked, 1.0', "POST /b HTTP/1.0\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
    . "3\r\nabc\r\n0\r\n\r\n");
request("coding <$_>", 'POST /b', 'Transfer-Encoding' => $_,
    body => "3\r\nabc\r\n0\r\n\r\n") for 'gzip',
    'gzip, chunked', 'chunked, gzip', 'chunked, chunked', 'identity', 'xchunked', 'CHUNKED', '';
request("length <$_>", 'POST /b', 'Content-Length' => $_, body => 'abc') for '3', '03', '+3', '-3',
    '3 ',
    '3,3', '3x', '0x3', '99999999999999999999', '3.0', '', ' 3';
case('length twice',
    "POST /b HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\nContent-Length: 3\r\n\r\nabc");
case('length and coding', "POST /b HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n"
    . "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n");

# Replies.
for my $reply (sort keys %REPLY) {
    request("reply: $reply", 'GET /r', 'X-Reply' => $reply);
}
for my $reply ('no length', 'chunked', 'status 200', 'status 404', 'status 304', 'status 204',
    'large') {
    request("reply to HEAD: $reply", 'HEAD /r', 'X-Reply' => $reply);
    request("reply, unbuffered: $reply", 'GET /unbuffered/r', 'X-Reply' => $reply);
    request("reply, 1.0 behind: $reply", 'GET /version10/r', 'X-Reply' => $reply);
    case("reply to 1.0: $reply", "GET /r HTTP/1.0\r\nX-Reply: $reply\r\n\r\n");
}
request("intercepted: $_", 'GET /intercept/x', 'X-Reply' => $_)
    for map { "status $_" } qw(200 403 404 410 500 503);
request("intercepted HEAD: $_", 'HEAD /intercept/x', 'X-Reply' => $_) for 'status 404',
    'status 410';
request("added: $_", 'GET /added/x',
    'X-Reply' => $_) for map { "status $_" } qw(200 201 204 304 404 500);
request("hidden: $_", 'GET /hide/x', 'X-Reply' => $_) for 'secret', 'X-Accel fields';
request("redirect: $_", 'GET /redirect/x', 'X-Reply' => $_)
    for 'location', 'location, other', 'location, path', 'refresh';
request("redirect, default: $_", 'GET /redirect-default/x', 'X-Reply' => $_)
    for 'location', 'location, other', 'location, path', 'refresh';
request('cookies', 'GET /cookie/x', 'X-Reply' => 'cookies');
request("return: $_", "GET /return/$_") for 200, 204, 301, 302, 307, 404, 410, 444, 503;
request("return, HEAD: $_", "HEAD /return/$_") for 200, 204, 301, 404, 410;
case("return, 1.0: $_", "GET /return/$_ HTTP/1.0\r\n\r\n") for 200, 204, 301, 404, 410;

# Files.
request("file $_", "GET $_") for '/files/a.txt', '/files/empty.txt', '/files/b%20c.html',
    '/files/none',
    '/files', '/files/', '/files/missing', '/files/a.txt/', '/files/a.txt?x', '/alias/a.txt',
        '/alias/',
    '/alias/../a.txt', '/try/a', '/try/files/', '/files/%2e%2e/files/a.txt', '/files/A.TXT';
request("range $_", 'GET /files/a.txt', Range => $_) for 'bytes=0-1', 'bytes=5-', 'bytes=-3',
    'bytes=0-0,5-6',
    'bytes=20-', 'bytes=5-2', 'bytes=', 'lines=1-2', 'bytes=0-99', 'bytes=-0', 'bytes=0-1,20-30',
        'bytes=x';
request("condition $_->[0]", 'GET /files/a.txt', @$_[1 .. $#$_]) for
    ['since, same', 'If-Modified-Since' => 'Sun, 13 Sep 2020 12:26:40 GMT'],
    ['since, later', 'If-Modified-Since' => 'Sun, 13 Sep 2021 12:26:40 GMT'],
    ['since, earlier', 'If-Modified-Since' => 'Sun, 13 Sep 2019 12:26:40 GMT'],
    ['unmodified, earlier', 'If-Unmodified-Since' => 'Sun, 13 Sep 2019 12:26:40 GMT'],
    ['match, any', 'If-Match' => '*'], ['match, other', 'If-Match' => '"x"'],
    ['none, any', 'If-None-Match' => '*'], ['none, same', 'If-None-Match' => '"5f5e1000-b"'],
    ['none, weak', 'If-None-Match' => 'W/"5f5e1000-b"'], ['none, other', 'If-None-Match' => '"y"'],
    ['range, if same', Range => 'bytes=0-1', 'If-Range' => '"5f5e1000-b"'],
    ['range, if other', Range => 'bytes=0-1', 'If-Range' => '"z"'];

# ---- both run

server_behind($_) for 'behind_nginx', 'behind_weir';

sub conf_of {
    my ($who, $own) = @_;
    my $conf = $CONF =~ s/BACK/behind_$who/r =~ s/FRONT/$who/gr =~ s/NGINX/$own/r;
    return $conf;
}

my $temp = join ' ',
    map { "${_}_temp_path %{dir}/nginx_$_;" } qw(client_body proxy fastcgi uwsgi scgi);
$w->write('nginx.conf', "pid %{dir}/nginx.pid;\nevents {}\n"
    . conf_of('nginx', "access_log off; $temp"));
my $running = Weir::Process::spawn(sub {
    $w->redirect($w->path('nginx.out'), $w->path('nginx.err'));
    exec $nginx, '-p', $w->dir, '-c', $w->path('nginx.conf'), '-e', $w->path('nginx-error'),
        '-g', 'daemon off; master_process off;';
});
push @{ $w->{helpers} }, bless { pid => $running }, 'Weir::Network';
$w->start(conf_of('weir', 'access_log off;'));
my $listens = wait_for { my $c = $w->connect('nginx'); $c && $c->close; $c };
plan skip_all => 'nginx does not start here: ' . slurp($w->path('nginx.err')) if !$listens;

# ---- one case at one server: the lines that are compared

my %OWN = map { $_ => 1 } qw(date server connection keep-alive);

sub shown {
    my ($bytes) = @_;
    $bytes = substr($bytes, 0, 200) . '... of ' . length $bytes if length $bytes > 400;
    return $bytes =~ s/([^\x20-\x7E])/sprintf '\\x%02X', ord $1/ger;
}

sub reply_lines {
    my ($who, $raw) = @_;
    my $c = $w->connect($who) or return "connect: $!";

    $c->send($raw);
    my $start = $c->recv(5, 2);
    $c->{in} = $start . $c->{in};
    if ($start ne 'HTTP/') {    # a reply of HTTP/0.9, or none
        return 'all: ' . shown($c->rest(2) =~ s{<center>\K(?:nginx|weir)(?=</center>)}{it}r);
    }
    my $head = $raw =~ /^HEAD /;
    my $r = Weir::Http::reply($c, $head);
    my $interim = $r->{status};
    $r = Weir::Http::reply($c, $head) if $interim == 100;
    my $more = $c->rest(2);
    $c->close;
    my $page = $r->{body} =~ s{<center>\K(?:nginx|weir)(?=</center>)}{it}
        || $head && $r->{status} >= 300 && ($r->field('Content-Type') // '') eq 'text/html';
    if (($r->field('Content-Type') // '') =~ /; boundary=(\d+)$/) {
        my $boundary = $1;
        $r->{body} =~ s/$boundary/BOUNDARY/g;
        $_->[1] =~ s/$boundary/BOUNDARY/ for @{ $r->{fields} };
    }
    my $port = $w->port($who);
    return ("status: $r->{status}", "first: $interim", "wrong: $r->{wrong}",
        (sort map { s/:$port\b/:PORT/r } map { lc($_->[0]) . ": $_->[1]" }
            grep { !$OWN{ lc $_->[0] } && !($page && lc $_->[0] eq 'content-length') }
            @{ $r->{fields} }),
        'body: ' . shown($r->{body}), 'behind the body: ' . shown($more));
}

sub request_lines {
    my ($who) = @_;
    my @lines;

    for my $raw (Weir::HttpServer::recorded($w->path("behind_$who.requests"))) {
        my ($head, $body) = $raw =~ /\A(.*?\r\n)\r\n(.*)\z/s;
        my ($line, @fields) = split /\r\n/, $head // '', -1;
        pop @fields;
        $line //= $raw;
        push @lines, "it got: " . shown($line),
            map({ 'it got: ' . shown($_) } sort map { s/^([^:]*)/\L$1/r } @fields),
            'it got the body: ' . shown($body // '');
    }
    return @lines;
}

sub outcome {
    my ($who, $raw) = @_;
    my @reply = reply_lines($who, $raw);
    return [@reply, request_lines($who)];
}

sub difference {
    my ($nginx, $weir) = @_;
    my %count;
    $count{$_}-- for @$nginx;
    $count{$_}++ for @$weir;
    return map { $count{$_} < 0 ? "nginx $_" : $count{$_} > 0 ? "weir  $_" : () } sort keys %count;
}

cmp_ok scalar(@TABLE), '>=', 200, @TABLE . ' requests';
my $chosen = @ARGV ? qr/$ARGV[0]/ : qr//;
for my $case (grep { $_->[0] =~ $chosen } @TABLE) {
    my ($name, $raw) = @$case;
    my $differ = sub { difference(map { outcome($_, $raw) } 'nginx', 'weir') };
    my @difference = $differ->();
    my ($known) = grep { $name =~ $_->[0] } @DIFFERS;

    # Expires tells the second: it may have changed between the two. A difference that is one stays.
    @difference = $differ->() if @difference && !$known;
    if ($known) {
        $known->[2] += @difference ? 1 : 0;
        pass(shown($name) . (@difference ? ": $known->[1]" : ''));
    } else {
        ok(!@difference, shown($name)) or diag join "\n", shown($raw), @difference;
    }
}
if (!@ARGV) {
    ok $_->[2], "still different: $_->[0]" for @DIFFERS;
}

Weir::Process::end_process($running, 'QUIT');
$w->finish;
done_testing;
