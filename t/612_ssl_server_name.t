#!/usr/bin/perl
# chaos: yes

# The name a TLS client sends (SNI) is letters, digits, "-", "_" and dots between them; anything else
# counts as no name, at both layers: it neither chooses a server, nor becomes a value, nor a file.

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

mkdir $w->path($_) or die "mkdir: $!\n" for qw(names other);
my %subject = ('names/a.example' => 'a.example', 'names/' => 'nameless', 'other/secret' => 'secret',
    standard => 'standard', named => 'named');
for (sort keys %subject) {
    Weir::Tls::certificate($w, $_, cn => $subject{$_});
    chmod 0644, $w->path("$_.key");
}

my $PAIR = 'ssl_certificate %s.crt; ssl_certificate_key %s.key;';
my $dynamic = $PAIR =~ s/%s/names\/\$ssl_server_name/gr;
my $standard = $PAIR =~ s/%s/standard/gr;
my $named = $PAIR =~ s/%s/named/gr;

$w->start(<<"CONF");
worker_processes 1;
http {
    server { listen %{files} ssl; $dynamic return 200 "[\$ssl_server_name]"; }
    server { listen %{http} ssl default_server; $standard return 200 "[\$ssl_server_name]"; }
    server { listen %{http} ssl; server_name ~secret; $named return 200 named; }
}
stream {
    server { listen %{layer4} ssl default_server; $standard return "[\$ssl_server_name]"; }
    server { listen %{layer4} ssl; server_name ~secret; $named return named; }
}
CONF

sub shown {
    my ($where, $name) = @_;
    my $c = Weir::Tls->new($w, $where, name => $name);
    return "no handshake: $c->{why}" if $c->{why};
    my $subject = $c->subject;
    $c->send("GET / HTTP/1.0\r\n\r\n") if $where ne 'layer4';
    my $rest = $c->rest =~ s/.*\r\n\r\n//sr;
    $c->close;
    return "$subject $rest";
}

is shown('files', 'a.example'), 'a.example [a.example]', 'the file of a name';
is shown('http', 'a_secret-1.x'), 'named named', 'http: a name';
is shown('layer4', 'a_secret-1.x'), 'named named', 'layer4: a name';

for my $name (
    '../other/secret', '/secret', 'secret/', '.secret', 'secret..x', "secret\n", "secret\x7f",
    "secret\xc3\xa4", 'secret secret', '[::1]secret', 'secret:443', '%73ecret/',
) {
    my $said = $name =~ s/([^ -~])/sprintf '\\x%02x', ord $1/ger;
    is shown('files', $name), 'nameless []', "$said is no file";
    is shown($_, $name), 'standard []', "$said is no name for $_" for qw(http layer4);
}
is shown('files', $_), 'nameless []', "neither is $_" for '.', '..';

$w->finish;
done_testing;
