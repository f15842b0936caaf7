#!/usr/bin/perl
# chaos: yes

# A health check on its way to a server: from the address of proxy_bind, late by up to jitter,
# behind a PROXY header, over TLS with the name and the certificate of the location. And what it
# leaves behind: no password and no secret is in a log of level debug, in -T, or in a trace, even if
# a server repeats what it was sent.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(time);
use Weir;
use Weir::Http;
use Weir::HttpServer;
use Weir::Tls;

Weir::Tls::needs();
my $w = Weir->new;
Weir::Tls::authority($w, 'ca');
Weir::Tls::certificate($w, $_, by => 'ca') for 'one', 'client';

# Servers that write down who comes, and when; "well" to a client that waits.
sub write_down {
    my ($name, $text) = @_;
    open my $fh, '>>', $w->path("$name.came") or die "$name: $!\n";
    syswrite $fh, "$text\n";
}
sub came { return split /\n/, slurp($w->path("$_[0].came")) }

for my $name (qw(bound varied late)) {
    $w->backend($name, serve => sub {
        my ($fh) = @_;
        write_down($name, $name eq 'late' ? time : $fh->peerhost);
        syswrite $fh, 'well';
    });
}
$w->backend('web', serve => sub {
    my ($fh) = @_;
    sysread $fh, my $request, 4096;
    write_down('web', $fh->peerhost);
    syswrite $fh, Weir::HttpServer::reply(200, 'web', Connection => 'close');
});
$w->backend('six', at => '[::1]:%{six.port}', serve => sub {
    my ($fh) = @_;
    write_down('six', $fh->peerhost);
    syswrite $fh, 'well';
}) if Weir::Ports::has_ipv6();

# Servers that repeat the password in all that they say.
my %secret = map { $_ => "the secret of $_" } qw(redis pgsql ldap cookie);
$w->write("$_.secret", "$secret{$_}\n") for keys %secret;
chmod 0600, map { $w->path("$_.secret") } keys %secret;

# Reads on until the words are there: a client may send them in pieces.
sub hear {
    my ($fh, $words) = @_;
    my $asked = '';
    until (index($asked, $words) >= 0) {
        sysread $fh, $asked, 4096, length $asked or return;
    }
    return $asked;
}

