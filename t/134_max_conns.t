#!/usr/bin/perl
# chaos: yes

# max_conns, counted at the servers and over two workers: upgraded connections count for their life;
# a try that failed counts no longer, whatever ended it; connections that are parked do not count.
# Never more at a time than it says, and in the end as many as at first.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep);
use Weir;
use Weir::Http;
use Weir::Process qw(spawn end_process);

my $w = Weir->new;
my %t = map { $_ => $w->turnstile($_, http => 1) } qw(tunnel spare one two park slow);

$w->start(<<'CONF');
worker_processes 2;
http {
    log_format main '$uri $status $upstream_status';
    access_log %{dir}/access.log main;
    upstream tunnels { zone t 64k; server %{tunnel} max_conns=2; server %{spare} max_conns=1 backup; }
    upstream waits   { zone w 64k; server %{tunnel} max_conns=2; queue 4 timeout=50s; }
    upstream tries   { zone r 64k; server %{one} max_conns=3 max_fails=0;
                       server %{two} max_conns=3 max_fails=0; keepalive 8; }
    upstream queued  { zone q 64k; server %{one} max_conns=3 max_fails=0;
                       server %{two} max_conns=3 max_fails=0; keepalive 8; queue 50 timeout=50s; }
    upstream park    { zone p 64k; server %{park} max_conns=1; keepalive 8; }
    upstream slow    { zone s 64k; server %{slow} max_conns=2 max_fails=0; server %{spare} backup; }
    server {
        listen %{web};
        proxy_http_version 1.1;
        proxy_set_header Connection "";
        location ~ ^/(tunnels|waits)/ {
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_pass http://$1;
        }
        location /tries/  { proxy_pass http://tries;  proxy_next_upstream error http_503; }
        location /queued/ { proxy_pass http://queued; proxy_next_upstream error http_503; }
        location /park/   { proxy_pass http://park; }
        location /slow/   { proxy_pass http://slow; proxy_read_timeout 3s;
                            proxy_next_upstream timeout; }
    }
}
CONF

sub upgrade {
    my ($group) = @_;
    my $c = $w->connect('web');
    $c->send(Weir::Http::request("GET /$group/upgrade", Upgrade => 'x', Connection => 'upgrade'));
    return $c;
}

# Sends requests until there is one connection to each worker.
sub both_workers {
    my (%seen, @c);
    while (@c < 60 && keys %seen < 2) {
        my $c = $w->connect('web');
        $c->send(Weir::Http::request('GET /park/'));
        Weir::Http::reply($c);
        my $port = $c->socket->sockport;
        $seen{$1}++ if $w->error_log =~ /(\d+)#\d+: \*\d+ client 127\.0\.0\.1:$port connected/;
        push @c, $c;
    }
    return @c;
}

# ---- upgraded connections

my @tunnels = map { upgrade('tunnels') } 1 .. 3;
is join(' ', map { Weir::Http::reply($_)->{status} } @tunnels), '101 101 101', 'three tunnels';
becomes { $t{tunnel}->now == 2 && $t{spare}->now == 1 } 'two of them have the server, one the backup';
ok $_->echoes("hello\n"), 'a tunnel works' for @tunnels;
is Weir::Http::ask($w, 'web', 'GET /tunnels/')->{status}, 502, 'a request finds no server';
$_->close for @tunnels;
becomes { !$t{tunnel}->now && !$t{spare}->now } 'they end';
is Weir::Http::ask($w, 'web', 'GET /tunnels/')->{body}, "tunnel\n", 'the server has room';

@tunnels = map { upgrade('waits') } 1 .. 2;
is join(' ', map { Weir::Http::reply($_)->{status} } @tunnels), '101 101', 'two tunnels';
my $third = upgrade('waits');
becomes { $w->error_log =~ /waits for a server in the queue/ } 'the third waits';
$tunnels[0]->fin;
is(Weir::Http::reply($third)->{status}, 101, 'until one ends');
ok $third->echoes("hello\n"), 'it works';
$_->close for @tunnels, $third;
is $t{tunnel}->peak, 2, 'never more than two at a time';
becomes { !$t{tunnel}->now } 'all have ended';

# ---- tries that fail, under load

sub many {
    my ($group, $path, $n) = @_;
    my @pids = map { spawn(sub {
        srand $$;
        for (1 .. $n) {
            if (rand() < 0.2) { # a client that leaves
                my $c = $w->connect('web') or next;
                $c->send(Weir::Http::request("GET /$group/$path"));
                sleep rand 0.02;
                $c->close;
            } else {
                Weir::Http::ask($w, 'web', "GET /$group/$path");
            }
        }
        POSIX::_exit(0);
    }) } 1 .. 10;
    my $done = wait_for { !grep { alive($_) } @pids } 60;
    end_process($_) for $done ? () : @pids;
    return $done;
}

sub keep {
    my ($group) = @_;
    my $c = $w->connect('web');
    $c->send(Weir::Http::request("GET /$group/keep"));
    return $c;
}

# Each server has room for as many as it says, and no more.
sub exactly {
    my ($group, $n, @servers) = @_;
    my @c = map { keep($group) } 1 .. $n * @servers;
    my $full = wait_for { !grep { $t{$_}->now != $n } @servers };
    my $status = $full && $group eq 'tries' ? Weir::Http::ask($w, 'web', "GET /$group/")->{status} : 502;
    $_->close for @c;
    wait_for { !grep { $t{$_}->now } @servers };
    return $full && $status == 502;
}

for my $group ('tries', 'queued') {
    ok many($group, $_, 20), "$group: many requests of /$_" for 'fail', 'ok';
    is $t{$_}->peak, 3, "$group: never more than three at a time" for 'one', 'two';
    becomes { !$t{one}->now && !$t{two}->now } 'all have ended';
    ok exactly($group, 3, 'one', 'two'), "$group: exactly as many as at first";
}
my $log = sub { slurp($w->path('access.log')) };
becomes { $log->() =~ m{^/tries/fail 503 503, 503$}m } 'requests were tried twice';
becomes { $log->() =~ m{^/tries/fail 503 503$}m } 'or once, when the other server was full';
ok $log->() !~ m{^/queued/\w+ 502}m, 'with a queue none fails for lack of room';

my $asked = $t{slow}->total;
my @late = map { keep('slow') } 1, 2;
becomes { $t{slow}->total == $asked + 2 } 'a server that is slow has two requests';
is Weir::Http::ask($w, 'web', 'GET /slow/')->{body}, "spare\n", 'it is full';
becomes { !$t{slow}->now } 'a timeout ends both tries';
is Weir::Http::ask($w, 'web', 'GET /slow/')->{body}, "slow\n", 'it has room';
$_->close for @late;

# ---- parked connections

my @c = both_workers();
cmp_ok scalar(@c), '>=', 2, 'both workers have parked a connection';
# A worker gives the place back a moment after its client has the reply.
my @refused = grep {
    my $c = $_;
    !wait_for { $c->send(Weir::Http::request('GET /park/')); Weir::Http::reply($c)->{status} == 200 };
} @c;
is scalar @refused, 0, 'which do not count';
is $t{park}->peak, 1, 'one request at a time';
my $tunnel = $w->connect('web');
$tunnel->send(Weir::Http::request('GET /park/upgrade', Upgrade => 'x', Connection => 'upgrade'));
becomes { $t{park}->now == 1 } 'the server is busy';
is Weir::Http::ask($w, 'web', 'GET /park/')->{status}, 502, 'a parked connection is no way round it';
$_->close for @c, $tunnel;
$w->finish;
done_testing;
