#!/usr/bin/perl

# Listening: unix sockets (also one left by a killed run), IPv6, port ranges, a wildcard beside
# an address of its own, every parameter of listen that concerns TCP, and addresses that are not
# available: taken by another program, taken by another weir (which must not lose a connection to
# the second one), or forbidden.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::IP;
use Socket qw(SOL_SOCKET SO_REUSEPORT);
use Test::More;
use Weir;

my $w = Weir->new;
my $V6 = Weir::Ports::has_ipv6();
my $range = $w->port('range', 3);
my $last = $range + 2;

$w->echo('echo', 'unix:local');
$w->backend('banner', greet => "ready\n");

my $conf = <<"CONF" . <<'CONF' . ($V6 ? <<'CONF' : '') . "}\n";
worker_processes 2;
stream {
    server { listen 127.0.0.1:$range-$last; return "range \$server_port"; }
CONF
    server { listen %{unix:sock}; return "unix $server_addr $remote_addr"; }
    server { listen %{viaunix}; proxy_pass %{unix:local}; }

    server { listen %{any.port}; return "any $server_addr"; }
    server { listen %{any}; return "own $server_addr"; }
    server { listen *:%{star.port}; return star; }
    server { listen localhost:%{name.port}; return name; }
    server { listen %{both1}; listen %{both2}; return both; }

    server { listen %{backlog} backlog=7; return ok; }
    server { listen %{rcvbuf} rcvbuf=48k; proxy_pass %{echo}; }
    server { listen %{sndbuf} sndbuf=40k; proxy_pass %{echo}; }
    server { listen %{alive} so_keepalive=on; proxy_pass %{echo}; }
    server { listen %{dead} so_keepalive=off; proxy_pass %{echo}; }
    server { listen %{idle} so_keepalive=30m::10; proxy_pass %{echo}; }
    server { listen %{bind} bind; return ok; }
    server { listen %{reuse} reuseport; return ok; }
    server { listen %{fast} fastopen=16; return ok; }
    server { listen %{late} deferred; proxy_pass %{banner}; }
    server { listen %{default} default_server; return ok; }
CONF
    server { listen [::1]:%{six.port}; return "six $server_addr"; }
    server { listen [::]:%{dual.port} ipv6only=off; return "dual"; }
    server { listen [::]:%{only.port} ipv6only=on; return "only"; }
    server { listen 127.0.0.1:%{only.port}; return "four"; }
CONF
$w->start($conf);

# Addresses.

is $w->ask("127.0.0.1:$_"), "range $_", "a port of a range: " . ($_ - $range) for $range .. $last;
is $w->ask('unix:sock'), 'unix ' . $w->address('unix:sock') . ' unix:', 'a unix socket';
ok -S $w->path('sock.sock') && ((stat _)[2] & 0777) == 0666, 'that anybody may connect to';
ok $w->connect('viaunix')->echoes('hello'), 'a unix socket as server';
is $w->ask('any'), 'own 127.0.0.1', 'an address of its own beside a wildcard';
is $w->ask('127.0.0.2:%{any.port}'), 'any 127.0.0.2', 'the wildcard takes the others';
is $w->ask('127.0.0.3:%{star.port}'), 'star', 'listen *:PORT';
is $w->ask('name'), 'name', 'listen NAME:PORT';
is $w->ask($_), 'both', 'one server, two addresses' for 'both1', 'both2';
is $w->ask($_), 'ok', "listen with $_" for qw(backlog bind reuse fast default);

SKIP: {
    skip 'no IPv6', 5 if !$V6;
    is $w->ask('[::1]:%{six.port}'), 'six ::1', 'IPv6';
    is $w->ask('[::1]:%{dual.port}'), 'dual', 'ipv6only=off takes IPv6';
    is $w->ask('127.0.0.1:%{dual.port}'), 'dual', 'and IPv4';
    is $w->ask('[::1]:%{only.port}'), 'only', 'ipv6only=on takes IPv6';
    is $w->ask('127.0.0.1:%{only.port}'), 'four', 'and leaves IPv4 to another';
}

# The effect of the parameters, as ss shows it.

# The line of ss about weir's socket at the port of that name; -l: the listening one.
sub ss {
    my ($words, $name) = @_;
    my $port = $w->port($name);
    my ($line) = qx(ss -H -n -t $words sport = :$port) =~ /^(.*(?:\n\s.*)*)/m;
    return $line // '';
}

SKIP: {
    skip 'no ss', 4 if qx(ss -V 2>&1) !~ /iproute/;
    like ss('-l', 'backlog'), qr/^LISTEN\s+\d+\s+7\s/, 'backlog';
    my %c = map { $_ => $w->connect($_) } qw(rcvbuf sndbuf alive dead idle);
    $_->echoes('x') for values %c;
    like ss('-m', 'rcvbuf'), qr/skmem:\(.*\brb98304\b/, 'rcvbuf (the kernel doubles it)';
    like ss('-m', 'sndbuf'), qr/skmem:\(.*\btb81920\b/, 'sndbuf';
    like ss('-o', 'alive'), qr/timer:\(keepalive,/, 'so_keepalive=on';
    unlike ss('-o', 'dead'), qr/timer:\(keepalive,/, 'so_keepalive=off';
    like ss('-o', 'idle'), qr/timer:\(keepalive,(?:29|30)min/, 'so_keepalive=30m::10';
    $_->close for values %c;
}

my $c = $w->connect('late');
is $w->{backend}{banner}->sessions, 0, 'deferred: nothing happens before the client speaks';
$c->send('now');
is $c->line, 'ready', 'then the server is reached';
$c->close;

# A second weir, or another program that would share the port, gets no connections of the first.

my $second = Weir->new;
my $web = $w->address('reuse');
my ($code, $err) = $second->start(<<"CONF", fails => 1);
stream { server { listen $web; return stolen; } }
CONF
isnt $code, 0, 'a second weir on the same address does not start';
like $err, qr/bind\(\) to \Q$web\E failed \(98: Address already in use\)/, 'and names the address';
is join(' ', map { $w->ask('reuse') } 1 .. 20), join(' ', ('ok') x 20), 'the first lost nothing';

my $sock = $w->address('unix:sock');
($code, $err) = $second->start(<<"CONF", fails => 1);
stream { server { listen $sock; return stolen; } }
CONF
isnt $code, 0, 'nor does one on the same unix socket';
like $err, qr/bind\(\) to \Q$sock\E failed \(98: Address already in use\)/, 'and names it';
like $w->ask('unix:sock'), qr/^unix /, 'the first still has it';

my $stranger = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $second->port('taken'),
    Listen => 5, ReuseAddr => 1, ReusePort => 1);
($code, $err) = $second->start(<<'CONF', fails => 1);
stream { server { listen %{taken} reuseport; return shared; } }
CONF
isnt $code, 0, 'a port that another program would share is not shared';
like $err, qr/bind\(\) to \Q@{[ $second->address('taken') ]}\E failed/, 'the address is named';
close $stranger;
$second->expect(qr/\[emerg\].*bind\(\)|still could not bind|is in use by /);
$second->finish;

# A unix socket that a killed run left is no obstacle.

my @everybody = ($w->master, Weir::Process::children($w->master));
kill 'KILL', @everybody;
becomes { !grep { alive($_) } @everybody } 'all of weir is killed';
ok -S $w->path('sock.sock'), 'its unix socket is still there';
unlink $w->path('weir.pid');
$w->has_ended;
$w->start;
like $w->ask('unix:sock'), qr/^unix /, 'the next run takes its place';
$w->finish;

# Ports below 1024 are not for everybody.

SKIP: {
    my ($least) = slurp('/proc/sys/net/ipv4/ip_unprivileged_port_start') =~ /(\d+)/;
    skip 'port 81 is free for all', 3 if ($least // 1024) <= 81;
    my $plain = Weir->new;
    $plain->conf('stream { server { listen 127.0.0.1:81; return x; } }');
    $plain->give_away('nobody') if is_root;
    ($code, $err) = $plain->start(undef, fails => 1,
        before => sub { Weir::become('nobody') if is_root });
    isnt $code, 0, 'an ordinary user may not have port 81';
    like $err, qr/bind\(\) to 127\.0\.0\.1:81 failed \(13: Permission denied\)/, 'the reason';
    like $err, qr/$_/i, "a remedy: $_" for qr/setcap|CAP_NET_BIND_SERVICE/,
        qr/ip_unprivileged_port_start/;
    $plain->expect(qr/\[emerg\].*(?:bind\(\)|ports below 1024)/);
    $plain->finish;
}

done_testing;
