#!/usr/bin/perl
# chaos: yes

# ssl_preread: the values that are read from a ClientHello, sent whole, in records and byte by byte;
# sessions routed by them, with TLS untouched from end to end; clients that speak another protocol,
# send more than preread_buffer_size, wait longer than preread_timeout, or end early.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(time sleep);
use Weir;

my $tls = eval { require IO::Socket::SSL; require IO::Socket::SSL::Utils; 1 };

# ---- hellos made by hand

sub ext { return pack 'n n/a*', @_ }

sub sni { return ext(0, pack 'n/a*', pack 'C n/a*', 0, $_[0]) }

sub alpn { return ext(16, pack 'n/a*', pack '(C/a*)*', @_) }

sub versions { return ext(43, pack 'C/a*', pack 'n*', @_) }

sub message {
    my ($version, @exts) = @_;
    my $body = pack 'n a32 C/a* n/a* C/a* n/a*', $version, 'r' x 32, 'session', "\x13\x01", "\0",
        join '', @exts;
    return pack 'C C n a*', 1, 0, length $body, $body;
}

sub record { return pack 'C n n/a*', 22, 0x301, $_[0] }

sub records {
    my ($message, $each) = @_;
    return join '', map { record($_) } unpack "(a$each)*", $message;
}

sub hello { return record(message(0x303, @_)) }

my $foo = hello(sni('foo'), alpn('h2', 'http/1.1'), versions(0x3a3a, 0x304, 0x303));
my $split = message(0x303, sni('foo.example'), alpn('h2'));

# the bytes sent, the values read from them, the name
my @hellos = (
    [hello(sni('foo')),                      'TLSv1.2|foo|',              'server_name'],
    [hello(sni('FoO.Bar')),                  'TLSv1.2|FoO.Bar|',          'as it was sent'],
    [$foo,                                   'TLSv1.3|foo|h2,http/1.1',   'all three'],
    [hello(),                                'TLSv1.2||',                 'no extension'],
    [record(message(0x301, sni('foo'))),     'TLSv1|foo|',                'TLS 1.0'],
    [record(message(0x300)),                 'SSLv3||',                   'SSL 3'],
    ["\x80\x1c\1\0\2\0\3\0\0\0\x10",         'SSLv2||',                   'SSL 2'],
    ["\x80\x1c\1\3\1\0\3\0\0\0\x10",         'TLSv1||',                   'TLS 1.0 as SSL 2'],
    [hello(versions(0x302, 0x301)),          'TLSv1.1||',                 'the highest version'],
    [records($split, 1),                     'TLSv1.2|foo.example|h2',    'a byte a record'],
    [records($split, 50),                    'TLSv1.2|foo.example|h2',    'two records'],
    [hello(sni("foo\0bar"), alpn('h2')),     'TLSv1.2||h2',               'NUL in a name'],
    [hello(sni('unix:/x')),                  'TLSv1.2||',                 'a name that is a path'],
    [hello(sni('127.0.0.1:80')),             'TLSv1.2||',                 'a name with a port'],
    [hello(alpn("\x0a\x0a", 'h2', 'a,b')),   'TLSv1.2||h2',               'ALPN that is not text'],
    [hello(sni('foo'), sni('bar')),          'TLSv1.2||',                 'two names'],
    [hello(sni('foo'), "\0\x10\xff\xff"),    'TLSv1.2||',                 'a length too long'],
    ['x' x 1000,                             '||',                        'no TLS'],
    ["\x16\3\1\0\5\2\0\0\1\0",               '||',                        'another message'],
    ["\x17\3\3\0\5hello",                    '||',                        'another record'],
);

# ---- servers

my $w = Weir->new;

$w->backend($_, greet => "$_\n") for qw(one two other);
$w->echo('echo', 'silent', 'gone');

