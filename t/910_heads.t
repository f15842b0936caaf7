#!/usr/bin/perl
# chaos: yes

# Heads that are not complete, and the server whose rules a head is read by: the lines of the log,
# how long a head may take, and what each server allows.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep);
use Weir;
use Weir::Http;

my $w = Weir->new;

$w->start(<<'CONF');
http {
    log_format short '$status "$request" $request_length $body_bytes_sent $server_name '
                     '$request_time';
    access_log %{dir}/access short;
    client_header_timeout 1s;
    keepalive_timeout 60s;
    server {
        listen %{web};
        server_name first;
        location / { return 200 "first $http_x_a_b\n"; }
    }
    server {
        listen %{web};
        server_name under;
        underscores_in_headers on;
        location / { return 200 "under $http_x_a_b\n"; }
    }
    server {
        listen %{web};
        server_name large;
        large_client_header_buffers 4 32k;
        max_headers 3;
        location / { return 200 "large\n"; }
    }
    server {
        listen %{web};
        server_name small;
        large_client_header_buffers 2 1k;
        ignore_invalid_headers off;
        location / { return 200 "small\n"; }
    }
}
CONF

sub logged {
    my ($line) = @_;
    my $found;

    wait_for { ($found) = slurp($w->path('access')) =~ /^($line.*)$/m };
    return $found // "no line:\n" . slurp($w->path('access'));
}

# A connection that has sent this and no more.
sub begun {
    my $c = $w->connect('web');
    $c->send($_[0]);
    return $c;
}

# ---- silence and departure within a head

my $c = begun("GET /late HTTP/1.1\r\nHost: under\r\nX-");
is $c->rest, '', 'half a head gets no reply';
like logged('408 "GET /late'), qr{^408 "GET /late HTTP/1\.1" 33 0 under (?:0\.9|[1-9])},
    'but a line in the access log of the server it was for';
like $w->error_log,
    qr{client timed out \(110: [^)]*\) while reading client request headers,.*"GET /late},
    'and one in the error log';

$c = begun("GET /part HT");
is $c->rest, '', 'part of a request line';
like logged('408 "GET /part'), qr{^408 "GET /part HT" 0 0 first (?:0\.9|[1-9])},
    'is logged as it is';
like $w->error_log, qr{client timed out .*while reading client request line,.*"GET /part HT"},
    'with the bytes that were read';

begun("GET /gone HTTP/1.1\r\nHost: under\r\n")->close;
like logged('400 "GET /gone'), qr{^400 "GET /gone HTTP/1\.1" 33 0 under}, 'a client that leaves';
like $w->error_log, qr{client prematurely closed connection while reading client request headers},
    'has left';
begun("GET /reset HTTP/1.1\r\n")->abort;
like logged('400 "GET /reset'), qr{^400 "GET /reset HTTP/1\.1" \d+ 0 first}, 'or resets';

begun('')->close;
is begun('')->rest, '', 'a client that sends nothing is closed, too';
unlike slurp($w->path('access')), qr/"-"|""/, 'but leaves no line';

# ---- the second head of a connection has a time of its own, whether its beginning came alone or
# together with the request before

for my $apart (0, 1) {
    my $second = "GET /2-$apart HTTP/1.1\r\n";

    $c = begun("GET / HTTP/1.1\r\nHost: first\r\n\r\n" . ($apart ? '' : $second));
    is +Weir::Http::reply($c)->{status}, 200, 'a request';
    $c->send($second) if $apart;
    is $c->ending(chaos ? 30 : 10), 'eof', 'and half a second one: closed before keepalive_timeout';
    like logged(qq{408 "GET /2-$apart}),
        qr{^408 "GET /2-$apart HTTP/1\.1" 19 0 first (?:0\.9|[1-9])},
        'and logged as a request that timed out';
}

# ---- $request_time begins with the first byte

$c = begun("GET /slow HTTP/1.1\r\n");
sleep 0.5;
$c->send("Host: first\r\n\r\n");
is +Weir::Http::reply($c)->{status}, 200, 'a head in two parts';
like logged('200 "GET /slow'), qr{ (?:0\.[4-9]|[1-9]\.)\d+$},
    'took its time from its first byte on';
$c->send("GET /quick HTTP/1.1\r\nHost: first\r\n\r\n");
Weir::Http::reply($c);
like logged('200 "GET /quick'), qr{ 0\.[0-3]\d+$}, 'which is not the time of the next';
$c->close;

# ---- each server's rules hold, from the Host on

sub answer {
    my ($first, @fields) = @_;
    my $c = begun(join '', map { "$_\r\n" } "GET $first HTTP/1.1", @fields,
        'Connection: close', '');
    my $r = Weir::Http::reply($c);
    $c->close;
    return "$r->{status} " . ($r->{status} == 200 ? $r->{body} =~ s/\n//r : '');
}

is answer('/', 'Host: first', 'X_A_B: 1'), '200 first ', 'underscores_in_headers off';
is answer('/', 'Host: under', 'X_A_B: 1'), '200 under 1', 'on, where the Host says so';
is answer('http://under/', 'X_A_B: 1', 'Host: first'), '200 under 1', 'or the request line';
is answer('/', 'X_A_B: 1', 'Host: under'), '200 under ', 'before the Host the default server rules';
is answer('/', 'Host: under', 'X(: 1'), '200 under ', 'odd names are ignored';
is answer('/', 'Host: small', 'X(: 1'), '400 ', 'or refused';
becomes { $w->error_log =~ /client sent invalid header line: "X\(: 1" while .*server: under/ }
    'a field that is ignored or refused is in the log';

my $x = 'x' x 9000;
is answer('/', 'Host: first', "X: $x"), '431 ', 'a field of 9000 bytes is too much for one server';
is answer('/', 'Host: large', "X: $x"), '200 large', 'and not for another';
is answer('/', "X: $x", 'Host: large'), '431 ', 'before the Host the default server rules';
is answer('http://large/', "X: $x", 'Host: large'), '200 large', 'unless the line says it';
is answer('/', 'Host: large', 'X: ' . 'x' x 33_000), '431 ', 'but there is a limit';
is answer('/', 'Host: small', 'X: ' . 'x' x 1100), '431 ',
    'a server with smaller buffers allows less';
is answer('/', 'Host: small', map { "X-$_: " . 'x' x 900 } 1 .. 3), '431 ',
    'also for the sum of all fields';
is answer('/?' . 'x' x 9000, 'Host: large'), '414 ', 'the request line comes before the Host';
is answer('/', 'Host: large', 'A: 1', 'B: 2'), '400 ', 'max_headers';
is answer('/', 'Host: first', 'A: 1', 'B: 2'), '200 first ',
    'the same fields at a server that allows more';
like logged('431 "GET / '), qr{first}, 'a refused request is logged with its line';

$w->finish;
done_testing;
