#!/usr/bin/perl
# chaos: yes

# The value of a variable stays within the field it is put into: no control character of a decoded
# path gets into a reply or to a server by any directive, over a kept connection, where a second
# reply would be taken for that of the next request.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;
my @REWRITTEN = (
    Location => 'http://b/old/x', Refresh => '5; url=http://b/old/x',
    'Set-Cookie' => 'a=b; Path=/old/x', 'Set-Cookie' => 'c=d; Domain=old.test', 'X-Last' => 'y',
);
$w->backend('b', serve => Weir::HttpServer::serve(sub {
    my ($r) = @_;
    return Weir::HttpServer::reply(200, 'x', 'X-A' => 'a' . chr(hex $1) . 'b')
        if $r->{target} =~ /its-own-(..)/;
    return Weir::HttpServer::reply(200, 'hello', $r->{target} =~ /next/ ? () : @REWRITTEN);
}, record => $w->path('b.requests')));
$w->start(<<'CONF');
events { }
http {
    upstream b { server %{b}; keepalive 4; }
    proxy_set_header Connection "";
    server {
        listen %{web};
        location / { proxy_pass http://b; }
        location /rewritten {
            proxy_redirect http://b/old/ $uri/;
            proxy_cookie_path /old/ $uri/;
            proxy_cookie_domain old.test $uri;
            add_header X-Added "<$uri>" always;
            add_trailer X-Behind "<$uri>" always;
            proxy_pass http://b/old/;
        }
        location ~ ^/captured/(?<rest>[^/]*)$ {
            proxy_redirect ~^http://b/old/(.*) /$rest/$1;
            proxy_cookie_path ~^/old/(.*) /$rest/$1;
            proxy_cookie_domain ~^old(.*) $rest$1;
            add_header X-Added "<$rest>" always;
            proxy_pass http://b;
        }
        location /sent {
            proxy_set_header Host "h$uri";
            proxy_set_header X-U $uri;
            proxy_set_header X-V "<$uri>";
            proxy_pass http://b/sent;
        }
        location /returned { return 302 http://e$uri; }
        location /paged { error_page 403 http://e$uri; return 403; }
        location /text { return 200 "text\n"; }
    }
}
CONF

# Both replies of two requests on one connection, and nothing behind them.
sub replies {
    my ($path) = @_;
    my $c = $w->connect('web');

    $c->send(Weir::Http::request("GET $path") . Weir::Http::request('GET /text/next',
        Connection => 'close'));
    my ($one, $two) = (Weir::Http::reply($c), Weir::Http::reply($c));
    is $two->{body}, "text\n", 'the next request has its reply';
    is $c->rest, '', 'and nothing comes behind it';
    $c->close;
    is $one->{wrong}, '', 'well-formed';
    unlike $one->{head} =~ s/\n//gr, qr/[\x00-\x08\x0A-\x1F\x7F]/, 'no control characters';
    return $one;
}

sub control { return sprintf '%%%02X', $_[0] }

my $INJECTED = 'HTTP/1.1%20200%20OK%0D%0AContent-Length:%203%0D%0A%0D%0Abad';

for my $at ('/rewritten/', '/captured/') {
    my $r = replies("${at}a%0D%0AContent-Length:%200%0D%0A%0D%0A" . $INJECTED =~ s{/}{%2F}gr);
    is $r->{body}, 'hello', "$at: the reply's own body";
    is scalar(grep { lc $_->[0] eq 'content-length' } @{ $r->{fields} }),
        $at =~ /rewritten/ ? 0 : 1, 'and framing';
}

for my $byte (1 .. 8, 10 .. 31, 127) {
    my ($code, $r) = (control($byte));
    subtest "byte $code" => sub {
        $r = replies("/rewritten/a${code}X-Evil:b");
        is $r->field('Location'), sprintf('http://test:%d/rewritten/a%sX-Evil:b/x', $w->port('web'),
            $code), 'proxy_redirect: escaped';
        is $r->field('Refresh'), "5; url=/rewritten/a${code}X-Evil:b/x", 'Refresh too';
        is $r->field('X-Added'), '</rewritten/a X-Evil:b>', 'add_header: a space';
        is_deeply $r->{trailers}, [['X-Behind', '</rewritten/a X-Evil:b>']], 'add_trailer';
        my @cookies = map { $_->[1] } grep { $_->[0] eq 'Set-Cookie' } @{ $r->{fields} };
        is_deeply \@cookies, ['a=b; Path=/rewritten/a X-Evil:b/x',
            'c=d; Domain=/rewritten/a X-Evil:b'], 'proxy_cookie_path and _domain';
        is $r->field('X-Evil'), undef, 'and no field of its own';

        $r = replies("/captured/a${code}X-Evil:b");
        is $r->field('Location'), sprintf('http://test:%d/a%sX-Evil:b/x', $w->port('web'), $code),
            'a capture in proxy_redirect';
        is $r->field('X-Last'), 'y', 'the fields behind it are untouched';

        $r = replies("/returned${code}X-Evil:b");
        is $r->field('Location'), "http://e/returned${code}X-Evil:b", 'return';
        $r = replies("/paged${code}X-Evil:b");
        is $r->field('Location'), "http://e/paged${code}X-Evil:b", 'error_page';

        unlink $w->path('b.requests');
        is replies("/sent/a${code}X-Evil:b")->{body}, 'hello', 'proxy_set_header';
        my @got = Weir::HttpServer::recorded($w->path('b.requests'));
        is scalar(@got), 1, 'one request at the server';
        my @lines = split /\r\n/, $got[0];
        is_deeply [grep { /^(?:Host|X-)/ } @lines], ['Host: h/sent/a X-Evil:b',
            'X-U: /sent/a X-Evil:b', 'X-V: </sent/a X-Evil:b>'], 'with a space in its fields';
    };
}
is replies('/sent/a%09b')->{body}, 'hello', 'a tab';
like +(Weir::HttpServer::recorded($w->path('b.requests')))[-1], qr{^X-U: /sent/a\tb\r$}m,
    'may stand in a value';

# A peer's own lines: refused where they are read.
for my $byte (0 .. 8, 11, 12, 14 .. 31, 127) {
    my $r = Weir::Http::ask($w, 'web', 'GET /text', 'X-A' => 'a' . chr($byte) . 'b');
    is $r->{status}, 400, "byte $byte in a client's field";
    $r = Weir::Http::ask($w, 'web', sprintf 'GET /its-own-%02X', $byte);
    is $r->{status}, 502, "byte $byte in a server's field";
}

my ($code, $out, $err) = Weir->new->command('-t', '-c', $w->write('name.conf', <<'CONF'));
events { }
http { server { listen %{web}; location / { add_header "X-A: b\r\nX-B" c; return 200; } } }
CONF
like $err, qr/header name/, 'a name with a line end is refused while loading';

$w->finish;
done_testing;
