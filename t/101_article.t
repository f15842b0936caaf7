#!/usr/bin/perl

# The article's first configuration, byte for byte, in a private network: it starts while none
# of its names is known (sessions are closed cleanly, the error log says why once), and as soon as
# the names stand in /etc/hosts it balances HTTP and a real PostgreSQL, without a reload. When a
# server is killed and comes back no session fails.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

Weir->needs_programs(qw(unshare ip mount));
Weir->in_private_network;

my @NAMES = map { "$_.example.com" } qw(backend1 backend2 db1 db2);
my %ADDRESS = ('backend1.example.com' => '10.77.0.11', 'backend2.example.com' => '10.77.0.12',
    'db1.example.com' => '10.77.0.21', 'db2.example.com' => '10.77.0.22');

my $w = Weir->new;
my $there = $w->machine(here => '10.77.0.1', there => [sort values %ADDRESS]);

Weir::Network->cover('/etc/hosts', $w->write('hosts', "127.0.0.1 localhost\n"));
Weir::Network->cover('/etc/resolv.conf', $w->write('resolv.conf', "nameserver 127.0.0.53\n"));

# A server that answers each request with its name.
sub web_server {
    my ($name) = @_;
    return $w->backend($name, at => "$ADDRESS{$name}:80", before => sub { $there->enter },
        serve => sub {
            my ($fh) = @_;
            my $request = '';
            until ($request =~ /\r\n\r\n/) {
                sysread $fh, $request, 4096, length $request or return;
            }
            print $fh "HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\n$name\n";
        });
}

sub get {
    my $answer = $w->ask('127.0.0.1:80', "GET / HTTP/1.0\r\nHost: example.com\r\n\r\n");
    return $answer =~ /^HTTP\/1\.0 200 OK\r\n.*\r\n\r\n(.*)/s ? $1 : $answer;
}

web_server($_) for grep { /backend/ } @NAMES;

# The harness' -g leaves the file alone.

$w->conf('');
my $article = slurp(Weir::top() . '/t/data/article-l4.conf');
open my $fh, '>', $w->path('weir.conf');
print $fh $article;
close $fh;

# Nobody knows the names yet.

my ($code, $out, $err) = $w->command('-t');
is $code, 0, '-t: unknown names are no error' or diag $err;
like $err, qr/\[warn\].*\Q$_\E/, "but a warning: $_" for @NAMES;

my $tested = length $w->error_log;
$w->start;
is slurp($w->path('weir.conf')), $article, 'the configuration is the one that was printed';
is $w->ask("127.0.0.1:$_->[0]"), '', "port $_->[0]: the session is closed cleanly ($_->[1])"
    for [80, 'once'], [5432, 'once'], [80, 'again'], [5432, 'again'];
for my $name (@NAMES) {
    my @said = grep { /\b\Q$name\E\b.*(?:again|next)/ } split /\n/, substr $w->error_log, $tested;
    is scalar(@said), 1, "the error log says once that $name failed" or diag @said;
}

# Then somebody writes them into /etc/hosts.

my $master = $w->master;
my @workers = $w->workers;
$w->write('hosts', join '', "127.0.0.1 localhost\n", map { "$ADDRESS{$_} $_\n" } @NAMES);
becomes { get() =~ /^backend/ } 'traffic flows as soon as the names are known';
becomes { my %seen = map { get() => 1 } 1 .. 2; keys %seen == 2 } 'to both servers';
like join('', map { get() =~ /(\d)/ } 1 .. 6), qr/^(?:121212|212121)$/, 'in turn';
is_deeply [$w->master, $w->workers], [$master, @workers], 'without a reload';

# One server is killed and comes back.

my %got;
$got{ get() }++ for 1 .. 4;
$w->{backend}{'backend1.example.com'}->kill;
$got{ get() }++ for 1 .. 20;
is_deeply [sort keys %got], [@NAMES[0, 1]], 'one server killed: no session fails';
$w->{backend}{'backend1.example.com'}->start;
%got = ();
becomes { $got{ get() }++; $got{ $NAMES[0] } } 'it comes back and is used again', 60;
delete @got{ @NAMES[0, 1] };
is_deeply [keys %got], [], 'no session failed meanwhile';

# PostgreSQL.

SKIP: {
    my @missing = grep { !Weir::program($_) } qw(initdb postgres psql pgbench);
    skip "not installed: @missing", 1 if @missing;
    subtest 'PostgreSQL' => \&postgresql;
}

sub postgresql {
    my $data = $w->path('pg');
    my $become = sub { Weir::become(getpwnam 'postgres' ? 'postgres' : 'nobody') if is_root };

    $w->give_away(getpwnam 'postgres' ? 'postgres' : 'nobody') if is_root && mkdir $data;
    my ($code, undef, $err) = $w->bare({ bin => Weir::program('initdb'), before => $become },
        '-D', $data, qw(-U postgres -A trust --no-sync --no-locale -E UTF8));
    is $code, 0, 'initdb' or return diag $err;
    open my $hba, '>>', "$data/pg_hba.conf";
    print $hba "host all all 10.77.0.0/24 trust\n";
    close $hba;

    my $server = Weir::Process::spawn(sub {
        $there->enter;
        $w->redirect($w->path('pg.out'), $w->path('pg.err'));
        $become->();
        my $places = join ',', @ADDRESS{ @NAMES[2, 3] };
        exec Weir::program('postgres'), '-D', $data, map { ('-c', $_) } "listen_addresses=$places",
            "unix_socket_directories=$data", 'fsync=off', 'shared_buffers=16MB';
    });
    push @{ $w->{helpers} }, bless { pid => $server }, 'Weir::Network';
    becomes { slurp($w->path('pg.err')) =~ /ready to accept connections/ } 'postgres runs';

    local @ENV{qw(PGHOST PGUSER PGDATABASE PGCONNECT_TIMEOUT)} = qw(127.0.0.1 postgres postgres 10);
    my $client = sub {
        my ($program, @words) = @_;
        return $w->bare({ bin => Weir::program($program) }, @words);
    };
    my %addresses;
    for (1 .. 4) {
        my ($code, $out, $err) = $client->('psql', '-Atc', 'select host(inet_server_addr())');
        is $code, 0, 'psql' or diag $err;
        chomp $out;
        $addresses{$out}++;
    }
    is_deeply [sort keys %addresses], [@ADDRESS{ @NAMES[2, 3] }], 'both servers are used';

    ($code, undef, $err) = $client->('pgbench', '-i', '-q');
    is $code, 0, 'pgbench fills its tables' or diag $err;
    ($code, my $out, $err) = $client->('pgbench', qw(-n -c 4 -t 100));
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
    Weir::Process::end_process($server, 'INT');
}

$w->finish;
done_testing;
