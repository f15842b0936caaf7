package Weir::Database;

# Real servers for the tests of health checks: PostgreSQL (primary and standby), Redis, MariaDB,
# OpenLDAP, and a mail server made with Net::Server::Mail. Each runs on a free port of 127.0.0.1,
# with its data in the folder of the test, as an unprivileged user if the test runs as root, and is
# ended by its pid. A test asks needs() first.
#
#     my $one = Weir::Database->postgresql($w, 'one');
#     my $two = $one->standby('two');
#     $one->stop;
#     $two->promote;

use strict;
use warnings;

use Test::More;
use Weir::Process qw(wait_for end_process spawn alive);

my %programs = (
    postgresql => [qw(initdb postgres psql pg_basebackup)],
    redis => [qw(redis-server redis-cli)],
    mariadb => [qw(mariadbd mariadb-install-db)],
    ldap => [qw(slapd slapadd)],
);

# The programs that are not installed.
sub missing {
    my ($class, $kind) = @_;
    return grep { !defined Weir::program($_) } @{ $programs{$kind} } if $kind ne 'smtp';
    return eval { require Net::Server::Mail::ESMTP } ? () : 'Net::Server::Mail';
}

# Skips the test if something is missing.
sub needs {
    my ($class, $kind) = @_;
    my @missing = $class->missing($kind);
    plan skip_all => "not installed: @missing" if @missing;
}

# Does the last line about the server, as a member of that group, match? where: a port, or an address
# of another kind.
sub changed {
    my ($w, $group, $where, $what) = @_;
    my $address = $where =~ /^\d+$/ ? "127.0.0.1:$where" : $where;
    my @lines = grep { /"\Q$address\E" in upstream "\Q$group\E"/ } split /\n/, $w->error_log;
    return @lines && $lines[-1] =~ s/is still down/is down/r =~ $what;
}

# The user that servers run as.
sub user {
    my ($kind) = @_;
    return undef if !Weir::is_root();
    return $kind eq 'postgresql' && getpwnam 'postgres' ? 'postgres' : 'nobody';
}

sub new {
    my ($class, $w, $kind, $name, %more) = @_;
    my $db = bless { w => $w, kind => $kind, name => $name, user => user($kind),
        dir => $w->path("$kind.$name"), port => $w->port($name), %more }, $class;

    mkdir $db->{dir}, 0700 or die "$db->{dir}: $!\n";
    if ($db->{user}) {
        my (undef, undef, $uid, $gid) = getpwnam $db->{user};
        chown $uid, $gid, $db->{dir};
    }
    push @{ $w->{helpers} }, $db;
    return $db;
}

# ---- of all kinds

sub port { return $_[0]{port} }

