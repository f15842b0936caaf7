#!/usr/bin/perl

# The way to a server. Whether and how long it tries the next one (proxy_next_upstream, its
# tries and timeout); from which address (proxy_bind) and with which socket options. By which name:
# names from a variable, asked for at run time, and names in an upstream, asked for again when their
# TTL ends, with A, AAAA, CNAME and SRV answers, several addresses, changes, and names that vanish
# and return.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;
my $V6 = Weir::Ports::has_ipv6();

$w->echo('echo');
$w->backend('peer', serve => sub {
    my ($fh) = @_;
    print $fh $fh->peerhost, ' ', $fh->peerport, "\n";
});
$w->backend("named$_", serve => 'greet', greet => "$_\n", at => "127.0.0.$_:%{named.port}")
    for 11 .. 14;
$w->backend('named6', serve => 'greet', greet => "6\n", at => '[::1]:%{named.port}') if $V6;
$w->hole('hole');

my @fixed = (
    'fixed.test 60 A 127.0.0.11',
    'alias.test 60 CNAME fixed.test',
    'six.test 60 AAAA ::1',
    'short.test 1 A 127.0.0.11',
    'none.test 60 CNAME nowhere.test',
    'far.test 60 ALIAS farther.test',
    'farther.test 60 ALIAS fixed.test',
    'circle.test 60 ALIAS circle.test',
    'fails.test 60 FAIL -',
    # Aliases of a name with addresses of both families: in the answer, to be asked for, one of
    # each.
    'pair.test 60 A 127.0.0.11',
    'pair.test 60 AAAA ::1',
    'pair1.test 60 CNAME pair.test',
    'pair2.test 60 ALIAS pair.test',
    'pair3.test 60 CNAME/A pair.test',
    'pair3.test 60 ALIAS/AAAA pair.test',
    'pair4.test 60 ALIAS/A pair1.test',
    'pair4.test 60 CNAME/AAAA pair.test',
);
# Each: RANK WEIGHT PORT LAST-BYTE-OF-ADDRESS.
sub services {
    return ('_web._tcp.svc.test 1 ALIAS _alias.svc.test',
        map { my ($rank, $weight, $port, $n) = split;
            ("_alias.svc.test 1 SRV $rank $weight " . $w->port($port) . " s$n.test",
                "s$n.test 60 A 127.0.0.$n") } @_);
}
my $dns = $w->dns('dns', @fixed, 'moves.test 1 A 127.0.0.11', 'goes.test 1 A 127.0.0.11',
    'both.test 60 A 127.0.0.11', 'both.test 60 A 127.0.0.12',
    services('1 1 nobody 11', '1 5 named 11', '9 1 named 12'));

$w->start(<<'CONF');
worker_processes 1;
stream {
    log_format tried '$upstream_addr $status';
    access_log %{dir}/tried.log tried;

    upstream one  { server %{dead1} max_fails=0; server %{echo}; }
    upstream two  { server %{dead1} max_fails=0; server %{echo}; }
    upstream four { server %{dead1} max_fails=0; server %{dead2} max_fails=0;
                    server %{dead3} max_fails=0; server %{echo}; }
    upstream slow { server %{hole} max_fails=0; server %{echo} backup; }

    server { listen %{next};  proxy_pass two; }
    server { listen %{off};   proxy_pass one; proxy_next_upstream off; }
    server { listen %{tries2}; proxy_pass four; proxy_next_upstream_tries 2; }
    server { listen %{tries4}; proxy_pass four; proxy_next_upstream_tries 4; }
    server { listen %{intime}; proxy_pass slow; proxy_connect_timeout 1s;
             proxy_next_upstream_timeout 1m; }
    server { listen %{late};   proxy_pass slow; proxy_connect_timeout 2s;
             proxy_next_upstream_timeout 1s; }

    server { listen %{nobind};  proxy_pass %{peer}; }
    server { listen %{bind};    proxy_pass %{peer}; proxy_bind 127.0.0.7; }
    server { listen %{bindport}; proxy_pass %{peer}; proxy_bind %{source}; }
    server { listen %{bindvar}; proxy_pass %{peer}; proxy_bind $remote_addr; }
    server { listen %{alive};   proxy_pass %{echo}; proxy_socket_keepalive on; }
    server { listen %{buffers}; proxy_pass %{echo}; proxy_socket_rcvbuf 48k;
             proxy_socket_sndbuf 40k; }

    resolver %{dns};
    resolver_timeout 10s;
    resolver_grace 0;

    map $server_port $name {
        %{runtime.port} fixed.test;
        %{alias.port}   alias.test;
        %{six.port}     six.test;
        %{short.port}   short.test;
        %{missing.port} missing.test;
        %{none.port}    none.test;
        %{far.port}     far.test;
        %{circle.port}  circle.test;
        %{fails.port}   fails.test;
        default         fixed.test;
    }
    server {
        listen %{runtime}; listen %{alias}; listen %{six}; listen %{short};
        listen %{missing}; listen %{none}; listen %{far}; listen %{circle}; listen %{fails};
        proxy_pass $name:%{named.port};
    }
    server { listen %{deaf}; proxy_pass $name:%{named.port};
             resolver %{nodns}; resolver_timeout 1s; }

    upstream both  { zone both 64k;  server both.test:%{named.port} resolve; }
    upstream moves { zone moves 64k; server moves.test:%{named.port} resolve; }
    upstream goes  { zone goes 64k;  server goes.test:%{named.port}; }
    upstream comes { zone comes 64k; server comes.test:%{named.port}; }
    upstream pair1 { zone pair1 64k; server pair1.test:%{named.port} resolve; }
    upstream pair2 { zone pair2 64k; server pair2.test:%{named.port} resolve; }
    upstream pair3 { zone pair3 64k; server pair3.test:%{named.port} resolve; }
    upstream pair4 { zone pair4 64k; server pair4.test:%{named.port} resolve; }
    server { listen %{pair1}; proxy_pass pair1; }
    server { listen %{pair2}; proxy_pass pair2; }
    server { listen %{pair3}; proxy_pass pair3; }
    server { listen %{pair4}; proxy_pass pair4; }
    upstream svc { zone svc 64k; server svc.test service=web resolve max_fails=0; }
    server { listen %{svc};   proxy_pass svc; }
    server { listen %{both};  proxy_pass both; }
    server { listen %{moves}; proxy_pass moves; }
    server { listen %{goes};  proxy_pass goes; }
    server { listen %{comes}; proxy_pass comes; }
}
CONF