my $fits = length $foo;
$w->start(<<"CONF" . <<'CONF');
worker_processes 1;
stream {
    server { listen %{fits}; ssl_preread on; preread_buffer_size $fits; proxy_pass %{echo}; }
CONF
    log_format hello '$status $ssl_preread_protocol $ssl_preread_server_name $bytes_received';
    log_format tls '$ssl_preread_protocol $ssl_preread_server_name $ssl_preread_alpn_protocols';

    map $ssl_preread_server_name $backend {
        hostnames;
        one.example %{one};
        *.two.example %{two};
        default %{other};
    }
    map $ssl_preread_server_name $secure { a.example %{tls_a}; b.example %{tls_b}; }
    upstream retry { server %{nobody} max_fails=0; server %{echo}; }

    server {
        listen %{say};
        ssl_preread on;
        return "$ssl_preread_protocol|$ssl_preread_server_name|$ssl_preread_alpn_protocols";
    }
    server {
        listen %{off};
        ssl_preread off;
        proxy_pass %{echo};
        access_log %{dir}/off.log hello;
    }

    ssl_preread on;
    server { listen %{route};  proxy_pass $backend; }
    server { listen %{unread}; proxy_pass $backend; ssl_preread off; }
    server { listen %{echoes}; proxy_pass %{echo}; preread_timeout 1s; }
    server { listen %{retry};  proxy_pass retry; preread_buffer_size 2k; }
    server { listen %{secure}; proxy_pass $secure; access_log %{dir}/tls.log tls; }
    server {
        listen %{small};
        preread_buffer_size 42;
        proxy_pass %{gone};
        access_log %{dir}/small.log hello;
    }
    server {
        listen %{late};
        preread_timeout 1s;
        proxy_pass %{silent};
        access_log %{dir}/late.log hello;
    }
}
CONF

sub lines {
    my ($file, $count) = @_;
    wait_for { $count <= (() = slurp($w->path($file)) =~ /\n/g) };
    return split /\n/, slurp($w->path($file));
}

sub dribble {
    my ($c, $bytes) = @_;
    for my $byte (split //, $bytes) {
        $c->send($byte);
        sleep 0.001;
    }
}

# ---- what is read

is $w->ask('say', $_->[0]), $_->[1], "read: $_->[2]" for @hellos;

my $c = $w->connect('say');
dribble($c, $foo);
is $c->rest, 'TLSv1.3|foo|h2,http/1.1', 'read: byte by byte';
$c->close;

$c = $w->connect('say');
dribble($c, records($split, 3));
is $c->rest, 'TLSv1.2|foo.example|h2', 'read: byte by byte, in small records';
$c->close;

$c = $w->connect('say');
$c->send('S');
is $c->rest, '||', 'one byte shows that it is not TLS';
$c->close;

# ---- routing

sub routed {
    my ($where, $bytes) = @_;
    my $c = $w->connect($where);
    $c->send($bytes);
    my $who = $c->line // '';
    my $back = $c->recv(length $bytes);
    $c->close;
    return $who . ($back eq $bytes ? '' : ' got other bytes');
}

is routed('route', hello(sni('one.example'))), 'one', 'routed by the name';
is routed('route', hello(sni('ONE.example'))), 'one', 'in any case';
is routed('route', hello(sni('x.two.example'))), 'two', 'by a part of the name';
is routed('route', hello(sni('x.example'))), 'other', 'an unknown name';
is routed('route', hello()), 'other', 'no name';
is routed('route', records(message(0x303, sni('one.example')), 7)), 'one', 'split over records';
is routed('route', "SSH-2.0-test\r\n"), 'other', 'no TLS';
is routed('unread', hello(sni('one.example'))), 'other', 'ssl_preread off';

# ---- the bytes go on

for my $case ([$foo, 'a hello'], [$foo . 'data' x 100_000, 'a hello and 400 kB behind it'],
    ["\0" . 'x' x 5000, 'no TLS'], ["\x80\x1c\1\3\1" . 'y' x 23, 'a hello of SSL 2'])
{
    for my $where (qw(echoes retry)) {
        my $c = $w->connect($where);
        ok $c->echoes($case->[0]), "$where: $case->[1]";
        ok $c->echoes('more of it'), "$where: $case->[1], and what comes later";
        $c->close;
    }
}

$c = $w->connect('fits');
ok $c->echoes($foo), 'a hello as long as preread_buffer_size';
$c->close;

# ---- preread_buffer_size

$c = $w->connect('small');
$c->send($foo);
isnt $c->ending, 'open', 'a hello longer than preread_buffer_size: the session ends';
is $c->rest, '', 'and nothing was answered';
$c->close;
is((lines('small.log', 1))[0], '400   42', 'status 400');
like $w->error_log, qr/\[error\].*preread buffer full while prereading client data/,
    'the log says why';
is $w->{backend}{gone}->sessions, 0, 'no server was asked';

$c = $w->connect('small');
ok $c->echoes('x' x 500), 'a client without TLS may send more';
$c->close;

# ---- preread_timeout

