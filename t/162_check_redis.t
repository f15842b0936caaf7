#!/usr/bin/perl
# chaos: yes

# health_check type=redis with a real master and its replica: passwords, roles, a server that loads
# its data, one that has lost its master; the sessions of a group follow the role when the master
# ends and the replica takes over.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Database;
use Weir::Tls;

Weir::Database->needs('redis');
Weir::Tls::needs();

my $w = Weir->new;
my $one = Weir::Database->redis($w, 'one', options => [qw(--masterauth secret)]);
my $six = Weir::Ports::has_ipv6() ? '::1' : '127.0.0.2';
my $two = Weir::Database->redis($w, 'two', options => ['--replicaof', '127.0.0.1 ' . $one->port]);
my $locked = Weir::Database->redis($w, 'locked', options => [qw(--requirepass secret)]);
my $users = Weir::Database->redis($w, 'users',
    conf => "user weir on >secret +ping +role\nuser default off\n");
my $stale = Weir::Database->redis($w, 'stale', options => ['--replica-serve-stale-data', 'no',
    '--replicaof', '127.0.0.1 ' . $w->port('nobody')]);

my $other = Weir::Database->new($w, 'redis', 'other', options => ['--bind', "127.0.0.1 $six"]);
my $socket = "$other->{dir}/socket";
$other->put('conf', "unixsocket $socket\nunixsocketperm 777\n");
chmod 0755, $other->{dir};
$other->start;
my @elsewhere = ($six =~ /:/ ? "[$six]:" . $other->port : "$six:" . $other->port, "unix:$socket");

Weir::Tls::certificate($w, 'db', cn => 'db');
my $tls = Weir::Database->new($w, 'redis', 'tls', options => [qw(--port 0 --tls-auth-clients no),
    '--tls-port', $w->port('tls')]);
$tls->put("server.$_", slurp($w->path("db.$_"))) for qw(crt key);
$tls->put('conf', "tls-cert-file $tls->{dir}/server.crt\ntls-key-file $tls->{dir}/server.key\n");
$tls->start;

becomes { $two->redis_cli('INFO', 'replication') =~ /master_link_status:up/ } 'the replica follows';

$w->write('secret', "secret\r\n");
$w->write('wrong', "wrong\n");
chmod 0600, map { $w->path($_) } 'secret', 'wrong';
$w->start(<<"CONF");
stream {
    upstream tls     { zone tls 64k;     server %{tls}; }
    upstream clear   { zone clear 64k;   server %{tls}; }
    server { listen %{t}; proxy_pass tls; proxy_ssl on;
             health_check type=redis role=replica interval=100ms; }
    server { listen %{c}; proxy_pass clear; health_check type=redis interval=100ms; }
    upstream elsewhere { zone e 64k; server $elsewhere[0]; server $elsewhere[1]; }
    server { listen %{e}; proxy_pass elsewhere;
             health_check type=redis role=replica interval=100ms; }
    upstream rw      { zone rw 64k;      server %{one}; server %{two}; }
    upstream ro      { zone ro 64k;      server %{one}; server %{two}; }
    upstream any     { zone any 64k;     server %{one}; server %{two}; server %{locked};
                                         server %{stale}; }
    upstream locked  { zone locked 64k;  server %{locked}; }
    upstream wrong   { zone wrong 64k;   server %{locked}; }
    upstream users   { zone users 64k;   server %{users}; }
    server { listen %{rw}; proxy_pass rw; health_check type=redis role=master interval=100ms; }
    server { listen %{ro}; proxy_pass ro; health_check type=redis role=replica interval=100ms; }
    server { listen %{any}; proxy_pass any; health_check type=redis interval=100ms; }
    server { listen %{l}; proxy_pass locked;
             health_check type=redis password_file=%{dir}/secret interval=100ms; }
    server { listen %{g}; proxy_pass wrong;
             health_check type=redis password_file=%{dir}/wrong interval=100ms; }
    server { listen %{u}; proxy_pass users;
             health_check type=redis user=weir password_file=secret role=master interval=100ms; }
}
CONF

