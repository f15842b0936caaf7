#!/usr/bin/perl

# TCP proxying, location routing, header injection and response caching can be left out: configure
# says so, the rest works, and a configuration that needs one of them is refused as "not in this
# build".

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;

my $w = Weir->new;
my @out = qw(stream_proxy location headers http_cache);
($w->{bin}, my $said) = $w->built_with(map { "--without-$_" } @out);
like $said, qr/^\s*$_ +out, as asked/m, "configure says that $_ is out" for @out;

for my $case (
    ['a location', 'http { server { listen %{web}; location / { } } }', 'location'],
    ['a header', 'http { server { listen %{web}; add_header X y; } }', 'add_header'],
    ['a proxied session', 'stream { server { listen %{web}; proxy_upload_rate 1k; } }', 'proxy_upload_rate'],
    ['a cache', 'http { proxy_cache_path /c keys_zone=c:1m; }', 'proxy_cache_path'],
) {
    my ($name, $text, $directive) = @$case;
    $w->conf("$text\n");
    my ($code, undef, $err) = $w->command('-t');
    is $code, 1, "$name is refused";
    like $err, qr/"$directive".*not in this build/, 'and why' or diag $err;
}
$w->expect(qr/not in this build/);

$w->conf(<<'CONF');
http { server { listen %{web}; return 200 "at $uri\n"; } }
stream { server { listen %{tcp}; return "here\n"; } }
CONF
$w->start;
is Weir::Http::ask($w, 'web', 'GET /a')->{body}, "at /a\n", 'requests are answered without locations';
is $w->connect('tcp')->rest, "here\n", 'sessions too';

$w->finish;
done_testing;
