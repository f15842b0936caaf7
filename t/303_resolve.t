#!/usr/bin/perl
# chaos: yes

# Servers found by DNS: hundreds of addresses of one name, over TCP, whose order does not matter;
# SRV records; what becomes of addresses when the name server fails, and when the name is gone; what
# resolver takes and refuses.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;

my $V6 = Weir::Ports::has_ipv6();
my $w = Weir->new;
$w->backend('many', at => '0.0.0.0:%{many.port}', serve => sub {
    my ($fh) = @_;
    print $fh $fh->sockhost, "\n";
});
$w->backend('held', at => '0.0.0.0:%{held.port}', serve => 'echo');
$w->backend("http$_", at => "127.0.0.$_:%{http.port}", serve => sub {
    my ($fh) = @_;
    sysread $fh, my $request, 4096;
    print $fh "HTTP/1.1 200 OK\r\nContent-Length: 10\r\nConnection: close\r\n\r\n127.0.0.$_\n";
}) for 11 .. 12;
$w->backend('six', at => '[::1]:%{many.port}', serve => 'greet', greet => "six\n") if $V6;

my @many = map { "127.0.1.$_" } 1 .. 200;
my @srv = map { "127.0.2.$_" } 1 .. 40;

sub names { my ($name, @addresses) = @_; return map { "$name 1 A $_" } @addresses }

sub services {
    my ($name, @rows) = @_;    # each: RANK WEIGHT ADDRESS
    return map { my ($rank, $weight, $address) = split;
        (my $target = "t$address.$name") =~ tr/./-/;
        ("_x._tcp.$name 1 SRV $rank $weight " . $w->port('many') . " $target.test",
            "$target.test 60 A $address") } @rows;
}

my %zone = (
    many => [names('many.test', @many)],
    tcp => ['tcp.test 1 TCP -', names('tcp.test', '127.0.3.1', '127.0.3.2')],
    srv => [services('srv.test', map { "1 1 $_" } @srv)],
    zero => [services('zero.test', '1 0 127.0.4.1', '1 3 127.0.4.2', '9 0 127.0.4.3')],
    none => ['_x._tcp.none.test 1 SRV 0 0 0 .'],
    held => [names('held.test', '127.0.5.1', '127.0.5.2')],
    grace => [names('grace.test', '127.0.6.1')],
    half => ['half.test 1 A 127.0.6.5', 'half.test 1 AAAA ::1'],
    http => [names('http.test', '127.0.0.11')],
);
my $dns = $w->dns('dns');

sub publish { my %new = @_; @zone{keys %new} = values %new; $dns->records(map { @$_ } values %zone) }
publish();

