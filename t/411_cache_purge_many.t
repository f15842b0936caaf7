#!/usr/bin/perl

# A purge by tag of 10,000 objects while clients get them: it is answered at once, and from then on
# no client gets what was purged. What has another tag stays. In memory, and with files.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(time);
use Weir;
use Weir::Client;
use Weir::Http;
use Weir::HttpServer;
use Weir::Process qw(spawn end_process wait_for);

my %OBJECTS = (memory => 10_000, disk => $ENV{WEIR_WHOLE} ? 10_000 : 1_000);
my $PIPELINED = 100;
my $w = Weir->new;
my $version = $w->path('version');    # what the server has
my $purged = $w->path('purged');      # what clients may not get any more: versions below

sub put {
    my ($file, $text) = @_;
    open my $fh, '>', "$file.new" or die "$file: $!\n";
    print $fh $text;
    close $fh;
    rename "$file.new", $file or die "$file: $!\n";
}

$w->backend('b', serve => Weir::HttpServer::serve(sub {
    my ($r) = @_;
    my ($tag) = $r->{target} =~ m{^/(\w+)/};
    return Weir::HttpServer::reply(200, slurp($version) . " $r->{target}\n",
        'Cache-Control' => 'max-age=6000', 'Cache-Tag' => "all-$tag, $tag");
}));
put($version, 1);
put($purged, 1);
$w->start(<<'CONF');
worker_processes 2;
http {
    proxy_cache_path cache levels=1:2 keys_zone=disk:2m;
    proxy_cache_path unused keys_zone=memory:2m memory=16m disk=off;
    map $arg_zone $zone { default disk; memory memory; }
    map $request_method $purge { default 0; PURGE 1; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    keepalive_requests 1000000;
    upstream b { server %{b}; keepalive 8; }
    server {
        listen %{web};
        proxy_cache $zone;
        proxy_cache_key $request_uri;
        proxy_cache_tag $upstream_http_cache_tag;
        proxy_cache_purge $purge;
        add_header X-Cache $upstream_cache_status;
        location / { proxy_pass http://b; }
    }
}
CONF

# Asks for all of them, several at a time; counts outcomes with the versions of the bodies.
sub get_all {
    my ($c, @targets) = @_;
    my %got;
    while (my @some = splice @targets, 0, $PIPELINED) {
        $c->send(join '', map { "GET $_ HTTP/1.1\r\nHost: a\r\n\r\n" } @some);
        my ($in, $n) = ('', 0);
        while ($n < @some) {
            my $more = $c->recv(1);
            $in .= $more . $c->recv(length $c->{in});
            while ($in =~ /\G.*?\r\nX-Cache: (\w+)\r\n(?:[^\r\n]+\r\n)*\r\n(\d+) (\S+)\n/gcs) {
                $got{"$1 $2" . ($3 eq $some[$n] ? '' : " of $3 for $some[$n]")}++;
                $n++;
            }
            $in = substr $in, pos($in) // 0;
            return "no reply but: $in" if $more eq '';
        }
    }
    return join ', ', map { "$got{$_} $_" } sort keys %got;
}

# Clients that ask all the time, and write down what they should not get.
sub reader {
    my ($number, @targets) = @_;
    my $c = Weir::Client->new($w->address('web'));
    srand $number;
    for (my $n = 1; ; $n++) {
        my $least = slurp($purged);
        my $got = get_all($c, map { $targets[rand @targets] } 1 .. 20);
        open my $fh, '>>', $w->path('seen');
        syswrite $fh, "least $least: $got\n";
        select undef, undef, undef, 0.02;
    }
}

sub old_ones {
    return grep { my ($least) = /^least (\d+)/; grep { $_ < $least } / (\d+)(?:,|$)/g }
        split /\n/, slurp($w->path('seen'));
}

for my $zone (qw(memory disk)) {
    my $n = $OBJECTS{$zone};
    my @targets = map { "/red/$_?zone=$zone" } 1 .. $n;
    my @others = map { "/blue/$_?zone=$zone" } 1 .. 100;
    my $before = slurp($version);
    my $c = $w->connect('web');

    get_all($c, @targets, @others);
    ok wait_for(sub { get_all($c, @targets, @others) eq @targets + @others . " HIT $before" }, 120),
        "$zone: $n objects are stored" or diag get_all($c, @targets, @others);
    unlink $w->path('seen');
    my @readers = map { my $number = $_; spawn(sub { reader($number, @targets) }) } 1 .. 2;
    wait_for { slurp($w->path('seen')) =~ /HIT $before$/m };

    put($version, $before + 1);
    my $began = time;
    my $status = Weir::Http::ask($w, 'web', "PURGE /?zone=$zone", 'Cache-Tag' => 'red')->{status};
    my $took = time - $began;
    put($purged, $before + 1);
    is $status, 204, 'purged';
    cmp_ok $took, '<', 5, sprintf 'in %.4f s', $took;
    wait_for { (() = slurp($w->path('seen')) =~ /^least @{[$before + 1]}: .*HIT/mg) > 2 };
    my $got = get_all($c, @targets);
    like $got, qr/^(?:\d+ HIT @{[$before + 1]}, )?\d+ MISS @{[$before + 1]}$/, 'all are fetched anew';
    note $got;
    end_process($_, 'KILL') for @readers;
    is join("\n", old_ones()), '', 'nobody got what was purged';
    is get_all($c, @others), @others . " HIT $before", 'what has another tag stays';
    $c->close;
}
$w->finish;
done_testing;