sub repeats {
    my ($name, $first, $answer) = @_;
    $w->backend($name, serve => sub {
        my ($fh) = @_;
        write_down($name, hear($fh, $first) // return);
        $answer->($fh);
    });
}
repeats('redis', $secret{redis}, sub {
    my ($fh) = @_;
    syswrite $fh, "-ERR unknown command `AUTH`, with args beginning with: `$secret{redis}`, \r\n";
});
repeats('pgsql', 'weir', sub {
    my ($fh) = @_;
    syswrite $fh, "R\0\0\0\x08\0\0\0\3";
    write_down('pgsql', hear($fh, $secret{pgsql}) // return);
    my $text = "SFATAL\0C28P01\0Mwrong: $secret{pgsql}\0\0";
    syswrite $fh, 'E' . pack('N', 4 + length $text) . $text;
});
repeats('ldap', $secret{ldap}, sub {
    my ($fh) = @_;
    my $text = "no: $secret{ldap}";
    my $result = "\x0a\x01\x31\x04\0\x04" . chr(length $text) . $text;
    my $body = "\x02\x01\x01\x61" . chr(length $result) . $result;
    syswrite $fh, "\x30" . chr(length $body) . $body;
});

my $six = Weir::Ports::has_ipv6()
    ? 'upstream six { server [::1]:%{six.port}; }
       server { listen %{six_in}; proxy_pass six; proxy_bind ::1; health_check interval=100ms match=well; }'
    : '';
$w->start(<<"CONF");
error_log %{dir}/error.log debug;
stream {
    upstream bound  { server %{bound}; }
    upstream varied { server %{varied}; }
    upstream late   { server %{late}; }
    upstream away   { server %{bound} max_fails=0; }
    upstream tls    { server %{tls}; }
    upstream named  { server %{named}; }
    upstream other  { server %{named}; }
    upstream proven { server %{proven}; }
    upstream nobody { server %{proven}; }
    upstream redis  { server %{redis}; }
    upstream pgsql  { server %{pgsql}; }
    upstream ldap   { server %{ldap}; }
    match well { expect well; }
    match name { expect ~ "^name one\$"; }
    match proof { expect ~ "^CN=client\$"; }
    $six
    server { listen %{a}; proxy_pass bound;  proxy_bind 127.0.0.2; health_check interval=100ms match=well; }
    server { listen %{b}; proxy_pass varied; proxy_bind \$remote_addr; health_check interval=100ms match=well; }
    server { listen %{c}; proxy_pass late;   health_check interval=100ms jitter=700ms match=well; }
    server { listen %{d}; proxy_pass away;   proxy_bind 203.0.113.9; health_check interval=100ms match=well; }
    server { listen %{e}; proxy_pass tls;    proxy_protocol on; proxy_ssl on;
             health_check interval=100ms match=well mandatory; }
    proxy_ssl_trusted_certificate ca.crt;
    server { listen %{f}; proxy_pass named;  proxy_ssl on; proxy_ssl_name one;
             proxy_ssl_server_name on; proxy_ssl_verify on;
             health_check interval=100ms match=name mandatory; }
    server { listen %{g}; proxy_pass other;  proxy_ssl on; proxy_ssl_server_name on; proxy_ssl_verify on;
             health_check interval=100ms match=name; }
    server { listen %{h}; proxy_pass proven; proxy_ssl on;
             proxy_ssl_certificate client.crt; proxy_ssl_certificate_key client.key;
             health_check interval=100ms match=proof mandatory; }
    server { listen %{i}; proxy_pass nobody; proxy_ssl on; health_check interval=100ms match=proof; }
    server { listen %{j}; proxy_pass redis;
             health_check interval=100ms type=redis password_file=redis.secret; }
    server { listen %{k}; proxy_pass pgsql;
             health_check interval=100ms type=pgsql user=weir password_file=pgsql.secret; }
    server { listen %{l}; proxy_pass ldap;
             health_check interval=100ms type=ldap user=cn=weir password_file=ldap.secret; }
    server { listen %{tls} ssl proxy_protocol; ssl_certificate one.crt; ssl_certificate_key one.key;
             return "well"; }
    server { listen %{named} ssl; ssl_certificate one.crt; ssl_certificate_key one.key;
             return "name \$ssl_server_name"; }
    server { listen %{proven} ssl; ssl_certificate one.crt; ssl_certificate_key one.key;
             ssl_client_certificate ca.crt; ssl_verify_client optional;
             return \$ssl_client_s_dn; }
}
http {
    access_log off;
    upstream web { server %{web}; sticky cookie sid secret_file=cookie.secret; }
    server { listen %{m}; location / { proxy_pass http://web; proxy_bind 127.0.0.3;
                                       health_check interval=100ms; } }
}
CONF

sub state_of {
    my ($group) = @_;
    return ($w->error_log =~ /health check of "[^"]*" in upstream "$group": is (?:still )?(.*)/g)[-1] // '';
}

# ---- where they come from

sub hosts { my ($name) = @_; my %n = map { $_ => 1 } came($name); return join ' ', sort keys %n }

becomes { came('bound') > 3 } 'checks with proxy_bind';
is hosts('bound'), '127.0.0.2', 'come from there';
becomes { came('varied') > 3 } 'with variables in proxy_bind';
is hosts('varied'), '127.0.0.1', 'they come from anywhere, as there is no request';
is $w->ask('b', 'x'), 'well', 'a session';
becomes { came('web') > 3 } 'http: checks with proxy_bind';
is hosts('web'), '127.0.0.3', 'come from there';
is state_of($_), '', "$_ is up" for qw(bound varied web);
becomes { state_of('away') =~ /^down: / } 'an address that this machine does not have';
like state_of('away'), qr/^down: bind\(\) failed \(99: /, 'is said';
SKIP: {
    skip 'no IPv6', 2 if !$six;
    becomes { came('six') > 3 } 'IPv6';
    is hosts('six'), '::1', 'an IPv6 address in proxy_bind';
}

# ---- jitter

becomes { came('late') > 8 } 'checks with jitter';
my @at = came('late');
my @gaps = sort { $a <=> $b } map { $at[$_] - $at[$_ - 1] } 1 .. $#at;
cmp_ok $gaps[-1], '>', 0.25, 'one of them was late';
cmp_ok $gaps[-1] - $gaps[0], '>', 0.15, 'not all are as late';

# ---- PROXY header, TLS

becomes { state_of('tls') =~ /^up/ } 'a PROXY header, then TLS';
becomes { state_of('named') =~ /^up/ } 'TLS: the name of proxy_ssl_name is sent, and verified';
becomes { state_of('other') =~ /^down/ } 'the name of the group is wrong';
is state_of('other'), 'down: upstream SSL certificate does not match "other"', 'which is said';
becomes { state_of('proven') =~ /^up/ } 'the certificate of proxy_ssl_certificate is shown';
becomes { state_of('nobody') =~ /^down/ } 'and none where there is none';
like $w->ask('h', 'x'), qr/CN=client/, 'a session';

# ---- secrets

my $secrets = join '|', map { quotemeta } values %secret, map { substr $_, 0, 12 } values %secret;
becomes { state_of('pgsql') =~ /TLS only/ } 'pgsql: no password without TLS';
unlike slurp($w->path('pgsql.came')), qr/\Q$secret{pgsql}\E/, 'it was not sent';
for my $group (qw(redis ldap)) {
    becomes { state_of($group) =~ /^down/ } "$group: is down";
    like slurp($w->path("$group.came")), qr/\Q$secret{$group}\E/, 'it was sent the password';
    like state_of($group), qr/\*\*\*/, 'which it repeats, but the log does not';
}
my $r = Weir::Http::ask($w, 'm', 'GET /');
is $r->{status}, 200, 'a request';
my ($cookie) = $r->all('Set-Cookie');
like $cookie, qr/^sid=\w{32}/, 'gets a signed cookie';
is(Weir::Http::ask($w, 'm', 'GET /', Cookie => $cookie)->{status}, 200, 'which it brings back');
is +($w->command('-s', 'trace'))[0], 0, 'traces';
is +($w->reload)[0], 0, 'a reload';
my ($code, $out, $err) = $w->command('-T');
is $code, 0, '-T';
like $out, qr/password_file=redis\.secret/, 'shows the name of the file';
ok $_->[1] !~ /$secrets/, "no secret in $_->[0]"
    for ['-T', $out . $err], ['the log', $w->error_log], ['stderr', slurp($w->path('stderr'))];
$w->finish;
done_testing;
