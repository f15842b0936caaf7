#!/usr/bin/perl

# UDP through weir: what a session is (addresses, proxy_requests, proxy_responses, proxy_timeout),
# datagrams of all sizes, the address an answer comes from, several servers and one that is gone,
# what is logged; and that configurations that cannot work are refused.
# chaos: yes

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep);
use Weir;
use Weir::Datagrams;

my $w = Weir->new;
my $V6 = Weir::Ports::has_ipv6();
my @servers = map {
    Weir::Datagrams->server(where => $w->address($_), name => $_, tally => $w->path("$_.tally"))
} qw(one two);
$w->port('gone');
$w->port('ports', 3);

sub client { return Weir::Datagrams->client($w->address($_[0]), @_[1 .. $#_]) }

my $last = $w->port('ports') + 2;

$w->start(<<'CONF' . <<"RANGE" . ($V6 ? <<'SIX' : '') . "}\n");
worker_processes 2;
stream {
    log_format udp '$protocol $status $bytes_received/$bytes_sent $upstream_addr'
        ' $upstream_bytes_sent/$upstream_bytes_received $server_port';
    access_log %{dir}/access.log udp;
    proxy_timeout 3s;
    proxy_buffer_size 1k;

    upstream both { server %{one}; server %{two}; }
    upstream half { server %{gone}; server %{two}; }
    upstream hashed { hash $remote_addr consistent; server %{one}; server %{two}; }
    upstream least { least_conn; server %{one}; server %{two}; }
    upstream single { server %{one} max_conns=1; }
    upstream down { server %{gone}; }
    map $server_port $target { default %{one}; }

    server { listen %{plain} udp; proxy_pass %{one}; }
    server { listen %{plain}; return "tcp\n"; }
    server { listen %{balanced} udp; proxy_pass both; proxy_responses 1; }
    server { listen %{failing} udp; proxy_pass half; proxy_responses 1; }
    server { listen %{dead} udp; proxy_pass down; proxy_responses 1; }
    server { listen %{hashing} udp; proxy_pass hashed; proxy_responses 1; }
    server { listen %{least_one} udp; proxy_pass least; proxy_responses 1; }
    server { listen %{limited} udp; proxy_pass single; }
    server { listen %{silent} udp; proxy_pass %{one}; proxy_responses 1; proxy_timeout 1s; }
    server { listen %{none} udp; proxy_pass %{one}; proxy_responses 0; }
    server { listen %{pairs} udp; proxy_pass %{one}; proxy_requests 2; proxy_responses 1; }
    server { listen %{singly} udp; proxy_pass %{one}; proxy_requests 1; }
    server { listen %{short} udp; proxy_pass %{one}; proxy_timeout 1s; }
    server { listen %{late} udp; proxy_pass $target; proxy_responses 1; }
    server { listen %{text} udp; return "$remote_port $protocol $server_port"; }
    server { listen %{nothing} udp; return ""; }
    server { listen %{any.port} udp rcvbuf=1m sndbuf=1m; return "$server_addr"; }
    server { listen %{denied} udp; deny 127.0.0.0/8; proxy_pass %{one}; }
CONF
    server { listen 127.0.0.1:%{ports.port}-$last udp reuseport; return "\$server_port"; }
RANGE
    server { listen [::]:%{six.port} udp; return "$server_addr $remote_addr"; }
    server { listen [::1]:%{six_way.port} udp; proxy_pass %{one}; }
    server { listen [::]:%{dual.port} udp ipv6only=off; return "$server_addr"; }
SIX

# ---- sessions

my $c = client('plain');
my $who = $c->ask('who');
like $who, qr/^one \d+$/, 'an answer';
is $c->ask('who'), $who, 'the next datagram of the same client is of the same session';
isnt client('plain')->ask('who'), $who, 'another client has a session of its own';
is $w->ask('plain'), 'tcp', 'TCP at the same address is another listener';

is client('plain')->ask("times 3"), 1, 'any number of answers';
$c = client('short');
$who = $c->ask('who');
sleep 1.5;
isnt $c->ask('who'), $who, 'a new session after proxy_timeout';

$c = client('pairs');
my @who = map { $c->ask('who') } 1 .. 4;
is $who[0], $who[1], 'proxy_requests 2: two datagrams in a session';
isnt $who[1], $who[2], '... then a new one';
is $who[2], $who[3], '... for two';
$c = client('singly');
isnt $c->ask('who'), $c->ask('who'), 'proxy_requests 1: a session for each';
$c = client('balanced');
isnt $c->ask('who'), $c->ask('who'), 'proxy_responses 1: a session ends with its answer';

$c = client('none');
$c->put('nothing to answer');
becomes { slurp($w->path('one.tally')) =~ /nothing to answer/ } 'proxy_responses 0: passed on';
becomes { slurp($w->path('access.log')) =~ m{^UDP 200 17/0 \S+ 17/0 }m } '... and ended';

# ---- bytes

$c = client('plain');
for my $n (0, 1, 2, 511, 1471, 1472, 1473, 9000, 32_768, 65_506, 65_507) {
    my $text = join '', map { chr(($_ * 7 + $n) % 251) } 1 .. $n;
    my $got = $c->ask($text);
    ok defined $got && $got eq $text, "a datagram of $n bytes comes back whole";
}
is $c->ask('empty'), '', 'an empty answer';
$c->put($_) for map { "burst $_" } 1 .. 50;
is_deeply [map { $c->get } 1 .. 50], [map { "burst $_" } 1 .. 50], 'bursts keep their order';

# ---- answers come from the address that was asked

my ($port) = $w->address('any') =~ /(\d+)$/;
for my $host ('127.0.0.1', '127.0.0.2', '127.3.2.1') {
    is client("$host:$port", from => '127.0.0.1')->ask('?'), $host, "a wildcard answers from $host";
}
is client('127.0.0.1:' . ($w->port('ports') + $_))->ask('?'), $w->port('ports') + $_,
    "port $_ of a range" for 0 .. 2;
SKIP: {
    skip 'no IPv6', 3 if !$V6;
    is client('[::1]:%{six.port}')->ask('?'), '::1 ::1', 'IPv6, on a wildcard';
    like client('[::1]:%{six_way.port}')->ask('who'), qr/^one/, 'IPv6 to IPv4';
    is client('127.0.0.1:%{dual.port}')->ask('?'), '::ffff:127.0.0.1', 'IPv4 on an IPv6 wildcard';
}
$c = client('text');
is $c->ask('?'), $c->port . ' UDP ' . $w->port('text'), 'return: a datagram, with variables';
is $c->ask('?'), $c->port . ' UDP ' . $w->port('text'), '... and again';
is client('nothing')->ask('?', 0.3), undef, 'return "": no datagram';
is client('denied')->ask('who', 0.3), undef, 'access rules hold';

# ---- servers

my %seen;
$seen{ (split ' ', client('balanced')->ask('who'))[0] }++ for 1 .. 10;
is_deeply \%seen, { one => 5, two => 5 }, 'round robin, one turn a session';
my %one_of = map { (split ' ', client('hashing')->ask('who'))[0] => 1 } 1 .. 5;
is keys %one_of, 1, 'hash $remote_addr';
like client('least_one')->ask('who'), qr/^(?:one|two) /, 'least_conn';
like client('late')->ask('who'), qr/^one /, 'proxy_pass with variables';
is client('failing')->ask("again $_"), "again $_", 'a server that is gone costs no datagram' for 1 .. 4;
like slurp($w->path('error.log')), qr/recv\(\) failed \(111: Connection refused\) while proxying/,
    '... which is logged';
like slurp($w->path('error.log')), qr/upstream server temporarily disabled/, '... and counted';
is client('dead')->ask('x', 0.3), undef, 'no server is left';
becomes { slurp($w->path('access.log')) =~ /^UDP 502 1\/0 127\.0\.0\.1:@{[$w->port('gone')]} /m }
    '... status 502';
$c = client('limited');
my $other = client('limited');
like $c->ask('who'), qr/^one/, 'max_conns: the first session';
is $other->ask('who', 0.3), undef, '... is the only one';

client('silent')->put('nothing');
becomes { slurp($w->path('error.log')) =~ /upstream timed out \(110: Connection timed out\) while/ }
    'an answer that proxy_responses expects did not come in time';
becomes { slurp($w->path('error.log')) =~ m{udp done, packets from/to client:1/1, bytes from/to} }
    'the end of a session is logged';
becomes { slurp($w->path('error.log')) =~ m{udp timed out, packets from/to client:} }
    '... that of a silent one, too';

# ---- configurations

for (
    ['listen unix:%{dir}/u udp; return 1;', qr/"udp" is not for a unix domain socket/],
    ['listen 127.0.0.1:1 udp ssl; return 1;', qr/"ssl" parameter is incompatible with "udp"/],
    ['listen 127.0.0.1:1 udp backlog=5; return 1;', qr/"backlog" parameter is incompatible/],
    ['listen 127.0.0.1:1; listen 127.0.0.1:1 udp; proxy_ssl on; proxy_pass 127.0.0.1:2;',
        qr/"proxy_ssl on" needs a connection to the server/],
    ['listen 127.0.0.1:1 udp; proxy_protocol on; proxy_pass 127.0.0.1:2;',
        qr/"proxy_protocol on" needs a connection to the server/],
    ['listen 127.0.0.1:1 udp; health_check; proxy_pass 127.0.0.1:2;',
        qr/"health_check" connects by TCP, and this server block gets datagrams/],
    ['listen 127.0.0.1:1 udp; listen 127.0.0.1:1 udp; return 1;', qr/duplicate listen/],
    ['listen 127.0.0.1:1 udp; proxy_responses x; proxy_pass 127.0.0.1:2;',
        qr/invalid number "x"/],
    ['listen 127.0.0.1:1 udp; proxy_requests -1; proxy_pass 127.0.0.1:2;', qr/invalid/],
) {
    my ($lines, $reason) = @$_;
    my $file = $w->write('wrong.conf', "events { } stream { server { $lines } }");
    my (undef, undef, $err) = $w->command('-t', '-c', $file);
    like $err, $reason, $reason;
}

$_->kill for @servers;
$w->expect(qr/wrong\.conf:1|Connection refused|temporarily disabled|upstream timed out|no live upstreams/);
$w->finish;
done_testing;
