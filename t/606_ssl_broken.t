#!/usr/bin/perl
# chaos: yes

# Clients that break TLS, at both layers: garbage, impossible records, hellos cut short, ends in the
# middle of a handshake, alerts, renegotiation, handshakes that never continue. Each session ends,
# none costs a worker or leaves a connection, and none is logged above level info.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep);
use Weir;
use Weir::Http;
use Weir::Tls;

Weir::Tls::needs();
my $w = Weir->new;
Weir::Tls::certificate($w, 'server');
$w->echo('echo');
my $OWN = 'ssl_certificate server.crt; ssl_certificate_key server.key;';
$w->start(<<"CONF");
worker_processes 2;
http {
    $OWN
    client_header_timeout 2s;
    server { listen %{http} ssl; return 200 "ok\\n"; }
}
stream {
    $OWN
    ssl_handshake_timeout 2s;
    server { listen %{stream} ssl; proxy_pass %{echo}; }
}
CONF

sub tls { return Weir::Tls->new($w, @_) }

sub works {
    my ($layer) = @_;
    my $c = tls($layer);
    return $c->echoes('hello') if $layer eq 'stream';
    $c->send(Weir::Http::request('GET /', Connection => 'close'));
    return Weir::Http::reply($c)->{body} eq "ok\n";
}

