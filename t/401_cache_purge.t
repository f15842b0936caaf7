#!/usr/bin/perl
# chaos: yes

# Purges: a key with all its variants, keys with a beginning, tags; soft and hard; what is being
# fetched meanwhile; access comes first. And variants: many of one key, each found.

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
my $slow = $w->path('slow');

sub touch { open my $fh, '>', $_[0] or die "$_[0]: $!" }

# Each reply has a number of its own.
sub answer {
    my ($r) = @_;
    my %field = map { lc $_->[0] => $_->[1] } @{ $r->{fields} };
    open my $out, '>>', $asked or die $!;
    syswrite $out, "$r->{target}\n";
    my $n = () = Weir::slurp($asked) =~ /^/mg;
    for (1 .. 600) { last if !-e $slow; select undef, undef, undef, 0.05; }
    my @fields = ('Cache-Control' => 'max-age=600');
    push @fields, 'Vary' => 'X-Kind, Accept-Language' if $r->{target} =~ /^\/vary/;
    push @fields, 'Cache-Tag' => $1 =~ s/\+/, /gr if $r->{target} =~ /tags=([^&]*)/;
    return Weir::HttpServer::reply(200, "$n " . ($field{'x-kind'} // '-') . "\n", @fields);
}

$w->backend('b', serve => Weir::HttpServer::serve(\&answer));
my $conf = <<'CONF';
worker_processes 2;
http {
    proxy_cache_path cache levels=1:2 keys_zone=disk:1m purger=on purger_sleep=10ms;
    proxy_cache_path unused keys_zone=memory:1m memory=4m disk=off;
    map $arg_zone $zone { default disk; memory memory; }
    map $request_method $purge { default 0; PURGE 1; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    add_header X-Cache $upstream_cache_status always;
    upstream b { server %{b}; keepalive 4; }
    server {
        listen %{web};
        proxy_cache $zone;
        proxy_cache_key $uri;
        proxy_cache_tag $upstream_http_cache_tag;
        proxy_cache_use_stale updating;
        proxy_cache_purge $purge;
        location / { proxy_pass http://b; }
        location /vary { proxy_pass http://b; }
        location /back/ { proxy_cache_background_update on; proxy_pass http://b; }
        location /closed/ { limit_except GET { deny all; } proxy_pass http://b; }
    }
}
CONF
$w->start($conf);

my $zone;

sub get {
    my ($target, @fields) = @_;
    return Weir::Http::ask($w, 'web', "GET $target" . ($target =~ /\?/ ? '&' : '?') . "zone=$zone",
        @fields);
}

sub status { return Weir::Http::field($_[0], 'X-Cache') // '-' }

# Asks until it is stored; returns the body.
sub stored {
    my ($target, @fields) = @_;
    my $r;
    wait_for { $r = get($target, @fields); status($r) eq 'HIT' };
    return $r->{body};
}

sub purge {
    my ($target, @fields) = @_;
    return Weir::Http::ask($w, 'web', "PURGE $target?zone=$zone", @fields)->{status};
}

for (qw(disk memory)) {
    $zone = $_;
    my $a = stored('/a');
    is get('/a')->{body}, $a, "$zone: stored";
    is purge('/a'), 204, 'purged';
    isnt get('/a')->{body}, $a, 'the next request gets another one';
    is purge('/never'), 404, 'what is not stored is not there';

    my %images = map { $_ => stored("/images/$_") } 1 .. 3;
    my $other = stored('/imagination');
    is purge('/images/*'), 204, 'a beginning';
    isnt get("/images/$_")->{body}, $images{$_}, "image $_ is gone" for 1 .. 3;
    is get('/imagination')->{body}, $other, 'another beginning stays';

    my $one = stored('/one?tags=red+blue');
    my $two = stored('/two?tags=red');
    my $none = stored('/none');
    ok !defined Weir::Http::field(get('/one?tags=red+blue'), 'Cache-Tag'), 'tags are not told';
    is purge('/', 'Cache-Tag' => 'blue'), 204, 'a tag';
    isnt get('/one?tags=red+blue')->{body}, $one, 'what has it is gone';
    is get('/two?tags=red')->{body}, $two, 'what has another stays';
    $one = stored('/one?tags=red+blue');
    is purge('/', 'Cache-Tag' => 'green, red'), 204, 'two tags';
    isnt get('/one?tags=red+blue')->{body}, $one, 'the first is gone';
    isnt get('/two?tags=red')->{body}, $two, 'so is the second';
    is get('/none')->{body}, $none, 'what has none stays';
    is purge('/', 'Cache-Tag' => 'x' x 200), 400, 'too long a tag is refused';

    my $soft = stored('/back/soft');
    is purge('/back/soft', 'Cache-Purge-Mode' => 'soft'), 204, 'soft';
    my $r = get('/back/soft');
    is status($r) . $r->{body}, "STALE$soft", 'it is stale, and sent nevertheless';
    wait_for { get('/back/soft')->{body} ne $soft };
    isnt get('/back/soft')->{body}, $soft, 'then there is another one';

    # A purge of what is being fetched.
    touch($slow);
    my $c = $w->connect('web');
    $c->send(Weir::Http::request("GET /late?tags=late&zone=$zone"));
    wait_for { Weir::slurp($asked) =~ m{^/late\S*zone=$zone$}m };
    is purge('/', 'Cache-Tag' => 'late'), 204, 'a purge while it is fetched';
    unlink $slow;
    my $late = Weir::Http::reply($c)->{body};
    isnt get('/late?tags=late')->{body}, $late, 'it is not stored';

    # Variants.
    my %body;
    for my $kind (1 .. 50) {
        $body{$kind} = stored('/vary', 'X-Kind' => $kind);
        like $body{$kind}, qr/ $kind$/, "variant $kind" if $kind % 10 == 0;
    }
    my $hits = grep { my $r = get('/vary', 'X-Kind' => $_);
                      status($r) eq 'HIT' && $r->{body} eq $body{$_} } 1 .. 50;
    is $hits, 50, '50 variants are all found';
    is get('/vary', 'X-Kind' => 7, 'Accept-Language' => 'de')->{body} eq $body{7}, '',
        'a second field counts, too';
    is purge('/vary'), 204, 'the key is purged';
    my $left = grep { get('/vary', 'X-Kind' => $_)->{body} eq $body{$_} } 1 .. 50;
    is $left, 0, 'and with it all variants';

    my $closed = stored('/closed/a');
    is purge('/closed/a'), 403, 'access is checked first';
    is get('/closed/a')->{body}, $closed, 'nothing was purged';
}

# Purges go on after a reload; another generation sees them.
$zone = 'disk';
my $kept = stored('/kept?tags=kept');
is purge('/', 'Cache-Tag' => 'kept'), 204, 'purged';
$w->reload;
isnt get('/kept?tags=kept')->{body}, $kept, 'a reload does not revive it';

# Nor does a restart: what was purged by tag lies in its file still.
my $tagged = stored('/tagged?tags=tagged');
my $image = stored('/images/restart');
is purge('/', 'Cache-Tag' => 'tagged'), 204, 'a tag';
is purge('/images/*'), 204, 'and a beginning';
my $softly = stored('/softly');
is purge('/softly', 'Cache-Purge-Mode' => 'soft'), 204, 'softly, a key';
my $log = $w->path('cache/.weir-purges');
wait_for { (-s $log // 0) >= 3 * 32 };
my $torn = stored('/torn?tags=torn');
my $size = -s $log;
truncate $log, $size + 5; # as a full disk leaves it
is purge('/', 'Cache-Tag' => 'torn'), 204, 'a tag behind half a record';
becomes { -s $log > $size && (-s $log) % 32 == 0 } 'is written in its place';
$w->stop;
$w->start($conf);
isnt get('/tagged?tags=tagged')->{body}, $tagged, 'a restart does not revive it';
isnt get('/images/restart')->{body}, $image, 'nor that';
isnt get('/torn?tags=torn')->{body}, $torn, 'nor that';
isnt get('/softly')->{body}, $softly, 'a soft purge of a key holds, too';

# purger=on: files of what was purged go although nobody asks for them.
sub files {
    my ($dir) = @_;
    return map { -d $_ ? files($_) : m{/[0-9a-f]{32}$} ? $_ : () } glob "$dir/*";
}
stored($_) for '/tagged?tags=tagged', '/images/restart'; # no file is on its way now
my $before = files($w->path('cache'));
stored("/images/purged/$_") for 1 .. 5;
is purge('/images/purged/*'), 204, 'purged';
becomes { files($w->path('cache')) <= $before } 'the purger removes the files';
$w->finish;
done_testing;