sub echoes {
    my ($where) = @_;
    my $c = $w->connect($where);
    my $good = $c->echoes('hello');
    $c->close;
    return $good;
}

# The last line of the log, once it has so many.
my $sessions = 0;

sub tried {
    $sessions++;
    my @lines;
    wait_for { @lines = split /\n/, slurp($w->path('tried.log')); @lines >= $sessions };
    return $lines[-1];
}

my ($dead1, $dead2, $dead3, $echo, $hole) =
    map { $w->address($_) } qw(dead1 dead2 dead3 echo hole);

# Going on to the next server.

ok echoes('next'), 'proxy_next_upstream is on by default';
is tried(), "$dead1, $echo 200", 'the dead server, then the living one';
is $w->ask('off'), '', 'proxy_next_upstream off: the session ends';
is tried(), "$dead1 502", 'after one server';
is $w->ask('tries2'), '', 'proxy_next_upstream_tries 2';
like tried(), qr/^\S+, \S+ 502$/, 'after two servers';
ok echoes('tries4'), 'proxy_next_upstream_tries 4';
like tried(), qr/\b\Q$echo\E 200$/, 'reaches the living one';
ok echoes('intime'), 'proxy_next_upstream_timeout not yet over';
is tried(), "$hole, $echo 200", 'the next server is tried';
is $w->ask('late'), '', 'proxy_next_upstream_timeout over';
is tried(), "$hole 502", 'no other server is tried';

# From where, and with what options.

like $w->ask('nobind'), qr/^127\.0\.0\.1 /, 'no proxy_bind';
like $w->ask('bind'), qr/^127\.0\.0\.7 /, 'proxy_bind ADDRESS';
is $w->ask('bindport'), '127.0.0.1 ' . $w->port('source'), 'proxy_bind ADDRESS:PORT';
my $c = $w->connect('bindvar', from => '127.0.0.8');
like $c->line, qr/^127\.0\.0\.8 /, 'proxy_bind $variable';
$c->close;