sub log { return (Weir::slurp("$_[0]{w}{dir}/$_[0]{kind}.$_[0]{name}.out") // '') }

# Runs a program as the server's user; returns as Weir::bare.
sub run {
    my ($db, $program, @words) = @_;
    return $db->{w}->bare({ bin => Weir::program($program), before => $db->before }, @words);
}

sub before {
    my ($db) = @_;
    return sub {
        chdir $db->{dir};
        Weir::become($db->{user}) if $db->{user};
        $ENV{HOME} = $db->{dir};
    };
}

# Starts the server (again) and waits until ready returns true.
sub start {
    my ($db, %how) = @_;
    my $out = "$db->{w}{dir}/$db->{kind}.$db->{name}.out";
    my @words = ($db->words, @{ $how{words} // [] });

    unlink $out; # ready() shall not find the lines of an earlier start
    $db->{pid} = spawn(sub {
        $db->{w}->redirect($out, $out);
        $db->before->();
        exec Weir::program($words[0]) // $words[0], @words[1 .. $#words] or die "exec: $!\n";
    });
    return $db if $how{starting};
    wait_for { $db->ready || !alive($db->{pid}) } 60;
    die "$db->{kind} $db->{name} does not run:\n", $db->log if !alive($db->{pid}) || !$db->ready;
    return $db;
}

# The server is ended at once: connections to its port are refused.
sub stop {
    my ($db, $signal) = @_;
    my $pid = delete $db->{pid} // return;

    end_process($pid, $signal // ($db->{kind} eq 'postgresql' ? 'INT' : 'TERM'));
}

sub kill {
    my ($db) = @_;
    $db->stop('KILL') if $db->{kind} ne 'postgresql';
    $db->stop('QUIT'); # its children, which lead groups of their own, end too
}

sub put {
    my ($db, $file, $text) = @_;
    open my $fh, '>>', "$db->{dir}/$file" or die "$db->{dir}/$file: $!\n";
    print $fh $text;
    close $fh or die "$file: $!\n";
    if ($db->{user}) {
        my (undef, undef, $uid, $gid) = getpwnam $db->{user};
        chown $uid, $gid, "$db->{dir}/$file";
    }
    return "$db->{dir}/$file";
}

sub words {
    my ($db) = @_;
    my $words = "$db->{kind}_words";
    return $db->$words;
}

sub ready {
    my ($db) = @_;
    my $ready = "$db->{kind}_ready";
    return $db->$ready;
}

sub connects {
    my ($db) = @_;
    return defined Weir::Client->new("127.0.0.1:$db->{port}");
}

# ---- PostgreSQL

# hba: the lines of pg_hba.conf for connections over TCP.
sub postgresql {
    my ($class, $w, $name, %how) = @_;
    my $db = $class->new($w, 'postgresql', $name);
    my ($code, undef, $err) = $db->run('initdb', '-D', $db->{dir},
        qw(-U postgres -A trust --no-sync --no-locale -E UTF8));

    die "initdb: $err" if $code ne 0;
    $db->hba($how{hba} // "host all all 127.0.0.1/32 trust\n");
    return $db->start;
}

sub hba {
    my ($db, $lines) = @_;
    open my $fh, '>', "$db->{dir}/pg_hba.conf" or die "pg_hba.conf: $!\n";
    print $fh "local all postgres trust\nlocal replication postgres trust\n$lines";
    close $fh;
    CORE::kill("HUP", $db->{pid}) if $db->{pid};
}

sub postgresql_words {
    my ($db) = @_;
    return ('postgres', '-D', $db->{dir}, map { ('-c', $_) } 'listen_addresses=127.0.0.1',
        "port=$db->{port}", "unix_socket_directories=$db->{dir}", 'fsync=off',
        'shared_buffers=16MB', 'max_connections=20', 'logging_collector=off');
}

sub postgresql_ready {
    my ($db) = @_;
    my ($code, $out) = $db->sql('select 1');
    return $code eq 0;
}

# As the superuser, over the server's unix socket.
sub sql {
    my ($db, $text) = @_;
    return $db->run('psql', '-h', $db->{dir}, '-p', $db->{port}, qw(-U postgres -d postgres -XAtc),
        $text);
}

sub standby {
    my ($db, $name) = @_;
    my $two = Weir::Database->new($db->{w}, 'postgresql', $name);
    my ($code, undef, $err) = $two->run('pg_basebackup', '-D', $two->{dir}, '-h', $db->{dir},
        '-p', $db->{port}, qw(-U postgres -R -c fast --no-sync));

    die "pg_basebackup: $err" if $code ne 0;
    return $two->start;
}

sub promote { return $_[0]->sql('select pg_promote()') }

# ---- Redis

sub redis {
    my ($class, $w, $name, %how) = @_;
    my $db = $class->new($w, 'redis', $name, options => $how{options} // []);

    $db->put('conf', $how{conf} // '');
    return $db->start;
}

sub redis_words {
    my ($db) = @_;
    return ('redis-server', "$db->{dir}/conf", '--port', $db->{port}, '--bind', '127.0.0.1', '--dir', $db->{dir},
        '--save', '', @{ $db->{options} });
}

sub redis_ready { return $_[0]->log =~ /Ready to accept connections/ }

sub redis_cli {
    my ($db, @words) = @_;
    return ($db->run('redis-cli', '-p', $db->{port}, @words))[1];
}

# ---- MariaDB

sub mariadb {
    my ($class, $w, $name) = @_;
    my $db = $class->new($w, 'mariadb', $name);
    my ($code, $out, $err) = $db->run('mariadb-install-db', '--no-defaults', "--datadir=$db->{dir}",
        qw(--auth-root-authentication-method=normal --skip-test-db --skip-name-resolve),
        '--innodb-log-file-size=4M', '--innodb-buffer-pool-size=8M');

    die "mariadb-install-db: $out$err" if $code ne 0;
    return $db;
}

sub mariadb_words {
    my ($db) = @_;
    return ('mariadbd', '--no-defaults', "--datadir=$db->{dir}", "--port=$db->{port}",
        '--bind-address=127.0.0.1', "--socket=$db->{dir}/s", '--skip-name-resolve',
        '--innodb-log-file-size=4M', '--innodb-buffer-pool-size=8M',
        '--innodb-flush-log-at-trx-commit=0', @{ $db->{options} // [] },
        $db->{init} ? "--init-file=$db->{init}" : ());
}

sub mariadb_ready { return $_[0]->log =~ /ready for connections/ }

# ---- OpenLDAP

# The directory dc=example with cn=weir, whose password is "secret".
sub ldap {
    my ($class, $w, $name, %how) = @_;
    my $db = $class->new($w, 'ldap', $name);

    $db->put('slapd.conf', <<"END");
include /etc/ldap/schema/core.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile $db->{dir}/pid
@{[$how{conf} // '']}
database mdb
suffix "dc=example"
rootdn "cn=weir,dc=example"
rootpw secret
directory $db->{dir}
maxsize 10485760
END
    return $db->start;
}

sub ldap_words {
    my ($db) = @_;
    return ('slapd', '-d', '0', '-f', "$db->{dir}/slapd.conf", '-h', "ldap://127.0.0.1:$db->{port}/");
}

sub ldap_ready { return $_[0]->connects }

# ---- a mail server

sub smtp {
    my ($class, $w, $name) = @_;
    return $class->new($w, 'smtp', $name)->start;
}

sub smtp_words {
    my ($db) = @_;
    return ($^X, '-e', <<'END', $db->{port});
use IO::Socket::INET;
use Net::Server::Mail::ESMTP;
$SIG{CHLD} = 'IGNORE';
my $listener = IO::Socket::INET->new(LocalAddr => "127.0.0.1:$ARGV[0]", Listen => 5, ReuseAddr => 1)
    or die "$ARGV[0]: $!\n";
while (my $client = $listener->accept) {
    next if fork;
    Net::Server::Mail::ESMTP->new(socket => $client)->process;
    exit;
}
END
}

sub smtp_ready { return $_[0]->connects }

1;
