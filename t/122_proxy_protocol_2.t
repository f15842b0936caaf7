#!/usr/bin/perl
# chaos: yes

# proxy_protocol_version 2 and proxy_protocol_tlv, at both layers: the bytes that a server gets, with
# a checksum that is right; TLVs with variables, of the client's TLS and its certificate; those that
# are empty or too long; IPv6 and unix sockets. At layer 7 no connection is shared by two clients.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::Tls;

Weir::Tls::needs();
my $w = Weir->new;
my $V6 = Weir::Ports::has_ipv6();
Weir::Tls::authority($w, 'ca');
Weir::Tls::certificate($w, 'server', kind => 'rsa');
Weir::Tls::certificate($w, 'client', by => 'ca', cn => 'Jane Doe');
$w->echo('echo');

my $SHOW = join '|', map { "\$proxy_protocol_$_" } qw(addr port server_port tlv_authority tlv_alpn
    tlv_unique_id tlv_0xe0 tlv_ssl_version tlv_ssl_cn tlv_ssl_verify tlv_ssl_sig_alg tlv_ssl_key_alg);
my $TLVS = 'proxy_protocol_version 2;
    proxy_protocol_tlv authority $ssl_server_name;
    proxy_protocol_tlv alpn $ssl_alpn_protocol;
    proxy_protocol_tlv unique_id $connection;
    proxy_protocol_tlv 0xe0 "a $server_port";
    proxy_protocol_tlv ssl;
    proxy_protocol_tlv crc32c;';
my $CERT = 'ssl_certificate server.crt; ssl_certificate_key server.key;
    ssl_client_certificate ca.crt; ssl_verify_client optional;';
