#!/usr/bin/perl

# Messages about proxy_cache lines: what is wrong and what to write instead; lines that are accepted
# with a warning; the folders that are made.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;
my $dir = $w->dir;
$w->expect(qr{\[emerg\] .* in \S+weir.conf:\d});
mkdir $w->path('foreign') or die $!;
open my $fh, '>', $w->path('foreign/index.html') or die $!;
close $fh;
symlink "$dir/nowhere", $w->path('dangling') or die $!;

# The exit code and standard error of -t for lines of http {} and of a location.
sub said {
    my ($http, $location) = @_;
    $w->conf("events {}\nhttp {\n$http\nserver { listen %{web}; location / {\n"
        . "proxy_pass http://127.0.0.1:1;\n" . ($location // '') . "\n} }\n}\n");
    my ($code, $out, $err) = $w->command('-t');
    return ($code, $err);
}

my $zone = 'proxy_cache_path c keys_zone=z:1m;';
my $path = 'proxy_cache_path c keys_zone=z:1m';
my $purge = 'write a variable: map $request_method $purge';
for (
    ['proxy_cache_path c levels=1:2;', '"proxy_cache_path" must have "keys_zone" parameter',
        'write keys_zone=NAME:10m'],
    ['proxy_cache_path keys_zone=z:1m levels=1;', 'the folder is missing', 'write the folder first'],
    ['proxy_cache_path c keys_zone=z:4k;', 'zone "z" is too small, at least 8k', '8,000 keys'],
    ['proxy_cache_path c zone=z:1m;', 'invalid parameter "zone=z:1m"', 'did you mean "keys_zone="?'],
    ["$path mem=1m;", 'invalid parameter "mem=1m"', 'weir --help proxy_cache_path'],
    ["$path manager_file=1;", 'invalid parameter', 'did you mean "manager_files="?'],
    ["$path disk=off;", 'disk=off needs memory=SIZE', 'write memory=64m'],
    ["$path memory=1k;", 'invalid value "memory=1k"', 'at least 1m'],
    ["$path levels=9:9;", 'invalid value "levels=9:9"', 'levels=1:2'],
    ["$path inactive=x;", 'invalid value "inactive=x"', 'it takes a time'],
    ["$path max_size=10gb;", 'invalid value "max_size=10gb"', 'it takes a size'],
    ["$zone proxy_cache_path d keys_zone=z:1m;", 'duplicate zone "z"', 'a folder of its own'],
    ["$zone proxy_cache_path c/ keys_zone=y:1m;", 'belongs to the zone "z"', 'name another folder'],
    ["$zone proxy_cache_path c/d keys_zone=y:1m;", 'lies in the other', 'side by side'],
    ["proxy_cache_path c/d keys_zone=y:1m; $zone", 'lies in the other', 'side by side'],
    ['proxy_cache_path foreign keys_zone=z:1m;', 'is not a cache of weir', 'a new one'],
    ['proxy_cache_path foreign/index.html keys_zone=z:1m;', 'cannot be used', 'Not a directory'],
    ['proxy_cache_path dangling keys_zone=z:1m;', 'symbolic link that leads nowhere', 'dangling'],
    ['', '"proxy_cache" zone "z" is unknown', 'there is no zone: write proxy_cache_path',
        'proxy_cache z;'],
    ['proxy_cache_path c keys_zone=pages:1m; proxy_cache_path d keys_zone=images:1m;',
        '"proxy_cache" zone "page" is unknown', 'did you mean "pages"?', 'proxy_cache page;'],
    [$zone, 'invalid status "2xx"', 'write statuses and a time', 'proxy_cache_valid 2xx 1m;'],
    [$zone, 'invalid time value "1ms"', 'whole seconds', 'proxy_cache_valid 200 1ms;'],
    [$zone, 'invalid value "PUT"', 'allowed: GET, HEAD, POST', 'proxy_cache_methods PUT;'],
    [$zone, '"PURGE" would make each request a purge', $purge,
        'proxy_cache_purge PURGE from 127.0.0.1;'],
    [$zone, '"z" would make each request a purge', $purge, 'proxy_cache_purge z $host$uri;'],
    [$zone, '"on" would make each request a purge', $purge, 'proxy_cache_purge $arg_p on;'],
    [$zone, '"proxy_cache_max_range_offset" directive invalid value', 'write a size',
        'proxy_cache_max_range_offset x;'],
) {
    my ($http, $error, $hint, $location) = @$_;
    my ($code, $err) = said($http, $location);
    my $what = $location || $http;
    is $code, 1, "$what is refused";
    like $err, qr/\[emerg\] [^\n]*\Q$error\E/, 'it says why';
    like $err, qr/\Q$hint\E/, 'and what to write';
}

for (
    ["$path memory=1m disk=off max_size=1g;", '"max_size" has no effect with disk=off'],
    ["$path memory=1024g;", 'zone "z" may take 1048577M, this machine has'],
    ['proxy_cache_path $host keys_zone=z:1m;', 'no variables are possible here'],
) {
    my ($http, $warning) = @$_;
    my ($code, $err) = said($http);
    is $code, 0, "$http is accepted";
    like $err, qr/\[warn\] [^\n]*\Q$warning\E/, 'with a warning';
}

for ('proxy_cache_methods get Post;', 'proxy_cache_min_uses 0;', 'proxy_cache_purge 1;',
    'proxy_cache_purge $arg_a 0 "";', 'proxy_cache_valid 200 302;') {
    my ($code, $err) = said($zone, $_);
    is $code, 0, "$_ is accepted";
    unlike $err, qr/\[(?:emerg|warn)\]/, 'without a word';
}

# Folders above one that is missing are made so that the workers' user can pass them.

$w->start(<<'CONF');
http {
    proxy_cache_path above/of/cache keys_zone=z:1m;
    server { listen %{web}; location / { return 204; } }
}
CONF
is sprintf('%o', (stat $w->path('above'))[2] & 07777), '755', 'the first folder may be passed';
is sprintf('%o', (stat $w->path('above/of'))[2] & 07777), '755', 'the second one, too';
is sprintf('%o', (stat $w->path('above/of/cache'))[2] & 07777), '700', 'the cache is closed';
is join(" ", $w->stop), "", "it ends";

# Temporary folders in the cache's own folder, as configurations of nginx have them, with a name that
# the cache uses itself.

$w->backend('b', serve => Weir::HttpServer::serve(sub {
    return Weir::HttpServer::reply(200, 'x' x 300_000, 'Cache-Control' => 'max-age=600');
}));
for (1, 2) {
    $w->start(<<'CONF');
http {
    proxy_temp_path nginx/tmp;
    client_body_temp_path nginx/client/body;
    proxy_cache_path nginx keys_zone=z:1m;
    add_header X-Cache $upstream_cache_status;
    server { listen %{web}; proxy_cache z; location / { proxy_pass http://%{b}; } }
}
CONF
    becomes { Weir::Http::field(Weir::Http::ask($w, 'web', 'GET /'), 'X-Cache') eq 'HIT' }
        "start $_: replies are stored";
    ok -f $w->path('nginx/.weir-cache'), 'the folder is the cache\'s';
    $w->stop;
}
$w->finish;
done_testing;
