#!/usr/bin/perl
# chaos: yes

# TLS that begins after a request in plain text: proxy_ssl_start to a PostgreSQL that admits nobody
# without TLS, for a client that has none, and to servers of SMTP, IMAP and LDAP; `ssl_start pgsql`
# for a client that wants TLS from a server that has none. Certificates are verified; a refusal,
# bytes behind a request and a plain client end the session; CancelRequest, GSSENCRequest and a
# handshake at once pass.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Database;
use Weir::Process qw(spawn);
use Weir::Tls;

Weir::Tls::needs();
my $with_tls = eval { require IO::Socket::SSL; 1 };
my $w = Weir->new;
Weir::Tls::certificate($w, $_) for 'db', 'other';

# ---- servers that begin in plain text, made by hand

# Each gets a line or a request, answers, and then speaks TLS and echoes lines.
sub starter {
    my ($name, $talk) = @_;
    my ($crt, $key) = map { $w->path("db.$_") } qw(crt key);
    $w->backend($name, serve => sub {
        my ($fh) = @_;
        $fh->blocking(1);
        $talk->($fh) or return;
        my $ssl = IO::Socket::SSL->start_SSL($fh, SSL_server => 1, SSL_cert_file => $crt,
            SSL_key_file => $key) or return;
        while (defined(my $line = <$ssl>)) {
            print $ssl "got $line";
        }
        $ssl->close;
    });
}

sub put_text { my ($fh, $text) = @_; return syswrite $fh, $text }

# Without a buffer, which would keep bytes of the handshake.
sub hear {
    my ($fh, $n) = @_;
    my $in = '';
    while (defined $n ? length $in < $n : $in !~ /\n/) {
        sysread($fh, $in, 1, length $in) or last;
    }
    return $in;
}

my $answer = "\x30\x0c\2\1\1\x78\7\x0a\1\0\4\0\4\0";
if ($with_tls) {
    my $smtp = sub {
        my ($fh, $last) = @_;
        put_text($fh, "220-mx\r\n220 mx ready\r\n");
        hear($fh) =~ /^EHLO/ or return;
        put_text($fh, "250-mx\r\n250 STARTTLS\r\n");
        hear($fh) =~ /^STARTTLS/ or return;
        return put_text($fh, $last);
    };
    starter('smtp', sub { $smtp->($_[0], "220 go\r\n") });
    starter('smtp_more', sub { $smtp->($_[0], "220 go\r\n250 injected\r\n") });
    starter('smtp_no', sub { $smtp->($_[0], "454 no\r\n") });
    starter('imap', sub {
        my ($fh) = @_;
        put_text($fh, "* OK [CAPABILITY IMAP4rev1 STARTTLS LOGINDISABLED] ready\r\n");
        hear($fh) =~ /^(\S+) STARTTLS/ or return;
        return put_text($fh, "$1 OK go\r\n");
    });
    starter('ldap', sub { hear($_[0], 31); return put_text($_[0], $answer) });
    starter('pgsql', sub { hear($_[0], 8); return put_text($_[0], 'S') });
    starter('pgsql_no', sub { hear($_[0], 8); return put_text($_[0], 'N') });
    starter('silent', sub { hear($_[0], 8); sleep 60; return });
}
$w->backend('plain');

