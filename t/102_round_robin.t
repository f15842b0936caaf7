#!/usr/bin/perl
# chaos: yes

# Choosing a server in turn: nginx's smooth weighted sequence, servers that are down or only
# backups, servers that fail (max_fails, fail_timeout) and come back, servers that are full
# (max_conns), counts that all workers share, and the servers that the logs name for a session.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;

$w->greeter('a', 'b', 'c');
$w->greeter('unix:d');
$w->backend($_, greet => "$_\n") for 'full', 'spare';
$w->start(<<'CONF');
worker_processes 1;
stream {
    log_format tried '$upstream_addr $upstream_bytes_sent $upstream_connect_time $status';
    access_log %{dir}/tried.log tried if=$logged;
    map $server_port $logged { %{alldown.port} 1; %{dead.port} 1; %{first.port} 1; default 0; }

    upstream equal    { server %{a}; server %{b}; server %{c}; }
    upstream weighted { server %{a} weight=5; server %{b}; server %{c}; }
    upstream mixed    { server %{a} weight=2; server %{b} weight=3; server %{c} weight=1; }
    upstream unix     { server %{unix:d}; server %{a}; }
    upstream down     { server %{a} down; server %{b}; server %{c} down; }
    upstream alldown  { server %{a} down; server %{b} down; }
    upstream backup   { server %{nobody} max_fails=0; server %{b} backup; server %{c} backup; }
    upstream standby  { server %{a}; server %{b} backup; }
    upstream dead     { server %{nobody}; server %{nobody2}; }
    upstream first    { server %{nobody6}; server %{nobody7} backup; }

    upstream twice    { server %{nobody3} max_fails=2 fail_timeout=1h; server %{b}; }
    upstream always   { server %{nobody4} max_fails=0; server %{b}; }
    upstream returns  { server %{gone} fail_timeout=2s; server %{b}; }

    upstream limited  { server %{full} max_conns=2; server %{spare} backup; }
    upstream full     { server %{full} max_conns=1; }

    server { listen %{equal};    proxy_pass equal; }
    server { listen %{weighted}; proxy_pass weighted; }
    server { listen %{mixed};    proxy_pass mixed; }
    server { listen %{unix};     proxy_pass unix; }
    server { listen %{down};     proxy_pass down; }
    server { listen %{alldown};  proxy_pass alldown; }
    server { listen %{backup};   proxy_pass backup; }
    server { listen %{standby};  proxy_pass standby; }
    server { listen %{dead};     proxy_pass dead; }
    server { listen %{first};    proxy_pass first; proxy_next_upstream_tries 1; }
    server { listen %{twice};    proxy_pass twice; }
    server { listen %{always};   proxy_pass always; }
    server { listen %{returns};  proxy_pass returns; }
    server { listen %{limited};  proxy_pass limited; }
    server { listen %{fullup};   proxy_pass full; }
}
CONF

# The names of the servers that $n sessions got to, as one word.
sub sequence {
    my ($where, $n) = @_;
    return join ' ', map { $w->ask($where) || '-' } 1 .. $n;
}

# The number of tries at that server that have failed so far, from the error log.
sub failed_tries {
    my ($name) = @_;
    my $address = $w->address($name);
    return () = $w->error_log =~ /connect\(\) failed.*"?\Q$address\E"/g;
}

is sequence('equal', 7),     'a b c a b c a',             'equal weights: in turn';
is sequence('weighted', 14), 'a a b a c a a a a b a c a a', 'weights 5 1 1: smooth';
is sequence('mixed', 12),    'b a b c a b b a b c a b',   'weights 2 3 1: smooth';
is sequence('unix', 4),      'unix:d a unix:d a',         'a unix socket in a group';
is sequence('down', 4),      'b b b b',                   'servers that are down are left out';
is sequence('alldown', 2),   '- -',                       'all down: the session ends';
is sequence('backup', 4),    'b c b c',                   'backups in turn while no other lives';
is sequence('standby', 3),   'a a a',                     'a backup waits while another lives';

# A dead server costs no session; how often it is tried depends on max_fails.

is sequence('twice', 8), 'b b b b b b b b', 'a dead server costs no session';
is failed_tries('nobody3'), 2, 'max_fails=2: it was tried twice';
is sequence('always', 6), 'b b b b b b', 'max_fails=0: no session lost either';
cmp_ok failed_tries('nobody4'), '>=', 3, 'max_fails=0: it is tried again and again';

