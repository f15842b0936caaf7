#!/usr/bin/perl
# chaos: yes

# Client certificates, at both layers: the clients that ssl_verify_client lets in, chains and their
# depth, revoked and expired certificates, their variables, and the pages for clients that are not
# let in. A request for another server than that of the handshake is misdirected.

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

Weir::Tls::authority($w, 'ca', subject => '/O=Weir/CN=authority');
Weir::Tls::authority($w, 'other');
Weir::Tls::authority($w, 'middle', by => 'ca');
Weir::Tls::certificate($w, 'server', by => 'ca');
Weir::Tls::certificate($w, 'good', by => 'ca', subject => '/O=Some Org/OU=a,b/CN=good');
Weir::Tls::certificate($w, 'bad', by => 'ca');
Weir::Tls::certificate($w, 'deep', by => 'middle', chain => 'middle');
Weir::Tls::certificate($w, 'alone');
Weir::Tls::certificate($w, 'strange', by => 'other');
Weir::Tls::revoked($w, 'crl.pem', 'ca', 'bad');
# no program here makes a certificate of the past with `req`: `x509` takes days below zero
Weir::Tls::openssl($w, qw(req -new -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1
    -keyout expired.key -out expired.csr -subj /CN=expired));
Weir::Tls::openssl($w, qw(x509 -req -in expired.csr -CA ca.crt -CAkey ca.key -CAcreateserial
    -days -1 -out expired.crt));

