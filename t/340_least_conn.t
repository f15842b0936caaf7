#!/usr/bin/perl
# chaos: yes

# least_conn: the server with the fewest connections for its weight, at both layers. All workers
# count together, and go on counting after a reload and an upgrade. Equal servers take turns.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;
my $v6 = Weir::Ports::has_ipv6();
my $six = '[::1]:' . $w->port('six');

$w->backend($_, greet => "$_\n") for 'a', 'b', 'c', 'unix:d';
$w->backend('six', at => $v6 ? $six : 'six', greet => "six\n");

# Answers with its name; /hold waits until the client leaves.
sub web {
    my ($name) = @_;
    return Weir::HttpServer::serve(sub {
        my ($request, $fh) = @_;
        sysread $fh, my $end, 1 if $request->{target} eq '/hold';
        return Weir::HttpServer::reply(200, $name);
    });
}
$w->backend("w$_", serve => web($_)) for 'a', 'b', 'c';
$w->backend('unix:wd', serve => web('d'));

my $others = $v6 ? "server $six;" : 'server %{six};';
my $conf = <<"CONF";
daemon on;
worker_processes 2;
stream {
    upstream equal    { least_conn; server %{a}; server %{b}; server %{c}; }
    upstream weighted { least_conn; server %{a} weight=3; server %{b}; }
    upstream order    { least_conn; server %{a} weight=5; server %{b}; server %{c}; }
    upstream kinds    { least_conn; server %{unix:d}; $others }
    upstream out      { least_conn; server %{a} down; server %{nobody}; server %{b} max_conns=2;
                        server %{c} backup; }
    server { listen %{equal};    proxy_pass equal; }
    server { listen %{weighted}; proxy_pass weighted; }
    server { listen %{order};    proxy_pass order; }
    server { listen %{kinds};    proxy_pass kinds; }
    server { listen %{out};      proxy_pass out; }
}
http {
    access_log off;
    upstream equal { least_conn; server %{wa}; server %{wb}; server %{wc}; server %{unix:wd}; }
    upstream out   { server %{wa} down; least_conn; server %{nobody2}; server %{wb}; }
    server {
        listen %{web};
        location / { proxy_pass http://equal; }
        location /out/ { proxy_pass http://out; }
    }
}
CONF
$w->start($conf);

# Opens $n sessions that stay, and returns them with the server each one got.
sub sessions {
    my ($where, $n) = @_;
    return map { my $c = $w->connect($where); $c->{server} = $c->line // '-'; $c } 1 .. $n;
}

sub sorted { return join ' ', sort map { $_->{server} } @_ }

# Layer 4, two workers that count together.

my @held = sessions('equal', 6);
is sorted(@held), 'a a b b c c', 'equal servers: as many sessions each, over both workers';
$_->close for grep { $_->{server} eq 'b' } @held;
@held = grep { $_->{server} ne 'b' } @held;
my @new;
becomes { push @new, sessions('equal', 1); $new[-1]{server} eq 'b' }
    'the server that has the fewest is next';
$_->close for @held, @new;

@held = sessions('weighted', 8);
is sorted(@held), 'a a a a a a b b', 'weights 3 and 1: three times as many';
$_->close for @held;

becomes {
    my @one = map { my ($c) = sessions('order', 1); $c->close; $c } 1 .. 14;
    10 == grep { $_->{server} eq 'a' } @one;
} 'without sessions: in turn, by weight';

is sorted(my @kinds = sessions('kinds', 4)), 'six six unix:d unix:d', 'unix socket, IPv6';
$_->close for @kinds;

@held = sessions('out', 5);
is sorted(@held), 'b b c c c', 'down, dead, full: the others serve, then the backup';
$_->close for @held;

# Layer 7.

sub hold {
    my ($n) = @_;
    return map {
        my $c = $w->connect('web');
        $c->send(Weir::Http::request('GET /hold'));
        $c;
    } 1 .. $n;
}

sub get { return Weir::Http::ask($w, 'web', "GET $_[0]")->{body} }

my %seen;
$seen{ get('/') }++ for 1 .. 12;
is_deeply \%seen, { a => 3, b => 3, c => 3, d => 3 }, 'layer 7: equal servers take turns';
my @waiting = hold(3);
my $last;
becomes {
    %seen = ();
    $seen{ get('/') }++ for 1 .. 8;
    ($last) = keys %seen;
    keys %seen == 1;
} 'three requests wait at three servers: the fourth serves all others';
is get('/out/'), 'b', 'layer 7: down and dead servers are left out';

# They still wait after a reload, and during an upgrade.

$w->conf($conf =~ s/worker_processes 2/worker_processes 1/r);
$w->reload;
%seen = ();
$seen{ get('/') }++ for 1 .. 8;
is_deeply \%seen, { $last => 8 }, 'after a reload the old workers\' requests count';
my ($old, $new) = $w->upgrade;
%seen = ();
$seen{ get('/') }++ for 1 .. 8;
is_deeply \%seen, { $last => 8 }, 'in an upgrade those of the old binary count';
$_->close for @waiting;
$w->signal('QUIT', $old);
becomes { !alive($old) } 'the old master ends';
becomes {
    %seen = ();
    $seen{ get('/') }++ for 1 .. 8;
    keys %seen == 4;
} 'when they have ended all take turns again';

# Errors and warnings.

my @wrong = (
    ['least_conn 1;', qr/invalid number of arguments in "least_conn" directive/],
    ['least_conn; least_conn;', qr/"least_conn" directive is duplicate/],
    ['random; least_conn;', qr/load balancing method redefined/, 0],
    ['least_time;', qr/invalid number of arguments in "least_time" directive/],
    ['least_time connect;', qr/invalid parameter "connect".*header or last_byte/s],
    ['least_time header now;', qr/invalid parameter "now"/],
    ['random three;', qr/invalid parameter "three"/],
    ['random two fewest;', qr/invalid parameter "fewest".*least_time=header/s],
    ['random two least_time=connect;', qr/invalid parameter "least_time=connect"/],
);
for my $row (@wrong) {
    my ($text, $want, $code) = @$row;
    $w->conf("events {} http { upstream u { $text server 127.0.0.1:1; } }");
    my ($got, undef, $err) = $w->command('-t');
    is $got, $code // 1, "$text exit code";
    like $err, $want, "$text message";
}
$w->conf('events {} stream { upstream u { least_time header; server 127.0.0.1:1; } }');
like +($w->command('-t'))[2], qr/invalid parameter "header".*connect, first_byte or last_byte/s,
    'layer 4 has other times';
$w->expect(qr{\[emerg\] .* in \S+weir.conf:1});
$w->finish;
done_testing;
