#!/usr/bin/perl
# chaos: yes

# health_check in a location: a server that answers with the wrong status, head or body gets no
# requests until it is well again; the log says what a check saw. Several checks of one group,
# mandatory ones, kept connections, TLS, ports of their own, IPv6, unix sockets, slow and endless
# replies.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep);
use Weir;
use Weir::Http;
use Weir::HttpServer;
use Weir::Tls;

Weir::Tls::needs();
my $w = Weir->new;
Weir::Tls::authority($w, 'ca');
Weir::Tls::certificate($w, $_, by => 'ca') for 'one', 'two';

# Each server answers checks with what its file says, and requests with its name.
sub replies {
    my ($name, $text) = @_;
    $w->write("$name.new", $text);
    rename $w->path("$name.new"), $w->path("$name.reply");
}

sub server {
    my ($name, %how) = @_;
    replies($name, 'well');
    $w->backend($name, serve => Weir::HttpServer::serve(sub {
        my ($r) = @_;
        return Weir::HttpServer::reply(200, $name) if $r->{target} !~ m{^/(?:health|other)};
        my ($text) = slurp($w->path("$name.reply"));
        return $text =~ /^HTTP/ ? $text : Weir::HttpServer::reply(200, $text);
    }, record => $w->path("$name.requests")), %how);
}

server('a');
server('b');
server('six', at => '[::1]:%{six.port}') if Weir::Ports::has_ipv6();
server('socket', at => 'unix:socket');
server('kept');
server('plain');
server('own');
server('named');
$w->backend('silent', serve => sub { sleep 60 });
$w->backend('drip', serve => sub {
    my ($fh) = @_;
    syswrite $fh, "HTTP/1.1 200 OK\r\n";
    for (1 .. 600) { syswrite $fh, "X: y\r\n" or return; sleep 0.1 }
});
$w->backend('endless', serve => sub {
    my ($fh) = @_;
    sysread $fh, my $head, 4096;
    syswrite $fh, "HTTP/1.1 200 OK\r\n\r\n";
    while (1) { syswrite $fh, 'a' x 8192 or return }
});

