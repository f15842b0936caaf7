#!/usr/bin/perl

# A certificate that has expired or is not valid yet is a warning with its name, the date and the
# line, also for those that are shown to servers; weir starts with it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Tls;

Weir::Tls::needs();
my $w = Weir->new;
my %dates = (
    good => ['20200101000000Z', '20990101000000Z'],
    expired => ['20200101000000Z', '20200301123456Z'],
    early => ['20980101000000Z', '20990101000000Z'],
);

# `openssl ca` takes dates, `openssl req` of OpenSSL 3.0 does not.
Weir::Tls::authority($w, 'ca');
$w->write('ca.cnf', "[ca]\ndefault_ca = us\n[us]\ndatabase = ca.index\ndefault_md = sha256\n"
    . "new_certs_dir = .\nrand_serial = yes\npolicy = any\n[any]\ncommonName = supplied\n");
$w->write('ca.index', '');
for my $name (sort keys %dates) {
    Weir::Tls::openssl($w, qw(req -nodes -newkey ec -pkeyopt ec_paramgen_curve:prime256v1), '-keyout',
        "$name.key", '-out', "$name.csr", '-subj', "/CN=$name");
    Weir::Tls::openssl($w, qw(ca -batch -notext -config ca.cnf -cert ca.crt -keyfile ca.key), '-in',
        "$name.csr", '-out', "$name.crt", '-startdate', $dates{$name}[0], '-enddate', $dates{$name}[1]);
}

sub said {
    my ($name, $text) = @_;
    $w->conf($text);
    my ($status, undef, $err) = $w->command('-t', '-c', $w->path('weir.conf'));
    is $status, 0, "$name: a good configuration";
    return $err;
}

for my $what (
    ['good', undef], ['expired', 'has expired on 2020-03-01 12:34:56 GMT'],
    ['early', 'is not valid before 2098-01-01 00:00:00 GMT'],
) {
    my ($name, $warning) = @$what;
    my $pair = "ssl_certificate $name.crt;\nssl_certificate_key $name.key;";
    for ("stream {\nserver { listen %{tls} ssl; return x;\n$pair\n} }",
        "stream {\nserver { listen %{tls}; proxy_pass %{tls}; proxy_ssl on;\nproxy_$pair\n} }"
            =~ s/\nssl_/\nproxy_ssl_/gr) {
        my $err = said($name, $_);
        defined $warning
            ? like $err, qr/\[warn\] certificate "$name\.crt" \Q$warning\E in .*weir\.conf:3/, $name
            : unlike $err, qr/\[warn\]/, $name;
    }
}
$w->start("stream {\nserver { listen %{tls} ssl; return x;\nssl_certificate expired.crt;\n"
    . "ssl_certificate_key expired.key; } }");
is +Weir::Tls->new($w, 'tls')->rest, 'x', 'it starts with one';

$w->finish;
done_testing;
