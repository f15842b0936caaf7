#!/usr/bin/perl
# chaos: yes

# A disk that answers with errors: for each call in turn, clients get what they ask for, as if there
# were no cache, and nothing wrong; the log has a line a minute; when the disk is well again, the
# cache is, and what was purged meanwhile does not come back.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Errno qw(EIO ENOSPC);
use Test::More;
use Weir;
use Weir::BadDisk;
use Weir::Http;
use Weir::HttpServer;
use Weir::Process qw(wait_for);

my $w = Weir->new;
my $asked = $w->path('asked');
my $disk = Weir::BadDisk->new($w, $w->path('cache'));
my $began = time;

# The number of the reply, so that a stored one is known; the rest follows from the target.
sub body_of {
    my ($target, $n) = @_;
    my ($size) = $target =~ /size=(\d+)/;
    return substr "$n $target|" x (1 + $size / length $target), 0, $size;
}

$w->backend('b', serve => Weir::HttpServer::serve(sub {
    my ($r) = @_;
    open my $out, '>>', $asked or die $!;
    syswrite $out, "$r->{target}\n";
    my $n = () = slurp($asked) =~ /^/mg;
    return Weir::HttpServer::reply(200, body_of($r->{target}, $n), 'Cache-Control' => 'max-age=6000');
}));

my $conf = <<'CONF';
worker_processes 1;
http {
    proxy_cache_path cache levels=1:2 keys_zone=z:1m;
    proxy_http_version 1.1;
    sendfile on;
    proxy_set_header Connection "";
    proxy_cache_lock on;
    map $request_method $purge { default 0; PURGE 1; }
    upstream b { server %{b}; keepalive 4; }
    server {
        listen %{web};
        proxy_cache z;
        proxy_cache_key $request_uri;
        proxy_cache_bypass $http_x_bypass;
        proxy_cache_purge $purge;
        add_header X-Cache $upstream_cache_status;
        location / { proxy_pass http://b; }
    }
}
CONF

my %cut;    # replies that were cut, by call: of them a client knows that they are

sub get {
    my ($target, @fields) = @_;
    return Weir::Http::ask($w, 'web', "GET $target", @fields);
}

sub status { return Weir::Http::field($_[0], 'X-Cache') // '-' }

# The number of a reply that is whole and right; else undef.
sub number_of {
    my ($target, $r) = @_;
    my ($n) = $r->{body} =~ /^(\d+) /;
    return if $r->{status} != 200 || $r->{wrong} || !$n || $r->{body} ne body_of($target, $n);
    return $n;
}

# Asks until it is a hit; returns its number.
sub stored {
    my ($target) = @_;
    my $r;
    wait_for { $r = get($target); status($r) eq 'HIT' } or diag "$target: $r->{head}";
    return number_of($target, $r);
}

$w->start($conf, before => $disk->before);
if (!$disk->works) {
    $w->finish;
    plan skip_all => 'this weir does not take a library by LD_PRELOAD';
}
my ($worker) = $w->workers;

for my $kind (qw(open read write link mkdir stat rename unlink body)) {
    my @old = map { "/$kind/old/$_?size=" . ($_ % 2 ? 300 : 70_000) } 1 .. 4;
    my @new = map { "/$kind/new/$_?size=" . ($_ % 2 ? 300 : 70_000) } 1 .. 6;
    my %number = map { $_ => stored($_) } @old;
    my $purged = "/$kind/purged?size=300";
    my $purged_number = stored($purged);

    $disk->fail($kind, $kind eq 'write' ? ENOSPC : EIO);
    is Weir::Http::ask($w, 'web', "PURGE $purged")->{status}, 204, "$kind fails: a purge";
    my @wrong;
    for my $round (1 .. 2) {
        for my $target (@new, @old) {
            my $r = get($target, $round == 2 && $target eq $old[0] ? ('X-Bypass' => 1) : ());
            my $n = number_of($target, $r);
            next if $n;
            my $part = $kind eq 'body' && $r->{wrong} =~ /short/
                && body_of($target, $number{$target} // 0) =~ /^\Q$r->{body}\E/;
            push @wrong, "$target: $r->{status} $r->{wrong}, " . length $r->{body} if !$part;
            $cut{$target}++ if $part;
        }
    }
    is join("\n", @wrong), '', "$kind fails: clients get their replies";
    ok wait_for { $disk->failed($kind) > 0 }, 'calls have failed'; # in threads, after the replies
    my $r = get($purged);
    cmp_ok number_of($purged, $r) // 0, '>', $purged_number, 'what was purged is gone';

    $disk->heal;
    my $again = 0;
    for my $target (@new, @old) {
        $again++ if stored($target);
    }
    is $again, @new + @old, "$kind works: all of it is stored";
    cmp_ok stored($purged), '>', $purged_number, 'and what was purged does not come back';
}
is join(' ', grep { $cut{$_} > 1 } sort keys %cut), '', 'what cannot be read is cut once at most';
is +($w->workers)[0], $worker, 'the worker has lived through all of it';

# The log: a line a minute of each process.
my %lines;
$lines{$_}++ for $w->error_log =~ /\[crit\] (\d+)#.*cache: .* failed/g;
cmp_ok scalar(keys %lines), '>', 0, 'failures are logged';
my $most = 1 + int((time - $began) / 60);
is scalar(grep { $_ > $most } values %lines), 0, 'once a minute';

$w->finish;
done_testing;
