#!/usr/bin/perl
# chaos: yes

# The life of one session: who may speak first, what happens when either side ends its half or
# the whole (proxy_half_close on and off), goes away with a reset, or falls silent
# (proxy_timeout, proxy_connect_timeout); and that a side that does not read holds the other back
# instead of growing weir's memory.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use List::Util qw(max);
use Test::More;
use Time::HiRes qw(time sleep);
use Weir;
use Weir::Bulk qw(digest_of);

my $MIB = 1 << 20;
my $w = Weir->new;

# Reads to the client's end, then answers with how it ended and how much there was.
$w->backend('counter', serve => sub {
    my ($fh) = @_;
    my $n = 0;
    while (my $got = sysread $fh, my $bytes, 65536) { $n += $got }
    $w->write('counted', "$n\n");
    syswrite $fh, "counted $n\n";
});

# Ends its own half at once, and goes on reading.
$w->backend('talker', serve => sub {
    my ($fh) = @_;
    syswrite $fh, "bye\n";
    shutdown $fh, 1;
    my $all = '';
    1 while sysread $fh, $all, 65536, length $all;
    $w->write('heard', $all);
});

# Answers one line by a reset.
$w->backend('rude', serve => sub {
    my ($fh) = @_;
    sysread $fh, my $line, 100;
    setsockopt $fh, Socket::SOL_SOCKET, Socket::SO_LINGER, pack 'ii', 1, 0;
});

# Never reads; gives up after a while that no test waits for.
$w->backend('deaf', serve => sub { sleep 600 });

$w->echo('echo');
$w->backend('banner', greet => "220 ready\n");
$w->backend('bulk', serve => \&Weir::Bulk::serve);
$w->hole($_) for 'hole', 'hole2';
$w->start(<<'CONF');
worker_processes 1;
stream {
    upstream answers { server %{hole}; server %{echo}; }
    server { listen %{plain};     proxy_pass %{echo}; }
    server { listen %{tiny};      proxy_pass %{echo}; proxy_buffer_size 64; tcp_nodelay off; }
    server { listen %{speaker};   proxy_pass %{banner}; }
    server { listen %{bulkway};   proxy_pass %{bulk}; }
    server { listen %{deafway};   proxy_pass %{deaf}; }
    server { listen %{rudeway};   proxy_pass %{rude}; }

    server { listen %{rated};     proxy_pass %{bulk}; proxy_download_rate 100k;
             proxy_upload_rate $rate; }
    map $server_port $rate { default 100k; }

    server { listen %{half};      proxy_pass %{counter}; proxy_half_close on; }
    server { listen %{halftalk};  proxy_pass %{talker};  proxy_half_close on; }
    server { listen %{full};      proxy_pass %{counter}; }
    server { listen %{fulltalk};  proxy_pass %{talker}; }

    server { listen %{idle};      proxy_pass %{echo}; proxy_timeout 2s; }
    server { listen %{slowdial};  proxy_pass answers; proxy_connect_timeout 1s; }
    server { listen %{nodial};    proxy_pass %{hole2};  proxy_connect_timeout 1s; }
}
CONF

my ($worker) = $w->workers;

# The side that speaks first.

my $c = $w->connect('speaker');
is $c->line, '220 ready', 'a server that speaks first is heard by a silent client';
ok $c->echoes("EHLO\n"), 'and then they talk';
$c->close;

$c = $w->connect('plain');
ok $c->echoes('x' x 100_000), 'bytes of the client from before the server is connected arrive';
is scalar(grep { $c->echoes("message $_\n") } 1 .. 200), 200, '200 messages to and fro';
is $c->ending(0), 'open', 'and the session is still open';
$c->close;

$c = $w->connect('tiny');
ok $c->echoes(join '', map { "$_ " } 1 .. 5000), 'the same through a buffer of 64 bytes';
$c->close;

# Ending one half.

$c = $w->connect('half');
$c->send('abc');
$c->fin;
is $c->rest, "counted 3\n", 'half close: the answer comes after the client has ended its half';
is $c->ending, 'eof', 'and then the end';