my $six = Weir::Ports::has_ipv6() ? 'server [::1]:%{six.port};' : '';
$w->start(<<"CONF");
http {
    access_log off;
    keepalive_timeout 0;
    upstream pair    { server %{a}; server %{b}; }
    upstream kinds   { server %{unix:socket}; $six }
    upstream kept    { server %{kept}; }
    upstream plain   { server %{plain}; }
    upstream secret  { server %{secret}; }
    upstream wrong   { server %{secret}; }
    upstream own     { server 127.0.0.1:1 max_fails=0; }
    upstream hostile { server %{silent}; server %{drip}; server %{gone}; server %{unused} down; }
    upstream endless { server %{endless}; }
    upstream named.test { server %{named}; }
    match one { body ~ "^name one\$"; }
    match full { body ~ aaaa; }
    match well { status 200; body ~ "^well"; header ! X-Sick; }
    server {
        listen %{web};
        location /pair/   { proxy_pass http://pair;
                            health_check interval=200ms fails=2 passes=2 uri=/health match=well;
                            health_check interval=200ms uri=/other; }
        location /kinds/  { proxy_pass http://kinds; proxy_next_upstream off;
                            health_check interval=200ms uri=/health match=well mandatory; }
        location /kept/   { proxy_pass http://kept;
                            health_check interval=100ms keepalive_time=1m uri=/health match=well; }
        location /plain/  { proxy_pass https://plain; health_check_timeout 3s; health_check interval=200ms; }
        location /secret/ { proxy_pass https://secret; proxy_ssl_name one; proxy_ssl_verify on;
                            proxy_ssl_trusted_certificate ca.crt; proxy_ssl_server_name on;
                            health_check interval=200ms match=one mandatory; }
        location /wrong/  { proxy_pass https://wrong; proxy_ssl_name two; proxy_ssl_verify on;
                            proxy_ssl_trusted_certificate ca.crt;
                            health_check interval=200ms; }
        location /own/    { proxy_pass http://own;
                            health_check interval=200ms uri=/health port=%{own.port}; }
        location /hostile/ { proxy_pass http://hostile; health_check_timeout 3s;
                            health_check interval=200ms; }
        location /endless/ { proxy_pass http://endless;
                            health_check interval=200ms match=full mandatory; }
        location /named/  { proxy_pass http://named.test;
                            proxy_set_header Host site.test;
                            health_check interval=200ms uri=/health; }
    }
    server {
        listen %{secret} ssl;
        ssl_certificate one.crt;
        ssl_certificate_key one.key;
        return 200 "name \$ssl_server_name";
    }
}
CONF

sub state_of {
    my ($name) = @_;
    my $where = $w->address($name);
    my @lines = $w->error_log =~ /health check of "\Q$where\E" in upstream "[\w.]+": is (?:still )?(.*)/g;
    return $lines[-1] // '';
}

sub asked {
    my %from;
    $from{ Weir::Http::ask($w, 'web', 'GET /pair/')->{body} }++ for 1 .. 20;
    return join ' ', map { "$_=$from{$_}" } sort keys %from;
}

is asked(), 'a=10 b=10', 'both servers get requests';

# Wrong body: out after two checks, and back after two.
replies('a', 'sick');
becomes { state_of('a') =~ /^down/ } 'a wrong body: the server is down';
like state_of('a'), qr/^down: body does not match "\^well" \(health_check in \S+:\d+\)$/,
    'and the log says why, and which check it was';
is asked(), 'b=20', 'no request goes there';
replies('a', "HTTP/1.1 200 OK\r\nX-Sick: 1\r\n\r\nwell");
becomes { $w->error_log =~ /"pair": is still down: header "X-Sick" is there \(/ }
    'another reason is said, too';
replies('a', 'well again');
becomes { state_of('a') =~ /^up/ } 'the right body: it is back';
like state_of('a'), qr/^up: HTTP 200 /, 'the log says what was seen';
is asked(), 'a=10 b=10', 'and it gets requests';

# The reasons given for other replies.
for my $row (
    ["HTTP/1.1 503 No\r\nContent-Length: 0\r\n\r\n", qr/^down: HTTP 503 /],
    ["HTTP/1.1 200 OK\r\nX-Sick: 1\r\n\r\nwell", qr/^down: header "X-Sick" is there /],
    ["HTTP 1.1\r\n\r\n", qr/^down: invalid reply: upstream sent no valid HTTP\/1.0 header /],
) {
    replies('b', $row->[0]);
    becomes { state_of('b') =~ $row->[1] } "is down: $row->[1]";
    replies('b', 'well');
    becomes { state_of('b') =~ /^up/ } 'and is up again';
}
$w->{backend}{b}->kill;
becomes { state_of('b') =~ /^down: connect refused after \d+ ms / } 'a server that is not there';
is asked(), 'a=20', 'gets no requests';
$w->{backend}{b}->start;
becomes { state_of('b') =~ /^up/ } 'and is back';

my @checks = grep { m{^GET /health } } Weir::HttpServer::recorded($w->path('a.requests'));
like $checks[0], qr{^GET /health HTTP/1.1\r\nHost: pair\r\nConnection: close\r\n},
    'the request of a check';

# Other addresses, mandatory: up only when the first check has passed.
becomes { state_of('unix:socket') =~ /^up: HTTP 200$/ } 'a unix socket';
SKIP: {
    skip 'no IPv6', 1 if !Weir::Ports::has_ipv6();
    becomes { state_of('[::1]:%{six.port}') =~ /^up: HTTP 200$/ } 'IPv6';
}

# One connection for many checks, which ends when the server is not well.
becomes { 20 < Weir::HttpServer::recorded($w->path('kept.requests')) } 'twenty checks';
cmp_ok $w->{backend}{kept}->sessions, '<=', 2, 'on one connection';
replies('kept', 'sick');
becomes { state_of('kept') =~ /^down: body does not match "\^well"$/ } 'a bad one is seen';
replies('kept', 'well');
becomes { state_of('kept') =~ /^up/ } 'and a good one';
$w->{backend}{kept}->kill;
$w->{backend}{kept}->start;
ok !(sleep 0.5 and state_of('kept') !~ /^up|refused/), 'a kept connection that broke is not a failure';

# TLS, with the name of the location.
sub in_group {
    my ($group) = @_;
    my @lines = $w->error_log =~ /health check of "[^"]*" in upstream "$group": is (?:still )?(.*)/g;
    return $lines[-1] // '';
}
becomes { in_group('secret') eq 'up: HTTP 200' } 'a server over TLS';
is(Weir::Http::ask($w, 'web', 'GET /secret/')->{body}, 'name one', 'gets requests');
becomes { in_group('wrong') } 'a server with another name in its certificate';
is in_group('wrong'), 'down: upstream SSL certificate does not match "two"', 'is down';
becomes { in_group('plain') } 'a server without TLS', 20;
like in_group('plain'), qr/^down: .*(?:SSL|TLS)/, 'is down';
is(Weir::Http::ask($w, 'web', 'GET /plain/')->{status}, 502, 'and gets no requests');

# A port of their own.
becomes { grep { m{/health} } Weir::HttpServer::recorded($w->path('own.requests')) }
    'checks go to the port of port=';
unlike state_of('127.0.0.1:1'), qr/refused/, 'and not to the server';

# Hostile servers.
becomes { state_of('silent') } 'a server that says nothing is down', 20;
like state_of('silent'), qr/^down: timed out after [\d.]+ m?s \(sent \d+ bytes, got 0\)$/,
    'it timed out';
becomes { state_of('drip') =~ /^down: timed out after .* got [1-9]\d*\)$/ } 'a slow reply ends', 20;
becomes { state_of('endless') eq 'up: HTTP 200' } 'of an endless body the first 64 KB are matched';
like state_of('gone'), qr/^down: connect refused/, 'refused';
is state_of('unused'), '', 'a server marked as down is not checked';

like((Weir::HttpServer::recorded($w->path('named.requests')))[0], qr/^Host: site\.test\r$/m,
    'Host as proxy_set_header says');
$w->finish;
done_testing;
