#!/usr/bin/perl
# chaos: yes

# The part of hash that is weir's own: the keys that move when a server goes, comes or is down
# (consistent, maglev), even shares, bounded loads (balance_factor), servers that are named again by
# a reload under load, and what is wrong in a configuration.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;

my $w = Weir->new;
my $KEYS = 2000;
my @methods = ('hash $arg_k', 'hash $arg_k consistent', 'hash $arg_k maglev');

$w->greeter('a', 'b', 'c', 'd');
$w->backend("hold$_", greet => "hold$_\n") for 1 .. 4;

# Groups of servers that do not exist: the reply names the one that was tried.
sub conf {
    my ($workers, @servers) = @_;
    my ($groups, $places) = ('', '');

    for my $i (0 .. $#methods) {
        $groups .= "upstream m$i { $methods[$i]; @servers }\n";
        $places .= "location /m$i { proxy_pass http://m$i; }\n";
    }
    return <<"CONF";
worker_processes $workers;
error_log %{dir}/error.log crit;
stream {
    upstream bounded { hash \$server_port consistent balance_factor=1.25; %HOLD% }
    upstream bounded_maglev { hash \$server_port maglev balance_factor=1.5; %HOLD% }
    upstream free { hash \$server_port consistent; %HOLD% }
    upstream backup { server %{nobody}; server %{nobody2}; server %{a} backup; hash \$server_port; }
    upstream client { ip_hash; server %{a}; server %{b}; server %{c}; server %{d}; }
    server { listen %{bounded}; proxy_pass bounded; }
    server { listen %{bounded_maglev}; proxy_pass bounded_maglev; }
    server { listen %{free}; proxy_pass free; }
    server { listen %{backup}; proxy_pass backup; }
    server { listen 127.0.0.1:%{client.port}; proxy_pass client; }
}
http {
    access_log off;
    keepalive_requests 1000000;
    proxy_next_upstream off;
    $groups
    server {
        listen %{web};
        error_page 502 = \@tried;
        location \@tried { return 200 "<\$upstream_addr>\\n"; }
        $places
    }
}
CONF
}

sub with_holds { return $_[0] =~ s/%HOLD%/join ' ', map { "server %{hold$_};" } 1 .. 4/ger }

# The places of the keys: the address of each.
sub places {
    my ($group) = @_;
    my $c = $w->connect('web') or return;
    my @all;

    for (my $at = 0; $at < $KEYS; $at += 200) {
        $c->send(join '', map { "GET /$group?k=key$_ HTTP/1.1\r\nHost: a\r\n\r\n" }
            $at .. $at + 199);
        while (@all < $at + 200) {
            $c->fill(time + Weir::Process::patience()) or return @all;
            push @all, $1 while $c->{in} =~ m{\G.*?\r\n\r\n<([^\n]*?)>\n}gcs;
            substr $c->{in}, 0, pos $c->{in} // 0, '';
        }
    }
    $c->close;
    return @all;
}

my @ten = map { "server 127.0.0.$_:1 max_fails=0;" } 1 .. 7;
push @ten, 'server unix:%{dir}/no8 max_fails=0;', 'server [::1]:1 max_fails=0;',
    'server 127.0.0.10:1 max_fails=0;';
my %gone = ('127.0.0.4:1' => 3);

$w->start(with_holds(conf(1, @ten)));
my %before = map { $_ => [places("m$_")] } 0 .. 2;
for my $i (1, 2) {
    my %share;
    $share{$_}++ for @{ $before{$i} };
    is keys %share, 10, "$methods[$i]: ten servers have keys";
    cmp_ok $_, '>', $KEYS / 30, "$methods[$i]: a share of $_" for
        (sort { $a <=> $b } values %share)[0];
}

# One goes, in a reload.

sub moved {
    my ($i, $what) = @_;
    my @after = places("m$i");
    my ($others, $all) = (0, 0);

    for (0 .. $KEYS - 1) {
        next if $after[$_] eq $before{$i}[$_];
        $all++;
        $others++ if !exists $gone{ $before{$i}[$_] };
    }
    note "$methods[$i], $what: $all of $KEYS moved, $others of them from servers that stay";
    return ($all, $others);
}

my @nine = grep { !/127\.0\.0\.4:/ } @ten;
$w->reload(with_holds(conf(1, @nine)));
my ($all, $others) = moved(1, 'without one');
cmp_ok $all, '<=', $KEYS * 0.15, 'consistent: at most 15% of the keys move';
is $others, 0, 'consistent: only those of the server that went';
($all, $others) = moved(2, 'without one');
cmp_ok $all, '<=', $KEYS * 0.15, 'maglev: at most 15% of the keys move';
cmp_ok $others, '<=', $KEYS * 0.03, 'maglev: few others';
($all) = moved(0, 'without one');
cmp_ok $all, '>', $KEYS / 2, 'plain: most keys move, as in nginx';

