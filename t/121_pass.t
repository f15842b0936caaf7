#!/usr/bin/perl
# chaos: yes

# `pass` hands a session to another listener of either layer: with the bytes that were read before
# it was chosen, by ssl_preread and protocol_preread; with TLS that ended here, and before a handshake
# there; with the address of a PROXY header; over IPv6 and unix sockets. The rules of the target
# hold. It never goes round. $preread_protocol, on sockets as they are: whole, byte by byte, silent.

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
Weir::Tls::certificate($w, $_) for 'one', 'two';
$w->echo('echo');

my $SHOW = '$remote_addr $server_port $scheme $realip_remote_addr';
my $SIX = $V6 ? 'server { listen [::1]:%{six.port}; pass [::1]:%{sixth.port}; }
                 server { listen [::1]:%{sixth.port}; return "six $remote_addr\n"; }' : '';
my $HTTP_SIX = $V6 ? 'server { listen [::1]:%{sixweb.port}; return 200 "$remote_addr\n"; }' : '';
my $CONF = <<"CONF";
worker_processes 2;
stream {
    log_format main '\$server_port \$status \$bytes_received \$ssl_server_name \$preread_protocol';
    access_log %{dir}/stream.log main;
    ssl_certificate one.crt;
    ssl_certificate_key one.key;
    map \$ssl_preread_server_name \$by_name { one 127.0.0.1:%{tls.port}; two %{unix:web};
                                              default 127.0.0.1:%{second.port}; }
    map \$preread_protocol \$by_protocol {
        tls %{https}; http %{web}; "" 127.0.0.1:%{second.port}; default %{unix:other};
    }

    server { listen %{plain}; pass %{web}; }
    server { listen %{ended} ssl; pass %{web}; }
    server { listen %{twice} ssl; pass %{https}; }
    server { listen %{through}; pass %{https}; }
    server { listen %{names}; ssl_preread on; pass \$by_name; }
    server { listen %{tls} ssl; return "one \$ssl_server_name\\n"; }
    server { listen %{second}; return "second \$server_port \$protocol\\n"; }
    server { listen %{any}; protocol_preread on; preread_timeout 1s; pass \$by_protocol; }
    server { listen %{inner} ssl; protocol_preread on; pass \$by_protocol; }
    server { listen %{unix:other}; return "other\\n"; }
    server { listen %{both}; protocol_preread on; ssl_preread on; preread_timeout 5s;
             return "\$preread_protocol \$ssl_preread_server_name\\n"; }
    server { listen %{real} proxy_protocol; set_real_ip_from 127.0.0.1; pass %{web}; }
    server { listen %{header} proxy_protocol; pass %{behind}; }
    server { listen %{relay}; protocol_preread on; preread_timeout 1s; pass %{echoes}; }
    server { listen %{echoes}; proxy_pass %{echo}; }
    server { listen %{refused}; pass %{closed}; }
    server { listen %{closed}; deny all; return "never\\n"; }
    server { listen %{round}; pass %{again}; }
    server { listen %{again}; pass %{round}; }
    server { listen %{none}; set \$nowhere 127.0.0.1:1; pass \$nowhere; }
    server { listen %{unix:sock}; pass %{web}; }
    server { listen %{wild}; pass 127.0.0.2:%{all.port}; }
    server { listen 0.0.0.0:%{all.port}; return "all\\n"; }
    $SIX
}
http {
    log_format main '\$remote_addr \$status \$connection';
    access_log %{dir}/http.log main;
    server {
        listen %{web};
        listen %{unix:web};
        location / { return 200 "$SHOW\\n"; }
        location /body { proxy_pass http://%{web}/length; }
        location /length { return 200 "\$http_content_length\\n"; }
    }
    server { listen %{https} ssl; ssl_certificate two.crt; ssl_certificate_key two.key;
             return 200 "https \$server_port \$ssl_server_name\\n"; }
    server { listen %{behind} proxy_protocol; return 200 "\$proxy_protocol_addr\\n"; }
    $HTTP_SIX
}
CONF
$w->start($CONF);

sub get {
    my ($where, @how) = @_;
    return Weir::Http::ask($w, $where, 'GET /', @how)->{body};
}

sub over_tls {
    my ($where, %how) = @_;
    my $c = Weir::Tls->new($w, $where, name => 'one', %how);
    $c->send(Weir::Http::request('GET / HTTP/1.0'));
    my $all = $c->rest;
    my $who = eval { $c->subject } // '';
    $c->close;
    return $who . ' ' . ($all =~ /\r\n\r\n(.*)/s ? $1 : $all);
}

# ---- layer 7

my %port = map { $_ => $w->port($_) } qw(plain ended through any tls second relay);
is get('plain'), "127.0.0.1 $port{plain} http 127.0.0.1\n", 'to http {}: the address clients know';
my $c = $w->connect('plain');
for (1 .. 2) {
    $c->send(Weir::Http::request('GET /'));
    like Weir::Http::reply($c)->{body}, qr/^127\.0\.0\.1 $port{plain} /, "kept alive, request $_";
}
$c->close;
is Weir::Http::ask($w, 'plain', 'POST /body', body => 'x' x 70_000)->{body}, "70000\n", 'a body';
is over_tls('ended'), "one 127.0.0.1 $port{ended} https 127.0.0.1\n", 'TLS that ended here';
is over_tls('through'), "two https $port{through} one\n", 'a handshake there';
is $w->ask('unix:sock', Weir::Http::request('GET / HTTP/1.0')) =~ /\n\r?\n(.*)/s ? $1 : '',
    'unix:  http unix:', 'from a unix socket';

# ---- bytes that were read before

is over_tls('names'), "one one one\n", 'by the name in a ClientHello, to a server with TLS';
is get('any'), "127.0.0.1 $port{any} http 127.0.0.1\n", 'HTTP by its first bytes';
is over_tls('any'), "two https $port{any} one\n", 'TLS by its first bytes';
is $w->ask('any', "*1\r\n\$4\r\nPING\r\n"), 'other', 'anything else';
is $w->ask('any'), "second $port{any} TCP", 'a client that says nothing';
is over_tls('inner'), 'one 127.0.0.1 ' . $w->port('inner') . " https 127.0.0.1\n", 'inside TLS';
$c = $w->connect('any');
for my $byte (split //, "GET / HTTP/1.1\r\nHost: a\r\n\r\n") {
    $c->send($byte);
}
like Weir::Http::reply($c)->{body}, qr/^127\.0\.0\.1 $port{any} /, 'byte by byte';
$c->close;
$c = $w->connect('relay');
ok $c->echoes("EHLO me\r\n"), 'the first bytes come first';
my $many = join '', map { pack 'N', $_ } 1 .. 50_000;
ok $c->echoes($many), 'and all others behind them';
$c->close;

# ---- addresses, rules

my $header = "PROXY TCP4 192.0.2.1 192.0.2.2 56324 443\r\n";
like $w->ask('real', $header . Weir::Http::request('GET / HTTP/1.0')), qr/^192\.0\.2\.1 /m,
    'the real address goes along';
becomes { slurp($w->path('http.log')) =~ /^192\.0\.2\.1 200 /m } 'and is logged there';
like $w->ask('header', $header . Weir::Http::request('GET / HTTP/1.0')), qr/^192\.0\.2\.1$/m,
    'so does a PROXY header';
is $w->ask('refused'), '', 'the target refuses';
is $w->ask('wild'), 'all', 'an address that a wildcard listens on';
is $w->ask('round'), '', 'never in a circle';
becomes { $w->error_log =~ /\[error\].*pass cycle at/ } 'which is logged';
is $w->ask('none'), '', 'an address nobody listens on';
becomes { $w->error_log =~ /nothing listens at "127\.0\.0\.1:1" of "pass"/ } 'logged, too';
like over_tls('twice'), qr/^\w* $/, 'TLS in TLS is refused';
becomes { $w->error_log =~ /cannot pass to \S+, which listens with "ssl"/ } 'with a reason';
SKIP: {
    skip 'no IPv6', 1 if !$V6;
    is $w->ask('[::1]:%{six.port}'), 'six ::1', 'IPv6';
}
my $log = sub { slurp($w->path('stream.log')) };
my $plain = $port{plain};
becomes { $log->() =~ /^$plain 200 0 - -?$/m } 'a session that was passed is logged';
becomes { $log->() =~ /^$port{any} 200 \d+ - http$/m && $log->() =~ /^$port{any} 200 0 - -?$/m }
    'with its protocol';
my $ended = $w->port('ended');
becomes { $log->() =~ /^$ended 200 \d+ one/m } 'and its TLS';

# ---- the two prereads together, life

is $w->ask('both', "SSH-2.0-x\r\n"), 'ssh ', 'ssh';
$c = $w->connect('plain');
$c->send(Weir::Http::request('GET /'));
Weir::Http::reply($c);
is +($w->reload($CONF))[0], 0, 'reload';
$c->close;
is get('plain'), "127.0.0.1 $port{plain} http 127.0.0.1\n", 'after a reload';

# ---- what is wrong

sub refused {
    my ($text) = @_;
    my $other = Weir->new;
    $other->conf($text);
    my ($code, undef, $err) = $other->command('-t');
    $other->remove;
    return $code ? $err : 'accepted';
}
like refused('stream { server { listen 127.0.0.1:9; pass 127.0.0.1:8; } }'),
    qr/nothing listens at "127\.0\.0\.1:8"/, 'nobody listens';
like refused('stream { server { listen 127.0.0.1:9 udp; pass 127.0.0.1:8; }
    server { listen 127.0.0.1:8; return x; } }'), qr/"pass" needs a connection/, 'datagrams';
like refused('stream { server { listen 127.0.0.1:9; pass name; } }'), qr/invalid address "name"/,
    'not an address';
like refused('stream { server { listen 127.0.0.1:9; pass 127.0.0.1:9; return x; } }'),
    qr/is duplicate: the server has "pass" already/, 'two contents';
$w->finish;
done_testing;