SKIP: {
    skip 'no ss', 3 if qx(ss -V 2>&1) !~ /iproute/;
    $c = $w->connect('alive');
    $c->echoes('x');
    my $port = $w->port('echo');
    like qx(ss -H -n -t -o dport = :$port), qr/timer:\(keepalive,/, 'proxy_socket_keepalive on';
    $c->close;
    $c = $w->connect('buffers');
    $c->echoes('x');
    my $buffers = qx(ss -H -n -t -m dport = :$port);
    like $buffers, qr/\brb98304\b/, 'proxy_socket_rcvbuf (the kernel doubles it)';
    like $buffers, qr/\btb81920\b/, 'proxy_socket_sndbuf';
    $c->close;
}

# Names from variables.

my $asked = sub { my ($what) = @_; return scalar grep { $_ eq $what } $dns->asked };

is $w->ask('runtime'), 11, 'a name from a variable';
is $w->ask('runtime'), 11, 'again';
is $asked->('fixed.test A'), 1, 'within its TTL it is asked for once';
is $w->ask('alias'), 11, 'a CNAME';
SKIP: {
    skip 'no IPv6', 1 if !$V6;
    is $w->ask('six'), 6, 'an IPv6 address';
}
is $w->ask('short'), 11, 'a name with a TTL of 1 s';
is $w->ask('missing'), '', 'a name that does not exist: the session ends';
becomes { $w->error_log =~ /missing\.test could not be resolved \(3: Host not found\)/ }
    'the log says why';
is $w->ask('none'), '', 'a CNAME to nowhere: the session ends';
is $w->ask('far'), 11, 'a CNAME to a CNAME, each to be asked for';
is $w->ask('circle'), '', 'a CNAME to itself: the session ends';
is $w->ask('fails'), '', 'a name server that fails: the session ends';
is $asked->('fails.test A'), 1, 'a single name server is asked once';
is $w->ask('deaf'), '', 'a name server that does not answer: the session ends';
becomes { $w->error_log =~ /fixed\.test could not be resolved \(110: Operation timed out\)/ }
    'the log says why';

# Names in an upstream.

is join(' ', sort map { $w->ask('both') } 1 .. 4), '11 11 12 12', 'both addresses in turn';
SKIP: {
    skip 'no IPv6', 4 if !$V6;
    for my $pair ('pair1' .. 'pair4') {
        is join(' ', sort map { $w->ask($pair) } 1 .. 4), '11 11 6 6', "an alias of both: $pair";
    }
}
becomes { $w->ask('moves') eq 11 } 'a name with one address';
becomes { $w->ask('goes') eq 11 } 'and another';
is $w->ask('comes'), '', 'a name that does not exist: the session ends';
becomes { $w->error_log =~ /comes\.test/ } 'the log names it';

is join(' ', map { $w->ask('svc') } 1 .. 4), '11 11 11 11', 'SRV: ports, and ranks: 12 is a backup';
$dns->records(@fixed, services('1 1 nobody 11', '9 1 named 12'));
becomes { $w->ask('svc') eq 12 } 'the backup serves';
$dns->records(@fixed, services('2 3 named 11', '2 1 named 12'));
becomes { '11 11 11 12' eq join ' ', sort map { $w->ask('svc') } 1 .. 4 } 'SRV: weights';
$dns->records(@fixed, services('2 1 named 11', '2 3 named 12'));
becomes { '11 12 12 12' eq join ' ', sort map { $w->ask('svc') } 1 .. 4 } 'and they change';

# The records change.

$dns->records(grep({ !/short/ } @fixed), 'short.test 1 A 127.0.0.12',
    'moves.test 1 A 127.0.0.12', 'moves.test 1 A 127.0.0.13', 'comes.test 60 A 127.0.0.14');
becomes { $w->ask('short') eq 12 } 'a name from a variable has moved';
becomes { $w->ask('moves') eq 12 } 'a name in an upstream has moved';
is join(' ', sort map { $w->ask('moves') } 1 .. 4), '12 12 13 13', 'to two addresses';
becomes { $w->ask('goes') eq '' } 'a name without records any more: sessions end';
becomes { $w->ask('comes') eq 14 } 'a name appears: sessions arrive', 60;

my $before = () = $w->error_log =~ /goes\.test/g;
$w->ask('goes') for 1 .. 10;
my $after = () = $w->error_log =~ /\[(?:warn|error)\].*goes\.test.*(?:not found|NXDOMAIN)/gi;
cmp_ok $after, '<=', $before + 1, 'the log says once that the name failed, not for each session';

$dns->records(@fixed, 'goes.test 1 A 127.0.0.13');
becomes { $w->ask('goes') eq 13 } 'the name returns elsewhere', 60;

# A name server that fails while weir reloads takes no server away; failures are remembered too.

$dns->records('goes.test 1 FAIL -');
my $again = <<'CONF';
worker_processes 1;
stream {
    resolver %{dns};
    upstream goes  { zone goes 64k; server goes.test:%{other.port}; }
    upstream fails { zone fails 64k; server %{dead1} fail_timeout=1h; server %{echo}; }
    server { listen %{goes};   proxy_pass goes; }
    server { listen %{memory}; proxy_pass fails; }
}
CONF
$w->backend('named13b', serve => 'greet', greet => "13b\n", at => '127.0.0.13:%{other.port}');
$w->reload($again);
is $w->ask('goes'), '13b', 'the address known before serves, with the new port';
ok echoes('memory'), 'a dead server' for 1 .. 2;
my $failed = () = $w->error_log =~ /connect\(\) failed.*"\Q$dead1\E"/g;
$w->reload($again);
ok echoes('memory'), 'after a reload' for 1 .. 2;
is scalar(() = $w->error_log =~ /connect\(\) failed.*"\Q$dead1\E"/g), $failed,
    'it is not tried again';
is $w->ask('goes'), '13b', 'and the address that was known still serves';

$w->finish;
done_testing;
