#!/usr/bin/perl
# chaos: yes

# slow_start: a server that comes back gets its share little by little, at both layers; not at the
# start of weir, not the only server, not with random.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;

$w->backend($_, greet => "$_\n") for 'a', 'b';
$w->backend("w$_", serve => Weir::HttpServer::serve(Weir::HttpServer::reply(200, $_)))
    for 'a', 'b';
my $conf = <<'CONF';
worker_processes 2;
stream {
    upstream back  { server %{a}; server %{b} slow_start=1h DOWN; }
    upstream least { least_conn; server %{a}; server %{b} slow_start=1h DOWN; }
    upstream soon  { server %{a}; server %{b} slow_start=2s DOWN; }
    upstream alone { server %{a} slow_start=1h DOWN; }
    upstream fails { server %{a}; server %{gone} slow_start=1h fail_timeout=1s; }
    server { listen %{back};  proxy_pass back; }
    server { listen %{least}; proxy_pass least; }
    server { listen %{soon};  proxy_pass soon; }
    server { listen %{alone}; proxy_pass alone; }
    server { listen %{fails}; proxy_pass fails; }
}
http {
    access_log off;
    upstream back  { server %{wa}; server %{wb} slow_start=1h DOWN; }
    upstream timed { least_time header; server %{wa}; server %{wb} slow_start=1h DOWN; }
    server {
        listen %{web};
        location /back { proxy_pass http://back; }
        location /timed { proxy_pass http://timed; }
    }
}
CONF
$w->backend('gone', greet => "gone\n");
$w->start($conf =~ s/ DOWN//gr);

sub one {
    my ($where) = @_;
    return Weir::Http::ask($w, 'web', "GET $where")->{body} if $where =~ m{/};
    my $c = $w->connect($where);
    my $line = $c->line // '-';
    $c->close;
    return $line;
}

sub count {
    my ($where, $n) = @_;
    my %seen;
    $seen{ one($where) }++ for 1 .. $n;
    return \%seen;
}

is_deeply count($_, 20), { a => 10, b => 10 }, "$_: all have their weight when weir starts"
    for 'back', '/back';
is_deeply count('fails', 10), { a => 5, gone => 5 }, 'fails: all have their weight';

# Taken away, and given back: a hundredth of the turns at first.

$w->conf($conf =~ s/ DOWN/ down/gr =~ s/(alone.*) down/$1/r);
$w->reload;
is_deeply count($_, 10), { a => 10 }, "$_: it is down"
    for 'back', 'least', 'soon', '/back', '/timed';
$w->conf($conf =~ s/ DOWN//gr);
$w->reload;
for my $where ('back', 'least', '/back', '/timed') {
    cmp_ok count($where, 40)->{a} // 0, '>=', 37, "$where: it comes back slowly";
}
becomes { (count('soon', 10)->{b} // 0) == 5 } 'soon: after the time it has its share';
is_deeply count('alone', 4), { a => 4 }, 'alone: the only server serves';

# A server that died.

$w->{backend}{gone}->kill;
is_deeply count('fails', 6), { a => 6 }, 'fails: one died';
$w->{backend}{gone}->start;
my %seen;
becomes { $seen{ one('fails') }++; $seen{gone} } 'fails: it lives again, and is found';
cmp_ok count('fails', 40)->{a} // 0, '>=', 37, 'fails: it comes back slowly';

# While all others are gone it serves all.

$w->{backend}{a}->kill;
is_deeply count('fails', 6), { gone => 6 }, 'a server that is not warm serves if it must';
$w->{backend}{a}->start;

for my $balancer ('random', 'random two', 'ip_hash', 'hash $remote_addr consistent') {
    $w->conf("events {} http { upstream u { $balancer; server 127.0.0.1:1 slow_start=5s;"
        . ' server 127.0.0.1:2; } }');
    my ($code, undef, $err) = $w->command('-t');
    is $code, 0, "$balancer: slow_start is allowed";
    my ($name) = $balancer =~ /^(\w+)/;
    like $err, qr/"slow_start" has no effect with "$name"/, 'with a warning';
}
$w->conf('events {} http { upstream u { server 127.0.0.1:1 slow_start=x; } }');
like +($w->command('-t'))[2], qr/invalid parameter "slow_start=x"/, 'slow_start=x';
$w->expect(qr{\[emerg\] .* in \S+weir.conf:1});
$w->finish;
done_testing;
