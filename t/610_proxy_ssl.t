#!/usr/bin/perl

# TLS to servers: https:// at layer 7 and proxy_ssl at layer 4. The server behind replies with what
# it saw; it is a server {} of the same weir. Names, certificates of both sides, sessions, kept
# connections, and handshakes that fail.
# chaos: yes

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA qw(sha256_hex);
use Test::More;
use Weir;
use Weir::Http;
use Weir::Tls;

Weir::Tls::needs();
my $w = Weir->new;

Weir::Tls::authority($w, 'ca');
Weir::Tls::authority($w, 'other');
Weir::Tls::certificate($w, 'one', by => 'ca');
Weir::Tls::certificate($w, 'two', by => 'ca');
Weir::Tls::certificate($w, 'client', by => 'ca');
Weir::Tls::certificate($w, 'somebody', by => 'ca');
Weir::Tls::openssl($w, qw(req -x509 -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1
    -keyout ip.key -out ip.crt -days 30 -subj /CN=ip -addext),
    'subjectAltName=IP:::1,IP:127.0.0.1,DNS:a.test', qw(-CA ca.crt -CAkey ca.key));
Weir::Tls::openssl($w, qw(ec -in client.key -aes128 -passout pass:sesame -out locked.key));
Weir::Tls::revoked($w, 'one.crl', 'ca', 'one');
Weir::Tls::revoked($w, 'none.crl', 'ca');
$w->write('passwords', "wrong\nsesame\n");
chmod 0644, map { $w->path($_) } qw(client.key somebody.key locked.key passwords);

my $SAW = 'sni=$ssl_server_name client=$ssl_client_s_dn $ssl_protocol'
    . ' $ssl_cipher reused=$ssl_session_reused';
my $CHECK = 'proxy_ssl_verify on; proxy_ssl_trusted_certificate ca.crt;';

