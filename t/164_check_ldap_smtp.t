#!/usr/bin/perl
# chaos: yes

# health_check type=ldap with a real OpenLDAP and type=smtp with a mail server made with
# Net::Server::Mail, and with scripted ones that refuse.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Database;

my $w = Weir->new;

sub changed {
    my ($group, $name, $what) = @_;
    return Weir::Database::changed($w, $group, $w->port($name), $what);
}

SKIP: {
    my @missing = Weir::Database->missing('ldap');
    skip "not installed: @missing", 1 if @missing;
    subtest ldap => \&ldap;
}
SKIP: {
    my @missing = Weir::Database->missing('smtp');
    skip "not installed: @missing", 1 if @missing;
    subtest smtp => \&smtp;
}
done_testing;

sub ldap {
    my $db = Weir::Database->ldap($w, 'db');
    my $strict = Weir::Database->ldap($w, 'strict', conf => "disallow bind_anon\n");

    $w->write('secret', "secret\n");
    $w->write('wrong', "wrong\n");
    chmod 0600, map { $w->path($_) } 'secret', 'wrong';
    $w->start(<<'CONF');
stream {
    upstream anon  { zone anon 64k;  server %{db}; server %{strict}; }
    upstream bind  { zone bind 64k;  server %{db}; server %{strict}; }
    upstream wrong { zone wrong 64k; server %{db}; }
    server { listen %{a}; proxy_pass anon; health_check type=ldap interval=100ms; }
    server { listen %{b}; proxy_pass bind;
             health_check type=ldap "user=cn=weir,dc=example" password_file=secret interval=100ms; }
    server { listen %{c}; proxy_pass wrong;
             health_check type=ldap "user=cn=weir,dc=example" password_file=wrong interval=100ms; }
}
CONF
    becomes { changed('anon', 'strict', qr/is down: LDAP result 48, inappropriate authentication/) }
        'nobody may bind without a name';
    becomes { changed('wrong', 'db', qr/is down: LDAP result 49, invalid credentials/) }
        'a wrong password';
    ok !changed('anon', 'db', qr/is down/), 'an anonymous bind';
    ok !changed('bind', $_, qr/is down/), "$_: a bind with a password" for qw(db strict);
    $db->stop;
    becomes { changed('bind', 'db', qr/is down/) } 'the server has ended';
    $db->start;
    becomes { changed('bind', 'db', qr/is up/) } 'and is back';
    $w->finish;
    $w = Weir->new;
}

sub smtp {
    my $db = Weir::Database->smtp($w, 'mail');

    $w->backend('busy', serve => sub { syswrite $_[0], "421 too many connections.\r\n" });
    $w->backend('web', serve => sub { syswrite $_[0], "HTTP/1.1 400 Bad Request\r\n\r\n" });
    $w->start(<<'CONF');
stream {
    upstream mail { zone mail 64k; server %{mail}; server %{busy}; server %{web}; }
    server { listen %{m}; proxy_pass mail; health_check type=smtp interval=100ms; }
}
CONF
    becomes { changed('mail', 'busy', qr/is down: SMTP 421 too many connections$/m) } 'it refuses';
    becomes { changed('mail', 'web', qr/is down: the answer is not one of SMTP$/m) } 'it is not one';
    ok !changed('mail', 'mail', qr/is down/), 'the other one is up';
    like $w->connect('m')->line, qr/^220 /, 'and gets all sessions' for 1 .. 3;
    $db->stop;
    becomes { changed('mail', 'mail', qr/is down/) } 'it has ended';
    $db->start;
    becomes { changed('mail', 'mail', qr/is up/) } 'and is back';
    $w->finish;
}
