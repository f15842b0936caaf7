#!/usr/bin/perl

# The PROXY protocol at both layers: `listen ... proxy_protocol` accepts both versions, from curl,
# from HAProxy and made by hand, in pieces, and nothing else; its variables; `proxy_protocol on`
# sends it to a server; set_real_ip_from uses its address. A header that is broken, cut short or
# late ends the session.
# chaos: yes

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::Process;

my $w = Weir->new;
my $V6 = Weir::Ports::has_ipv6();

my $SHOW = 'from=$proxy_protocol_addr:$proxy_protocol_port'
    . ' to=$proxy_protocol_server_addr:$proxy_protocol_server_port'
    . ' client=$remote_addr alpn=$proxy_protocol_tlv_alpn'
    . ' cn=$proxy_protocol_tlv_ssl_cn,$proxy_protocol_tlv_ssl_0x22'
    . ' verify=$proxy_protocol_tlv_ssl_verify own=$proxy_protocol_tlv_0xea';

$w->echo('echo');
$w->start(<<"CONF" . ($V6 ? <<'CONF' : '') . "}\n");
worker_processes 2;
stream {
    log_format pp '\$remote_addr \$proxy_protocol_addr \$status \$bytes_received';
    access_log %{dir}/stream.log pp;

    server { listen %{show} proxy_protocol; return "$SHOW\\n"; }
    server { listen %{in} proxy_protocol; proxy_pass %{echo}; }
    server { listen %{out}; proxy_pass %{echo}; proxy_protocol on; }
    server { listen %{chain}; proxy_pass %{show}; proxy_protocol on; }
    server { listen %{both} proxy_protocol; proxy_pass %{echo}; proxy_protocol on; }
    server { listen %{late} proxy_protocol; proxy_protocol_timeout 1s; return "never\\n"; }
    server {
        listen %{real} proxy_protocol;
        set_real_ip_from 127.0.0.1;
        deny 192.0.2.66;
        return "\$remote_addr:\$remote_port \$realip_remote_addr\\n";
    }
    server {
        listen %{strange} proxy_protocol;
        set_real_ip_from 10.0.0.0/8;
        return "\$remote_addr \$realip_remote_addr\\n";
    }
    server { listen %{unix:sock} proxy_protocol; return "$SHOW\\n"; }
}
http {
    log_format pp '\$remote_addr \$proxy_protocol_addr \$status \$uri';
    access_log %{dir}/http.log pp;
    server {
        listen %{web} proxy_protocol;
        client_header_timeout 2s;
        return 200 "$SHOW\\n";
    }
    server {
        listen %{trusting} proxy_protocol;
        real_ip_header proxy_protocol;
        set_real_ip_from 127.0.0.0/8;
        return 200 "\$remote_addr:\$remote_port \$realip_remote_addr\\n";
    }
CONF
    server { listen [::1]:%{six.port} proxy_protocol; return 200 "$proxy_protocol_addr $remote_addr\n"; }
CONF

my $V1 = "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
my $V1_SIX = "PROXY TCP6 2001:db8::1 2001:db8::2 56324 443\r\n";

sub tlv { return pack 'C n/a*', @_ }

sub v2 {
    my ($command, $family, $body) = @_;
    return "\r\n\r\n\0\r\nQUIT\n" . pack 'CC n/a*', 0x20 | $command, $family, $body;
}
my $ADDRS = pack 'C8 nn', 192, 0, 2, 1, 192, 0, 2, 2, 56324, 443;
my $TLVS = tlv(1, 'h2') . tlv(4, "\0" x 300) . tlv(0xea, 'vpce-1')
    . tlv(0x20, pack('CN', 1, 7) . tlv(0x21, 'TLSv1.3') . tlv(0x22, 'a.example'));

sub said {
    my ($where, $bytes) = @_;
    my $c = $w->connect($where);
    $c->send($bytes);
    my $line = $c->line // 'nothing: ' . $c->ending(0);
    $c->close;
    return $line;
}

my $NONE = 'from=: to=: client=127.0.0.1 alpn= cn=, verify= own=';
my $FOUR = 'from=192.0.2.1:56324 to=192.0.2.2:443 client=127.0.0.1';

# ---- layer 4

my @headers = (
    ['version 1' => $V1, "$FOUR alpn= cn=, verify= own="],
    ['version 1, IPv6' => $V1_SIX, 'from=2001:db8::1:56324 to=2001:db8::2:443 client=127.0.0.1'
        . ' alpn= cn=, verify= own='],
    ['version 1, unknown' => "PROXY UNKNOWN ::1 ::1 1 1\r\n", $NONE],
    ['version 2' => v2(1, 0x11, $ADDRS), "$FOUR alpn= cn=, verify= own="],
    ['version 2 with TLVs' => v2(1, 0x11, $ADDRS . $TLVS),
        "$FOUR alpn=h2 cn=a.example,a.example verify=7 own=vpce-1"],
    ['version 2, LOCAL' => v2(0, 0, ''), $NONE],
    ['version 2, a unix client' => v2(1, 0x31, 'x' x 216), $NONE],
);
is said('show', $_->[1]), $_->[2], "layer 4: $_->[0]" for @headers;
is said('unix:sock', $V1), $headers[0][2] =~ s/client=\S+/client=unix:/r,
    'a header on a unix socket';

{
    my $c = $w->connect('show');
    $c->send($_) for split //, $V1;
    is $c->line, $headers[0][2], 'byte by byte';
    $c->close;
}
for my $header ($V1, v2(1, 0x11, $ADDRS . $TLVS)) {
    my $c = $w->connect('in');
    ok $c->send(substr $header, 0, 9), 'a part of a header is sent';
    $c->send(substr($header, 9) . 'hello');
    is $c->recv(5), 'hello', 'and the rest with data behind it: the data arrives';
    $c->close;
}
{
    my $c = $w->connect('in');
    $c->send("${V1}hello");
    is $c->recv(5), 'hello', 'bytes behind the header go to the server, the header does not';
    ok $c->echoes('again'), 'and later bytes go there, too';
    $c->close;
    $c = $w->connect('both');
    $c->send("${V1}hello");
    like $c->line . $c->recv(5), qr/^PROXY TCP4 127\.0\.0\.1 127\.0\.0\.1 \d+ \d+hello/,
        'the server gets a header with the address that connected, if there is no set_real_ip_from';
    $c->close;
}

# ---- proxy_protocol on

{
    my $c = $w->connect('out');
    my ($mine, $port) = ($c->socket->sockport, $w->port('out'));
    is $c->line, "PROXY TCP4 127.0.0.1 127.0.0.1 $mine $port",
        'proxy_protocol on: sent at once, before the client says anything';
    ok $c->echoes('hello'), 'then the client';
    $c->close;
    $c = $w->connect('chain');
    $mine = $c->socket->sockport;
    like $c->line, qr/^from=127\.0\.0\.1:$mine to=127\.0\.0\.1:@{[$w->port('chain')]} /,
        'from weir to weir';
    $c->close;
}

# ---- set_real_ip_from

is said('real', $V1), '192.0.2.1:56324 127.0.0.1', 'a trusted proxy names the client';
is said('real', "PROXY UNKNOWN\r\n") =~ s/:\d+//r, '127.0.0.1 127.0.0.1',
    'a header without an address changes nothing';
is said('real', $V1 =~ s/\.1 /.66 /r), 'nothing: eof', 'deny uses the address from the header';
is said('strange', $V1), '127.0.0.1 127.0.0.1', 'a proxy that is not trusted is not believed';

# ---- layer 7

for (@headers) {
    my $r = $w->connect('web');
    $r->send($_->[1] . Weir::Http::request('GET /', Connection => 'close'));
    is Weir::Http::reply($r)->{body}, "$_->[2]\n", "layer 7: $_->[0]";
    $r->close;
}
{
    my $c = $w->connect('trusting');
    $c->send($V1 . Weir::Http::request('GET /1') . Weir::Http::request('GET /2'));
    is Weir::Http::reply($c)->{body}, "192.0.2.1:56324 127.0.0.1\n", "request $_ of a connection"
        for 1, 2;
    $c->close;
}
SKIP: {
    skip 'no IPv6', 1 if !$V6;
    my $c = $w->connect('[::1]:%{six.port}');
    $c->send($V1 . Weir::Http::request('GET /'));
    is Weir::Http::reply($c)->{body}, "192.0.2.1 ::1\n", 'IPv4 told over IPv6';
    $c->close;
}

# ---- real senders

SKIP: {
    my $curl = Weir::program('curl') // skip 'curl is not installed', 1;
    my $url = 'http://' . $w->address('web') . '/';
    like scalar(qx($curl -s --haproxy-protocol $url)),
        qr/^from=127\.0\.0\.1:\d+ to=127\.0\.0\.1:@{[$w->port('web')]} /, 'curl --haproxy-protocol';
}
SKIP: {
    my $haproxy = Weir::program('haproxy') // skip 'haproxy is not installed', 2;
    my $conf = $w->write('haproxy.cfg', <<'CONF');
defaults
    timeout connect 20s
    timeout client 20s
    timeout server 20s
listen one
    bind %{h1}
    server s %{show} send-proxy
listen two
    bind %{h2}
    server s %{show} send-proxy-v2 proxy-v2-options unique-id,crc32c
CONF
    my $pid = Weir::Process::spawn(sub { exec $haproxy, '-q', '-db', '-f', $conf });
    for my $name (qw(h1 h2)) {
        my ($line, $mine);
        wait_for {
            my $c = $w->connect($name) or return 0;
            $mine = $c->socket->sockport;
            $line = $c->line;
            $c->close;
            return defined $line;
        };
        like $line, qr/^from=127\.0\.0\.1:$mine to=127\.0\.0\.1:@{[$w->port($name)]} /,
            "HAProxy, $name";
    }
    Weir::Process::end_process($pid, 'TERM');
}

# ---- malformed headers

my @broken = (
    ['no header' => "GET / HTTP/1.0\r\n\r\n", qr/broken header: "GET \/ HTTP\/1\.0\\x0d/],
    ['a line with LF only' => $V1 =~ s/\r//r, qr/broken header: "PROXY TCP4 192/],
    ['a bad address' => "PROXY TCP4 192.0.2.256 192.0.2.1 1 1\r\n", qr/192\.0\.2\.256/],
    ['too long a line' => 'PROXY UNKNOWN ' . 'x' x 200, qr/too long a line/],
    ['another version' => v2(1, 0x11, $ADDRS) =~ s/\x21/\x31/r, qr/unknown version or command/],
    ['too large' => v2(1, 0x11, $ADDRS . tlv(1, 'x' x 5000)), qr/too large/],
    ['too short' => v2(1, 0x21, $ADDRS), qr/too short for its addresses/],
);
for (@broken) {
    my ($name, $bytes, $logged) = @$_;
    for my $where (qw(show web)) {
        my $c = $w->connect($where);
        $c->send($bytes);
        isnt $c->ending, 'open', "$where: $name";
        is $c->rest(0), '', 'and the client gets no byte';
        $c->close;
    }
    becomes { $w->error_log =~ $logged } 'and the error log has the reason';
}
my $where = 'while reading PROXY protocol, client: 127.0.0.1, server: ' . $w->address('web');
like $w->error_log, qr/\[error\] .*broken header: "GET.* \Q$where\E$/m, 'with client and listener';
like slurp($w->path('stream.log')), qr/^127\.0\.0\.1 - 400 0$/m, 'layer 4 logs it with 400';

for my $where (qw(show web)) {
    for my $part ('', 'PRO', substr(v2(1, 0x11, $ADDRS), 0, 20)) {
        my $c = $w->connect($where);
        $c->send($part) if length $part;
        $c->fin;
        isnt $c->ending, 'open', "$where: a client that leaves after " . length($part) . ' bytes';
        $c->close;
    }
}
for my $where (qw(late web)) {
    my $c = $w->connect($where);
    $c->send('PROXY TCP4 192');
    isnt $c->ending, 'open', "$where: a client that sends no more is closed";
    $c->close;
}
becomes { $w->error_log =~ /\[info\] .*client timed out \(110: .*\) while reading PROXY protocol/ }
    'and the error log says that it was late';

# ---- the bytes that the client itself sent are counted

{
    my $c = $w->connect('in');
    $c->send("${V1}12345678");
    is $c->recv(8), '12345678', 'a session';
    $c->close;
    becomes { slurp($w->path('stream.log')) =~ /^127\.0\.0\.1 192\.0\.2\.1 200 8$/m }
        '$bytes_received does not count the header';
}

# ---- configurations that are refused

$w->expect(qr/\[emerg\].*wrong\.conf:1/);
for (
    ['stream { server { listen 1 udp proxy_protocol; return ""; } }', qr/incompatible with "udp"/],
    ['stream { server { listen 1; set_real_ip_from no.such.host.invalid; return ""; } }',
        qr/host not found in set_real_ip_from "no\.such\.host\.invalid"/],
    ['stream { server { listen 1; proxy_protocol maybe; return ""; } }', qr/must be "on" or "off"/],
) {
    my ($text, $why) = @$_;
    my (undef, undef, $err) = $w->command('-t', '-c', $w->write('wrong.conf', $text));
    like $err, $why, "refused: $text";
}

$w->finish;
done_testing;