# Each row stands at both layers: directives, what the server saw or (502) what the log says.
my @rows = (
    [plain => '', qr/^sni= client= TLSv1\.3 /],
    [name => 'proxy_ssl_server_name on; proxy_ssl_name one;', qr/^sni=one /],
    [nosni => 'proxy_ssl_name one;', qr/^sni= /],
    [port => 'proxy_ssl_server_name on; proxy_ssl_name one:443;', qr/^sni=one /],
    [literal => 'proxy_ssl_server_name on; proxy_ssl_name 127.0.0.1;', qr/^sni= /],
    [group => 'proxy_ssl_server_name on;', qr/^sni=group /],
    [variable => 'proxy_ssl_server_name on; proxy_ssl_name $named;', qr/^sni=two /],
    [old => 'proxy_ssl_protocols TLSv1.2;', qr/ TLSv1\.2 /],
    [ciphers => 'proxy_ssl_protocols TLSv1.2; proxy_ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256;',
        qr/ ECDHE-ECDSA-AES128-GCM-SHA256 /],
    [command => 'proxy_ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;',
        qr/ TLS_AES_128_GCM_SHA256 /],
    [verified => "$CHECK proxy_ssl_name one; proxy_ssl_verify_depth 2;", qr/^sni= /],
    [crl => "$CHECK proxy_ssl_name one; proxy_ssl_crl none.crl;", qr/^sni= /],
    [certificate => 'proxy_ssl_certificate client.crt; proxy_ssl_certificate_key client.key;',
        qr/ client=CN=client /],
    [password => 'proxy_ssl_certificate client.crt; proxy_ssl_certificate_key locked.key;
        proxy_ssl_password_file passwords;', qr/ client=CN=client /],
    [dynamic => 'proxy_ssl_certificate $who.crt; proxy_ssl_certificate_key $who.key;',
        qr/ client=CN=client /],
    [nobody => 'proxy_ssl_certificate $nobody; proxy_ssl_certificate_key $nobody;',
        qr/ client= /],
);
my @wrong = (
    [stranger => 'proxy_ssl_verify on; proxy_ssl_trusted_certificate other.crt;
        proxy_ssl_name one;', qr/upstream SSL certificate verify error: \(20:unable to get local/],
    [misnamed => "$CHECK proxy_ssl_name two;",
        qr/upstream SSL certificate does not match "two" while SSL handshaking to upstream/],
    [revoked => "$CHECK proxy_ssl_name one; proxy_ssl_crl one.crl;",
        qr/upstream SSL certificate verify error: \(23:certificate revoked\)/],
    [unreadable => 'proxy_ssl_certificate $named.none; proxy_ssl_certificate_key $named.none;',
        qr/cannot load certificate "[^"]*two\.none"/],
    [versions => 'proxy_ssl_protocols TLSv1.1; proxy_ssl_ciphers DEFAULT@SECLEVEL=0;',
        qr/SSL_do_handshake\(\) failed \(SSL: /],
);

sub at_both {
    my ($l7, $l4) = ('', '');
    for (@rows, @wrong) {
        my ($name, $directives) = @$_;
        my $to = $name eq 'group' ? 'group' : '%{tls}';
        $l7 .= "location /$name { proxy_pass https://$to/saw; $directives }\n";
        $to = $name eq 'group' ? 'group' : '%{raw}';
        $l4 .= "server { listen %{l4$name}; proxy_pass $to; proxy_ssl on; $directives }\n";
    }
    return ($l7, $l4);
}
my ($L7, $L4) = at_both();

$w->hole('hole');
$w->echo('echo');
$w->write('index.html', 'x' x 100);
$w->start(<<"CONF");
worker_processes 1;
http {
    access_log off;
    map \$uri \$named { default two; }
    map \$uri \$who { default client; }
    map \$uri \$nobody { default ''; }
    map \$arg_who \$own { default client; other somebody; }
    upstream local { server unix:$w->{dir}/tls.sock; }
    upstream group { server %{tls}; keepalive 0; }
    upstream once { server %{tls}; keepalive 0; }
    upstream kept { server %{tls}; keepalive 8; }
    upstream mixed { server %{echo} max_fails=0; server %{tls}; }
    server {
        listen %{tls} ssl;
        ssl_certificate one.crt; ssl_certificate_key one.key;
        ssl_verify_client optional; ssl_client_certificate ca.crt;
        client_max_body_size 20m;
        location /saw { return 200 "$SAW\n"; }
        location /connection { return 200 "\$connection:\$connection_requests\n"; }
        location /alpn { return 200 "\$ssl_alpn_protocol \$connection:\$connection_requests\n"; }
        location /back { return 302 https://\$http_host/back/there; }
        location /echo { proxy_pass http://%{plain}; }
    }
    server {
        listen %{ip} ssl; ssl_certificate ip.crt; ssl_certificate_key ip.key;
        return 200 "sni=\$ssl_server_name\n";
    }
    server {
        listen unix:$w->{dir}/tls.sock ssl; ssl_certificate one.crt; ssl_certificate_key one.key;
        return 200 "$SAW\n";
    }
    server { listen %{plain}; client_max_body_size 20m; location / { return 200 "\$content_length\n"; } }
    server {
        listen %{web};
        client_max_body_size 20m;
        $L7
        location /reuse { proxy_pass https://once/saw; }
        location /anew { proxy_pass https://once/saw; proxy_ssl_session_reuse off; }
        location /elsewhere { proxy_pass https://once/saw; proxy_ssl_name two; }
        location /kept { proxy_pass https://kept/connection; }
        location /kept2 { proxy_pass https://kept/connection; proxy_ssl_name two; }
        location /chosen { proxy_pass https://%{chooses}/; proxy_ssl_alpn \$arg_first http/1.1; }
        location /alpn { proxy_pass https://kept/alpn; proxy_ssl_alpn \$arg_first x http/1.0; }
        location /next { proxy_pass https://mixed/saw; proxy_next_upstream error;
            proxy_connect_timeout 2s; }
        location /silent { proxy_pass https://%{mute}; proxy_connect_timeout 1s; }
        location /plain-there { proxy_pass https://%{echo}; proxy_connect_timeout 2s; }
        location /redirected/ { proxy_pass https://%{tls}/back/; }
        location /url { proxy_pass https://\$http_x_to/saw; }
        location /who { proxy_pass https://once/saw;
            proxy_ssl_certificate \$own.crt; proxy_ssl_certificate_key \$own.key; }
        location /unix { proxy_pass https://local; proxy_connect_timeout 600s; }
        location /ip4 { proxy_pass https://%{ip}; $CHECK proxy_ssl_server_name on;
            proxy_ssl_name 127.0.0.1; }
        location /ip6 { proxy_pass https://%{ip}; $CHECK proxy_ssl_server_name on;
            proxy_ssl_name [::1]; }
        location /ip-other { proxy_pass https://%{ip}; $CHECK proxy_ssl_name [::2]; }
        location /below { proxy_pass https://%{ip}; $CHECK proxy_ssl_name a.test; }
        location /dot { proxy_pass https://%{ip}; $CHECK proxy_ssl_name .test; }
        location /unnamed { proxy_pass https://%{ip}; $CHECK proxy_ssl_name \$nobody; }
        location /large { proxy_pass https://%{tls}/echo; }
    }
}
stream {
    map \$remote_addr \$named { default two; }
    map \$remote_addr \$kind { default a; }
    map \$remote_addr \$who { default client; }
    map \$remote_addr \$nobody { default ''; }
    upstream group { server %{raw}; }
    server {
        listen %{raw} ssl;
        ssl_certificate one.crt; ssl_certificate_key one.key;
        ssl_verify_client optional; ssl_client_certificate ca.crt; ssl_alpn a b;
        return "$SAW alpn=\$ssl_alpn_protocol\n";
    }
    server { listen %{tlsecho} ssl; ssl_certificate one.crt; ssl_certificate_key one.key;
        proxy_pass %{echo}; proxy_half_close on; }
    server { listen %{raw2} ssl proxy_protocol; ssl_certificate one.crt; ssl_certificate_key one.key;
        return "\$proxy_protocol_addr \$proxy_protocol_port\n"; }
    server { listen %{mute}; proxy_pass %{hole}; proxy_connect_timeout 3s; }
    $L4
    server { listen %{relay}; proxy_pass %{tlsecho}; proxy_ssl on; proxy_half_close on; }
    server { listen %{alpn}; proxy_pass %{raw}; proxy_ssl on; proxy_ssl_alpn c b; }
    server { listen %{alpns}; proxy_pass %{raw}; proxy_ssl on; proxy_ssl_alpn \$nobody \$kind b; }
    server { listen %{noalpn}; proxy_pass %{raw}; proxy_ssl on; proxy_ssl_alpn c; }
    server { listen %{chooses} ssl; ssl_certificate one.crt; ssl_certificate_key one.key;
        ssl_alpn h2 http/1.1; return "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"; }
    server { listen %{announced}; proxy_pass %{raw2}; proxy_ssl on; proxy_protocol on; }
    server { listen %{both} ssl; ssl_certificate two.crt; ssl_certificate_key two.key;
        proxy_pass %{tlsecho}; proxy_ssl on; }
}
CONF

sub body { return Weir::Http::ask($w, 'web', "GET $_[0]", @_[1 .. $#_])->{body} }

# ---- both layers

for (@rows) {
    my ($name, undef, $saw) = @$_;
    like body("/$name"), $saw, "layer 7: $name";
    my $c = $w->connect("l4$name");
    like $c->line, $saw, "layer 4: $name";
    $c->close;
}
for (@wrong) {
    my ($name, undef, $logged) = @$_;
    my $lines = () = $w->error_log =~ /$logged/g;
    is(Weir::Http::ask($w, 'web', "GET /$name")->{status}, 502, "layer 7: $name");
    my $c = $w->connect("l4$name");
    is $c->line, undef, "layer 4: $name";
    $c->close;
    becomes { $lines + 2 <= (() = $w->error_log =~ /$logged/g) } 'and the error log has the reason';
}
like $w->error_log, qr/while SSL handshaking to upstream, client: 127\.0\.0\.1, .*upstream: "https:/,
    'the log names the client and the server';

# ---- layer 7

like body('/reuse'), qr/reused=\./, 'a first session';
like body('/reuse'), qr/reused=r/, 'is resumed' for 1 .. 3;
like body('/anew'), qr/reused=\./, 'proxy_ssl_session_reuse off' for 1 .. 2;
like body('/elsewhere'), qr/reused=\./, 'not under another name';
like body('/elsewhere'), qr/reused=r/, 'but under its own';
{
    my ($first) = body('/kept') =~ /^(\d+):1$/;
    is body('/kept'), "$first:2\n", 'a connection is kept';
    isnt body('/kept2') =~ s/:.*//sr, $first, 'and is not that of another name';
    is body('/kept'), "$first:3\n", 'it still serves its own';
}
{
    my ($one) = body('/alpn?first=http/1.1') =~ m{^http/1\.1 (\d+):1$};
    ok $one, 'a protocol out of a variable';
    my ($two) = body('/alpn') =~ m{^http/1\.0 (\d+):1$};
    ok $two && $two != $one,
        'an empty protocol is left out; the kept connection, with another protocol, is not used';
    is body('/alpn?first=http/1.1'), "http/1.1 $one:2\n", 'and serves requests with its own';
    like body('/alpn?first=' . 'y' x 255), qr{^http/1\.0 \d+:1$}, 'the longest there is';
    is body('/alpn?first=' . 'y' x 256), "http/1.0 $two:2\n", 'one that is too long is not sent';
    like $w->error_log, qr/a protocol of 256 bytes is not offered to the server/, 'logged';
}
is body('/chosen'), 'ok', 'a server that chooses HTTP/1';
is(Weir::Http::ask($w, 'web', 'GET /chosen?first=h2')->{status}, 502, 'one that chooses HTTP/2');
like $w->error_log, qr/\[error\] .*upstream chose the protocol "h2" \(ALPN\), expected HTTP\/1 while SSL handshaking to upstream, client: /, 'and why';
for my $who ('client', 'somebody', 'client') {
    my $query = $who eq 'client' ? '' : '?who=other';
    like body("/who$query"), qr/client=CN=$who .*reused=\./,
        'each request has a connection with its own certificate';
}
like body('/unix'), qr/^sni=/, 'a unix socket';
is body('/ip4'), "sni=\n", 'a certificate for an address';
is body('/ip6'), "sni=\n", 'and for one of IPv6';
is body('/below'), "sni=\n", 'one name of several in a certificate';
is(Weir::Http::ask($w, 'web', "GET $_")->{status}, 502, "$_: not for that name")
    for '/ip-other', '/dot', '/unnamed';
like body('/next'), qr/^sni=/, 'another server, when one speaks no TLS' for 1 .. 2;
is(Weir::Http::ask($w, 'web', 'GET /silent')->{status}, 504, 'a server that says nothing');
like $w->error_log, qr/upstream timed out \(110: .*\) while SSL handshaking to upstream/, 'logged';
is(Weir::Http::ask($w, 'web', 'GET /plain-there')->{status}, 502, 'a server that speaks no TLS');
like(Weir::Http::ask($w, 'web', 'GET /redirected/')->field('Location'),
    qr{^http://test:\d+/redirected/there$}, 'proxy_redirect default knows https://');
like body('/url', 'X-To', $w->address('tls')), qr/^sni= /, 'https:// and variables';
{
    my $body = join '', map { pack 'N', $_ } 1 .. 1_000_000;
    is(Weir::Http::ask($w, 'web', 'POST /large', body => $body)->{body}, length($body) . "\n",
        '4 MB to a server');
}

# ---- layer 4

{
    my $c = $w->connect('alpn');
    like $c->line, qr/alpn=b$/, 'proxy_ssl_alpn';
    $c->close;
    $c = $w->connect('alpns');
    like $c->line, qr/alpn=a$/, 'protocols out of variables';
    $c->close;
    $c = $w->connect('noalpn');
    is $c->line, undef, 'no protocol in common';
    $c->close;
    $c = $w->connect('announced');
    is $c->line, '127.0.0.1 ' . $c->socket->sockport, 'the PROXY header goes before the handshake';
    $c->close;
    $c = $w->connect('relay');
    my $bytes = join '', map { pack 'N', $_ } 1 .. (chaos() ? 20_000 : 500_000);
    my $sender = fork // die "fork: $!\n";
    if (!$sender) {
        $c->send($bytes);
        $c->fin;
        POSIX::_exit(0);
    }
    is sha256_hex($c->rest), sha256_hex($bytes), 'there and back, to the end of it (half-close)';
    waitpid $sender, 0;
    $c->close;
    my $t = Weir::Tls->new($w, 'both');
    is $t->subject, 'two', 'TLS on both sides';
    ok $t->echoes("hello\n"), 'and the bytes inside arrive';
    $t->close;
}

# ---- configurations that are refused

my %bad = (
    'proxy_ssl_verify on;' => qr/no proxy_ssl_trusted_certificate for proxy_ssl_verify/,
    'proxy_ssl_certificate none.crt; proxy_ssl_certificate_key none.key;' =>
        qr/cannot load certificate "[^"]*none\.crt": BIO_new_file\(\) failed \(SSL: .*No such file/,
    'proxy_ssl_certificate one.crt; proxy_ssl_certificate_key two.key;' =>
        qr/cannot load certificate key "[^"]*two\.key": SSL_CTX_use_PrivateKey\(\) failed .*mismatch/,
    'proxy_ssl_certificate one.crt;' => qr/no "proxy_ssl_certificate_key" is defined/,
    'proxy_ssl_certificate client.crt; proxy_ssl_certificate_key locked.key;' =>
        qr/cannot load certificate key "[^"]*locked\.key": PEM_read_bio_PrivateKey\(\) failed/,
    'proxy_ssl_alpn ok "";' => qr/protocol too long/,
    'proxy_ssl_alpn ' . 'x' x 256 . ';' => qr/protocol too long/,
    'proxy_ssl_alpn $nothing;' => qr/unknown "nothing" variable/,
    'proxy_ssl_ciphers NONE;' => qr/SSL_CTX_set_cipher_list\("NONE"\) failed/,
    'proxy_ssl_conf_command No Such;' => qr/SSL_CONF_cmd\("No", "Such"\) failed/,
    'proxy_ssl_protocols TLSv9;' => qr/invalid value "TLSv9"/,
    'proxy_ssl_trusted_certificate one.key;' => qr/PEM_read_bio_X509_AUX\("[^"]*one\.key"\) failed/,
    'proxy_ssl_crl ca.crt;' => qr/PEM_read_bio_X509_CRL\("[^"]*ca\.crt"\) failed/,
    'proxy_ssl_password_file none;' => qr/cannot read "[^"]*none" \(2: /,
    'proxy_ssl_certificate_key engine:x:y; proxy_ssl_certificate one.crt;' => qr/not in this build/,
);
$w->expect(qr/\[emerg\].*wrong\.conf:1/);
for (sort keys %bad) {
    my $text = "stream { server { listen 1; proxy_pass 127.0.0.1:2; proxy_ssl on; $_ } }\n";
    my ($code, undef, $err) = $w->command('-t', '-c', $w->write('wrong.conf', $text));
    ok $code && $err =~ $bad{$_}, "refused: $_" or diag $err;
}

{
    my $text = "http { server { listen @{[$w->port(q(offers))]}; proxy_ssl_alpn h2 http/1.1 \$host;"
        . " location / { proxy_pass https://127.0.0.1:2; } } }\n";
    my ($code, undef, $err) = $w->command('-t', '-c', $w->write('offers.conf', $text));
    is $code, 0, 'h2 may be offered';
    like $err, qr/\[warn\].*"h2" is offered, but weir speaks only HTTP\/1.*offers\.conf:1/,
        'which is warned of';
    unlike $err, qr/"http|"\$/, 'and nothing else';
}

$w->finish;
done_testing;
