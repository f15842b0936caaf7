#!/usr/bin/perl
# chaos: yes

# Clients and servers that attack what is stored: replies that are cut, unasked statuses, validators
# and ranges of one client that would change what others get, redirects in a background refresh,
# clients that leave at each moment.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;
use Weir::Process qw(wait_for);

my $w = Weir->new;
my $asked = $w->path('asked');
my $broken = $w->path('broken');
my $slow = $w->path('slow');
my $n = 0;

sub touch { open my $fh, '>', $_[0] or die "$_[0]: $!" }

sub count { return scalar(() = slurp($asked) =~ /$_[0]/g) }

my $FRESH = 'Cache-Control: max-age=600';
my $half = 'h' x 5000;
# Bytes that the server of each path sends before it closes.
my %bytes = (
    '/length' => "HTTP/1.1 200 OK\r\n$FRESH\r\nContent-Length: 10000\r\n\r\n$half",
    '/chunk' => "HTTP/1.1 200 OK\r\n$FRESH\r\nTransfer-Encoding: chunked\r\n\r\n2710\r\n$half",
    '/chunks' => "HTTP/1.1 200 OK\r\n$FRESH\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n$half\r\n",
    '/last' => "HTTP/1.1 200 OK\r\n$FRESH\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n$half\r\n0\r\n",
    '/none' => "HTTP/1.1 200 OK\r\n$FRESH\r\nContent-Length: 10000\r\n\r\n",
    '/bad' => "HTTP/1.1 200 OK\r\n$FRESH\r\nTransfer-Encoding: chunked\r\n\r\n1388\r\n$half\r\nzz\r\n",
);

sub answer {
    my ($r, $fh) = @_;
    my ($path) = $r->{target} =~ /^([^?]*)/;
    my %has = map { lc $_->[0] => $_->[1] } @{ $r->{fields} };
    open my $out, '>>', $asked or die $!;
    syswrite $out, "$r->{method} $r->{target} "
        . join('; ', map { "$_: $has{$_}" } grep { /^(if-|range)/ } sort keys %has) . "\n";
    my $number = count(qr{^}m);
    if (my $text = $bytes{$path}) {
        Weir::HttpServer::give($fh, $text);
        return undef;
    }
    if (-e $slow) {
        for (1 .. 1200) { last if !-e $slow; select undef, undef, undef, 0.05; }
    }
    return Weir::HttpServer::reply(503, "down\n") if -e $broken && $path !~ /fallback/;
    return Weir::HttpServer::reply(304, '', 'Cache-Control' => 'max-age=600')
        if $path =~ m{^/304} || ($path =~ /validators/ && defined $has{'if-none-match'});
    return "HTTP/1.1 206 Partial\r\n$FRESH\r\nContent-Range: bytes 0-3/100\r\nContent-Length: 4\r\n\r\npart"
        if $path eq '/206';
    my @fields = $path =~ m{^/(stale|validators|back|slices)} ?
        ('X-Accel-Expires' => $path =~ m{^/back} ? 4 : 1)
        : $path eq '/no' ? ('Cache-Control' => 'no-store') : ('Cache-Control' => 'max-age=600');
    push @fields, ETag => '"one"' if $path =~ /validators/;
    push @fields, Connection => 'X-Secret', 'X-Secret' => 'hop', 'X-Accel-Limit-Rate' => 0
        if $path eq '/hop';
    return Weir::HttpServer::reply(200, "number $number\n", @fields) if $path !~ /slices/;
    my ($from, $to) = $has{range} =~ /bytes=(\d+)-(\d+)/;
    return Weir::HttpServer::reply(206, substr($number x 20, 0, $to - $from + 1), @fields,
        'Content-Range' => "bytes $from-$to/20");
}