my @missing = Weir::Database->missing('postgresql');
my $db = @missing ? undef : Weir::Database->postgresql($w, 'real', hba => <<'HBA');
hostssl all secure 127.0.0.1/32 trust
host all secure 127.0.0.1/32 reject
hostnossl all plain 127.0.0.1/32 trust
host all plain 127.0.0.1/32 reject
HBA
if ($db) {
    $db->put("server.$_", slurp($w->path("db.$_"))) for qw(crt key);
    chmod 0600, "$db->{dir}/server.key";
    $db->sql($_) for 'create role secure login', 'create role plain login', 'alter system set ssl = on',
        'select pg_reload_conf()';
    becomes { ($db->sql('show ssl'))[1] eq "on\n" } 'PostgreSQL has TLS';
}
my $pg = $db ? '127.0.0.1:' . $db->port : '%{plain}';
my $hand = $with_tls ? join "\n", map {
    my ($how) = split /_/;
    "server { listen %{to_$_}; proxy_pass %{$_}; proxy_ssl_start " . ($how eq 'silent' ? 'pgsql' : $how)
        . ';' . ($how eq 'silent' ? ' proxy_connect_timeout 3s;' : '') . ' }'
} qw(smtp smtp_more smtp_no imap ldap pgsql pgsql_no silent) : '';
$w->start(<<"CONF");
worker_processes 2;
stream {
    proxy_ssl_trusted_certificate db.crt;
    proxy_ssl_verify on;
    proxy_ssl_name db;
    server { listen %{pg}; listen %{unix:pg}; proxy_pass $pg; proxy_ssl on; proxy_ssl_start pgsql; }
    server { listen %{wrong}; proxy_pass $pg; proxy_ssl on; proxy_ssl_start pgsql; proxy_ssl_name x; }
    server { listen %{down} ssl; ssl_start pgsql; ssl_certificate db.crt; ssl_certificate_key db.key;
             proxy_ssl off; proxy_pass $pg; }
    server { listen %{through} ssl; ssl_start pgsql; ssl_certificate db.crt;
             ssl_certificate_key db.key; proxy_pass $pg; proxy_ssl on; proxy_ssl_start pgsql; }
    server { listen %{front} ssl; ssl_start pgsql; ssl_certificate db.crt; ssl_certificate_key db.key;
             ssl_handshake_timeout 3s; proxy_ssl off; proxy_half_close on;
             proxy_pass %{plain}; }
    proxy_ssl on;
    $hand
}
CONF

# ---- clients of PostgreSQL, by hand

my ($SSL, $GSS, $CANCEL) = map { pack 'N N', 8, 80877100 + $_ } 3, 4, 2;
$CANCEL = pack 'N N N N', 16, 80877102, 1, 2;

# One byte in plain text of a client that will speak TLS.
sub plain_byte {
    my ($c) = @_;
    my $until = time + 20;
    1 while !length $c->{in} && $c->Weir::Client::fill($until);
    return substr $c->{in}, 0, 1, '';
}

my $c = Weir::Tls->new($w, 'front', later => 1);
ok $c->Weir::Client::send($SSL), 'SSLRequest';
is plain_byte($c), 'S', 'is answered';
$c->shake;
is $c->subject, 'db', 'then the handshake';
ok $c->echoes("hello\n"), 'and the session';
$c->close;
$c = Weir::Tls->new($w, 'front', later => 1);
$c->Weir::Client::send($GSS);
is plain_byte($c), 'N', 'GSSENCRequest is refused';
$c->Weir::Client::send($_) for split //, $SSL;
is plain_byte($c), 'S', 'then SSLRequest, byte by byte';
$c->shake;
ok $c->echoes("hello\n"), 'works';
$c->close;
$c = Weir::Tls->new($w, 'front');
ok $c->echoes("hello\n"), 'a handshake at once';
$c->close;
$c = $w->connect('front');
ok $c->echoes($CANCEL), 'CancelRequest passes in plain text';
ok !$c->echoes("more\n"), 'and nothing behind it';
$c->close;
for (['behind SSLRequest', $SSL . 'x'], ['behind GSSENCRequest', $GSS . $SSL],
    ['behind CancelRequest', $CANCEL . 'x']) {
    $c = $w->connect('front');
    $c->send($_->[1]);
    is $c->rest, '', "bytes $_->[0] end the session";
    $c->close;
}
becomes { $w->error_log =~ /client sent bytes behind its request for TLS/ } 'logged';
$c = $w->connect('front');
$c->send(pack 'N N a*', 19, 196608, "user\0abc\0\0");
like $c->rest, qr/^E\0\0\0\x34SFATAL\0VFATAL\0C28000\0Mthis server requires TLS\0\0$/,
    'a plain client gets an error of PostgreSQL';
