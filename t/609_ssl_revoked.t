#!/usr/bin/perl
# chaos: yes

# Sessions are resumed after a reload, but not those of a client that the reload revoked. The list
# has the same name as before, and a resumed session is not verified again.

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
my ($TLS2, $TLS3) = (0x0303, 0);

Weir::Tls::authority($w, 'ca');
Weir::Tls::certificate($w, $_, by => 'ca') for 'server', 'client';
Weir::Tls::revoked($w, 'crl.pem', 'ca');
my $conf = <<'CONF';
worker_processes 2;
http {
    server {
        listen %{web} ssl; ssl_certificate server.crt; ssl_certificate_key server.key;
        ssl_session_cache shared:s:1m;
        ssl_client_certificate ca.crt; ssl_crl crl.pem; ssl_verify_client on;
        return 200 "in $ssl_session_reused";
    }
}
CONF
$w->start($conf);

# Resumes the session of the call before.
my %session;
sub says {
    my ($max) = @_;
    my $c = Weir::Tls->new($w, 'web', certificate => 'client', max => $max,
        session => $session{$max});
    return $c->{why} if !$c->{up};
    $c->send(Weir::Http::request('GET /'));
    my $r = Weir::Http::reply($c);
    $session{$max} = $c->session if $r->{status} == 200;
    $c->close;
    return $r->{status} == 200 ? $r->{body} : $r->{status};
}

is says($_), 'in .', 'a session begins' for $TLS2, $TLS3;
is says($_), 'in r', 'and is resumed' for $TLS2, $TLS3;
$w->reload($conf);
is says($_), 'in r', 'and after a reload, too' for $TLS2, $TLS3;
Weir::Tls::revoked($w, 'crl.pem', 'ca', 'client');
$w->reload($conf);
is says($_), 400, 'but not after a reload that revoked its client' for $TLS2, $TLS3;

$w->finish;
done_testing;
