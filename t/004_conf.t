#!/usr/bin/perl

# The configurations people start from: each one in conf/ and conf/examples passes -t, and
# conf/weir.conf runs and answers as its comments say.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;

Weir::in_private_network();    # where every port is free
my $w = Weir->new;
my $conf = $w->top . '/conf';
is system("ip link set lo up"), 0, "the loopback interface is up";
my @all = ("$conf/weir.conf", sort glob "$conf/examples/*.conf");

cmp_ok @all, '>', 5, 'there are examples';
for my $file (@all) {
    my $text = slurp($file);
    my $http = $text =~ /^http \{/m;
    my $name = $file =~ s{^\Q$conf/}{}r;

    SKIP: {
        skip 'a build without http', 2
            if $http && ($w->bare('-V'))[2] !~ /^modules:.* http /m;
        my ($code, $out, $err) = $w->bare('-t', '-p', $w->dir, '-c', $file, '-e', 'stderr');
        is $code, 0, "$name passes" or diag $err;
        # Names below example.com do not resolve; that is not a mistake.
        my @warnings = grep { /\[warn\]/ && !/host not found in upstream "\S+\.example\.com/ }
            split /\n/, $err;
        is "@warnings", '', 'without a warning';
    }
    like $text, qr/^worker_processes auto;$/m, 'and has worker_processes auto';
}

# The replies of conf/weir.conf, with ports of this test.
SKIP: {
    my $text = slurp("$conf/weir.conf");
    skip 'a build without http', 3 if ($w->bare('-V'))[2] !~ /^modules:.* http /m;
    my ($http) = $text =~ m{curl http://localhost:(\d+)/};
    my ($stream) = $text =~ m{nc -N localhost (\d+)};
    $text =~ s/^(\s+listen\s+)$http;/$1%{http};/m;
    $text =~ s/^(\s+listen\s+)$stream;/$1%{stream};/m;
    $w->write('mime.types', slurp("$conf/mime.types"));
    $w->start($text);
    is Weir::Http::ask($w, 'http', 'GET /x')->{body}, "weir runs, you asked for /x\n", 'layer 7';
    is $w->ask('stream'), 'weir runs, you are 127.0.0.1', 'layer 4';
}
$w->finish;
done_testing;
