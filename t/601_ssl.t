#!/usr/bin/perl
# chaos: yes

# TLS with clients, at both layers by the same directives: certificates of two kinds, in line, by
# variables and with passwords; protocols, ciphers, groups; the server that SNI chooses; and the
# errors of wrong configurations.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Tls;

Weir::Tls::needs();
my $w = Weir->new;

Weir::Tls::authority($w, 'ca');
Weir::Tls::certificate($w, 'one', by => 'ca');
Weir::Tls::certificate($w, 'two');
Weir::Tls::certificate($w, 'three');
Weir::Tls::certificate($w, 'rsa', kind => 'rsa', cn => 'one');
Weir::Tls::openssl($w, qw(ec -in three.key -aes128 -passout pass:sesame -out locked.key));
Weir::Tls::openssl($w, qw(dhparam -out dh.pem -dsaparam 1024));
$w->write('passwords', "wrong\r\n\nsesame\n");
chmod 0644, map { $w->path("$_.key") } 'one', 'two', 'three';    # a worker of another user opens them
my ($crt, $key) = map { Weir::Tls::text($w, "two.$_") } 'crt', 'key';

my $SHOW = '$ssl_protocol $ssl_cipher $ssl_curve $ssl_server_name $ssl_session_reused'
    . ' $ssl_alpn_protocol';

