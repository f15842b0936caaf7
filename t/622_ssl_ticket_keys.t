#!/usr/bin/perl
# chaos: yes

# Keys of TLS tickets, whatever ssl_session_cache is set to: all workers have the same, also after a
# reload and after an upgrade, and no key is used for longer than ssl_session_timeout.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Tls;

Weir::Tls::needs();
my $w = Weir->new;
my %CACHE = (
    none => '',
    off => 'ssl_session_cache off;',
    builtin => 'ssl_session_cache builtin;',
    shared => 'ssl_session_cache shared:all:1m;',
);

Weir::Tls::certificate($w, 'one');
my $CONF = <<"CONF";
worker_processes 2;
stream {
    ssl_certificate one.crt; ssl_certificate_key one.key;
@{[map { "
    server { listen %{$_} ssl; $CACHE{$_} return \$pid; }
    server { listen %{short$_} ssl; $CACHE{$_} ssl_session_timeout 1s; return \$pid; }
" } sort keys %CACHE]}
    server { listen %{without} ssl; ssl_session_tickets off; return \$pid; }
}
CONF
$w->start($CONF);

# The name of the key a ticket was made with: its first 16 bytes, RFC 5077 4; and the worker's pid.
sub key_of {
    my ($where, $version) = @_;
    my $c = Weir::Tls->new($w, $where, max => $version);
    my $pid = $c->rest;
    my $session = Net::SSLeay::i2d_SSL_SESSION($c->session);
    $c->close;
    my ($name) = $session =~ /\xaa(?:\x81.|\x82..)\x04(?:\x81.|\x82..)(.{16})/s;
    return (defined $name ? unpack('H*', $name) : 'no ticket', $pid);
}

# The key of all workers, "" when they differ.
sub common {
    my ($where, $version) = @_;
    my (%key, %pid);
    for (1 .. 100) {
        my ($key, $pid) = key_of($where, $version);
        $key{$key} = $pid{$pid} = 1;
        last if keys %pid == 2 && $_ >= 8;
    }
    return keys %pid == 2 && keys %key == 1 ? (keys %key)[0] : '';
}

my %version = ('1.2' => 0x0303, '1.3' => 0x0304);
for my $v (sort keys %version) {
    for my $cache (sort keys %CACHE) {
        like common($cache, $version{$v}), qr/^[0-9a-f]{32}$/, "TLS $v, $cache: one key of all workers";
        my ($first) = key_of("short$cache", $version{$v});
        becomes { (key_of("short$cache", $version{$v}))[0] ne $first }
            "TLS $v, $cache: another one after ssl_session_timeout";
    }
}
is +(key_of('without', 0x0303))[0], 'no ticket', 'ssl_session_tickets off';

my ($key) = common('none', 0x0303);
$w->reload($CONF);
is common('none', 0x0303), $key, 'the same after a reload';
my ($old) = $w->upgrade;
$w->signal('QUIT', $old);
ok defined $w->ended($old), 'an upgrade';
is common('none', 0x0303), $key, 'and after an upgrade';

$w->finish;
done_testing;