is sequence('dead', 2), '- -', 'all dead: the session ends';
becomes { $w->error_log =~ /no live upstreams/ } 'the log says that none lives';
is sequence('first', 3), '- - -',
    'proxy_next_upstream_tries 1: one server is tried for each session';

# As in nginx, $upstream_addr is the group when no server can be chosen.
my %a = map { $_ => $w->address($_) } map { "nobody$_" } '', 2, 6, 7;
my @tried; # the worker writes the line before it sleeps, maybe after the session's end
becomes { (@tried = split /\n/, slurp($w->path('tried.log'))) >= 7 } 'a line for each session';
is_deeply [@tried[0, 1]], [('alldown 0 - 502') x 2], 'all down: $upstream_addr is the group';
like $tried[2], qr/^(?:$a{nobody}, $a{nobody2}|$a{nobody2}, $a{nobody}) 0, 0 -, - 502$/,
    'all dead: both servers that were tried, and not the group';
is $tried[3], 'dead 0 - 502', 'both disabled for a while: the group';
is_deeply [@tried[4 .. 6]], ["$a{nobody6} 0 - 502", "$a{nobody7} 0 - 502", 'first 0 - 502'],
    'one try for each session: one server each, then the group';
like $w->error_log, qr/ 2 servers, 2 failed: no live upstreams while connecting .*, upstream: "dead"/,
    'the error log names the group, too, and the reasons';
like $w->error_log, qr/ 2 servers, 2 down: no live upstreams while connecting .*, upstream: "alldown"/,
    'here, too';

is sequence('returns', 4), 'b b b b', 'while it is dead the other serves';
$w->backend('gone', greet => "gone\n");
my $stays;
becomes { $stays = $w->connect('returns'); ($stays->line // '') eq 'gone' }
    'after fail_timeout it is tried again';
my $turns = join ' ', map { my $c = $w->connect('returns'); my $l = $c->line; $c->close; $l } 1 .. 4;
like $turns, qr/^(?:gone b gone b|b gone b gone)$/,
    'and takes its turns again, before that session has ended';
$stays->close;

# max_conns counts open sessions.

my @held = map { $w->connect('limited') } 1 .. 3;
is join(' ', map { $_->line } @held), 'full full spare', 'max_conns=2: the third goes elsewhere';
$held[0]->close;
becomes { my $c = $w->connect('limited'); my $who = $c->line; $c->close; $who eq 'full' }
    'a session that ended makes room';
$_->close for @held;

my $only = $w->connect('fullup');
is $only->line, 'full', 'one session is allowed';
is $w->ask('fullup'), '', 'max_conns=1: no second one';
becomes { $w->error_log =~ / 1 server, 1 at max_conns: no live upstreams while/ } 'the log says why';
$only->close;
becomes {
    my $c = $w->connect('fullup');
    my $who = $c->line // '';
    $c->close;
    $who eq 'full'
} 'and again after it ended';

# The turn is shared by the workers.

$w->reload(<<'CONF');
worker_processes 3;
stream {
    log_format place '$pid';
    upstream u { server %{a}; server %{b} weight=2; server %{c}; }
    server { listen %{places}; proxy_pass u; access_log %{dir}/places.log place; }
}
CONF
my @order;
my %workers;
becomes {
    push @order, $w->ask('places') for 1 .. 12;
    $workers{$_} = 1 for split /\n/, slurp($w->path('places.log'));
    3 == keys %workers;
} 'three workers serve';
is "@order", join(' ', ('b', 'a', 'c', 'b') x (@order / 4)), 'in one order over all of them';

# The counts are shared by the workers.

$w->reload(<<'CONF');
worker_processes 4;
stream {
    upstream limited { zone limited 64k; server %{full} max_conns=3; server %{spare} backup; }
    upstream failing { zone failing 64k; server %{nobody5} fail_timeout=1h; server %{b}; }
    server { listen %{limited}; proxy_pass limited; }
    server { listen %{failing}; proxy_pass failing; }
}
CONF
is scalar(my @workers = $w->workers), 4, 'four workers';
@held = map { $w->connect('limited') } 1 .. 12;
is scalar(grep { $_->line eq 'full' } @held), 3, 'max_conns=3 is one limit for all workers';
$_->close for @held;

is sequence('failing', 24), join(' ', ('b') x 24), 'four workers: a dead server costs no session';
cmp_ok failed_tries('nobody5'), '<=', 4, 'and all know that it failed';

$w->finish;
done_testing;