sub sockets {
    my @all = map { glob "/proc/$_/fd/*" } $w->workers;
    return scalar grep { (readlink $_ // '') =~ /^socket:/ } @all;
}

my @workers = sort $w->workers;
ok works($_), "$_ works" for 'http', 'stream';
my $before;
becomes {
    my ($n, $last) = (sockets(), $before // -1);
    $before = $n;
    sleep 0.2;
    $n == $last;
} 'all is quiet';

my $hello = tls('stream', later => 1)->hello;
my $named = tls('stream', later => 1, name => 'a' x 200, alpn => ['http/1.1'])->hello;
my $off_curve = tls('stream', later => 1, groups => 'P-256')->hello;
$off_curve =~ s/(\0\x17\0\x41\x04.{63})(.)/$1 . ($2 ^ "\1")/se or die 'no key share of P-256';
my $ssl2 = "\x80\x2e\x01\x03\x03\0\x15\0\0\0\x10\x01\0\x80\0\0\x2f" . "\0" x 31;
my %wrong = (
    'garbage' => "\xde\xad\xbe\xef" x 100,
    'text' => "hello, who is there?\r\n\r\n",
    'a zero' => "\0",
    'zeros' => "\0" x 1000,
    'an alert' => "\x15\x03\x01\0\x02\x02\x28",
    'data before all' => "\x17\x03\x03\0\x05hello",
    'a record that is too large' => "\x16\x03\x01\xff\xff" . 'x' x 70000,
    'an empty record' => "\x16\x03\x01\0\0" x 50,
    'a strange version' => "\x16\x09\x09" . substr($hello, 3),
    'a strange message' => "\x16\x03\x01\0\x08\x63\0\0\x04abcd",
    'a hello of a strange length' => "\x16\x03\x01\0\x08\x01\xff\xff\xffabcd",
    'a hello with a list that is too long' => substr($hello, 0, 43) . "\xff" x (length($hello) - 43),
    'a key that is not on its curve' => $off_curve,
    'a hello of SSLv2' => $ssl2,
    'a hello and garbage' => $hello . "\xff" x 500,
    'two hellos' => $hello . $hello,
    'a hello and an alert' => "$hello\x15\x03\x03\0\x02\x02\x30",
    'a hello and data' => "$hello\x17\x03\x03\0\x20" . 'x' x 32,
);
# Why and how it ended when a client asks for another handshake.
sub renegotiated {
    my ($layer) = @_;
    my $c = tls($layer, max => 0x0303);
    my $until = time + 10;

    Net::SSLeay::renegotiate($c->{ssl});
    $c->{up} = 0;
    Net::SSLeay::do_handshake($c->{ssl});
    $c->flush($until);
    while (!$c->{end} && !length $c->{why} && time < $until) {
        $c->listen($until) or last;
        Net::SSLeay::ERR_clear_error();
        $c->fails(Net::SSLeay::do_handshake($c->{ssl}));
    }
    my $seen = "$c->{why} $c->{end}"; # closing it here is not an end of weir's
    $c->Weir::Client::close;
    return $seen;
}

for my $layer ('http', 'stream') {
    for my $what (sort keys %wrong) {
        my $c = $w->connect($layer);
        $c->send($wrong{$what});
        $c->fin if $what =~ /zero$|version/;
        like $c->ending, qr/^(?:eof|reset)$/, "$layer: $what";
        $c->close;
    }
    for my $how ('fin', 'close', 'abort') {
        for my $n (1, 4, 5, 6, 9, 43, 44, 100, length($named) - 1) {
            my $c = $w->connect($layer);
            $c->send(substr $named, 0, $n);
            $c->$how;
            next if $how ne 'fin';
            like $c->ending, qr/^(?:eof|reset)$/, "$layer: a hello cut after $n bytes";
        }
        for my $max (0x0303, 0) {
            my $c = $w->connect($layer);
            $c->send(tls($layer, later => 1, max => $max)->hello);
            is length $c->recv(5), 5, "$layer: an answer to a hello";
            $c->$how;
            next if $how ne 'fin';
            like $c->ending, qr/^(?:eof|reset)$/, "$layer: an end in the middle";
        }
    }
    for my $max (0x0303, 0) {
        my $v = $max ? 'TLS 1.2' : 'TLS 1.3';
        for my $bytes ("\x17\x03\x03\0\x40" . 'x' x 64, "\x15\x03\x03\0\x02\x02\x14",
            "\x16\x03\x03\0\x04\0\0\0\0", "\xff" x 100, "\x17\x03\x03\xff\xff" . 'x' x 70000) {
            my $c = tls($layer, max => $max);
            ok $c->{up}, "$layer, $v: a handshake" or diag $c->{why};
            $c->send_raw($bytes);
            isnt $c->ending, 'open', "$layer, $v: garbage behind it";
            $c->Weir::Client::close;
        }
    }
    # Under chaos the warning may wait for what is written next: then once more.
    my $refusal = ' ';
    for (1 .. (chaos() ? 5 : 1)) {
        $refusal = renegotiated($layer) if $refusal eq ' ';
    }
    like $refusal, qr/no renegotiation|alert|cut|eof|reset/, "$layer: no renegotiation";
    for my $say ('', substr($hello, 0, 60), $hello) {
        my $c = $w->connect($layer);
        $c->send($say);
        like $c->ending, qr/^(?:eof|reset)$/,
            "$layer: a handshake that does not go on after " . length($say) . ' bytes';
    }
    {
        my $c = tls('http');
        $c->ends_well("http: a client that shakes hands and says nothing") if $layer eq 'http';
        $c->close;
    }
    {
        my @waiting = map { my $c = $w->connect($layer); $c->send(substr $hello, 0, $_); $c } 1 .. 50;
        ok works($layer), "$layer: others are served while 50 hellos are not whole";
        $_->abort for @waiting;
    }
    ok works($layer), "$layer: works still";
}
{
    my $c = tls('stream', max => 0x0303);
    $c->send('x' x 100_000);
    $c->Weir::Client::abort;
    $c = tls('http');
    $c->send("GET / HT");
    $c->cut;
    $c->ends_well('half a head');
}
is_deeply [sort $w->workers], \@workers, 'the workers are the same';
becomes { sockets() <= $before } 'and hold no connection';
unlike $w->error_log, qr/\[(?:warn|error|crit|alert|emerg)\] .*SSL/, 'nothing is louder than info';
like $w->error_log, qr/\[info\] .*SSL_do_handshake\(\) failed \(SSL: error:.*\) while SSL handshaking/,
    'the log says why a handshake failed';
like $w->error_log, qr/\[info\] .*peer closed connection in SSL handshake while SSL handshaking/,
    'or that it ended';
like $w->error_log, qr/\[info\] .*client timed out .*while SSL handshaking/,
    'or that it did not continue';
$w->finish;
done_testing;
