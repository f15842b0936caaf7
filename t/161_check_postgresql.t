#!/usr/bin/perl
# chaos: yes

# health_check type=pgsql with a real primary and its standby: each way of logging in, wrong
# passwords, roles, a server that starts up, TLS; the sessions of a group follow the role when the
# primary ends and the standby is promoted.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Database;
use Weir::Tls;

Weir::Database->needs('postgresql');
Weir::Tls::needs();

my $w = Weir->new;
my $one = Weir::Database->postgresql($w, 'one');
my $two = $one->standby('two');
my %port = (one => $one->port, two => $two->port);

my ($code, undef, $err) = $one->sql(<<'SQL');
set password_encryption = 'md5';
create role weir_md5 login password 'secret';
set password_encryption = 'scram-sha-256';
create role weir_scram login password 'secret';
create role weir_password login password 'secret';
create role weir_tls login password 'secret';
create role weir login;
SQL
is $code, 0, 'the roles are made' or diag $err;
becomes { ($two->sql("select count(*) from pg_roles where rolname ~ 'weir'"))[1] eq "5\n" }
    'the standby has them, too';

Weir::Tls::certificate($w, 'db', cn => 'db');
for my $db ($one, $two) {
    $db->put("server.$_", slurp($w->path("db.$_"))) for qw(crt key);
    chmod 0600, "$db->{dir}/server.key";
    $db->sql('alter system set ssl = on') if $db == $one;
    $db->put('postgresql.auto.conf', "ssl = 'on'\n") if $db == $two;
    $db->hba(<<'HBA');
hostssl all weir_tls 127.0.0.1/32 scram-sha-256
host all weir_tls 127.0.0.1/32 reject
host all weir_md5 127.0.0.1/32 md5
host all weir_scram 127.0.0.1/32 scram-sha-256
host all weir_password 127.0.0.1/32 password
host all weir 127.0.0.1/32 trust
HBA
}
becomes { ($_[0] = ($one->sql('show ssl'))[1]) eq "on\n" } 'the primary has TLS';

$w->write('secret', "secret\n");
$w->write('wrong', "wrong");
chmod 0600, map { $w->path($_) } 'secret', 'wrong';

# One group for each way to log in: all of its servers have to be up, or down for a reason.
my %login = (nobody => '', trust => 'user=weir', map({ ($_ => "user=weir_$_ "
    . 'password_file=%{dir}/secret') } qw(md5 scram password tls)));
my %refused = (wrong_md5 => 'user=weir_md5 password_file=wrong',
    wrong_scram => 'user=weir_scram password_file=wrong', absent => 'user=weir_md5', other => 'user=weir database=none',
    in_clear => 'user=weir_tls password_file=secret',
    asked_for => 'user=weir_password password_file=secret');
my $groups = join '', map {
    my $tls = /^(?:tls|password)$/ ? 'proxy_ssl on;' : '';
    my $how = $login{$_} // $refused{$_};
    "upstream $_ { zone $_ 64k; server %{one}; server %{two}; }
     server { listen %{at_$_}; proxy_pass $_; $tls
              health_check type=pgsql $how interval=200ms; }\n"
} sort keys %login, keys %refused;

$w->start(<<"CONF");
stream {
    $groups
    upstream rw { zone rw 64k; server %{one}; server %{two}; }
    upstream ro { zone ro 64k; server %{one}; server %{two}; }
    server { listen %{rw}; proxy_pass rw;
             health_check type=pgsql user=weir role=primary interval=200ms; }
    server { listen %{ro}; proxy_pass ro;
             health_check type=pgsql user=weir_scram password_file=secret role=standby
                          interval=200ms; }
}
CONF

# The port of the server that a session through weir gets; undef if it gets none.
sub server_of {
    my ($name) = @_;
    local $ENV{PGCONNECT_TIMEOUT} = 10;
    my ($code, $out) = $one->run('psql', '-h', '127.0.0.1', '-p', $w->port($name),
        qw(-U weir -d postgres -XAtc), 'select inet_server_port()');
    return $code eq '0' ? $out + 0 : undef;
}

sub down {
    my ($group, $name, $why) = @_;
    return Weir::Database::changed($w, $group, $port{$name}, qr/is down: $why/);
}

# ---- logins

for my $group (qw(wrong_md5 wrong_scram)) {
    my ($user) = $refused{$group} =~ /(weir_\w+)/;
    becomes { down($group, $_, qr/password authentication failed for user "$user"/) }
        "$group: $_ refuses the password" for qw(one two);
}
becomes { down('other', 'one', qr/database "none" does not exist/) } 'another database';
becomes { down('absent', 'one', qr/the server asks for a password/) } 'no password was given';
becomes { down('in_clear', 'one', qr/pg_hba\.conf rejects connection .* no encryption/) }
    'not without TLS';
becomes { down('asked_for', 'one', qr/the server asks for the password itself/) }
    'nor is a password sent that anybody could read';

# ---- roles

becomes { down('rw', 'two', qr/role is standby, primary wanted/) } 'the standby is no primary';
becomes { down('ro', 'one', qr/role is primary, standby wanted/) } 'the primary is no standby';
is_deeply [map { server_of('rw') } 1 .. 4], [($port{one}) x 4], 'all who write get the primary';
is_deeply [map { server_of('ro') } 1 .. 4], [($port{two}) x 4], 'all who read get the standby';
for my $group (sort keys %login) {
    ok !Weir::Database::changed($w, $group, $port{$_}, qr/is down/), "$group: $_ is up"
        for qw(one two);
}

# ---- the primary ends, the standby is promoted

$one->stop;
becomes { down('rw', 'one', qr/./) } 'the primary is down';
is server_of('rw'), undef, 'nobody can write';
$two->promote;
becomes { Weir::Database::changed($w, 'rw', $port{two}, qr/is up/) } 'the promoted one is up';
is_deeply [map { server_of('rw') } 1 .. 4], [($port{two}) x 4], 'who writes gets it';
becomes { down('ro', 'two', qr/role is primary, standby wanted/) } 'it is no standby any more';

# ---- a server that starts up

my $go = "$one->{dir}/go";
my $late = Weir->new; # which has not seen it refuse connections
$one->put('standby.signal', '');
$one->start(starting => 1, words => ['-c',
    "restore_command=while ! test -e $go; do sleep 0.1; done; false"]);
becomes { $one->connects } 'it takes connections';
$late->start(<<"CONF");
stream {
    upstream starts { zone starts 64k; server 127.0.0.1:$port{one}; }
    server { listen %{s}; proxy_pass starts; health_check type=pgsql interval=100ms; }
}
CONF
becomes { Weir::Database::changed($late, 'starts', $port{one},
    qr/is down: the database system is starting up$/) } 'a server that starts up is down';
$one->put('go', '');
becomes { Weir::Database::changed($late, 'starts', $port{one}, qr/is up/) }
    'it is up when it has started';
$late->finish;

$w->finish;
done_testing;