$w->start(<<"CONF");
worker_processes 2;
stream {
    proxy_protocol on;
    $TLVS
    $CERT
    ssl_alpn one two;
    server { listen %{raw}; @{[$V6 ? 'listen [::1]:%{raw.port};' : '']} listen %{unix:raw}; proxy_pass %{echo}; }
    server { listen %{plain}; proxy_pass %{show}; }
    server { listen %{tls} ssl; proxy_pass %{show}; }
    server { listen %{bare}; proxy_protocol_version 1; proxy_protocol_tlv crc32c; proxy_protocol off;
             proxy_pass %{echo}; }
    map 1 \$long { default @{['x' x 4000]}; }
    server { listen %{long}; proxy_protocol_tlv authority \$long; proxy_pass %{echo}; }
    server { listen %{show} proxy_protocol; proxy_protocol off; return "$SHOW\\n"; }
}
http {
    $CERT
    proxy_protocol on;
    $TLVS
    server {
        listen %{web};
        listen %{webtls} ssl;
        location / { proxy_pass http://%{shown}; }
        location /one { proxy_protocol_version 1; proxy_protocol_tlv crc32c; proxy_protocol off;
                        proxy_pass http://%{shown_plain}; }
    }
    server { listen %{shown} proxy_protocol; return 200 "$SHOW \$connection\\n"; }
    server { listen %{shown_plain}; return 200 "plain\\n"; }
}
CONF

sub crc32c {
    my ($bytes) = @_;
    my $crc = 0xffffffff;
    for my $byte (unpack 'C*', $bytes) {
        $crc ^= $byte;
        $crc = $crc & 1 ? $crc >> 1 ^ 0x82f63b78 : $crc >> 1 for 1 .. 8;
    }
    return $crc ^ 0xffffffff;
}

# The header a server got: its parts, and whether the checksum is right.
sub header {
    my ($where) = @_;
    my $c = $w->connect($where);
    $c->send('x');
    my $head = $c->recv(16);
    my ($signature, $command, $family, $n) = unpack 'a12 C C n', $head;
    my $rest = $c->recv($n);
    is $c->recv(1), 'x', "$where: then the client's bytes";
    $c->close;
    my %tlv;
    my $addresses = { 0x11 => 12, 0x21 => 36, 0 => 0 }->{$family};
    for (my $at = $addresses; $at < $n;) {
        my ($type, $v) = unpack "x$at C n/a*", $rest;
        $tlv{$type} = $v;
        $at += 3 + length $v;
    }
    (my $zeroed = $head . $rest) =~ s/.{4}\z/\0\0\0\0/s;
    return { ok => $signature eq "\r\n\r\n\0\r\nQUIT\n" && $command == 0x21, family => $family,
        addresses => substr($rest, 0, $addresses), tlv => \%tlv,
        crc => ($tlv{3} // '') eq pack('N', crc32c($zeroed)) };
}

my $port = $w->port('raw');
my $h = header('raw');
ok $h->{ok} && $h->{family} == 0x11, 'a header of version 2';
is join('.', unpack 'C8', $h->{addresses}), '127.0.0.1.127.0.0.1', 'the addresses';
is unpack('x10 n', $h->{addresses}), $port, 'and the port';
is $h->{tlv}{0xe0}, "a $port", 'a TLV with a variable';
like $h->{tlv}{5}, qr/^\d+$/, 'the unique id';
ok !exists $h->{tlv}{2} && !exists $h->{tlv}{0x20}, 'empty ones are left out';
ok $h->{crc}, 'the checksum';
$h = header('unix:raw');
ok $h->{ok} && $h->{family} == 0 && $h->{crc}, 'from a unix socket';
SKIP: {
    skip 'no IPv6', 2 if !$V6;
    $h = header('[::1]:%{raw.port}');
    ok $h->{ok} && $h->{family} == 0x21 && $h->{crc}, 'over IPv6';
}
like $w->ask('plain'), qr/^127\.0\.0\.1\|\d+\|@{[$w->port('plain')]}\|-?\|-?\|\d+\|a \d+\|/, 'read';
my %how = (name => 'host.test', alpn => ['two']);
my $c = Weir::Tls->new($w, 'tls', %how);
like $c->line, qr/\|host\.test\|two\|\d+\|a \d+\|TLSv1\.[23]\|-?\|1\|SHA256\|RSA2048$/, 'of TLS';
$c->close;
$c = Weir::Tls->new($w, 'tls', %how, certificate => 'client');
like $c->line, qr/\|TLSv1\.[23]\|Jane Doe\|0\|SHA256\|RSA2048$/, 'with a certificate';
$c->close;
ok $w->connect('bare')->echoes('x'), 'off in a server';
$h = header('long');
ok $h->{ok} && !exists $h->{tlv}{2}, 'what is too long is left out';
becomes { $w->error_log =~ /TLV 0x02 of the PROXY header is too long, 4000 bytes/ } 'and logged';

# ---- layer 7

$c = $w->connect('web');
my @numbers;
for (1 .. 2) {
    $c->send(Weir::Http::request('GET /'));
    my $r = Weir::Http::reply($c)->{body};
    like $r, qr/^127\.0\.0\.1\|\d+\|@{[$w->port('web')]}\|/, "layer 7, request $_";
    push @numbers, $r =~ / (\d+)$/;
}
is Weir::Http::ask($w, 'web', 'GET /one')->{body}, "plain\n", 'off in a location';
$c->close;
isnt $numbers[0], $numbers[1], 'each has a connection of its own';
$c = Weir::Tls->new($w, 'webtls', name => 'host.test', certificate => 'client');
$c->send(Weir::Http::request('GET / HTTP/1.0'));
like $c->rest, qr/\|host\.test\|.*\|Jane Doe\|0\|/, 'layer 7 with TLS';
$c->close;

# ---- what is wrong

sub refused {
    my ($text) = @_;
    my $other = Weir->new;
    $other->conf("stream { server { listen 127.0.0.1:9; proxy_pass 127.0.0.1:8; $text } }");
    my ($code, undef, $err) = $other->command('-t');
    $other->remove;
    return $code ? $err : 'accepted';
}
for (
    ['proxy_protocol on; proxy_protocol_tlv crc32c;', qr/needs "proxy_protocol_version 2"/],
    ['proxy_protocol_version 3;', qr/proxy_protocol_version/],
    ['proxy_protocol_tlv crc32c x;', qr/"crc32c" has no value/],
    ['proxy_protocol_tlv alpn;', qr/"alpn" needs a value/],
    ['proxy_protocol_tlv 0x20 x;', qr/unknown TLV "0x20"/],
    ['proxy_protocol_tlv ssl; proxy_protocol_tlv ssl;', qr/duplicate TLV "ssl"/],
) {
    like refused($_->[0]), $_->[1], $_->[0];
}
$w->finish;
done_testing;