$c->close;
$c = $w->connect('front');
$c->send("\0\0\0");
isnt $c->ending(20), 'open', 'a slow one is closed after ssl_handshake_timeout';
$c->close;

# ---- PostgreSQL itself

sub psql {
    my ($where, $how, $sql) = @_;
    my $port = $where =~ /^\d+$/ ? $where : $w->port($where);
    my ($code, $out, $err) = $db->run('psql', '-XAtc', $sql,
        "host=127.0.0.1 port=$port dbname=postgres $how");
    return $code eq '0' ? $out =~ s/\n\z//r : "failed: $err";
}

SKIP: {
    skip "not installed: @missing", 1 if !$db;
    my $sql = 'select usename, ssl from pg_stat_ssl join pg_stat_activity using (pid)'
        . ' where pid = pg_backend_pid()';
    like psql($db->port, 'user=secure sslmode=disable', 'select 1'), qr/failed/, 'it wants TLS';
    is psql('pg', 'user=secure sslmode=disable', $sql), 'secure|t', 'a plain client reaches it';
    like psql('wrong', 'user=secure sslmode=disable', $sql), qr/failed/, 'another name is refused';
    becomes { $w->error_log =~ /upstream SSL certificate does not match "x"/ } 'proxy_ssl_verify holds';
    is psql('down', 'user=plain sslmode=require', $sql), 'plain|f',
        'a client with TLS reaches a server without';
    is psql('through', 'user=secure sslmode=require', $sql), 'secure|t', 'TLS on both sides';
    is psql('down', 'user=plain sslmode=prefer gssencmode=disable', $sql), 'plain|f', 'prefer';
    like psql('down', 'user=plain sslmode=disable', $sql),
        chaos() ? qr/failed/ : qr/this server requires TLS/, 'a client without TLS is told';
    my $many = psql('through', 'user=secure sslmode=require', "select repeat('x', 300000)");
    is length $many, 300_000, 'much';
}

# ---- the other protocols

SKIP: {
    skip 'IO::Socket::SSL is not installed', 1 if !$with_tls;
    my $say = sub {
        my ($name, $greeting) = @_;
        my $c = $w->connect("to_$name");
        my $got = $greeting ? $c->line // '' : '';
        $got .= '|' . ($c->line // '') if $name eq 'smtp';
        $c->send("hello\n");
        my $line = $c->line // 'nothing';
        $c->close;
        return "$got|$line";
    };
    is $say->('smtp', 1), '220-mx|220 mx ready|got hello', 'SMTP, with the greeting';
    is $say->('imap', 1), '* OK ready|got hello', 'IMAP, without what was possible before TLS';
    is $say->('ldap'), '|got hello', 'LDAP';
    is $say->('pgsql'), '|got hello', 'PostgreSQL';
    is $w->ask("to_$_"), '', "$_: closed" for qw(smtp_more smtp_no pgsql_no silent);
    becomes { $w->error_log =~ /upstream sent an invalid answer before TLS/ } 'bytes behind an answer';
    becomes { $w->error_log =~ /upstream refused to start TLS/ } 'a refusal';
    becomes { $w->error_log =~ /upstream timed out/ } 'a server that says nothing';
}
my ($code, undef, $err) = do {
    my $other = Weir->new;
    $other->conf('stream { server { listen 127.0.0.1:9; proxy_pass 127.0.0.1:8; proxy_ssl_start smtp; } }');
    my @r = $other->command('-t');
    $other->remove;
    @r;
};
like $err, qr/"proxy_ssl_start" needs "proxy_ssl on"/, 'it needs proxy_ssl';
$w->finish;
done_testing;