$c = $w->connect('halftalk');
is $c->rest, "bye\n", 'half close: the server may end its half first';
ok $c->send('still here'), 'and the client goes on';
$c->fin;
becomes { slurp($w->path('heard')) eq 'still here' } 'its bytes arrive';
$c->close;

# Without proxy_half_close an end on one side ends the session, but only after the bytes that were
# sent.

my $n = chaos() ? 50_000 : 5_000_000;
$c = $w->connect('full');
$c->send('x' x $n);
$c->fin;
is $c->rest, '', 'full close: no answer after the end';
is $c->ending, 'eof', 'but an end';
becomes { slurp($w->path('counted')) eq "$n\n" } 'all bytes sent before have arrived';

$c = $w->connect('fulltalk');
is $c->rest, "bye\n", 'full close: the server ends';
becomes { !$c->send('x') } 'and the client is cut off';

# Resets.

$c = $w->connect('rudeway');
$c->send("hello\n");
like $c->ending, qr/^(?:eof|reset)$/, 'a reset by the server ends the session';
my $before = slurp($w->path('counted'));
$c = $w->connect('full');
$c->send('four');
becomes { $w->{backend}{counter}->sessions == 3 } 'a session is open';
$c->abort;
becomes { slurp($w->path('counted')) =~ /^[04]\n/ } 'a reset by the client ends it at the server';

# A side that does not read.

my $total = chaos() ? 8 * $MIB : 128 * $MIB;
my $rss = rss($worker);
$c = $w->connect('bulkway', rcvbuf => 8192);
$c->send("give $total\n");
my $grown = max(map { sleep 0.05; (rss($worker) - $rss) / $MIB } 1 .. 30);
cmp_ok $grown, '<', 4, 'a client that does not read does not make weir grow'
    or diag "grown by $grown MiB";
is Weir::Bulk::take($c->socket, $total), digest_of($total), 'it gets everything when it reads';
$c->close;

my @deaf = map { $w->connect('deafway') } 1 .. 4;
$rss = rss($worker);
my @sent = map { $_->flood('x' x 65536, 1024 * $MIB, 1) } @deaf;
$grown = (rss($worker) - $rss) / $MIB;
cmp_ok $sent[0], '<', 64 * $MIB, 'a server that does not read holds the client back';
cmp_ok $grown, '<', 4, 'and weir does not grow' or diag "grown by $grown MiB";
ok $w->connect('plain')->echoes('others'), 'others are served meanwhile';
$_->abort for @deaf;
$w->{backend}{deaf}->kill;

# A side that is held to a rate.

for my $way ('give', 'take') {
    my $start = time;
    $c = $w->connect('rated');
    $c->send("$way 300000\n");
    Weir::Bulk::give($c->socket, 300_000) if $way eq 'take';
    my $digest = $way eq 'give' ? Weir::Bulk::take($c->socket, 300_000) : $c->line;
    my $took = time - $start;
    is $digest, digest_of(300_000), "$way 300000 bytes at 100k a second";
    cmp_ok $took, '>', 1, 'takes its time';
    cmp_ok $took, '<', 20, 'but not too long';
    $c->close;
}

# Silence.

my $start = time;
$c = $w->connect('idle');
ok $c->echoes('a'), 'a session with proxy_timeout 2s';
is $c->ending, 'eof', 'ends when neither side sends';
my $took = time - $start;
cmp_ok $took, '>', 1.5, 'not too early';
cmp_ok $took, '<', 12, 'nor much too late';
becomes { $w->error_log =~ /timed out/ } 'the log says why';

$c = $w->connect('idle');
$start = time;
my $good = 0;
while (time - $start < 4) {
    $good += $c->echoes('.') ? 1 : last;
    sleep 0.2;
}
cmp_ok time - $start, '>=', 4, 'a session that is used does not time out';
$c->close;

$start = time;
$c = $w->connect('slowdial');
ok $c->echoes('hello'), 'a server that does not answer is given up for another';
cmp_ok time - $start, '<', 12, 'after proxy_connect_timeout';
$c->close;

is $w->ask('nodial'), '', 'when there is no other, the session ends';
becomes { $w->error_log =~ /upstream timed out .*while connecting to upstream/ } 'the log says why';

$w->finish;
done_testing;
