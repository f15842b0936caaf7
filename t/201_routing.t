#!/usr/bin/perl

# The way of a request: the server its host names, the location its path means, and the file that
# root and alias make of it. The rules one by one are in t/unit/modules_location.c and
# t/unit/listen_virtual_hosts.c; here they meet real requests.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;

for my $file (qw(a.html a.css a.bin .html sub/s.txt al/a.txt tail/x.txt own/al/own/o.txt re_1.txt secret)) {
    my $path = '';
    for my $dir ('root', split m{/}, $file =~ s{[^/]*$}{}r) {
        $path .= "$dir/";
        mkdir $w->path($path);
    }
    $w->write("root/$file", "file $file\n");
}

$w->start(<<'CONF');
events { }
http {
    root %{dir}/root/;
    default_type d/t;
    types { text/html html; x/css css; }

    server { listen %{web}; return 200 "standard"; }
    server {
        listen %{web};
        server_name Exact.org *.wild.org tail.* .dot.org other.org;
        return 200 "names $server_name";
    }
    server { listen %{web}; server_name *.sub.wild.org; return 200 "longer"; }
    server {
        listen %{web};
        server_name ~^(?<who>\w+)\.re\.(org|net)$;
        return 200 "regex $who $2";
    }
    server { listen %{web}; server_name ~^[A-Z]+2$; return 200 "capitals"; }

    server { listen %{other}; server_name a; return 200 "first"; }
    server { listen %{other} default_server; server_name b; return 200 "default_server"; }

    server { listen %{single}; server_name ~^(?<one>.*)$; return 200 "only $one"; }

    server {
        listen %{web};
        server_name paths;
        location = / { return 200 "= /"; }
        location / { return 200 "/"; }
        location /docs/ {
            return 200 "docs";
            location /docs/in/ { return 200 "docs in"; }
            location ~ \.x$ { return 200 "docs x"; }
        }
        location ^~ /images/ { return 200 "images"; }
        location ~* \.(gif|jpg)$ { return 200 "regex $1"; }
        location ~ ^/user/(?<name>[^/]+) { return 200 "user $name $1"; }
        location /slash/ { proxy_pass http://%{nobody}; }
        location "/with space" { return 200 "space"; }
        location /hidden { internal; return 200 "hidden"; location /hidden/in { return 200 "in"; } }
        location ~ "^/costly/(a+)+(a+)+(a+)+[bc]$" { return 200 "costly"; }
        location /limited { limit_except GET { deny all; } }
    }

    server {
        listen %{web};
        server_name files;
        location /none/ { }
        location /al/ {
            alias %{dir}/root/sub/;
            location /al/own/ { root %{dir}/root/own; }
            location /al/deep/ { }
        }
        location /i { alias %{dir}/root/sub/; }
        location ~ ^/re/(\d) { alias %{dir}/root/re_$1.txt; }
        location ~ ^/up(.*) { alias %{dir}/root/sub/$1; }
        location /var/ { root %{dir}/root/$arg_d; }
        location /types/ { alias %{dir}/root/; types { x/html HTML; } default_type d/own; }
    }
}
CONF

my $raw;

sub get {
    my ($host, $path, $method, $where) = @_;
    my $c = $w->connect($where // 'web');

    $c->send(($method // 'GET') . " $path HTTP/1.0\r\n" . (defined $host ? "Host: $host\r\n" : '')
        . "\r\n");
    $raw = $c->rest;
    $c->close;
    my ($head, $body) = split /\r\n\r\n/, $raw, 2;
    my ($status) = ($head // '') =~ m{^HTTP/1\.\d (\d+)} or return "no reply: $raw";
    $body //= '';
    $body =~ s/\n$//;
    return $status eq '200' ? $body : $status;
}

# ---- servers

my @hosts = (
    [undef,             'standard'],
    ['nobody',          'standard'],
    ['127.0.0.1',       'standard'],
    ['exact.org',       'names exact.org'],
    ['EXACT.ORG:8080',  'names exact.org'],
    ['exact.org.',      'names exact.org'],
    ['a.exact.org',     'standard'],
    ['a.wild.org',      'names exact.org'],
    ['b.a.wild.org',    'names exact.org'],
    ['wild.org',        'standard'],
    ['a.sub.wild.org',  'longer'],
    ['sub.wild.org',    'names exact.org'],
    ['tail.a.b',        'names exact.org'],
    ['tail',            'standard'],
    ['dot.org',         'names exact.org'],
    ['a.dot.org',       'names exact.org'],
    ['joe.re.net',      'regex joe net'],
    ['joe.x.re.net',    'standard'],
    ['abc2',            'capitals'],
);
is get($_->[0], '/'), $_->[1], 'host ' . ($_->[0] // 'none') for @hosts;
is get('a', '/', 'GET', 'other'), 'first', 'a name on another address';
is get('c', '/', 'GET', 'other'), 'default_server', 'default_server';
is get('exact.org', '/', 'GET', 'other'), 'default_server', 'names hold for their address';
is get('x.y', '/', 'GET', 'single'), 'only x.y', 'the only server, for the sake of its captures';

# ---- locations

my @paths = (
    ['/',              '= /'],
    ['/a',             '/'],
    ['/?x',            '= /'],
    ['//',             '= /'],
    ['/docs/a',        'docs'],
    ['/docs',          '/'],
    ['/docs/in/a',     'docs in'],
    ['/docs/in/a.x',   'docs x'],
    ['/docs/a.gif',    'regex gif'],
    ['/docs/a.GIF',    'regex GIF'],
    ['/images/a.gif',  'images'],
    ['/a/../images/',  'images'],
    ['/%69mages/a',    'images'],
    ['/images%2Fa',    'images'],
    ['//images///a',   'images'],
    ['/Images/a',      '/'],
    ['/user/joe/x',    'user joe joe'],
    ['/with%20space',  'space'],
    ['/slash/x',       '502'],
    ['/slash',         '301'],
    ['/slashes',       '/'],
    ['/hidden',        '404'],
    ['/hidden/in',     '404'],
);
is get('paths', $_->[0]), $_->[1], "path $_->[0]" for @paths;
get('paths', '/slash?a=b');
like $raw, qr{^Location: http://paths(:\d+)?/slash/\?a=b\r}m,
    'the redirect adds the slash and keeps the rest';

is get('paths', '/costly/aaab'), 'costly', 'a regex that may cost much';
is get('paths', '/costly/' . 'a' x 4000), '500',
    'and gives up: the path is not let through unmatched';
like $w->error_log, qr/regex ".*costly.*" failed on "/, 'the log tells';

is get('paths', '/limited', 'GET'), '404', 'limit_except: GET';
is get('paths', '/limited', 'HEAD'), '404', 'which allows HEAD, too';
is get('paths', '/limited', 'DELETE'), '403', 'other methods are refused';
is get('paths', '/limited', 'BREW'), '403', 'and so are unknown ones';

# ---- files

my @files = (
    ['/a.html',          'file a.html',   'text/html'],
    ['/a.css',           'file a.css',    'x/css'],
    ['/a.bin',           'file a.bin',    'd/t'],
    ['/.html',           'file .html',    'd/t'],
    ['/none/x',          '404'],
    ['/al/s.txt',        'file sub/s.txt', 'd/t'],
    ['/al/own/o.txt',    'file own/al/own/o.txt', 'd/t'],
    ['/al/deep/s.txt',   '404'],
    ['/is.txt',          'file sub/s.txt', 'd/t'],
    ['/re/1',            'file re_1.txt', 'd/t'],
    ['/re/2',            '404'],
    ['/ups.txt',         'file sub/s.txt', 'd/t'],
    ['/types/a.html',    'file a.html',   'x/html'],
    ['/types/a.css',     'file a.css',    'd/own'],
);
for (@files) {
    my ($path, $body, $type) = @$_;
    is get('files', $path), $body, "file $path";
    like $raw, qr{^Content-Type: \Q$type\E\r}m, "its type $type" if $type;
}

# Files beside the folder of an alias without a slash: nginx serves them.
is get('files', '/i../secret'), '500', 'nothing above the folder of an alias';
is get('files', '/up../secret'), '500', 'nor by captures';
is get('files', '/var/x?d=../..'), '500', 'nor by arguments';
like $w->error_log, qr/unsafe path ".*secret"/, 'the log tells';

$w->finish;
done_testing;
