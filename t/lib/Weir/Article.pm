package Weir::Article;

# Common parts of the tests of the article's configurations: a private network with a second machine
# that has the addresses of the backends, private /etc/hosts and /etc/resolv.conf, the
# configuration byte for byte, names that cannot be resolved at first, and a real PostgreSQL.

use strict;
use warnings;

use Test::More;
use Weir;
use Weir::HttpServer;
use Weir::Process;

# file: its name in t/data; names: NAME => ADDRESS of all servers in the configuration.
sub new {
    my ($class, %how) = @_;

    Weir->needs_programs(qw(unshare ip mount));
    Weir->in_private_network;
    my $w = Weir->new;
    my $there = $w->machine(here => '10.77.0.1', there => [sort values %{ $how{names} }]);
    my $a = bless { %how, w => $w, there => $there }, $class;

    Weir::Network->cover('/etc/hosts', $w->write('hosts', "127.0.0.1 localhost\n"));
    Weir::Network->cover('/etc/resolv.conf', $w->write('resolv.conf', "nameserver 127.0.0.53\n"));
    return $a;
}

# Starts an HTTP server of that name on the second machine. It records the requests and answers with
# its name.
sub web_server {
    my ($a, $name, $port) = @_;
    my $w = $a->{w};

    return $w->backend($name, at => "$a->{names}{$name}:$port",
        before => sub { $a->{there}->enter },
        serve => Weir::HttpServer::serve(
            Weir::HttpServer::reply(200, "$name\n", 'Content-Type' => 'text/plain'),
            record => $w->path("$name.requests")));
}

# The raw requests that server got since the last call.
sub arrived {
    my ($a, $name) = @_;
    return Weir::HttpServer::recorded($a->{w}->path("$name.requests"));
}

# Tests: weir starts with the file while the names cannot be resolved, and logs that.
sub start {
    my ($a) = @_;
    my $w = $a->{w};
    my $article = slurp(Weir::top() . "/t/data/$a->{file}");

    $w->conf('');    # sets -g; the file itself stays as it is
    open my $fh, '>', $w->path('weir.conf');
    print $fh $article;
    close $fh;
    my ($code, $out, $err) = $w->command('-t');
    is $code, 0, '-t: unknown names are no error' or diag $err;
    like $err, qr/\[warn\].*\Q$_\E/, "but a warning: $_" for sort keys %{ $a->{names} };
    $a->{tested} = length $w->error_log;
    $w->start;
    is slurp($w->path('weir.conf')), $article, 'the configuration is the one that was printed';
}

# Tests: the error log has one line for each name that failed.
sub names_failed_once {
    my ($a) = @_;
    for my $name (sort keys %{ $a->{names} }) {
        my @said = grep { /host not found in upstream "\Q$name\E:/ }
            split /\n/, substr $a->{w}->error_log, $a->{tested};
        is scalar(@said), 1, "the error log says once that $name failed" or diag @said;
    }
}

# Writes the names into /etc/hosts.
sub names_known {
    my ($a) = @_;
    my $names = $a->{names};
    $a->{w}->write('hosts',
        join '', "127.0.0.1 localhost\n", map { "$names->{$_} $_\n" } sort keys %$names);
}

# Tests with a PostgreSQL that listens on the addresses of these two names, by way of weir.
sub postgresql {
    my ($a, @names) = @_;
    my @missing = grep { !Weir::program($_) } qw(initdb postgres psql pgbench);

  SKIP: {
        skip "not installed: @missing", 1 if @missing;
        subtest 'PostgreSQL' => sub { $a->postgresql_works(@names) };
    }
}

sub postgresql_works {
    my ($a, @names) = @_;
    my $w = $a->{w};
    my @addresses = @{ $a->{names} }{@names};
    my $data = $w->path('pg');
    my $user = getpwnam 'postgres' ? 'postgres' : 'nobody';
    my $become = sub { Weir::become($user) if is_root };

    $w->give_away($user) if is_root && mkdir $data;
    my ($code, undef, $err) = $w->bare({ bin => Weir::program('initdb'), before => $become },
        '-D', $data, qw(-U postgres -A trust --no-sync --no-locale -E UTF8));
    is $code, 0, 'initdb' or return diag $err;
    open my $hba, '>>', "$data/pg_hba.conf";
    print $hba "host all all 10.77.0.0/24 trust\n";
    close $hba;

    my $server = Weir::Process::spawn(sub {
        $a->{there}->enter;
        $w->redirect($w->path('pg.out'), $w->path('pg.err'));
        $become->();
        my $places = join ',', @addresses;
        exec Weir::program('postgres'), '-D', $data, map { ('-c', $_) } "listen_addresses=$places",
            "unix_socket_directories=$data", 'fsync=off', 'shared_buffers=16MB';
    });
    push @{ $w->{helpers} }, bless { pid => $server }, 'Weir::Network';
    becomes { slurp($w->path('pg.err')) =~ /ready to accept connections/ } 'postgres runs';
    $a->postgresql_answers(@addresses);
    Weir::Process::end_process($server, 'INT');
}

sub postgresql_answers {
    my ($a, @addresses) = @_;
    my $client = sub {
        my ($program, @words) = @_;
        return $a->{w}->bare({ bin => Weir::program($program) }, @words);
    };
    my ($code, $out, $err, %seen);

    local @ENV{qw(PGHOST PGUSER PGDATABASE PGCONNECT_TIMEOUT)} = qw(127.0.0.1 postgres postgres 10);
    for (1 .. 4) {
        ($code, $out, $err) = $client->('psql', '-Atc', 'select host(inet_server_addr())');
        is $code, 0, 'psql' or diag $err;
        chomp $out;
        $seen{$out}++;
    }
    is_deeply [sort keys %seen], [sort @addresses], 'both servers are used';

    ($code, undef, $err) = $client->('pgbench', '-i', '-q');
    is $code, 0, 'pgbench fills its tables' or diag $err;
    ($code, $out, $err) = $client->('pgbench', qw(-n -c 4 -t 100));
    is $code, 0, 'pgbench runs' or diag $err;
    like $out, qr/transactions actually processed: 400\/400/, 'all its transactions are done';
    like $out, qr/failed transactions: 0 /, 'none failed' if $out =~ /failed transactions/;
    my ($balance, $history);
    (undef, $balance) = $client->('psql', '-Atc', 'select sum(bbalance) from pgbench_branches');
    (undef, $history) = $client->('psql', '-Atc', 'select sum(delta) from pgbench_history');
    is $balance, $history, 'and the books balance';

    (undef, $out) = $client->('psql', '-Atc', 'copy (select repeat(\'x\', 1000) from '
        . 'generate_series(1, 20000)) to stdout');
    is length $out, 20000 * 1001, 'a large answer arrives whole';
}

1;