# One is down: its keys are served by others, all other keys stay.

$w->reload(with_holds(conf(1, map { s/(127\.0\.0\.4:1)/$1 down/r } @ten)));
for my $i (0 .. 2) {
    my ($all, $others) = moved($i, 'one is down');
    cmp_ok $all, '>', 0, "$methods[$i]: keys of the server that is down move";
    is $others, 0, "$methods[$i]: no other moves";
}

# The order of the lines does not matter, the place in the file does neither.

$w->reload(with_holds(conf(1, reverse @ten)));
for my $i (1, 2) {
    my ($all) = moved($i, 'turned round');
    is $all, 0, "$methods[$i]: the order of the servers has no influence";
}

# Bounded loads: sessions of one key, held open, and counted over two workers.

$w->reload(with_holds(conf(2, @ten)));
sub hold {
    my ($where, $n) = @_;
    my @open = map { $w->connect($where) } 1 .. $n;
    my %at;
    $at{ $_->line // '-' }++ for @open;
    $_->close for @open;
    return map { $at{$_} } sort { $at{$b} <=> $at{$a} } keys %at;
}
is join(' ', hold('free', 20)), '20', 'without balance_factor one server has them all';
my @shares = hold('bounded', 20);
cmp_ok $shares[0], '<=', 7, "balance_factor=1.25, 20 sessions: no server has more than 7 (@shares)";
cmp_ok $shares[0], '>=', 5, 'and the first one has its part';
@shares = hold('bounded_maglev', 20);
cmp_ok $shares[0], '<=', 8, "maglev balance_factor=1.5: no server has more than 8 (@shares)";

is $w->ask('backup'), 'a', 'backup before hash: used when no other lives';
my %clients = map { $w->ask('client') => 1 } 1 .. 8;
is keys %clients, 1, 'ip_hash at layer 4: a client stays at one server';

# ---- what is wrong in a configuration

for (
    ['hash;', qr/invalid number of arguments in "hash" directive/],
    ['hash $arg_k other;', qr/invalid parameter "other"/],
    ['hash $arg_k consistent maglev;', qr/invalid parameter "maglev"/],
    ['hash $arg_k balance_factor=1;', qr/invalid parameter "balance_factor=1"/],
    ['hash $arg_k balance_factor=1.2345;', qr/invalid parameter "balance_factor=1.2345"/],
    ['hash $arg_k balance_factor=x;', qr/it takes a number above 1/],
    ['hash $arg_k balance_factor=101;', qr/invalid parameter "balance_factor=101"/],
    ['hash $nothing;', qr/unknown "nothing" variable/],
    ['ip_hash 1;', qr/invalid number of arguments in "ip_hash" directive/],
    ['hash $arg_k; server 127.0.0.2 backup;',
        qr/balancing method does not support parameter "backup"/],
    ['ip_hash; server 127.0.0.2 backup;',
        qr/balancing method does not support parameter "backup"/],
) {
    my ($line, $want) = @$_;
    $w->conf("events {}\nhttp { upstream u { $line server 127.0.0.1; } }\n");
    my ($code, undef, $said) = $w->command('-t');
    ok $code != 0 && $said =~ $want, $line or diag $said;
}
for (
    ['hash $arg_k; ip_hash;', qr/\[warn\].*load balancing method redefined/],
    ['hash $arg_k; hash $arg_k consistent;', qr/\[warn\].*load balancing method redefined/],
    ['hash $arg_k; server 127.0.0.2 slow_start=5s;',
        qr/\[warn\].*"slow_start" has no effect with "hash"/],
    ['ip_hash; server 127.0.0.2 slow_start=5s;',
        qr/\[warn\].*"slow_start" has no effect with "ip_hash"/],
    ['hash $arg_k consistent balance_factor=1.001; server 127.0.0.2 drain;', qr/successful/],
    ['hash $arg_k balance_factor=100;', qr/successful/],
) {
    my ($line, $want) = @$_;
    $w->conf("events {}\nhttp { upstream u { $line server 127.0.0.1; } }\n");
    my ($code, undef, $said) = $w->command('-t');
    ok $code == 0 && $said =~ $want, $line or diag $said;
}
$w->expect(qr/\[emerg\] .* in \S+weir\.conf:2/);
$w->finish;
done_testing;