my $OWN = 'ssl_certificate server.crt; ssl_certificate_key server.key;';
my @servers = (
    [off => 'ssl_client_certificate ca.crt;'],
    [on => 'ssl_client_certificate ca.crt; ssl_verify_client on;'],
    [maybe => 'ssl_client_certificate ca.crt; ssl_verify_client optional;'],
    [anyone => 'ssl_verify_client optional_no_ca;'],
    [trusted => 'ssl_trusted_certificate ca.crt; ssl_verify_client on;'],
    [deep => 'ssl_client_certificate ca.crt; ssl_verify_client on; ssl_verify_depth 2;'],
    [flat => 'ssl_client_certificate ca.crt; ssl_verify_client on; ssl_verify_depth 0;'],
    [crl => 'ssl_client_certificate ca.crt; ssl_crl crl.pem; ssl_verify_client on;'],
    [session => 'ssl_client_certificate ca.crt; ssl_verify_client on;
        ssl_session_cache shared:s:1m; ssl_session_tickets off;'],
);
my $SHOW = '$ssl_client_verify|$ssl_client_s_dn|$ssl_client_i_dn|$ssl_session_reused';
my $ALL = join '|', map { "\$ssl_client_$_" } qw(s_dn i_dn s_dn_legacy i_dn_legacy serial
    fingerprint v_start v_end v_remain verify escaped_cert);

sub servers {
    my ($layer, $text) = @_;
    return join '', map { <<"CONF" } @servers, [all => $servers[1][1]];
    server {
        listen %{${layer}_$_->[0]} ssl; $OWN
        $_->[1]
        ${\ sprintf $text, $_->[0] eq 'all' ? $ALL : $SHOW }
    }
CONF
}

$w->start("worker_processes 2;\nhttp {\n" . servers('http', 'return 200 "%s\n";') . <<"CONF"
    log_format seen escape=none '\$status \$ssl_client_verify';
    server {
        listen %{pages} ssl; $OWN
        ssl_client_certificate ca.crt; ssl_verify_client on;
        access_log logs/pages seen;
        error_page 495 496 = /sorry;
        location / { return 200 "in\\n"; }
        location = /sorry { return 200 "sorry \$ssl_client_verify\\n"; }
    }
    server {
        listen %{pems} ssl; $OWN
        ssl_client_certificate ca.crt; ssl_verify_client on;
        location /raw { return 200 "\$ssl_client_raw_cert"; }
        location /tab { return 200 "\$ssl_client_cert"; }
    }
    server {
        listen %{names} ssl; $OWN server_name open;
        return 200 "open \$ssl_client_verify\\n";
    }
    server {
        listen %{names} ssl; $OWN server_name shut;
        ssl_client_certificate ca.crt; ssl_verify_client on;
        return 200 "shut \$ssl_client_verify\\n";
    }
    server {
        listen %{trust} ssl; $OWN server_name ours;
        ssl_trusted_certificate ca.crt; ssl_verify_client on;
        return 200 "ours \$ssl_client_s_dn\\n";
    }
    server {
        listen %{trust} ssl; $OWN server_name same;
        ssl_trusted_certificate ca.crt; ssl_verify_client on;
        return 200 "same \$ssl_client_s_dn\\n";
    }
    server {
        listen %{trust} ssl; $OWN server_name theirs;
        ssl_trusted_certificate other.crt; ssl_verify_client on;
        return 200 "theirs \$ssl_client_s_dn\\n";
    }
    server {
        listen %{trust} ssl; $OWN server_name strict;
        ssl_trusted_certificate ca.crt; ssl_crl crl.pem; ssl_verify_client on;
        return 200 "strict \$ssl_client_s_dn\\n";
    }
    server {
        listen %{trust} ssl; server_name bare;
        ssl_trusted_certificate other.crt; ssl_verify_client on;
        return 200 "bare \$ssl_client_s_dn\\n";
    }
CONF
    . "}\nstream {\n" . servers('stream', 'return "%s\n";') . "}\n");

# The text of the reply, or its status if it is an error.
sub says {
    my ($layer, $place, %how) = @_;

    if ($layer eq 'http') {
        my $r = Weir::Tls::ask($w, "http_$place", \%how, 'GET /');
        return $r->{wrong} || ($r->{status} == 200 ? $r->{body} =~ s/\n\z//r
            : $r->{body} =~ m{<title>(.*?)</title>} ? $1 : $r->{status});
    }
    my $c = Weir::Tls->new($w, "stream_$place", %how);
    my $said = $c->{up} ? $c->rest : $c->{why};
    chomp $said;
    $c->close;
    return length $said ? $said : 'nothing';
}

my $GOOD = 'SUCCESS|CN=good,OU=a\,b,O=Some Org|CN=authority,O=Weir|.';
my $REQUIRED = '400 No required SSL certificate was sent';
my $INVALID = '400 The SSL certificate error';
my @table = (
    # server, the client's certificate, what it gets
    [off => undef, 'NONE|||.'],
    [off => 'good', 'NONE|||.'],
    [on => undef, $REQUIRED],
    [on => 'good', $GOOD],
    [on => 'alone', $INVALID],
    [on => 'strange', $INVALID],
    [on => 'expired', $INVALID],
    [maybe => undef, 'NONE|||.'],
    [maybe => 'good', $GOOD],
    [maybe => 'strange', $INVALID],
    [anyone => undef, 'NONE|||.'],
    [anyone => 'alone', qr/^FAILED:self.signed certificate\|CN=alone\|CN=alone\|\./],
    [anyone => 'strange', qr/^FAILED:unable to .*\|CN=strange\|CN=other\|\./],
    [trusted => 'good', $GOOD],
    [trusted => undef, $REQUIRED],
    [on => 'deep', qr/^SUCCESS\|CN=deep\|CN=middle/],
    [deep => 'deep', qr/^SUCCESS\|CN=deep\|CN=middle/],
    [flat => 'deep', $INVALID],
    [crl => 'good', $GOOD],
    [crl => 'bad', $INVALID],
    [on => 'bad', qr/^SUCCESS\|CN=bad/],
);
for my $layer ('http', 'stream') {
    for my $case (@table) {
        my ($place, $who, $gets) = @$case;
        for my $max (0x0303, 0) {
            my $name = "$layer, $place, " . ($who // 'nobody') . ($max ? ', TLS 1.2' : '');
            my $said = says($layer, $place, max => $max, certificate => $who);
            my $expected = $layer eq 'stream' && $gets =~ /^400/ ? 'nothing' : $gets;
            ref $expected ? like($said, $expected, $name) : is($said, $expected, $name);
        }
    }
}
like $w->error_log, qr/\[info\] .*client SSL certificate verify error: \(\d+:certificate revoked\)/,
    'the log has the reason';
like $w->error_log, qr/client SSL certificate verify error: \(10:certificate has expired\)/,
    'and for an expired certificate, too';
like $w->error_log, qr/\[info\] .*client sent no required SSL certificate/,
    'and if there is no certificate';

# ---- the variables

my $fingerprint = do {
    Weir::Tls::openssl($w, qw(x509 -in good.crt -noout -fingerprint -sha1 -serial -dates));
    Weir::Tls::text($w, 'openssl.out');
};
my ($sha1) = $fingerprint =~ /Fingerprint=(\S+)/i;
my ($serial) = $fingerprint =~ /serial=(\S+)/;
my ($start) = $fingerprint =~ /notBefore=(.*)/;
my ($end) = $fingerprint =~ /notAfter=(.*)/;
my $pem = Weir::Tls::text($w, 'good.crt');
my $escaped = $pem =~ s/([^A-Za-z0-9._~-])/sprintf '%%%02X', ord $1/ger;
for my $layer ('http', 'stream') {
    my @v = split /\|/, says($layer, 'all', certificate => 'good');
    is $v[0], 'CN=good,OU=a\,b,O=Some Org', "$layer: subject";
    is $v[1], 'CN=authority,O=Weir', "$layer: issuer";
    is $v[2], '/O=Some Org/OU=a,b/CN=good', "$layer: subject, the old way";
    is $v[3], '/O=Weir/CN=authority', "$layer: issuer, the old way";
    is $v[4], $serial, "$layer: serial number";
    is $v[5], lc $sha1 =~ tr/://dr, "$layer: fingerprint";
    is $v[6], $start, "$layer: from";
    is $v[7], $end, "$layer: until";
    like $v[8], qr/^(?:29|30)$/, "$layer: days left";
    is $v[9], 'SUCCESS', "$layer: verified";
    is $v[10], $escaped, "$layer: escaped";
}
my %good = (certificate => 'good');
is Weir::Tls::ask($w, 'pems', \%good, 'GET /raw')->{body}, $pem, '$ssl_client_raw_cert';
is Weir::Tls::ask($w, 'pems', \%good, 'GET /tab')->{body},
    $pem =~ s/\n(?!\z)/\n\t/gr =~ s/\n\z//r, '$ssl_client_cert';

# ---- pages

is Weir::Tls::ask($w, 'pages', {}, 'GET /')->{body}, "sorry NONE\n", 'error_page 496';
like Weir::Tls::ask($w, 'pages', { certificate => 'alone' }, 'GET /')->{body},
    qr/^sorry FAILED:self.signed/, 'error_page 495';
is Weir::Tls::ask($w, 'pages', \%good, 'GET /')->{body}, "in\n", 'a client that is let in';

# ---- another server

is Weir::Tls::ask($w, 'names', { name => 'shut' }, 'GET /', Host => 'shut')->{status}, 400,
    'no certificate for a server that requires one';
is Weir::Tls::ask($w, 'names', { name => 'shut', %good }, 'GET /', Host => 'shut')->{body},
    "shut SUCCESS\n", 'a certificate for it';
is Weir::Tls::ask($w, 'names', { name => 'open', %good }, 'GET /', Host => 'shut')->{status}, 421,
    'a request to it by way of another is misdirected';
is Weir::Tls::ask($w, 'names', { name => 'shut', %good }, 'GET /', Host => 'open')->{body},
    "open SUCCESS\n", 'a request from its handshake to an open server is served';
like Weir::Tls::ask($w, 'names', {}, 'GET /', Host => 'shut')->{status}, qr/^4(?:00|21)$/,
    'without SNI the strict server is not reached, either';

# ---- servers with other authorities: neither a session nor a missing name bypasses one

for my $max (0x0303, 0) {
    my $v = $max ? 'TLS 1.2' : 'TLS 1.3';
    my @bad = (certificate => 'bad', max => $max); # revoked for the server "strict"
    my $ask = sub {
        my ($host, %how) = @_;
        my $r = Weir::Tls::ask($w, 'trust', { @bad, %how }, 'GET /', Host => $host);
        return $r->{status} == 200 ? $r->{body} =~ s/\n\z//r : $r->{status};
    };
    my $c = Weir::Tls->new($w, 'trust', @bad, name => 'ours');
    $c->send(Weir::Http::request('GET /', Host => 'ours'));
    is Weir::Http::reply($c)->{body}, "ours CN=bad\n", "$v: one server lets it in";
    my $session = $c->session;
    $c->close;
    for my $other ('theirs', 'strict') {
        is $ask->($other, name => $other), 400, "$v: $other does not";
        is $ask->($other, name => $other, session => $session), 400, "$v: nor by a session of ours";
        is $ask->($other), 421, "$v: nor $other without a name";
    }
    is $ask->('bare', name => 'bare'), 421, "$v: the default server does not verify for others";
    is $ask->('same'), 'same CN=bad',
        "$v: a server with the same trust serves it without a name, too";
}

# ---- a resumed session was verified, and stays so

for my $layer ('http', 'stream') {
    for my $max (0x0303, 0) {
        my @how = ("${layer}_session", certificate => 'good', max => $max);
        my $talk = sub {
            my $c = Weir::Tls->new($w, @how, @_);
            $c->send(Weir::Http::request('GET /', Connection => 'close')) if $layer eq 'http';
            return ($c, $c->rest);
        };
        my ($c, $first) = $talk->();
        like $first, qr/^SUCCESS\|.*\|\.$/m, "$layer: a session begins";
        my ($d, $second) = $talk->(session => $c->session);
        like $second, qr/^SUCCESS\|CN=good.*\|r$/m, "$layer: and is resumed, still verified";
    }
}
{
    my $c = Weir::Tls->new($w, 'http_session', certificate => 'strange', max => 0x0303);
    my $session = $c->session;
    $c->send(Weir::Http::request('GET /', Connection => 'close'));
    is Weir::Http::reply($c)->{status}, 400, 'a client that is not let in';
    $c = Weir::Tls->new($w, 'http_session', session => $session, max => 0x0303);
    is $c->reused, 0, 'cannot resume that session';
}

$w->finish;
done_testing;
