#!/usr/bin/perl

# realip at layer 7: the client's address behind trusted proxies, from a field of the request, for
# access rules, variables, geo and logs; for each request of a connection; set anew for a location;
# by address, network, name and unix:. An address that a client makes up is not believed. (The PROXY
# header: t/113_proxy_protocol.t.)

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;

my $w = Weir->new;

$w->start(<<'CONF');
worker_processes 1;
http {
    log_format real '$remote_addr $realip_remote_addr $uri';
    access_log %{dir}/access real;
    geo $where { default elsewhere; 192.0.2.0/24 documentation; }
    geo $behind { proxy 127.0.0.0/8; proxy 192.0.2.1; proxy_recursive; default other; 198.51.100.0/24 far; }

    server {
        listen %{web};
        listen %{unix:web};
        set_real_ip_from 127.0.0.1;
        set_real_ip_from 10.1.0.0/16;
        location / { return 200 "$remote_addr|$remote_port|$realip_remote_addr|$where"; }
        location = /port { return 200 "$realip_remote_port"; }
        location /list {
            real_ip_header X-Forwarded-For;
            try_files /none @show;
        }
        location /recursive {
            real_ip_header X-Forwarded-For;
            real_ip_recursive on;
            try_files /none @show;
        }
        location /nobody {
            set_real_ip_from 192.0.2.77;
            real_ip_header X-Client;
            try_files /none @show;
        }
        location /unix { set_real_ip_from unix:; real_ip_header X-Client; try_files /none @show; }
        location /name { set_real_ip_from localhost; real_ip_header X-Client; try_files /none @show; }
        location /closed { deny 192.0.2.66; allow all; try_files /none @show; }
        location @show { return 200 "$remote_addr|$remote_port|$realip_remote_addr|$where"; }
        location /add { try_files /none @add; }
        location @add { return 200 "$proxy_add_x_forwarded_for"; }
    }
    server {
        listen %{strict};
        underscores_in_headers on;
        set_real_ip_from 127.0.0.0/8;
        return 200 "$remote_addr";
    }
    server {
        listen %{geo};
        return 200 "$behind";
    }
}
CONF

sub said {
    my ($target, @fields) = @_;
    return Weir::Http::ask($w, 'web', "GET $target", @fields)->{body};
}

my $self = qr/127\.0\.0\.1\|\d+\|127\.0\.0\.1\|elsewhere/;
my @real = ('X-Real-IP', '192.0.2.1');

is said('/', @real), '192.0.2.1||127.0.0.1|documentation', 'X-Real-IP of a trusted proxy';
like said('/'), qr/^$self$/, 'no field, no change';
is said('/', 'x-real-ip', '192.0.2.1:4711'), '192.0.2.1|4711|127.0.0.1|documentation',
    'with a port, in small letters';
is said('/', 'X-Real-IP', '[2001:db8::1]:80'), '2001:db8::1|80|127.0.0.1|elsewhere', 'IPv6';
is said('/', 'X-Real-IP', '2001:db8::1'), '2001:db8::1||127.0.0.1|elsewhere', 'without a port';
like said('/port', @real), qr/^\d+$/, '$realip_remote_port is that of the connection';
like said('/', 'X-Real-IP', $_), qr/^$self$/, "not an address: $_"
    for 'unknown', 'unix:', 'unix:/tmp/x', '192.0.2.256', '192.0.2.1:x', '*', '*:80', '';

# ---- lists

my @xff = ('X-Forwarded-For');
like said('/list', @xff, '10.1.0.1, 192.0.2.1'), qr/^192\.0\.2\.1\|/, 'the last of a list';
like said('/list', @xff, '192.0.2.1, 10.1.0.1'), qr/^10\.1\.0\.1\|/, 'trusted or not';
like said('/recursive', @xff, '192.0.2.9, 192.0.2.1, 10.1.0.1,127.0.0.1'), qr/^192\.0\.2\.1\|/,
    'recursive: the last that is not trusted';
like said('/recursive', @xff, '10.1.0.1, 127.0.0.1'), qr/^10\.1\.0\.1\|/, 'or the first of all';
like said('/recursive', @xff, '192.0.2.1, evil, 10.1.0.1'), qr/^10\.1\.0\.1\|/,
    'not past a value that is not an address';
like said('/recursive', @xff, '192.0.2.1', @xff, '10.1.0.1', @xff, '127.0.0.1'),
    qr/^192\.0\.2\.1\|/, 'several fields are one list';

# ---- proxies that are trusted

like said('/nobody', 'X-Client', '192.0.2.1'), qr/^$self$/, 'a location that trusts other proxies';
like said('/name', 'X-Client', '192.0.2.1'), qr/^192\.0\.2\.1\|/, 'a proxy by its name';
like said('/unix', 'X-Client', '192.0.2.1'), qr/^$self$/, 'unix: is no TCP client';
like(Weir::Http::ask($w, 'unix:web', 'GET /unix', 'X-Client', '192.0.2.1')->{body},
    qr/^192\.0\.2\.1\|\|unix:\|/, 'but a client of a unix socket');
like(Weir::Http::ask($w, 'strict', 'GET /', 'X_Real_IP', '192.0.2.1')->{body}, qr/^127\.0\.0\.1$/,
    'X_Real_IP is not X-Real-IP');
like(Weir::Http::ask($w, 'strict', 'GET /', 'X_Real_IP', '192.0.2.1', 'X-Real-IP', '192.0.2.2',
    'X_Real_IP', '192.0.2.1')->{body}, qr/^192\.0\.2\.2$/, 'and is not joined with it');

# ---- what follows

is(Weir::Http::ask($w, 'web', 'GET /closed', 'X-Real-IP', '192.0.2.66')->{status}, 403, 'deny');
is said('/closed', @real), '192.0.2.1||127.0.0.1|documentation', 'allow';
is said('/add', @real, @xff, '192.0.2.1'), '192.0.2.1, 192.0.2.1', '$proxy_add_x_forwarded_for';

{
    my $c = $w->connect('web');
    my @got;
    for my $fields ([@real], [], ['X-Real-IP', '192.0.2.3'], []) {
        $c->send(Weir::Http::request('GET /kept', @$fields));
        push @got, Weir::Http::reply($c)->{body} =~ s/\|.*//r;
    }
    is "@got", '192.0.2.1 127.0.0.1 192.0.2.3 127.0.0.1', 'each request of a connection for itself';
    $c->close;
    $c = $w->connect('web');
    $c->send(join '', map { Weir::Http::request('GET /piped', @$_) } [@real], [], [@real]);
    is join(' ', map { Weir::Http::reply($c)->{body} =~ s/\|.*//r } 1 .. 3),
        '192.0.2.1 127.0.0.1 192.0.2.1', 'pipelined ones, too';
    $c->close;
}
becomes { slurp($w->path('access')) =~ m{^192\.0\.2\.1 127\.0\.0\.1 /kept$}m }
    'the access log has both';
becomes { $w->error_log =~ /\[error\] .*access forbidden by rule, client: 192\.0\.2\.66,/ }
    'and the error log has the client';

is(Weir::Http::ask($w, 'geo', 'GET /', @xff, '198.51.100.1, 192.0.2.1')->{body}, 'far',
    'geo uses its own list of proxies');
is(Weir::Http::ask($w, 'geo', 'GET /', 'X_Forwarded_For', '198.51.100.1')->{body}, 'other',
    'from that field only');

$w->finish;
done_testing;
