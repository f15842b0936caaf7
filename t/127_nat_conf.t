#!/usr/bin/perl

# forward nat: what the kernel cannot do is an error at its line, inherited directives and those of
# the group included; what does not work on this machine is a warning. Needs no rights: -t only.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;

# -t of a stream block; %{server} is the server with forward nat.
sub test {
    my ($text, %more) = @_;
    $w->conf(($more{main} // '') . "stream {\n$text\n}\n");
    my ($code, $out, $err) = $w->command('-t');
    return ($code, $err);
}

my $NAT = 'listen 127.0.0.1:8080; forward nat; proxy_pass 192.0.2.1:80;';
my ($code, $err) = test("server { $NAT }");
if ($err =~ /was built without/) {
    is $code, 1, 'a build without the libraries refuses it';
    done_testing;
    exit;
}
is $code, 0, 'forward nat' or diag $err;

my @refused = (
    ['listen 127.0.0.1:8080; forward nat tunnel; proxy_pass 192.0.2.1:80;',
        qr/invalid parameter "tunnel"/],
    ['listen 127.0.0.1:8080; forward proxy masquerade; proxy_pass 192.0.2.1:80;',
        qr/invalid parameter "masquerade"/],
    ['listen 127.0.0.1:8080 udp; forward nat; proxy_pass 192.0.2.1:80;',
        qr/UDP is not forwarded by the kernel yet/],
    ['listen 127.0.0.1:8080; forward tunnel; proxy_pass 192.0.2.1:80;', qr/invalid value "tunnel"/],
    ['listen 127.0.0.1:8080; forward nat; return a;', qr/needs a "proxy_pass"/],
    ['listen 127.0.0.1:8080; forward nat; proxy_pass $remote_addr:80;', qr/without variables/],
    ['listen 127.0.0.1:8080 proxy_protocol; forward nat; proxy_pass 192.0.2.1:80;',
        qr/parameter "proxy_protocol" cannot be used with "forward nat"/],
    ['listen 127.0.0.1:8080 backlog=5; forward nat; proxy_pass 192.0.2.1:80;',
        qr/parameter "backlog=5" cannot be used/],
    ['listen unix:%{dir}/s; forward nat; proxy_pass 192.0.2.1:80;', qr/for TCP addresses only/],
    ['listen 127.0.0.1:8080; forward nat; proxy_pass unix:/s;', qr/cannot forward to "unix:/],
    ['listen 127.0.0.1:8080; forward nat; proxy_pass [fe80::1]:80;', qr/cannot forward to/],
    map { ["$NAT $_", qr/has no effect on what the kernel forwards/] } 'proxy_ssl on;',
        'proxy_protocol on;', 'access_log /dev/null f;', 'proxy_upload_rate 5;', 'ssl_preread on;',
        'proxy_connect_timeout 1s;', 'proxy_next_upstream on;',
);
for my $row (@refused) {
    my ($server, $why) = @$row;
    ($code, $err) = test("log_format f a;\nserver { $server }");
    is $code, 1, "refused: $server";
    like $err, $why, '  with the reason';
}

($code, $err) = test("log_format f a;\naccess_log /dev/null f;\nserver { $NAT }");
like $err, qr/"access_log" has no effect.* in \S+:3\b/, 'refused: an inherited one, at its line';
($code, $err) = test("log_format f a;\naccess_log /dev/null f;\nproxy_timeout 5s;\nserver { $NAT access_log off; }");
is $code, 0, 'allowed: switched off in the server' or diag $err;

sub group {
    my ($lines) = @_;
    return test("upstream u { $lines }\n"
            . 'server { listen 127.0.0.1:8080; forward nat; proxy_pass u; }');
}

for my $lines ('least_conn; server 192.0.2.1:80;', 'server 192.0.2.1:80 max_conns=5;',
    'server 192.0.2.1:80 max_fails=3;', 'server 192.0.2.1:80 slow_start=5s;',
    'server 192.0.2.1:80; on_down close;', 'hash $remote_addr consistent; server 192.0.2.1:80;',
    'hash $ssl_preread_server_name; server 192.0.2.1:80;') {
    ($code, $err) = group($lines);
    is $code, 1, "refused in the group: $lines";
    like $err, qr/kernel/, '  with the reason';
}
for my $lines ('server 192.0.2.1:80 weight=5; server 192.0.2.2:80 backup; server 192.0.2.3:80 down;',
    'hash $remote_addr; server 192.0.2.1:80;', 'zone z 64k; server [2001:db8::1]:80 max_fails=0;',
    'hash $remote_addr$remote_port; server 192.0.2.1:80;') {
    ($code, $err) = group($lines);
    is $code, 0, "allowed in the group: $lines" or diag $err;
}

($code, $err) = test("server { $NAT }\nserver { listen 127.0.0.1:8080; server_name b; return b; }");
like $err, qr/cannot have another server/, 'refused: a second server of the address';
($code, $err) = test("server { $NAT }", main => "master_process off;\n");
like $err, qr/not with "master_process off"/, 'refused: master_process off';
($code, $err) = test("forward_exit keep;\nserver { $NAT }");
is $code, 0, 'forward_exit keep' or diag $err;

# ---- warnings

($code, $err) = group('server 127.0.0.1:80;');
like $err, qr/does not forward to a loopback address/, 'warned: a server on 127.0.0.1';
($code, $err) = group('server [2001:db8::1]:80;');
like $err, qr/no server of the group has an address of this family/, 'warned: another family';
($code, $err) = test('server { listen 192.0.2.77:8080; forward nat; proxy_pass 192.0.2.1:80; }');
like $err, qr/not an address of this machine/, 'warned: an address that is not local';
is $code, 0, '  which is allowed';

$w->expect(qr/\[emerg\]/);
$w->finish;
done_testing;
