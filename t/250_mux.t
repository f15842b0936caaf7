#!/usr/bin/perl
# chaos: yes

# A second way to speak HTTP from outside the tree, which carries many exchanges over one
# connection: t/modules/mux, taken in by ./configure --add-module without a change to the core.
# Exchanges interleave on a client's connection, one is reset, one is slow, one has trailers; links
# to servers are shared, and when one dies each exchange learns whether it may be sent again.
#
# WEIR_MUX names a program that was built so already.

use strict;
use warnings;
use FindBin;
use IO::Select;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;
use Weir::Process qw(wait_for);

my $w = Weir->new;

$w->{bin} = $ENV{WEIR_MUX} // $w->built_with('t/modules/mux');

# ---- frames

sub frame { my ($type, @rest) = @_; return pack 'N N N/a*', ord $type, @rest }

sub head {
    my ($first, @fields) = @_;
    return join "\r\n", $first, (map { "$_->[0]: $_->[1]" } pairs(@fields)), '', '';
}

sub pairs { my @p; push @p, [splice @_, 0, 2] while @_; return @p }

my $preface = pack 'a4 N N', 'MUX1', 0, 0;

sub request {
    my ($id, $target, %how) = @_;
    return frame('h', $id, head(($how{method} // 'GET') . " $target HTTP/1.1", Host => 'a',
            @{ $how{fields} // [] }));
}

# The next frame as [type, stream, payload]; undef at the end.
sub next_frame {
    my ($read) = @_;
    my $header = $read->(12);
    return if length $header < 12;
    my ($type, $id, $n) = unpack 'N N N', $header;
    return [chr $type, $id, $n > 0 ? $read->($n) : ''];
}

sub fields {
    my ($text) = @_;
    return $text =~ /^([^:\r\n]+): ([^\r\n]*)\r$/mg;
}

# A client's connection: what came, by stream.
sub client {
    my ($place) = @_;
    my $c = $w->connect($place) or die "connect: $!\n";
    $c->send($preface);
    return { c => $c, of => {}, order => '' };
}

sub take {
    my ($m, $seconds) = @_;
    my $f = next_frame(sub { $m->{c}->recv($_[0], $seconds) }) // return;
    my ($type, $id, $p) = @$f;
    my $s = $m->{of}{$id} //= { head => {}, body => '', trailers => {}, end => '' };

    $m->{order} .= "$type$id ";
    $s->{head} = { ':status' => $p =~ /^HTTP\/1\.1 (\d+)/, fields($p) } if $type eq 'h';
    $s->{body} .= $p if $type eq 'd';
    if ($type eq 'e') {
        $s->{end} = 'complete';
        $s->{trailers} = { fields($p) };
    }
    $s->{end} = 'reset' if $type eq 'r';
    $s->{end} = 'refused' if $type eq 'n';
    return $f;
}

# Reads until these streams have ended.
sub finish {
    my ($m, @ids) = @_;
    while (grep { !$m->{of}{$_} || !$m->{of}{$_}{end} } @ids) {
        take($m) or return 0;
    }
    return 1;
}

sub get {
    my ($place, $path) = @_;
    return Weir::Http::ask($w, $place, "GET $path");
}

# ---- servers

my $file = join '', map { "$_ line of a file\n" } 1 .. (Weir::chaos() ? 6000 : 40000);
mkdir $w->path('html');
$w->write('html/file', $file);

sub arrived { return () = Weir::slurp($w->path("arrived_$_[0]")) =~ /one/g }

sub wait_file {
    my ($name) = @_;
    my $path = $w->path($name);
    for (1 .. 3000) {
        return if -e $path;
        select undef, undef, undef, 0.02;
    }
}

$w->backend('back', serve => Weir::HttpServer::serve(sub {
    my ($r, $fh) = @_;
    my ($what, $file) = $r->{target} =~ m{^/up/(\w+)(?:/(\w+))?};
    if ($what eq 'slow') {
        open my $arrived, '>>', $w->path("arrived_$file") or die "arrived: $!\n";
        syswrite $arrived, "one\n";
        wait_file($file);
        return Weir::HttpServer::reply(200, "slow $file\n");
    }
    if ($what eq 'trailers') {
        return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
            . "5\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 42\r\n\r\n";
    }
    return Weir::HttpServer::reply(200, "$r->{method} " . length($r->{body}) . ' '
        . unpack('%32C*', $r->{body}) . "\n", 'X-Got' => $r->field('X-Sent') // 'nothing');
}));

# A server that speaks mux. Its first connection answers /warm, takes all other requests until there
# are 100 of them, refuses all but the first 50, and dies; later ones answer everything.
my $seen = $w->path('seen');
$w->backend('server', serve => sub {
    my ($fh, $session) = @_;
    my $in = '';
    my $read = sub {
        my ($n) = @_;
        while (length $in < $n) { sysread($fh, $in, 65536, length $in) or return '' }
        return substr $in, 0, $n, '';
    };
    my $asked = 0;

    return if $read->(12) ne $preface;
    open my $out, '>>', $seen or die "$seen: $!\n";
    $out->autoflush(1);
    while (my $f = next_frame($read)) {
        my ($type, $id, $p) = @$f;
        next if $type ne 'h';
        my ($method, $target) = split / /, $p;
        print $out "$session $method $target $id\n";
        if ($session > 1 || $target eq '/warm') {
            Weir::HttpServer::give($fh, frame('h', $id, head('HTTP/1.1 200 OK'))
                . frame('d', $id, "$method $target\n") . frame('e', $id, ''));
            next;
        }
        if (++$asked == 100) {
            Weir::HttpServer::give($fh, join '', map { frame('n', $_, '') } 52 .. 101);
            return;
        }
    }
});

my $CONF = <<'CONF';
worker_processes 1;
error_log error.log info;
http {
    log_format mux '$request_uri $status $upstream_status';
    access_log access.log mux;
    upstream linked { server %{server}; keepalive 4; }
    server {
        listen %{mux} mux;
        root html;
        location /text { return 200 "hello\n"; }
        location /held { limit_rate 1; return 200 "as slow as one byte a second, and no faster\n"; }
        location /up { proxy_pass http://%{back}; proxy_pass_trailers on; }
        location /stream { proxy_pass http://%{back}/up/body; proxy_request_buffering off; }
    }
    server {
        listen %{front};
        proxy_http_version mux;
        proxy_pass_trailers on;
        location / { proxy_pass http://%{mux}; }
        location /stream { proxy_pass http://%{mux}; proxy_request_buffering off; }
    }
    server {
        listen %{shared};
        location / { proxy_pass http://linked; proxy_http_version mux; }
    }
}
CONF
$w->start($CONF);

# ---- one connection of a client

my $m = client('mux');
$m->{c}->send(request(1, '/up/slow/first') . request(2, '/text') . request(3, '/file')
    . request(4, '/up/slow/never') . request(5, '/up/trailers'));
ok finish($m, 2, 3, 5), 'three of five have ended' or diag $m->{order};
is $m->{of}{2}{head}{':status'}, 200, 'a head is fields';
is $m->{of}{2}{body}, "hello\n", 'a text';
ok $m->{of}{3}{body} eq $file, 'a large file';
is $m->{of}{5}{body}, 'hello world', 'a reply with trailers';
is_deeply $m->{of}{5}{trailers}, { 'X-Sum' => 42 }, 'its trailers';
is $m->{of}{1}{end} // '', '', 'the slow one still runs';
$m->{c}->send(frame('r', 4, ''));
$w->write('first', '');
ok finish($m, 1), 'the slow one ends' or diag $m->{order};
is $m->{of}{1}{body}, "slow first\n", 'with its own reply';
becomes { Weir::slurp($w->path('access.log')) =~ m{^/up/slow/never 499 -$}m }
    'the one that was reset is logged as left by its client';
like Weir::slurp($w->path('access.log')), qr{^/text 200 -$}m, 'each has its line';

# Bodies of requests, whole and as they come.
my $body = join ' ', 1 .. (Weir::chaos() ? 2000 : 10000);
my $sum = unpack '%32C*', $body;
for my $where ('/up/body', '/stream') {
    my $id = $where eq '/stream' ? 21 : 20;
    $m->{c}->send(request($id, $where, method => 'POST', fields =>
        ['Transfer-Encoding' => 'chunked', 'X-Sent' => 'field']));
    $m->{c}->send(frame('d', $id, $_)) for unpack '(a9000)*', $body;
    $m->{c}->send(frame('e', $id, ''));
    ok finish($m, $id), "a body: $where";
    is $m->{of}{$id}{body}, "POST " . length($body) . " $sum\n", 'came to the server';
    is $m->{of}{$id}{head}{'X-Got'}, 'field', 'with the fields';
}
is +(client_of($m, 30, request(30, '/a b')))->{head}{':status'}, 400, 'an invalid target';
is +(client_of($m, 31, frame('h', 31, head('GET /x HTTP/1.1'))))->{head}{':status'}, 400,
    'a request without a host';

sub client_of {
    my ($m, $id, $text) = @_;
    $m->{c}->send($text);
    finish($m, $id);
    return $m->{of}{$id};
}

# A body that is not used is not read without end.
my $held = client('mux');
my @chunked = ('Transfer-Encoding' => 'chunked');
$held->{c}->send(request(1, '/held', method => 'POST', fields => \@chunked));
take($held);
is $held->{of}{1}{head}{':status'}, 200, 'the head of a reply whose request still sends its body';
my ($block, $most, $sent, $n) = (frame('d', 1, 'x' x 16372), 64 << 20, 0, 0);
while ($sent < $most && defined $n && IO::Select->new($held->{c}->socket)->can_write(1)) {
    my $at = $sent % length $block;
    $n = syswrite $held->{c}->socket, $block, length($block) - $at, $at;
    $n //= 0 if $!{EAGAIN};
    $sent += $n // 0;
}
ok defined $n && $sent < $most, 'weir stops reading the body' or diag "$sent: $!";
$held->{c}->close;

# A breach of the protocol ends its connection, and no other.
for my $case (
    ['an invalid preface', undef],
    ['an unknown type', frame('x', 1, '')],
    ['a stream that was not begun', frame('d', 7, 'x')],
    ['a frame that is too long', pack('N N N', ord 'h', 1, 1 << 30)],
    ['a stream twice', request(1, '/up/slow/never') . request(1, '/text')],
    ['data behind the end', request(1, '/up/slow/never') . frame('d', 1, 'x')],
) {
    my ($what, $text) = @$case;
    my $bad = $w->connect('mux');
    $bad->send(defined $text ? $preface . $text : "MUX1 no\n\r\n\r\n");
    $bad->rest;
    isnt $bad->ending, 'open', $what;
}
is +(client_of($m, 40, request(40, '/text')))->{body}, "hello\n", 'the other connection goes on';
my $h1 = get('mux', '/text');
is $h1->{body}, "hello\n", 'HTTP/1 is spoken on the same address';

# ---- both sides: HTTP/1, mux, HTTP/1

for my $path ('/text', '/file', '/up/trailers', '/up/body') {
    my $r = get('front', $path);
    is $r->{status}, 200, "through both sides: $path";
    ok $r->{body} eq $file, 'the file' if $path eq '/file';
    is $r->{body}, 'hello world', 'the body before the trailers' if $path eq '/up/trailers';
}
for my $path ('/up/body', '/stream') {
    my $c = $w->connect('front');
    $c->send("POST $path HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: "
        . length($body) . "\r\n\r\n$body");
    like $c->rest, qr/POST @{[length $body]} $sum\n/, "a body through both sides: $path";
}
my $left = $w->connect('front');
$left->send("GET /up/slow/left HTTP/1.1\r\nHost: a\r\n\r\n");
becomes { arrived('left') == 1 } 'a request arrives';
$left->close;
becomes { (() = Weir::slurp($w->path('access.log')) =~ m{^/up/slow/left 499 -$}mg) == 2 }
    'a client that leaves resets its stream at the server';

# ---- a link dies under 100 leases

is +get('shared', '/warm')->{body}, "GET /warm\n", 'a link is up';
my @many = map {
    my $method = $_ % 2 ? 'GET' : 'POST';
    my $c = $w->connect('shared');
    # One after the other, so that their streams have the order of their numbers.
    $c->send("$method /n/$_ HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
        . ($method eq 'POST' ? "Content-Length: 0\r\n" : '') . "\r\n");
    my $n = $_;
    $n == 100 || wait_for { Weir::slurp($seen) =~ m{ /n/$n } };
    [$n, $method, $c];
} 1 .. 100;
my (%status, %times);
$status{ $_->[0] } = $_->[2]->rest =~ m{^HTTP/1\.1 (\d+)} ? $1 : 'none' for @many;
$times{$_}++ for Weir::slurp($seen) =~ m{^\d+ \w+ /n/(\d+) }mg;
my @posts = grep { $_ <= 50 && $_ % 2 == 0 } 1 .. 100;
is_deeply [grep { $status{$_} != 502 } @posts], [],
    'POSTs that may have been processed have failed';
is_deeply [grep { $times{$_} != 1 } @posts], [], 'and was sent once';
my @others = grep { $_ > 50 || $_ % 2 } 1 .. 100;
is_deeply [grep { $status{$_} != 200 } @others], [], 'all others were answered';
is_deeply [grep { $times{$_} != 2 } @others], [], 'by the second link';
my %links = map { /^(\d+)/ ? ($1 => 1) : () } split /\n/, Weir::slurp($seen);
is_deeply [sort keys %links], [1, 2], 'which they shared';

# ---- a reload and the end, with streams open

$m = client('mux');
$m->{c}->send(request(1, '/up/slow/reloaded') . request(2, '/text'));
finish($m, 2);
$w->signal('HUP');
my $id = 3;
while ($id < 1000 && client_of($m, $id, request($id, '/text'))->{end} eq 'complete') { $id++ }
is $m->{of}{$id}{end}, 'refused', 'a reload: a stream is refused, it may be sent again';
$w->write('reloaded', '');
ok finish($m, 1), 'a stream that runs ends well';
is $m->{of}{1}{body}, "slow reloaded\n", 'complete';
isnt $m->{c}->ending, 'open', 'and then the connection is closed';

$m = client('mux');
$m->{c}->send(request(1, '/up/slow/quit') . request(2, '/text'));
finish($m, 2);
my $front = $w->connect('front');
$front->send("GET /up/slow/quit HTTP/1.1\r\nHost: a\r\n\r\n");
becomes { arrived('quit') == 2 } 'both have arrived';
$w->signal('QUIT');
$w->write('quit', '');
ok finish($m, 1), 'a stream outlives the order to quit';
like $front->rest, qr/slow quit\n/, 'and one that goes through both sides';
is $w->ended($w->master), 0, 'weir ends';
$w->has_ended;
$w->finish;
done_testing;
