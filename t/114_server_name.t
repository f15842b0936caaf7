#!/usr/bin/perl
# chaos: yes

# Several servers of layer 4 on one address: the name a TLS client sends (SNI) chooses one, where
# weir ends TLS and where it only reads the first message (ssl_preread); names, wildcards, regexes,
# the default server, and the errors for names that are not valid.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Tls;

Weir::Tls::needs();
my $w = Weir->new;
my @names = qw(one two wild tail regex);

Weir::Tls::certificate($w, $_) for @names, 'standard';

my $PAIR = 'ssl_certificate %s.crt; ssl_certificate_key %s.key;';
my %server = (
    one => 'server_name one.example ONE.alias;',
    two => 'server_name two.example;',
    wild => 'server_name *.wild.example;',
    tail => 'server_name tail.*;',
    regex => 'server_name ~^r\d+\.example$;',
);

$w->start(<<"CONF");
worker_processes 1;
stream {
    log_format names '\$status \$ssl_server_name';
    access_log off;
    @{[map { my $pair = $PAIR =~ s/%s/$_/gr;
        "server { listen %{tls} ssl; $server{$_} $pair return $_; }
         server { listen %{pass}; $server{$_} proxy_pass %{behind$_}; }
         server { listen %{behind$_} ssl; $pair return behind-$_; }\n" } @names]}
    server { listen %{tls} ssl default_server; ssl_certificate standard.crt;
        ssl_certificate_key standard.key; return standard; }
    server { listen %{pass} default_server; ssl_preread on; proxy_pass %{behindtwo}; }
    server { listen %{tls} ssl; server_name refused.example; ssl_reject_handshake on; }
    server { listen %{tls} ssl; server_name closed.example; deny all; return never;
        ssl_certificate two.crt; ssl_certificate_key two.key; }
    server { listen %{plain}; return first; }
    server { listen %{plain} default_server; server_name x; return second; }
}
CONF

sub got {
    my ($where, $name) = @_;
    my $c = Weir::Tls->new($w, $where, name => $name);
    my $text = $c->{why} ? "no handshake: $c->{why}" : $c->subject . ' ' . $c->rest;
    $c->close;
    return $text;
}

for (
    ['one.example', 'one'], ['one.alias', 'one'], ['oNe.eXample', 'one'], ['two.example', 'two'],
    ['a.wild.example', 'wild'], ['a.b.wild.example', 'wild'], ['tail.anything', 'tail'],
    ['r12.example', 'regex'], ['R12.EXAMPLE', 'regex'], ['other.example', 'standard'],
    ['wild.example', 'standard'], [undef, 'standard'],
) {
    my ($name, $want) = @$_;
    my $said = $name // 'no name';
    is got('tls', $name), "$want $want", "TLS ends here: $said";
    $want = 'two' if $want eq 'standard';
    is got('pass', $name), "$want behind-$want", "TLS passes through: $said";
}
like got('tls', 'refused.example'), qr/^no handshake: .*unrecognized name/, 'ssl_reject_handshake';
is $w->ask('plain'), 'second', 'without TLS the default server';

my $port = $w->port('wrong');
my %bad = (
    'server { listen PORT; server_name a; return x; } server { listen PORT; server_name a; return x; }'
        => qr/conflicting server name "a" on 0\.0\.0\.0:$port, ignored/,
    'server { listen PORT default_server; return x; } server { listen PORT default_server; return x; }'
        => qr/a duplicate default server for 0\.0\.0\.0:$port/,
    'server { listen PORT; listen PORT; return x; }' => qr/a duplicate listen 0\.0\.0\.0:$port/,
    'server { listen PORT; server_name a.*.b; return x; }
        server { listen PORT; server_name c; return x; }'
        => qr/invalid server name or wildcard "a\.\*\.b" on 0\.0\.0\.0:$port/,
    'server { listen PORT; }' => qr/\[warn\] no handler for server/,
);
$w->expect(qr/\[emerg\].*wrong\.conf:1/);
for (sort keys %bad) {
    my $text = "stream { $_ }\n" =~ s/PORT/$port/gr;
    my (undef, undef, $err) = $w->command('-t', '-c', $w->write('wrong.conf', $text));
    like $err, $bad{$_}, "-t reports: $_";
}

$w->finish;
done_testing;
