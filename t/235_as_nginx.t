#!/usr/bin/perl
# chaos: yes

# Differences from nginx on the wire that were found by sending the same requests to both, and
# removed; where nginx 1.22 itself differs from newer versions, the newer one counts. (t/230
# compares with the nginx that is installed; heads of requests and replies alone are in t/unit.)

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;
mkdir $w->path('html');
chmod 0755, $w->path('html'), $w->dir;
$w->write('html/a.txt', "a\n");
$w->write('html/404.html', "a page\n");
my $upgraded = "HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: x\r\n";
$w->backend('b', serve => Weir::HttpServer::serve(sub {
    my ($r) = @_;
    my ($status) = $r->{target} =~ /status=(\d+)/;

    return "$upgraded\r\n" if $r->{target} =~ /upgrade$/;
    return "${upgraded}Server: own\r\n\r\n" if $r->{target} =~ /upgrade-own$/;
    return Weir::HttpServer::reply($status // 200, $r->{raw},
        'Last-Modified' => 'Mon, 01 Jan 2024 00:00:00 GMT');
}));
$w->start(<<'CONF');
events { }
http {
    access_log %{dir}/access.log;
    root %{dir}/html;
    server {
        listen %{web};
        location / { }
        location = /missing { error_page 404 /404.html; }
        location = /taken { error_page 404 =200 /404.html; }
        location /always { add_header Last-Modified "Mon, 01 Jan 2024 00:00:00 GMT" always; return 404; }
        location /proxy { proxy_pass http://%{b}; }
        location /host { proxy_set_header Host $http_host; proxy_pass http://%{b}; }
        location /variable { set $b %{b}; proxy_pass http://$b; }
        location /named { set $b localhost; resolver 127.0.0.1:1; proxy_pass http://127.0.0.1:%{b.port}$arg_nothing; }
        location /empty { proxy_pass http://$arg_nothing; }
        location /empty-port { proxy_pass http://$arg_nothing:80/; }
        location /port { proxy_pass http://127.0.0.1:999999$arg_nothing; }
        location /tunnel {
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_pass_header Server;
            proxy_pass http://%{b};
        }
        location /hidden/ {
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_pass http://%{b};
        }
        location /text { return 200 "text\n"; }
        location /uri { return 200 "$request_uri|$uri|$args\n"; }
        location /forbidden { return 403; }
    }
    server {
        listen %{bad};
        error_page 400 @bad;
        location @bad { proxy_pass http://%{b}; }
    }
    server {
        listen %{gone};
        error_page 400 405 @bad;
        location @bad { return 200 "$request_method $uri\n"; }
    }
}
CONF

sub ask { return Weir::Http::ask($w, 'web', @_) }

sub said {
    my ($where, $raw) = @_;
    my $c = $w->connect($where);
    $c->send($raw);
    my $all = $c->rest;
    $c->close;
    return $all;
}

# ---- HTTP/0.9 and HTTP/1.0: a server always gets a Host

my $b = '127.0.0.1:' . $w->port('b');
like said('web', "GET /host/x\r\n"), qr{^GET /host/x HTTP/1\.1\r\nHost: \Q$b\E\r\n}m, 'HTTP/0.9';
like said('web', "GET /host/x HTTP/1.0\r\n\r\n"),
    qr{^GET /host/x HTTP/1\.1\r\nHost: \Q$b\E\r\n}m, 'HTTP/1.0 without Host';
like said('web', "GET /host/x HTTP/1.0\r\nHost: h:1\r\n\r\n"),
    qr{^GET /host/x HTTP/1\.1\r\nHost: h:1\r\n}m, 'and with it';

# ---- fragments

is ask('GET /uri/x#/../y?z')->{body}, "/uri/x|/uri/x|\n", 'a fragment is cut';
is ask('GET /uri/x?y#z')->{body}, "/uri/x?y|/uri/x|y\n", 'behind a query too';
like ask('GET /proxy#/../admin')->{body}, qr{^GET /proxy HTTP/1\.1\r}, 'and never sent on';
is ask('GET /uri/x%23y')->{body}, "/uri/x%23y|/uri/x#y|\n", 'an escaped one is part of the path';

# ---- Last-Modified

ok defined ask('GET /a.txt')->field('Last-Modified'), 'a file has Last-Modified';
my $r = ask('GET /missing');
is "$r->{status} $r->{body}", "404 a page\n", 'the page of an error';
is $r->field('Last-Modified'), undef, 'has not';
ok defined ask('GET /taken')->field('Last-Modified'), 'but with =200';
is ask('GET /always')->field('Last-Modified'), 'Mon, 01 Jan 2024 00:00:00 GMT', 'add_header';
is ask('GET /proxy?status=404')->field('Last-Modified'), 'Mon, 01 Jan 2024 00:00:00 GMT',
    'the one that a server sends stays';

# ---- proxy_pass with variables

unlike ask("GET /$_")->{body}, qr/^Connection:/m, "/$_: no Connection is sent"
    for 'variable', 'named', 'proxy';
is ask("GET /$_")->{status}, 500, "/$_: 500 without a valid address" for 'empty', 'empty-port',
    'port';
like $w->error_log, qr/no host in upstream ":80".*invalid port in upstream/s, 'and the log says why';

# ---- 101

sub upgrade {
    my ($path) = @_;
    my $c = $w->connect('web');
    $c->send(Weir::Http::request("GET $path", Connection => 'upgrade', Upgrade => 'x'));
    my $reply = Weir::Http::reply($c);
    $c->close;
    return $reply;
}

$r = upgrade('/tunnel/upgrade');
is $r->{status}, 101, 'switching protocols';
is $r->field('Server'), undef, 'without a Server of ours where the server\'s own would pass';
is upgrade('/tunnel/upgrade-own')->field('Server'), 'own', 'the one of the server passes';
like upgrade('/hidden/upgrade-own')->field('Server'), qr/^weir/,
    'if that one is hidden, weir adds its own';
is ask('GET /tunnel')->field('Server'), undef, 'the same for other replies';

# ---- Expect: 100-continue, and nobody reads the body

sub expecting {
    my ($target, $framing) = @_;
    return Weir::Http::request("POST $target", Expect => '100-continue', @$framing);
}

my @THREE = ('Content-Length' => 3);
for my $try (['/text', \@THREE, 200], ['/none', \@THREE, 404], ['/forbidden', \@THREE, 403],
    ['/text', ['Content-Length' => 900_000], 200, 'x' x 900_000],
    ['/text', ['Transfer-Encoding' => 'chunked'], 200, "3\r\nabc\r\n0\r\n\r\n"]) {
    my ($target, $framing, $status, $body) = @$try;
    my $name = "$target, @$framing";
    my $c = $w->connect('web');
    $c->send(expecting($target, $framing));
    is Weir::Http::reply($c)->{status}, 100, "$name: 100";
    $r = Weir::Http::reply($c);
    is $r->{status}, $status, 'then the reply';
    is $r->field('Connection'), 'keep-alive', 'and the connection is kept';
    $c->send(($body // 'abc') . Weir::Http::request('GET /uri/next', Connection => 'close'));
    is Weir::Http::reply($c)->{body}, "/uri/next|/uri/next|\n", 'for the next request';
    $c->close;
}
for my $try (['/forbidden', ['Content-Length' => 65537], 403],
    ['/forbidden', ['Transfer-Encoding' => 'chunked'], 403],
    ['/text', [Connection => 'close', @THREE], 200]) {
    my ($target, $framing, $status) = @$try;
    my $c = $w->connect('web');
    $c->send(expecting($target, $framing));
    $r = Weir::Http::reply($c);
    is "$r->{status} " . $r->field('Connection'), "$status close", "$target, @$framing: none asked";
    $c->close;
}

# ---- a bad request line with error_page 400 @named: nginx says 500, weir answers

for my $line ("G\x01T / HTTP/1.1", 'GET / HTTP/1.1 x', 'GET /%zz HTTP/1.1', "\x01", '', 'GET',
    'CONNECT x HTTP/1.1', 'POST b HTTP/1.1') {
    my $all = said('bad', "$line\r\nHost: x\r\n\r\n");
    next if $all eq '' && $line eq '';
    like $all, qr{\AHTTP/1.1 400 .*\r\n\r\nGET / HTTP/1\.1\r\nHost: \Q$b\E\r\n}s,
        'a request that can be read is sent for <' . ($line =~ s/([^ -~])/?/gr) . '>';
}
like said('bad', "GET /a?b HTTP/1.1\r\nHost: x y\r\n\r\n"),
    qr{\AHTTP/1.1 400 .*\r\n\r\nGET /a\?b HTTP/1\.1\r\nHost: \Q$b\E\r\n}s, 'a bad field: its own path';
like said('gone', "GET /a//b?c HTTP/1.1\r\nHost: x y\r\n\r\n"),
    qr{\r\n\r\nGET /a/b\n\z}s, 'which variables have, too';
like said('gone', "CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n"),
    qr{\r\n\r\nGET /\n\z}s, 'CONNECT has no path';

$w->finish;
done_testing;