for my $case (['', 'says nothing'], [substr($foo, 0, -1), 'leaves out a byte'], ["\x16", 'stops'])
{
    my $begun = time;
    my $c = $w->connect('late');
    $c->send($case->[0]);
    is $c->ending, 'eof', "a client that $case->[1] is ended";
    cmp_ok time - $begun, '>=', 0.9, 'after preread_timeout';
    $c->close;
}

$c = $w->connect('late');
becomes { $c->ending(0.3) ne 'open' || !$c->send("\x16\3\1\0\0") }
    'further bytes do not extend the timeout';
$c->close;

$c = $w->connect('late');
$c->send(substr $foo, 0, 50);
$c->fin;
is $c->ending, 'eof', 'a client that ends within its hello is ended';
$c->close;
is join(' ', map { (split)[0] } lines('late.log', 5)), '200 200 200 200 200', 'status 200';
is $w->{backend}{silent}->sessions, 0, 'no server was asked';

$c = $w->connect('echoes');
ok $c->echoes($foo), 'a client whose hello is complete is served';
my $silent = $w->connect('late');    # begins later, with the same timeout
is $silent->ending, 'eof', 'preread_timeout is over';
ok $c->echoes('later'), 'and the session goes on';
$_->close for $c, $silent;

# Without preread there are no values.

$c = $w->connect('off');
ok $c->echoes($foo), 'ssl_preread off: the session goes on';
$c->close;
is((lines('off.log', 1))[0], '200 - - ' . length $foo, 'and the log has no values');

# ---- TLS from end to end

SKIP: {
    skip 'no IO::Socket::SSL', 1 if !$tls;

    my %finger;
    for my $name (qw(a b)) {
        my ($cert, $key) = IO::Socket::SSL::Utils::CERT_create(
            subject => { commonName => "$name.example" });
        $finger{$name} = IO::Socket::SSL::Utils::CERT_asHash($cert)->{fingerprint_sha256};
        $w->backend("tls_$name", serve => sub {
            my ($fh) = @_;
            IO::Socket::SSL->start_SSL($fh, SSL_server => 1, SSL_cert => $cert, SSL_key => $key,
                SSL_alpn_protocols => ['h2', 'http/1.1']) or return;
            my $line = readline $fh;
            print $fh "$name " . ($fh->alpn_selected // '-') . " $line" if defined $line;
            $fh->close;
        });
    }
    my $speak = sub {
        my ($name, @how) = @_;
        my $fh = IO::Socket::SSL->new(PeerAddr => $w->address('secure'), Timeout => 20,
            SSL_hostname => $name, SSL_verify_mode => 0, @how) or return IO::Socket::SSL::errstr();
        my $cert = IO::Socket::SSL::Utils::CERT_asHash($fh->peer_certificate);
        print $fh "hello\n";
        my $answer = readline($fh) // '';
        $fh->close;
        chomp $answer;
        my ($whose) = grep { $finger{$_} eq $cert->{fingerprint_sha256} } keys %finger;
        return join ' ', $answer, $whose // 'no known certificate';
    };

    is $speak->('a.example'), 'a - hello a', 'TLS to the server of one name';
    is $speak->('b.example'), 'b - hello b', 'and of the other';
    is $speak->('b.example', SSL_alpn_protocols => ['http/1.1']), 'b http/1.1 hello b', 'with ALPN';
    is $speak->('a.example', SSL_version => 'TLSv1_2', SSL_alpn_protocols => ['foo', 'h2']),
        'a h2 hello a', 'with TLS 1.2';
    isnt $speak->('c.example'), '', 'no server for a third name: no handshake';
    is_deeply [lines('tls.log', 5)], ['TLSv1.3 a.example ', 'TLSv1.3 b.example ',
        'TLSv1.3 b.example http/1.1', 'TLSv1.2 a.example foo,h2', 'TLSv1.3 c.example '],
        'the log has what was read';
}

# ---- configuration

my (undef, @built) = $w->bare('-V');
like "@built", qr/^modules:.* stream_ssl_preread\b/m, '-V names the module';

my $wrong = Weir->new;
$wrong->expect(qr/invalid value "maybe"/);
$wrong->conf('events {} stream { server { listen %{x}; ssl_preread maybe; return x; } }');
my ($code, undef, $err) = $wrong->command('-t');
is $code, 1, 'ssl_preread takes on and off';
like $err, qr/invalid value "maybe" in "ssl_preread" directive/, 'and says so';
$wrong->finish;

$w->finish;
done_testing;
