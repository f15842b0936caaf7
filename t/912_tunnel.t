#!/usr/bin/perl
# chaos: yes

# Connections that are upgraded: bytes that come early on either side, a request whose body is not
# complete yet when the server agrees, and how each side's end becomes the other's.

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

# Agrees as soon as it has the head, speaks first, and answers "?" with all that it has got since.
$w->backend('server', serve => sub {
    my ($fh) = @_;
    my $in = '';

    until ($in =~ s/\A.*?\r\n\r\n//s) {
        sysread $fh, $in, 65536, length $in or return;
    }
    Weir::HttpServer::give($fh, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: words\r\n"
          . "Connection: upgrade\r\n\r\nhello\n");
    while (1) {
        Weir::HttpServer::give($fh, "$1\n") if $in =~ s/\A(.*)\?\z//s;
        return if $in =~ /bye/;
        sysread $fh, $in, 65536, length $in or last;
    }
    open my $left, '>>', $w->path('left') or die "left: $!\n";
    syswrite $left, "$in\n";
});
$w->start(<<'CONF');
http {
    client_body_timeout 2s;
    access_log off;
    proxy_http_version 1.1;
    proxy_set_header Upgrade $http_upgrade;
    proxy_set_header Connection upgrade;
    server {
        listen %{web};
        location / { proxy_pass http://%{server}; }
        location /streamed/ { proxy_request_buffering off; proxy_pass http://%{server}; }
    }
}
CONF

# A connection whose request was sent like this.
sub upgraded {
    my ($line, $fields, $rest) = @_;
    my $c = $w->connect('web');
    $c->send("$line HTTP/1.1\r\nHost: a\r\nUpgrade: words\r\nConnection: upgrade\r\n"
          . "$fields\r\n$rest");
    return $c;
}

sub agreed {
    my ($c, $name) = @_;
    my $r = Weir::Http::reply($c);
    is "$r->{status} " . ($r->field('Upgrade') // '') . ' ' . ($r->field('Connection') // ''),
        '101 words upgrade', $name;
    return $c;
}

for my $path ('/', '/streamed/') {
    my $c = agreed(upgraded("GET $path", '', 'early'), "$path: an upgrade");
    is $c->line, 'hello', 'the server speaks first';
    $c->send(' and late?');
    is $c->line, 'early and late', 'what came before it agreed is not lost';
    $c->send('bye');
    is $c->ending, 'eof', 'the server ends it';
    $c->close;

    $c = agreed(upgraded("GET $path", '', ''), 'another');
    $c->send("last words $path");
    $c->fin;
    becomes { slurp($w->path('left')) =~ /^last words $path$/m } 'the client ends it';
    $c->close;

    $c = agreed(upgraded("POST $path", "Content-Length: 10\r\n", 'abcdefghij'), 'with a body');
    $c->send('more?');
    is $c->line . $c->line, 'helloabcdefghijmore', 'which comes first';
    $c->close;
}

# ---- the server agrees before the request is complete

{
    my $c = agreed(upgraded('POST /streamed/', "Content-Length: 10\r\n", 'abcde'), 'half a body');
    $c->send('fghij');
    is $c->line, 'hello', 'the rest of it goes on';
    $c->send('more?');
    is $c->line, 'abcdefghijmore', 'and then the bytes behind the body';
    $c->close;

    $c = agreed(upgraded('POST /streamed/', "Transfer-Encoding: chunked\r\n", "5\r\nabcde\r\n"),
        'a chunk');
    $c->send("3\r\nfgh\r\n0\r\n\r\n");
    $c->send('more?');
    is $c->line, 'hello', 'the server speaks first';
    my $body = Weir::Http::chunked($c);
    is "$body->{body} $body->{wrong}", 'abcdefgh ', 'chunks stay chunks';
    is $c->line, 'more', 'bytes behind the body do not become a chunk';
    $c->close;

    $c = agreed(upgraded('POST /streamed/', "Content-Length: 10\r\n", 'abcde'), 'half a body');
    is $c->ending(chaos ? 30 : 15), 'eof',
        'a body that never becomes complete: client_body_timeout';
    $c->close;

    $c = agreed(upgraded('POST /streamed/', "Transfer-Encoding: chunked\r\n", "1\r\na\r\n"),
        'a chunk');
    $c->send("x\r\n");
    isnt $c->ending, 'open', 'and then none: the connection ends';
    $c->close;
}

$w->finish;
done_testing;