sub conf {
    my ($grace) = @_;
    return <<"CONF";
worker_processes 2;
stream {
    resolver %{dns} ipv6=off local=127.0.0.9;
    resolver_timeout 30s;
    resolver_grace $grace;
    upstream many  { server many.test:%{many.port}; }
    upstream tcp   { server tcp.test:%{many.port} resolve; }
    upstream srv   { server srv.test service=x resolve; }
    upstream zero  { server zero.test service=x resolve; }
    upstream held  { server held.test:%{held.port} resolve; }
    upstream grace { server grace.test:%{many.port} resolve; }
    upstream half  { resolver %{dns}; server half.test:%{many.port} resolve; }
    server { listen %{to_many};  proxy_pass many; }
    server { listen %{to_tcp};   proxy_pass tcp; }
    server { listen %{to_srv};   proxy_pass srv; }
    server { listen %{to_zero};  proxy_pass zero; }
    server { listen %{to_held};  proxy_pass held; }
    server { listen %{to_grace}; proxy_pass grace; }
    server { listen %{to_half};  proxy_pass half; }
}
http {
    upstream web {
        resolver %{dns} ipv6=off valid=1s;
        resolver_timeout 30s;
        resolver_grace 0;
        server http.test:%{http.port} resolve;
    }
    server { listen %{web}; location / { proxy_pass http://web; } }
}
CONF
}

sub seen {
    my ($where, $times) = @_;
    my %seen;
    $seen{ $w->ask($where) }++ for 1 .. $times;
    return join ' ', sort keys %seen;
}
sub said { my ($what) = @_; return scalar grep { /$what/ } split /\n/, $w->error_log }

# The values that the directives take.

for my $bad (
    ['resolver 127.0.0.1 status_zone=z;', qr/the "status_zone" parameter is known in nginx, not in/],
    ['resolver 127.0.0.1 ipv4=off ipv6=off;', qr/"ipv4" and "ipv6" cannot both be "off"/],
    ['resolver 127.0.0.1 local=here;', qr/invalid parameter: local=here/],
    ['resolver 127.0.0.1 local=127.0.0.1 local=127.0.0.2;', qr/invalid parameter: local=127.0.0.2/],
    ['resolver valid=10s;', qr/no name servers defined/],
    ['resolver 127.0.0.1 valid=x;', qr/invalid parameter: valid=x/],
    ['resolver_grace x;', qr/"resolver_grace" directive invalid value/],
    ) {
    my ($text, $why) = @$bad;
    $w->conf("stream { upstream u { server x.test:1; $text } server { listen %{web}; proxy_pass u; } }");
    like +($w->command('-t'))[2], $why, $text;
}

$w->start(conf('1h'));

# Many addresses.

is seen('to_many', 220), join(' ', sort @many), '200 addresses of one name';
ok grep({ /^many\.test A 0 / } $dns->asked_from), 'an answer that is too long comes over TCP';
is seen('to_tcp', 8), '127.0.3.1 127.0.3.2', 'a truncated answer';
is seen('to_srv', 50), join(' ', sort @srv), 'SRV: 40 targets';
is scalar(grep { !/ 127\.0\.0\.9$/ && /^many/ } $dns->asked_from), 0, 'questions come from `local`';

my $before = () = grep { /^many\.test/ } $dns->asked;
for (1 .. 2) {
    publish(many => [names('many.test', reverse @many)]);
    my $seen = () = grep { /^many\.test/ } $dns->asked;
    becomes { $seen + 2 <= (() = grep { /^many\.test/ } $dns->asked) } 'asked again';
    publish(many => [names('many.test', @many)]);
}
is said(qr/"many\.test" is at/), 0, 'another order of the same addresses is no change';

# Weights, and a target that is none.

my %share;
$share{ $w->ask('to_zero') }++ for 1 .. 40;
ok !$share{'127.0.4.3'}, 'SRV: another rank is a backup';
cmp_ok $share{'127.0.4.1'}, '<', $share{'127.0.4.2'}, 'SRV: weight 0 is the least, but not nothing';

# Addresses come and go.

my $c;
wait_for { $c->close if $c; $c = $w->connect('to_held'); $c->echoes('x') };
publish(held => [names('held.test', '127.0.5.3')]);
becomes { said(qr/"held\.test" is at 127\.0\.5\.3:/) } 'addresses vanish';
ok $c->echoes('still here'), 'a session to one of them goes on';
$c->close;
$c = $w->connect('to_held');
ok $c->echoes('new'), 'new ones go elsewhere';
$c->close;

SKIP: {
    skip 'no IPv6', 2 if !$V6;
    is seen('to_half', 8), '127.0.6.5 six', 'both families';
    publish(half => ['half.test 1 A 127.0.6.6', 'half.test 1 FAIL/AAAA -']);
    becomes { seen('to_half', 8) eq '127.0.6.6 six' }
        'one family fails: its addresses stay, the others follow';
}

# The name server fails, or knows nothing of the name.

publish(grace => ['grace.test 1 FAIL -']);
becomes { said(qr/"grace\.test" could not be resolved \(2: Server failure\)/) } 'a failure';
is $w->ask('to_grace'), '127.0.6.1', 'the address stays';
publish(grace => [names('grace.test', '127.0.6.1')]);
becomes { said(qr/\[notice\].*"grace\.test" is at 127\.0\.6\.1:/) == 1 } 'its end is said';
publish(grace => []);
becomes { said(qr/"grace\.test" could not be resolved \(3: Host not found\)/) } 'no such name';
is $w->ask('to_grace'), '127.0.6.1', 'the address stays for a while';
is +($w->reload(conf('1h')))[0], 0, 'a reload';
is $w->ask('to_grace'), '127.0.6.1', 'so it does after a reload';
my $keeper = $w->keeper;
$w->signal('KILL', $keeper);
becomes { my $k = $w->keeper; $k && $k != $keeper } 'a new keeper';
is $w->ask('to_grace'), '127.0.6.1', 'and with it';
is +($w->reload(conf('1s')))[0], 0, 'a reload with less patience';
becomes { $w->ask('to_grace') eq '' } 'then the group is empty';
is said(qr/\[warn\].*"grace\.test" is gone, as are its 1 addresses \(3: Host not found\)/), 1,
    'which is a warning';
publish(grace => [names('grace.test', '127.0.6.2')]);
becomes { $w->ask('to_grace') eq '127.0.6.2' } 'the name is there again';

# HTTP.

sub web { return Weir::Http::ask($w, 'web', 'GET /')->{body} }
is web(), '127.0.0.11', 'http: a name';
publish(http => [names('http.test', '127.0.0.12')]);
becomes { web() eq '127.0.0.12' } 'http: it has moved';
publish(http => []);
becomes { Weir::Http::ask($w, 'web', 'GET /')->{status} == 502 } 'http: it is gone, without grace';

$w->expect(qr/exited on signal 9/, qr/weir\.conf:1$/);
$w->finish;
done_testing;
