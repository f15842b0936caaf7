#!/usr/bin/perl
# chaos: yes

# The disk of a cache is full, is mounted read-only, goes away: clients get what they ask for, what
# was stored before is right or gone, the log has a line a minute, and as soon as there is a disk
# again, it is used. Needs a file system of its own.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;
use Weir::Process qw(wait_for);

Weir::in_private_network();
system('ip link set lo up') == 0 or plan skip_all => 'no loopback interface';

my $w = Weir->new;
my $folder = $w->path('cache');
my $began = time;

sub run { return system(@_) == 0 }

mkdir $folder;
chmod 0777, $folder;
plan skip_all => 'nothing can be mounted here'
    if !run("mount -t tmpfs -o size=1m,mode=777 weir-test '$folder' 2>/dev/null");

sub body_of {
    my ($target) = @_;
    my ($size) = $target =~ /size=(\d+)/;
    return substr "$target|" x (1 + $size / length $target), 0, $size;
}

$w->backend('b', serve => Weir::HttpServer::serve(sub {
    my ($r) = @_;
    return Weir::HttpServer::reply(200, body_of($r->{target}), 'Cache-Control' => 'max-age=6000');
}));

$w->start(<<'CONF');
worker_processes 1;
http {
    proxy_cache_path cache levels=1:2 keys_zone=z:1m;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_cache_lock on;
    map $request_method $purge { default 0; PURGE 1; }
    upstream b { server %{b}; keepalive 4; }
    server {
        listen %{web};
        proxy_cache z;
        proxy_cache_key $request_uri;
        proxy_cache_purge $purge;
        add_header X-Cache $upstream_cache_status;
        location / { proxy_pass http://b; }
    }
}
CONF

my $wrong = 0;

sub get {
    my ($target) = @_;
    my $r = Weir::Http::ask($w, 'web', "GET $target");
    $wrong++ if $r->{status} != 200 || $r->{wrong} || $r->{body} ne body_of($target);
    return Weir::Http::field($r, 'X-Cache') // '-';
}

sub targets { return map { "/$_[0]/$_?size=" . ($_ % 2 ? 30_000 : 500) } 1 .. ($_[1] // 10) }

sub hits { return scalar grep { get($_) eq 'HIT' } @_ }

sub all_hit {
    my @targets = @_;
    return wait_for { hits(@targets) == @targets };
}

# Clients that ask for other things twice.
sub goes_on {
    my ($what, @targets) = @_;
    $wrong = 0;
    get($_) for @targets, @targets;
    is $wrong, 0, "$what: clients get their replies";
}

my @first = targets('first');
ok all_hit(@first), 'stored';

goes_on('full', targets('full', 80));
ok wait_for(sub { $w->error_log =~ /cache: .* failed.*No space left/ }), 'the log says so'
    or diag $w->error_log;
is hits(@first), scalar @first, 'what was stored before is there';
run("mount -o remount,size=64m '$folder'");
ok all_hit(targets('full', 80)), 'there is room again: all of it is stored';

wait_for { run("mount -o remount,ro '$folder' 2>/dev/null") };
goes_on('read-only', targets('readonly'));
is hits(@first), scalar @first, 'what was stored before is there';
is Weir::Http::ask($w, 'web', "PURGE $first[0]")->{status}, 204, 'a purge';
is get($first[0]), 'MISS', 'is true, though the file cannot be removed';
run("mount -o remount,rw '$folder'");
ok all_hit(targets('readonly')), 'it can be written again: all of it is stored';

run("umount -l '$folder'");
goes_on('gone', targets('gone'), @first);
ok all_hit(targets('gone'), @first), 'the folder below is used';

run("rm -rf '$folder'");
goes_on('removed', targets('removed'), @first);

my %lines;
$lines{$_}++ for $w->error_log =~ /\[crit\] (\d+)#.*cache: .* failed/g;
my $most = 1 + int((time - $began) / 60);
is scalar(grep { $_ > $most } values %lines), 0, 'the log has a line a minute';
$w->finish;
done_testing;
