#!/usr/bin/perl
# chaos: yes

# proxy_cache as a user of nginx knows it: what is stored, under which key and for how long, what
# goes past the cache, conditions and ranges, stale replies, refreshes, and one request for many.
# Everything with a folder and with memory only.

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

# Each reply has a number of its own, so that a stored one is known by its body.
sub answer {
    my ($r, $fh) = @_;
    my ($path, $args) = $r->{target} =~ /^([^?]*)\??(.*)/;
    my %arg = map { /([^=]*)=(.*)/ ? ($1, $2) : ($_, 1) } split /&/, $args;
    open my $out, '>>', $asked or die $!;
    syswrite $out, "$r->{method} $r->{target} "
        . join('; ', map { "$_->[0]: $_->[1]" } grep { $_->[0] =~ /^(If-|Range)/i } @{ $r->{fields} })
        . "\n";
    my $n = () = slurp_file($asked) =~ /^/mg;
    return undef if -e $broken && $path eq '/breaks';
    return Weir::HttpServer::reply(503, "down\n") if -e $broken;
    if (-e $slow) {
        for (1 .. 600) { last if !-e $slow; select undef, undef, undef, 0.05; }
    }
    my @fields;
    push @fields, 'Cache-Control' => $arg{cc} =~ s/\+/, /gr if $arg{cc};
    push @fields, 'Set-Cookie' => 'a=b' if $arg{cookie};
    my $asks = grep { $_->[0] eq 'If-None-Match' } @{ $r->{fields} };
    push @fields, 'X-Accel-Expires' => $arg{accel} if defined $arg{accel} && !$asks;
    push @fields, 'ETag' => qq("$path") if $arg{etag};
    push @fields, 'Last-Modified' => 'Sun, 06 Nov 1994 08:49:37 GMT' if $arg{lm};
    push @fields, 'X-Number' => $n;
    return Weir::HttpServer::reply(304, '', @fields, 'X-Accel-Expires' => 60)
        if $arg{etag} && $asks;
    my $body = $arg{size} ? substr("$n " . 'x' x $arg{size}, 0, $arg{size}) : "number $n\n";
    return Weir::HttpServer::reply($arg{status} // 200, $body, @fields);
}

sub slurp_file { return Weir::slurp($_[0]) }
sub touch { open my $fh, '>', $_[0] or die "$_[0]: $!" }

$w->backend('b', serve => Weir::HttpServer::serve(\&answer));
$w->start(<<'CONF');
http {
    proxy_cache_path cache levels=1:2 keys_zone=disk:1m;
    proxy_cache_path unused keys_zone=memory:1m memory=4m disk=off;
    proxy_cache_path both keys_zone=both:1m memory=4m;
    proxy_cache_valid 200 302 1m;
    proxy_cache_valid 404 1m;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    add_header X-Cache $upstream_cache_status always;
    map $arg_zone $zone { default disk; memory memory; both both; }
    upstream b { server %{b}; keepalive 4; }
    server {
        listen %{web};
        proxy_cache $zone;
        proxy_cache_key $request_uri;
        location / { proxy_pass http://b; }
        location /other/ { add_header X-Other yes; add_header X-Cache $upstream_cache_status;
                           proxy_hide_header X-Number; proxy_pass http://b; }
        location /bypass/ { proxy_cache_bypass $http_x_bypass; proxy_no_cache $http_x_no;
                            proxy_cache_key $uri; proxy_pass http://b; }
        location /twice/ { proxy_cache_min_uses 2; proxy_pass http://b; }
        location /post/ { proxy_cache_methods POST; proxy_cache_key $uri$request_body;
                          proxy_pass http://b; }
        location /stale/ { proxy_cache_use_stale error timeout http_503; proxy_pass http://b; }
        location /breaks { proxy_cache_use_stale error; proxy_pass http://b; }
        location /back/ { proxy_cache_use_stale updating; proxy_cache_background_update on;
                          proxy_pass http://b; }
        location /asks/ { proxy_cache_revalidate on; proxy_pass http://b; }
        location /lock/ { proxy_cache_lock on; proxy_cache_lock_timeout 60s;
                          proxy_cache_lock_age 60s; proxy_pass http://b; }
        location /far/ { proxy_cache_max_range_offset 1000; proxy_pass http://b; }
        location /rfc/ { proxy_cache_rfc9111 on; cache_status on; proxy_pass http://b; }
        location /unbuffered/ { proxy_buffering off; proxy_pass http://b; }
        location /head/ { proxy_cache_convert_head off; proxy_cache_key $request_method$request_uri;
                          proxy_pass http://b; }
        location /sorry/ { proxy_cache_key $arg_key; proxy_cache_revalidate on;
                           proxy_intercept_errors on; error_page 404 /sorry.txt;
                           proxy_pass http://b; }
        location /plain/ { proxy_cache_key $arg_key; proxy_pass http://b; }
        location /off/ { proxy_cache off; proxy_pass http://b; }
    }
}
CONF

sub get { return Weir::Http::ask($w, 'web', "GET $_[0]", @_[1 .. $#_]) }

sub status {
    my ($r) = @_;
    return Weir::Http::field($r, 'X-Cache') // '-';
}

sub is_hit {
    my ($target, $body, $what) = @_;
    my $r = get($target);
    wait_for { $r = get($target); status($r) eq 'HIT' } if status($r) ne 'HIT'; # a thread writes it
    is substr(status($r) . ' ' . $r->{body}, 0, 100), substr("HIT $body", 0, 100), $what;
    return $r;
}

my $zone;
sub at { return $_[0] . ($_[0] =~ /\?/ ? '&' : '?') . "zone=$zone" }

for (qw(disk memory both)) {
    $zone = $_;
    note "zone $zone";

    my $first = get(at('/a'));
    is status($first), 'MISS', "$zone: the first request goes to the server";
    my $hit = is_hit(at('/a'), $first->{body}, 'the second one does not');
    ok defined Weir::Http::field($hit, 'Age'), 'and tells its age';
    isnt get(at('/a?x'))->{body}, $first->{body}, 'another key is another reply';
    my $head = Weir::Http::ask($w, 'web', 'HEAD ' . at('/a'));
    is status($head) . Weir::Http::field($head, 'Content-Length'),
        'HIT' . length $first->{body}, 'HEAD is answered from it';

    my $large = get(at('/large?size=200000'));
    is length $large->{body}, 200000, 'a large reply is passed on';
    is_hit(at('/large?size=200000'), $large->{body}, 'and stored');
    my $part = get(at('/large?size=200000'), Range => 'bytes=10-19');
    is "$part->{status} $part->{body}", '206 ' . substr($large->{body}, 10, 10), 'a range of it';

    my $direct = get(at('/unbuffered/?size=70000'));
    is_hit(at('/unbuffered/?size=70000'), $direct->{body}, 'proxy_buffering off: stored as well');

    my $empty = get(at('/empty?size=0&status=404'));
    is $empty->{status}, 404, 'a 404 is passed on';
    wait_for { status(get(at('/empty?size=0&status=404'))) eq 'HIT' };
    is status(get(at('/empty?size=0&status=404'))), 'HIT', 'and stored for its own time';

    for my $not ('cc=no-store', 'cc=private', 'cc=max-age=0', 'cookie=1', 'accel=0', 'status=500') {
        my $one = get(at("/not?$not"));
        my $two = get(at("/not?$not"));
        isnt $two->{body}, $one->{body}, "$not is not stored";
        is status($two), 'MISS', 'and counts as missing';
    }
    my $conditional = get(at('/c?etag=1&lm=1'));
    is_hit(at('/c?etag=1&lm=1'), $conditional->{body}, 'a reply with validators');
    is get(at('/c?etag=1&lm=1'), 'If-None-Match' => '"/c"')->{status}, 304,
        'If-None-Match is answered';
    is get(at('/c?etag=1&lm=1'), 'If-Modified-Since' => 'Sun, 06 Nov 1994 08:49:37 GMT')->{status},
        304, 'so is If-Modified-Since';
    is get(at('/new?etag=1&lm=1'), 'If-Modified-Since' => 'Sun, 06 Nov 1994 08:49:37 GMT',
        Range => 'bytes=0-3')->{status}, 304, 'also by the reply that is being stored';
    like slurp_file($asked), qr{^GET /new\S* $}m, 'the server is asked for the whole of it';
    is_hit(at('/new?etag=1&lm=1'), get(at('/new?etag=1&lm=1'))->{body}, 'which is stored');

    my $other = get(at('/other/'));
    wait_for { status(get(at('/other/'))) eq 'HIT' };
    $other = get(at('/other/'));
    is Weir::Http::field($other, 'X-Other') . (Weir::Http::field($other, 'X-Number') // ''),
        'yes', 'fields are added and hidden when it is sent';

    my $one = get(at('/bypass/'));
    wait_for { status(get(at('/bypass/'))) eq 'HIT' };
    my $two = get(at('/bypass/'), 'X-Bypass' => 1);
    is status($two), 'BYPASS', 'proxy_cache_bypass asks the server';
    isnt $two->{body}, $one->{body}, 'which answers anew';
    wait_for { get(at('/bypass/'))->{body} eq $two->{body} };
    is get(at('/bypass/'))->{body}, $two->{body}, 'and that is stored';
    my $three = get(at('/bypass/'), 'X-Bypass' => 1, 'X-No' => 1);
    is get(at('/bypass/'))->{body}, $two->{body}, 'unless proxy_no_cache forbids it';

    is status(get(at('/twice/'))), 'MISS', 'min_uses: the first';
    my $second = get(at('/twice/'));
    is status($second), 'MISS', 'min_uses: the second is stored';
    is_hit(at('/twice/'), $second->{body}, 'min_uses: the third is a hit');

    my $post = Weir::Http::ask($w, 'web', 'POST ' . at('/post/'), body => 'one');
    wait_for { status(Weir::Http::ask($w, 'web', 'POST ' . at('/post/'), body => 'one')) eq 'HIT' };
    is Weir::Http::ask($w, 'web', 'POST ' . at('/post/'), body => 'one')->{body}, $post->{body},
        'POST with its body in the key';
    isnt Weir::Http::ask($w, 'web', 'POST ' . at('/post/'), body => 'two')->{body}, $post->{body},
        'another body is another reply';
    is status(Weir::Http::ask($w, 'web', 'POST ' . at('/a'), body => 'x')), '-',
        'POST is not cached elsewhere';
    is status(get(at('/off/'))), '-', 'proxy_cache off';

    # A range far behind is the server's affair.
    get(at('/far/?size=5000'), Range => 'bytes=2000-2009');
    like slurp_file($asked), qr{^GET /far/\S* Range: bytes=2000-2009$}m, 'the range is asked for';
    is status(get(at('/far/?size=5000'))), 'MISS', 'and not stored';

    # RFC 9111: Authorization, what clients say, unsafe methods, Cache-Status.
    my @who = (Authorization => 'Basic YTpi');
    isnt get(at('/rfc/?a&cc=max-age=60'), @who)->{body}, get(at('/rfc/?a&cc=max-age=60'), @who)->{body},
        'rfc9111: a reply to Authorization is not stored';
    my $rfc = get(at('/rfc/?cc=max-age=60'));
    is Weir::Http::field($rfc, 'Cache-Status'), 'weir; fwd=uri-miss; stored', 'Cache-Status: a miss';
    is_hit(at('/rfc/?cc=max-age=60'), $rfc->{body}, 'stored');
    like Weir::Http::field(get(at('/rfc/?cc=max-age=60')), 'Cache-Status'), qr/^weir; hit; ttl=\d+$/,
        'Cache-Status: a hit';
    is Weir::Http::field(get(at('/rfc/?cc=private')), 'Cache-Status'),
        'weir; fwd=uri-miss; detail="Cache-Control: private"', 'Cache-Status: why it is not stored';
    my $only = get(at('/rfc/?none'), 'Cache-Control' => 'only-if-cached');
    is "$only->{status} " . Weir::Http::field($only, 'Cache-Status'),
        '504 weir; detail=only-if-cached', 'only-if-cached: nobody is asked';
    my $anew = get(at('/rfc/?cc=max-age=60'), 'Cache-Control' => 'no-cache');
    isnt $anew->{body}, $rfc->{body}, 'no-cache of the client';
    like Weir::Http::field($anew, 'Cache-Status'), qr/^weir; fwd=request; stored/,
        'Cache-Status: because the request says so';
    my $now = get(at('/rfc/?cc=max-age=60'))->{body};
    Weir::Http::ask($w, 'web', 'POST ' . at('/rfc/?cc=max-age=60'), body => 'x');
    isnt get(at('/rfc/?cc=max-age=60'))->{body}, $now, 'a POST makes it void';

    # HEAD as it came.
    Weir::Http::ask($w, 'web', 'HEAD ' . at('/head/'));
    like slurp_file($asked), qr{^HEAD /head/}m, 'convert_head off: the server gets HEAD';
    is status(get(at('/head/'))), 'MISS', 'GET is another key';

    # Stale replies: all of them have to be stored, and come stale, first.
    my %first = map { $_ => get(at($_)) } '/stale/?accel=1', '/breaks?accel=1', '/refuse?accel=1',
        '/back/?accel=1', '/asks/?accel=1&etag=1';
    select undef, undef, undef, 2.1;
    touch($broken);
    my $r = get(at('/stale/?accel=1'));
    is status($r) . " $r->{status} $r->{body}", "STALE 200 $first{'/stale/?accel=1'}{body}",
        'http_503: stale';
    $r = get(at('/breaks?accel=1'));
    is status($r) . " $r->{status} $r->{body}", "STALE 200 $first{'/breaks?accel=1'}{body}",
        'error: stale';
    is get(at('/refuse?accel=1'))->{status}, 503, 'not without proxy_cache_use_stale';
    unlink $broken;
    $r = get(at('/stale/?accel=1'));
    is status($r), 'EXPIRED', 'the server is back: it is asked';

    # A refresh behind a stale reply.
    touch($slow);
    my $back = $first{'/back/?accel=1'}{body};
    $r = get(at('/back/?accel=1'));
    is status($r) . $r->{body}, "STALE$back", 'background update: stale at once';
    $r = get(at('/back/?accel=1'));
    like status($r), qr/^(STALE|UPDATING)$/, 'and to the next one';
    unlink $slow;
    ok wait_for { get(at('/back/?accel=1'))->{body} ne $back }, 'then the new one';

    # Validation. The 304 says that it is fresh for a minute.
    $r = get(at('/asks/?accel=1&etag=1'));
    is status($r) . " $r->{status} $r->{body}",
        "REVALIDATED 200 $first{'/asks/?accel=1&etag=1'}{body}", 'a 304 confirms it';
    is_hit(at('/asks/?accel=1&etag=1'), $r->{body}, 'and makes it fresh again');

    # A reply that error_page replaces is stored without its body, also after a 304.
    my $lost = "status=404&etag=1&accel=1&key=lost$zone";
    is get(at("/sorry/?$lost"))->{status}, 404, 'error_page replaces it';
    ok wait_for {
        get(at("/sorry/?$lost"));
        slurp_file($asked) =~ m{^GET /sorry/\?\Q$lost\E\S* If-None-Match}m;
    }, 'and is asked for again';
    like get(at("/plain/?$lost"))->{body}, qr/^number/, 'elsewhere it has its body, after a 304, too';

    # One request for many.
    touch($slow);
    my @clients = map { my $c = $w->connect('web'); $c->send(Weir::Http::request("GET " . at('/lock/')));
                        $c } 1 .. 20;
    wait_for { (() = slurp_file($asked) =~ m{^GET /lock/\?zone=$zone }mg) > 0 };
    unlink $slow;
    my %bodies = map { Weir::Http::reply($_)->{body} => 1 } @clients;
    is scalar(keys %bodies), 1, '20 clients get one reply';
    is scalar(() = slurp_file($asked) =~ m{^GET /lock/\?zone=$zone }mg), 1,
        'the server was asked once';
}

# A client that leaves does not stop what is being stored.
$zone = 'disk';
touch($slow);
my $left = $w->connect('web');
$left->send(Weir::Http::request('GET ' . at('/lock/left')));
wait_for { slurp_file($asked) =~ m{^GET /lock/left}m };
$left->close;
unlink $slow;
wait_for { status(get(at('/lock/left'))) eq 'HIT' };
is scalar(() = slurp_file($asked) =~ m{^GET /lock/left}mg), 1, 'the client left, the reply was stored';

# A reload and a restart keep what is stored.
my $kept = get(at('/kept'));
is_hit(at('/kept'), $kept->{body}, 'stored');
$w->reload;
is_hit(at('/kept'), $kept->{body}, 'a reload keeps it');
$w->finish;
done_testing;