$w->backend('b', serve => Weir::HttpServer::serve(\&answer));
$w->start(<<'CONF');
http {
    proxy_cache_path cache levels=1:2 keys_zone=disk:1m;
    proxy_cache_path unused keys_zone=memory:1m memory=4m disk=off;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_next_upstream off;
    add_header X-Cache $upstream_cache_status always;
    map $arg_zone $zone { default disk; memory memory; }
    upstream b { server %{b}; keepalive 4; }
    server {
        listen %{web};
        proxy_cache $zone;
        proxy_cache_key $request_uri;
        location / { proxy_pass http://b; }
        location /validators/far { proxy_cache_revalidate on; proxy_cache_max_range_offset 100;
                                   proxy_pass http://b; }
        location /validators/twice { proxy_cache_revalidate on; proxy_cache_min_uses 4;
                                     proxy_pass http://b; }
        location /back/ { proxy_cache_use_stale updating; proxy_cache_background_update on;
                          proxy_intercept_errors on; error_page 503 /fallback;
                          proxy_pass http://b; }
        location /fallback { proxy_cache_key $uri; proxy_pass http://b/fallback; }
        location /slices { slice 10; proxy_set_header Range $slice_range;
                           proxy_cache_key $uri$arg_zone$slice_range;
                           proxy_cache_use_stale updating; proxy_cache_background_update on;
                           proxy_cache_valid 206 1m; proxy_pass http://b; }
        location /wait/ { proxy_cache_lock on; proxy_cache_lock_timeout 60s;
                          proxy_cache_lock_age 60s; proxy_pass http://b; }
        location /head/ { proxy_cache_convert_head off; proxy_pass http://b; }
        location /any/ { proxy_cache_methods POST; proxy_cache_key $request_uri$request_body;
                         proxy_pass http://b; }
    }
}
CONF

sub get { return Weir::Http::ask($w, 'web', "GET $_[0]", @_[1 .. $#_]) }
sub status { return Weir::Http::field($_[0], 'X-Cache') // '-' }

sub is_hit {
    my ($target, $body, $what) = @_;
    my $r = get($target);
    wait_for { $r = get($target); status($r) eq 'HIT' } if status($r) ne 'HIT';
    return is status($r) . " $r->{body}", "HIT $body", $what;
}

for my $zone (qw(disk memory)) {
    my $at = sub { $_[0] . ($_[0] =~ /\?/ ? '&' : '?') . "zone=$zone" };

    # A reply that is cut is not stored.
    for my $path (sort keys %bytes) {
        get($at->($path)) for 1 .. 2;
        my $r = get($at->($path));
        isnt status($r), 'HIT', "$zone: $path: what was cut is not stored";
        ok $r->{wrong} ne '' || $r->{status} != 200, 'and each client sees it';
    }

    # Statuses that nobody asked for.
    get($at->('/304')) for 1 .. 2;
    isnt status(get($at->('/304'))), 'HIT', '304 unasked';
    is get($at->('/206'), Range => 'bytes=50-60')->{body}, 'part', '206 unasked is passed on';

    # Fields of a connection.
    get($at->('/hop'));
    wait_for { status(get($at->('/hop'))) eq 'HIT' };
    is Weir::Http::field(get($at->('/hop')), 'X-Secret'), undef, 'a field of the connection is not stored';

    # A client's own validators confirm nothing that is stored.
    my $one = get($at->('/validators/far'));
    select undef, undef, undef, 2.1;
    get($at->('/validators/far'), Range => 'bytes=5000-', 'If-None-Match' => '"other"');
    is status(get($at->('/validators/far'))), 'REVALIDATED',
        'a 304 to the validators of a client is not about what is stored';

    # A refresh that is redirected stores nothing under its first key.
    my $back = get($at->('/back/'));
    is_hit($at->('/back/'), $back->{body}, 'stored');
    my $before = count(qr{^GET /fallback}m);
    touch($broken);
    ok wait_for { status(get($at->('/back/'))) eq 'STALE' }, 'stale, refreshed behind';
    wait_for { count(qr{^GET /fallback}m) > $before };
    unlink $broken;
    my $now = get($at->('/back/'));
    like $now->{body}, qr/^number/, 'it has a reply';
    is $now->{body}, $back->{body}, 'of error_page nothing is stored under this key';

    # Slices are fetched anew, too: they cannot be refreshed behind their parent.
    my $slices = get($at->('/slices'));
    is length $slices->{body}, 20, 'slices';
    select undef, undef, undef, 2.1;
    my ($second) = substr $slices->{body}, 10;
    my $anew;
    wait_for { $anew = get($at->('/slices'))->{body}; substr($anew, 10) ne $second };
    is length $anew, 20, 'slices again';
    isnt substr($anew, 10), $second, 'each slice is fetched anew when stale';

    # Clients that leave while they wait for another one.
    touch($slow);
    my $first = $w->connect('web');
    $first->send(Weir::Http::request('GET ' . $at->('/wait/left')));
    wait_for { count(qr{^GET /wait/left\?zone=$zone }m) == 1 };
    my @others = map { my $c = $w->connect('web');
        $c->send(Weir::Http::request('GET ' . $at->('/wait/left'))); $c } 1 .. 10;
    $others[$_]->close for 0 .. 3;
    $others[$_]->abort for 4 .. 6;
    $first->abort;
    unlink $slow;
    my %bodies = map { Weir::Http::reply($_)->{body} => 1 } @others[7 .. 9];
    is scalar(keys %bodies), 1, 'those who stayed get one reply';
    is_hit($at->('/wait/left'), (keys %bodies)[0], 'which is stored');
    is count(qr{^GET /wait/left\?zone=$zone }m), 1, 'the server was asked once';

    # A server that fails is asked by one after the other.
    touch($slow);
    touch($broken);
    @others = map { my $c = $w->connect('web');
        $c->send(Weir::Http::request('GET ' . $at->('/wait/no'))); $c } 1 .. 10;
    wait_for { count(qr{^GET /wait/no\?zone=$zone }m) == 1 };
    unlink $slow;
    is scalar(grep { Weir::Http::reply($_)->{status} == 503 } @others), 10, 'all get the failure';
    unlink $broken;

    # HEAD stores nothing that GET gets.
    my $head = Weir::Http::ask($w, 'web', 'HEAD ' . $at->('/head/'));
    wait_for { $head = Weir::Http::ask($w, 'web', 'HEAD ' . $at->('/head/')); status($head) eq 'HIT' };
    is status($head), 'HIT', 'a reply to HEAD is stored';
    isnt Weir::Http::field($head, 'Content-Length'), 0, 'it tells no wrong length';
    like get($at->('/head/'))->{body}, qr/^number/, 'GET gets a body';

    # One client changes nothing for others.
    my $any = Weir::Http::ask($w, 'web', 'POST ' . $at->('/any/'), body => 'a');
    isnt Weir::Http::ask($w, 'web', 'POST ' . $at->('/any/'), body => 'b')->{body}, $any->{body},
        'another body, another reply';
    my $plain = get($at->('/plain'));
    is_hit($at->('/plain'), $plain->{body}, 'stored');
    is get($at->('/plain'), 'X-HTTP-Method-Override' => 'DELETE', 'X-Forwarded-Host' => 'evil')->{body},
        $plain->{body}, 'override and host change nothing';
    for my $target ('/pl%61in', '//plain', '/./plain', '/plain;x') {
        isnt get($at->($target))->{body}, $plain->{body}, "$target is another key";
    }
    is get($at->('/plain'), Range => 'bytes=' . join ',', map { '0-' } 1 .. 200)->{status}, 200,
        'a range of many parts is not multiplied';
}

# Pipelined requests behind a stale one, and a client that leaves in the middle.
my $pipe = $w->connect('web');
$pipe->send(join '', map { Weir::Http::request("GET /back/?zone=memory&$_") } 1 .. 20);
is scalar(grep { Weir::Http::reply($pipe)->{status} == 200 } 1 .. 20), 20, 'pipelined';
select undef, undef, undef, 4.1;
touch($slow);
$pipe->send(join '', map { Weir::Http::request("GET /back/?zone=memory&$_") } 1 .. 20);
is scalar(grep { status(Weir::Http::reply($pipe)) =~ /STALE|MISS/ } 1 .. 20), 20,
    'pipelined, refreshed behind';
$pipe->abort;

# Stopping while refreshes run without a client.
$w->signal('QUIT');
unlink $slow;
$w->has_ended;
$w->finish;
done_testing;