# The port of the server that a session through weir gets; '' if it gets none.
sub server_of {
    my ($name) = @_;
    my (undef, $out) = $one->run('redis-cli', '-p', $w->port($name), 'CONFIG', 'GET', 'port');
    return $out =~ /^port\n(\d+)/ ? $1 : '';
}

sub changed {
    my ($group, $db, $what) = @_;
    return Weir::Database::changed($w, $group, $db->port, $what);
}

# ---- roles and passwords

becomes { changed('rw', $two, qr/is down: role is replica, master wanted/) } 'no master';
becomes { changed('ro', $one, qr/is down: role is master, replica wanted/) } 'no replica';
becomes { Weir::Database::changed($w, 'elsewhere', $_, qr/is down: role is master/) } "at $_"
    for @elsewhere;
is_deeply [map { server_of('rw') } 1 .. 4], [($one->port) x 4], 'who writes gets the master';
is_deeply [map { server_of('ro') } 1 .. 4], [($two->port) x 4], 'who reads gets the replica';
becomes { changed('any', $locked, qr/is down: NOAUTH Authentication required/) } 'no password';
becomes { changed('any', $stale, qr/is down: MASTERDOWN Link with MASTER is down/) } 'no master';
becomes { changed('wrong', $locked, qr/is down: WRONGPASS invalid username-password pair/) }
    'a wrong password';
becomes { changed('tls', $tls, qr/is down: role is master, replica wanted/) } 'over TLS';
becomes { changed('clear', $tls, qr/is down: /) } 'not without TLS';
ok !changed('any', $_, qr/is down/), "a server of either role is up" for $one, $two;
ok !changed('locked', $locked, qr/is down/), 'a password';
ok !changed('users', $users, qr/is down/), 'a user and its password';

# ---- a reload reads passwords anew, and changes nothing if it cannot

$w->write('wrong', "secret\n");
is +($w->reload)[0], 0, 'reload';
becomes { changed('wrong', $locked, qr/is up: PONG/) } 'with the right password it is up';
rename $w->path('secret'), $w->path('secret.gone');
my ($code, undef, $err) = $w->reload;
isnt $code, 0, 'no reload without the file';
like $err, qr/cannot read ".*\/secret"/, 'which is named';
ok !changed('locked', $locked, qr/is down/), 'all goes on with the old password';
rename $w->path('secret.gone'), $w->path('secret');
$w->expect(qr/\[emerg\] .*cannot read ".*\/secret"/);

# ---- the master ends, the replica takes over

$one->stop;
becomes { changed('rw', $one, qr/is down/) } 'the master is down';
is server_of('rw'), '', 'nobody can write';
$two->redis_cli(qw(REPLICAOF NO ONE));
becomes { changed('rw', $two, qr/is up/) } 'the new master is up';
is_deeply [map { server_of('rw') } 1 .. 4], [($two->port) x 4], 'who writes gets it';

# ---- a server that loads its data

$two->redis_cli('EVAL', "for i = 1, 20000 do redis.call('SET', i, i) end return 1", 0);
like $two->redis_cli('SAVE'), qr/OK/, 'saved';
$two->stop('KILL');
my $late = Weir->new; # which has not seen it refuse connections
$two->start(starting => 1, words => [qw(--replicaof no one --key-load-delay 10000
    --loading-process-events-interval-bytes 1024)]);
becomes { $two->connects } 'it takes connections';
$late->start('stream { upstream loads { zone loads 64k; server 127.0.0.1:' . $two->port . '; }
    server { listen %{s}; proxy_pass loads; health_check type=redis interval=100ms; } }');
becomes { Weir::Database::changed($late, 'loads', $two->port,
    qr/is down: LOADING Redis is loading the dataset in memory$/) }
    'a server that loads its data is down';
$two->redis_cli(qw(CONFIG SET key-load-delay 0));
becomes { Weir::Database::changed($late, 'loads', $two->port, qr/is up/) }
    'it is up when it has its data';
$late->finish;

$w->finish;
done_testing;