# Each server of this table stands at both layers: its place, its directives.
my @servers = (
    [plain => 'ssl_certificate %{dir}/one.crt; ssl_certificate_key %{dir}/one.key;'],
    [relative => 'ssl_certificate one.crt; ssl_certificate_key one.key;'],
    [inline => "ssl_certificate 'data:$crt'; ssl_certificate_key 'data:$key';"],
    [kinds => 'ssl_certificate one.crt; ssl_certificate_key one.key;
        ssl_certificate rsa.crt; ssl_certificate_key rsa.key;'],
    [dynamic => 'ssl_certificate $ssl_server_name.crt;
        ssl_certificate_key $ssl_server_name.key;'],
    [text => 'ssl_certificate data:$pem_of_name; ssl_certificate_key data:$key_of_name;'],
    [password => 'ssl_password_file passwords;
        ssl_certificate three.crt; ssl_certificate_key locked.key;'],
    [old => 'ssl_certificate one.crt; ssl_certificate_key one.key; ssl_protocols TLSv1.2;'],
    [new => 'ssl_certificate one.crt; ssl_certificate_key one.key; ssl_protocols TLSv1.3;'],
    [hole => 'ssl_certificate one.crt; ssl_certificate_key one.key;
        ssl_protocols TLSv1.1 TLSv1.3; ssl_ciphers DEFAULT@SECLEVEL=0;'],
    [oldest => 'ssl_certificate rsa.crt; ssl_certificate_key rsa.key;
        ssl_protocols TLSv1 TLSv1.1; ssl_ciphers DEFAULT@SECLEVEL=0;'],
    [ciphers => 'ssl_certificate rsa.crt; ssl_certificate_key rsa.key; ssl_protocols TLSv1.2;
        ssl_ciphers ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256;'],
    [ours => 'ssl_certificate rsa.crt; ssl_certificate_key rsa.key; ssl_protocols TLSv1.2;
        ssl_ciphers ECDHE-RSA-AES256-GCM-SHA384:ECDHE-RSA-AES128-GCM-SHA256;
        ssl_prefer_server_ciphers on;'],
    [curve => 'ssl_certificate one.crt; ssl_certificate_key one.key; ssl_ecdh_curve P-384:X25519;'],
    [dhe => 'ssl_certificate rsa.crt; ssl_certificate_key rsa.key; ssl_protocols TLSv1.2;
        ssl_ciphers DHE-RSA-AES128-GCM-SHA256@SECLEVEL=0; ssl_dhparam dh.pem;'],
    [nodhe => 'ssl_certificate rsa.crt; ssl_certificate_key rsa.key; ssl_protocols TLSv1.2;
        ssl_ciphers DHE-RSA-AES128-GCM-SHA256@SECLEVEL=0;'],
    [command => 'ssl_certificate one.crt; ssl_certificate_key one.key;
        ssl_conf_command Ciphersuites TLS_CHACHA20_POLY1305_SHA256;
        ssl_conf_command Options -SessionTicket;'],
    [reject => 'ssl_reject_handshake on;'],
);

my $MAPS = '';
for my $of (['pem_of_name', 'crt'], ['key_of_name', 'key']) {
    $MAPS .= "map \$ssl_server_name \$$of->[0] {\n"
        . join('', map { "    $_ '" . Weir::Tls::text($w, "$_.$of->[1]") . "';\n" } 'one', 'two')
        . "}\n";
}

sub servers {
    my ($layer, $text) = @_;
    return join '', map {
        "server { listen %{${layer}_$_->[0]} ssl;\n$_->[1]\n$text }\n"
    } @servers;
}

my $CONF = "worker_processes 2;\nhttp { $MAPS\n" . servers('http', "return 200 \"$SHOW\\n\";")
    . <<"CONF" . "}\nstream { $MAPS\n" . servers('stream', "return \"$SHOW\\n\";") . <<"CONF" . "}\n";
    server {
        listen %{http_names} ssl; listen %{http_open};
        ssl_certificate one.crt; ssl_certificate_key one.key;
        return 200 "default \$server_name $SHOW\\n";
    }
    server {
        listen %{http_names} ssl; server_name two *.two.test;
        ssl_certificate two.crt; ssl_certificate_key two.key; ssl_protocols TLSv1.2;
        return 200 "two $SHOW\\n";
    }
    server {
        listen %{http_names} ssl; server_name shut;
        ssl_reject_handshake on;
    }
    server { listen %{http_names} ssl; server_name bare; return 200 "bare $SHOW\\n"; }
    server {
        listen %{http_names} ssl; server_name three;
        ssl_certificate \$ssl_server_name.crt; ssl_certificate_key \$ssl_server_name.key;
        return 200 "dynamic $SHOW\\n";
    }
    server {
        listen %{http_dynamic_first} ssl;
        ssl_certificate \$ssl_server_name.crt; ssl_certificate_key \$ssl_server_name.key;
        return 200 "dynamic $SHOW\\n";
    }
    server {
        listen %{http_dynamic_first} ssl; server_name fixed;
        ssl_certificate one.crt; ssl_certificate_key one.key;
        return 200 "fixed $SHOW\\n";
    }
CONF
    server {
        listen %{stream_alpn} ssl; ssl_alpn one two;
        ssl_certificate three.crt; ssl_certificate_key three.key;
        return "$SHOW\\n";
    }
CONF
$w->start($CONF);

# The subject of the server's certificate and its text; or why there was no handshake.
sub says {
    my ($layer, $place, %how) = @_;
    my $c = Weir::Tls->new($w, "${layer}_$place", %how);

    return $c->{why} =~ /([^:]+)$/ ? $1 : '' if !$c->{up};
    $c->send("GET / HTTP/1.0\r\nHost: " . ($how{name} // 'x') . "\r\n\r\n") if $layer eq 'http';
    my $said = $c->rest =~ s/^.*\r\n\r\n//sr;
    chomp $said;
    my $end = $c->ending;
    $c->close;
    return $c->subject . ": $said" . ($end eq 'eof' ? '' : " ($end)");
}

sub refused { return qr/$_[0]/ }

my ($TLS2, $TLS3) = ([max => 0x0303], [min => 0x0304]);
my $RSA = 'ECDHE-RSA-AES128-GCM-SHA256';
my $EC = 'ECDHE-ECDSA-AES128-GCM-SHA256';
my @BOTH = ($RSA . ':ECDHE-RSA-AES256-GCM-SHA384');

my @table = (
    [plain => [], qr/^one: TLSv1\.3 TLS_AES_256_GCM_SHA384 X25519  \. /i],
    [plain => $TLS2, qr/^one: TLSv1\.2 ECDHE-ECDSA-AES256-GCM-SHA384 X25519  \. /i],
    [plain => [slowly => 1, groups => 'P-256'], qr/^one: TLSv1\.3 \S+ prime256v1/],
    [plain => [name => 'any.test'], qr/^one: \S+ \S+ \S+ any\.test/],
    [relative => [], qr/^one: TLSv1\.3/],
    [inline => [], qr/^two: TLSv1\.3/],
    [kinds => [@$TLS2, ciphers => $RSA], qr/^one: TLSv1\.2 $RSA/],
    [kinds => [@$TLS2, ciphers => $EC], qr/^one: TLSv1\.2 $EC/],
    [dynamic => [name => 'one'], qr/^one: TLSv1\.3 .* one/],
    [dynamic => [name => 'two', @$TLS2], qr/^two: TLSv1\.2 .* two/],
    [dynamic => [name => 'nobody'], refused('internal error')],
    [text => [name => 'one'], qr/^one: TLSv1\.3 .* one/],
    [text => [name => 'two'], qr/^two: TLSv1\.3 .* two/],
    [password => [], qr/^three: TLSv1\.3/],
    [old => [], qr/^one: TLSv1\.2/],
    [old => $TLS3, refused('protocol version')],
    [new => [], qr/^one: TLSv1\.3/],
    [new => $TLS2, refused('protocol version')],
    [hole => [insecure => 1], qr/^one: TLSv1\.3/],
    [hole => [insecure => 1, @$TLS2], refused('unsupported protocol')],
    [oldest => [insecure => 1, min => 0x0301, max => 0x0301, ciphers => 'DEFAULT@SECLEVEL=0'],
        qr/^one: TLSv1 /],
    [oldest => [insecure => 1, min => 0x0301, ciphers => 'DEFAULT@SECLEVEL=0'],
        qr/^one: TLSv1\.1 /],
    [ciphers => [ciphers => @BOTH], qr/^one: TLSv1\.2 ECDHE-RSA-AES128/],
    [ours => [ciphers => @BOTH], qr/^one: TLSv1\.2 ECDHE-RSA-AES256/],
    [ours => [ciphers => 'ECDHE-RSA-CHACHA20-POLY1305', @$TLS2], refused('handshake failure')],
    [curve => [groups => 'X25519:P-384'], qr/^one: \S+ \S+ (?:X25519|secp384r1)/],
    [curve => [groups => 'P-384'], qr/^one: \S+ \S+ secp384r1/],
    [curve => [groups => 'P-256'], refused('handshake failure')],
    [dhe => [insecure => 1, ciphers => 'DHE-RSA-AES128-GCM-SHA256@SECLEVEL=0'],
        qr/^one: TLSv1\.2 DHE-RSA/],
    [nodhe => [insecure => 1, ciphers => 'DHE-RSA-AES128-GCM-SHA256@SECLEVEL=0'],
        refused('handshake failure')],
    [command => [], qr/^one: TLSv1\.3 TLS_CHACHA20_POLY1305_SHA256/],
    [reject => [], refused('unrecognized name')],
    [reject => [name => 'any'], refused('unrecognized name')],
);
for my $layer ('http', 'stream') {
    like says($layer, $_->[0], @{ $_->[1] }), $_->[2], "$layer: $_->[0] @{ $_->[1] }" for @table;
}
my @names = (
    [names => [], qr/^one: default  TLSv1\.3/],
    [names => [name => 'two'], qr/^two: two TLSv1\.2 \S+ \S+ two/],
    [names => [name => 'TWO'], qr/^two: two TLSv1\.2/],
    [names => [name => 'a.two.test'], qr/^two: two TLSv1\.2 \S+ \S+ a\.two\.test/],
    [names => [name => 'two', @$TLS3], refused('protocol version')],
    [names => [name => 'other'], qr/^one: default/],
    [names => [name => 'shut'], refused('unrecognized name')],
);
like says('http', $_->[0], @{ $_->[1] }), $_->[2], "http: $_->[0] @{ $_->[1] }" for @names;
like says('http', 'names', name => 'three'), qr/^three: dynamic /,
    'a server whose certificate has variables behind one without';
like says('http', 'dynamic_first', name => 'two'), qr/^two: dynamic /, 'the other way round';
like says('http', 'dynamic_first', name => 'fixed'), qr/^one: fixed /,
    'and the server whose certificate has none';
like says('http', 'names', name => 'bare'), qr/^one: bare TLSv1\.3/,
    'a server without a certificate shows the default one\'s';
like says('http', 'plain', alpn => ['http/1.1']), qr{ http/1\.1$}, 'http: ALPN';
like says('http', 'plain', alpn => ['x', 'http/1.0']), qr{ http/1\.0$}, 'http: ALPN, another';
like says('http', 'plain', alpn => ['x']), refused('no application protocol'), 'http: ALPN, none';
like says('stream', 'alpn', alpn => ['two', 'one']), qr/ one$/, 'stream: ALPN by our order';
like says('stream', 'alpn'), qr/^three: /, 'stream: a client without ALPN';
like says('stream', 'alpn', alpn => ['x']), refused('no application protocol'), 'stream: ALPN, none';
like says('stream', 'plain', alpn => ['x']), qr/^one: /, 'stream: ALPN is ignored without ssl_alpn';
like $w->error_log, qr/\[error\] .*cannot load certificate "[^"]*nobody\.crt": BIO_new_file\(\) failed/,
    'a certificate that is not there is logged';
like $w->error_log, qr/\[info\] .*handshake rejected while SSL handshaking, client: 127\.0\.0\.1/,
    'so is a handshake that is refused';
unlike $w->error_log, qr/\[crit\]/, 'and no client causes a line at crit';

SKIP: {
    skip 'curl is not installed', 2 if !defined Weir::program('curl');
    my $at = 'https://one:' . $w->port('http_plain') . '/';
    my $curl = "curl -sS --noproxy '*' --resolve one:" . $w->port('http_plain') . ':127.0.0.1';
    like `$curl --cacert $w->{dir}/ca.crt $at 2>&1`, qr/^TLSv1\.3 .* one /, 'curl trusts it';
    my $other = $w->path('two.crt');    # the system has perhaps no list of its own
    like `$curl --cacert $other $at 2>&1`, qr/curl: \(60\)/, 'and does not without the authority';
}
{
    my $at = '127.0.0.1:' . $w->port('stream_plain');
    my $said = `openssl s_client -connect $at -CAfile $w->{dir}/ca.crt -ign_eof 2>&1 </dev/null`;
    like $said, qr/^TLSv1\.3 TLS_/m, 'openssl s_client gets the text';
    like $said, qr/Verify return code: 0 \(ok\)/, 'and trusts it';
}
$w->finish;

# ---- directives around servers hold in them

$w = Weir->new;
Weir::Tls::certificate($w, $_) for 'one', 'two';
my $AROUND = 'ssl_certificate one.crt; ssl_certificate_key one.key; ssl_protocols TLSv1.2;';
my $OWN = 'ssl_certificate two.crt; ssl_certificate_key two.key;';
$w->start(<<"CONF");
http {
    server { listen %{http_inherit} ssl; return 200 "\$ssl_protocol\n"; }
    server { listen %{http_own} ssl; $OWN return 200 "\$ssl_protocol\n"; }
    $AROUND
}
stream {
    server { listen %{stream_inherit} ssl; return "\$ssl_protocol\n"; }
    server { listen %{stream_own} ssl; $OWN return "\$ssl_protocol\n"; }
    $AROUND
}
CONF
for my $layer ('http', 'stream') {
    is says($layer, 'inherit'), 'one: TLSv1.2', "$layer: inherited";
    is says($layer, 'own'), 'two: TLSv1.2', "$layer: its own certificate takes the others' place";
}
$w->finish;

# ---- wrong configurations

my $PAIR = 'ssl_certificate one.crt; ssl_certificate_key one.key;';
$w = Weir->new;
Weir::Tls::certificate($w, 'one');
Weir::Tls::certificate($w, 'two');
Weir::Tls::openssl($w, qw(ec -in two.key -aes128 -passout pass:sesame -out locked.key));
$w->expect(qr{\[emerg\].* in \S+weir\.conf:\d});
$w->write('empty', '');
$w->write('short.key', 'x' x 47);
$w->write("key$_", chr($_) x 80) for 1 .. 4;
my @wrong = (
    ['', qr/no "ssl_certificate" is defined for the "listen \.\.\. ssl" directive/],
    ['ssl_certificate one.crt;', qr/no "ssl_certificate_key" is defined for this certificate/],
    ['ssl_certificate none.crt; ssl_certificate_key one.key;',
        qr/cannot load certificate ".*none\.crt": BIO_new_file\(\) failed \(SSL: .*No such file/],
    ['ssl_certificate one.crt; ssl_certificate_key none.key;',
        qr/cannot load certificate key ".*none\.key": BIO_new_file\(\) failed/],
    ['ssl_certificate one.crt; ssl_certificate_key two.key;',
        qr/two\.key": SSL_CTX_use_PrivateKey\(\) failed \(SSL: .*key values mismatch/],
    ['ssl_certificate one.crt; ssl_certificate_key locked.key;',
        qr/locked\.key": PEM_read_bio_PrivateKey\(\) failed/],
    ['ssl_certificate empty; ssl_certificate_key one.key;',
        qr/empty": PEM_read_bio_X509_AUX\(\) failed/],
    ['ssl_certificate one.crt; ssl_certificate_key engine:x:y;',
        qr/known in nginx, not in this build/],
    ["$PAIR ssl_password_file none;", qr/cannot read ".*none" \(2: No such file/],
    ["$PAIR ssl_protocols TLSv1.4;", qr/invalid value "TLSv1\.4"/],
    ["$PAIR ssl_ciphers NONESUCH;", qr/SSL_CTX_set_cipher_list\("NONESUCH"\) failed/],
    ["$PAIR ssl_ecdh_curve nonesuch;", qr/SSL_CTX_set1_curves_list\(\) failed/],
    ["$PAIR ssl_dhparam one.crt;", qr/PEM_read_bio_Parameters\(\) failed/],
    ["$PAIR ssl_prefer_server_ciphers maybe;", qr/invalid value "maybe"/],
    ["$PAIR ssl_client_certificate none;", qr/none"\) failed \(SSL: .*No such file/],
    ["$PAIR ssl_client_certificate empty;", qr/empty"\) failed/],
    ["$PAIR ssl_trusted_certificate none;", qr/none"\) failed/],
    ["$PAIR ssl_crl none;", qr/none"\) failed/],
    ["$PAIR ssl_verify_client on;", qr/no ssl_client_certificate/],
    ["$PAIR ssl_verify_client perhaps;", qr/invalid value "perhaps"/],
    ["$PAIR ssl_verify_depth x;", qr/invalid number|invalid value/],
    ["$PAIR ssl_session_cache what;", qr/invalid session cache "what"/],
    ["$PAIR ssl_session_cache shared:a;", qr/invalid session cache "shared:a"/],
    ["$PAIR ssl_session_cache shared:a:x;", qr/invalid session cache "shared:a:x"/],
    ["$PAIR ssl_session_cache builtin:0;", qr/invalid session cache "builtin:0"/],
    ["$PAIR ssl_session_cache shared:a:1k;", qr/session cache "shared:a:1k" is too small/],
    ["$PAIR ssl_session_timeout never;", qr/invalid (?:time )?value/],
    ["$PAIR ssl_session_ticket_key short.key;", qr/short\.key" must be 48 or 80 bytes/],
    ["$PAIR ssl_session_ticket_key none.key;", qr/cannot read ".*none\.key"/],
    [$PAIR . join('', map { " ssl_session_ticket_key key$_;" } 1 .. 4), qr/at most 3 keys/],
    ["$PAIR ssl_conf_command Nonesuch x;", qr/SSL_CONF_cmd\("Nonesuch", "x"\) failed/],
    ["$PAIR ssl_conf_command Options Nonesuch;", qr/SSL_CONF_cmd\("Options", "Nonesuch"\) failed/],
    ["$PAIR ssl_session_tickets 1;", qr/invalid value "1"/],
    ["$PAIR ssl_reject_handshake 1;", qr/invalid value "1"/],
);
for my $layer ('http', 'stream') {
    for my $case (@wrong) {
        $w->conf("$layer {\n    server {\n        listen %{web} ssl;\n        $case->[0]\n    }\n}\n");
        my ($code, $out, $err) = $w->command('-t');
        is $code, 1, "$layer: -t refuses $case->[0]";
        like $out . $err, $case->[1], 'and says why';
        like $out . $err, qr/weir\.conf:[34]\b/, 'and where';
    }
}
for my $case (
    ["stream { server { listen %{web} ssl; $PAIR ssl_handshake_timeout x; } }",
        qr/invalid (?:time )?value/],
    ["http { server { listen %{web} ssl; $PAIR ssl_handshake_timeout 1s; } }",
        qr/"ssl_handshake_timeout" directive is not allowed here/],
    ["http { server { listen %{web} ssl; $PAIR ssl_alpn x; } }",
        qr/"ssl_alpn" directive is not allowed here/],
    ["http { server { listen %{web} ssl; $PAIR ssl_buffer_size x; } }",
        qr/invalid (?:size )?value/],
    ["stream { server { listen %{web} ssl; $PAIR ssl_buffer_size 4k; } }",
        qr/"ssl_buffer_size" directive is not allowed here/],
    ["stream { server { listen %{web} ssl; $PAIR ssl_alpn ''; } }", qr/protocol too long|empty/],
    ["stream { server { listen %{web} ssl udp; $PAIR } }", qr/"ssl" parameter is incompatible with "udp"/],
    ["stream { server { listen %{web} ssl; ssl_session_cache shared:a:1m; $PAIR }"
        . " server { listen %{two} ssl; ssl_session_cache shared:a:2m; $PAIR } }",
        qr/the size 2097152 of shared memory zone "a" conflicts with already declared size 1048576/],
) {
    $w->conf($case->[0]);
    my ($code, $out, $err) = $w->command('-t');
    is $code, 1, "-t refuses $case->[0]";
    like $out . $err, $case->[1], 'and says why';
}
$w->conf("http { ssl_verify_client on; server { listen %{web} ssl; $PAIR ssl_verify_client off; }"
    . ' server { listen %{two}; } }');
is +($w->command('-t'))[0], 0, 'ssl_verify_client in http {} is checked only where it is in effect';
$w->finish;
done_testing;
