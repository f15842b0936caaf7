#!/usr/bin/perl
# chaos: yes

# `on_down close` ends the sessions of layer 4 and the upgraded connections to a server that goes
# down, in all workers of all generations, and no others; `drain` lets them finish. A server goes
# down when it is ejected, when its name loses the address, when a reload removes it or marks it.
# `proxy_session_drop` is nginx's name, for groups without on_down.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;

my $w = Weir->new;
my $many = chaos() ? 6 : 40;

sub said { my ($what) = @_; return scalar grep { /$what/ } split /\n/, $w->error_log }

# n sessions whose echo has answered.
sub sessions {
    my ($where, $n) = @_;
    my @c = map { $w->connect($where) } 1 .. $n;
    $_->send("hello\n") for @c;
    is scalar(grep { ($_->line // '') =~ /^hello/ } @c), $n, "$where: $n sessions";
    return \@c;
}

sub live {
    my ($sessions) = @_;
    $_->send("still\n") for @$sessions;
    return scalar grep { ($_->line // '') =~ /^still/ } @$sessions;
}

sub all_end {
    my ($sessions, $name) = @_;
    is scalar(grep { $_->ending =~ /eof|reset/ } @$sessions), scalar @$sessions, $name;
    return;
}

my $v6 = Weir::Ports::has_ipv6() ? '[::1]:%{v6.port}' : '127.0.0.1:%{v6.port}';
$w->echo('a');
$w->backend('v6', at => $v6);
$w->backend('sock', at => 'unix:sock');

my $conf = <<'CONF';
worker_processes 2;
stream {
    upstream closes { on_down close; ZONE server %{a} A; server %{spare} backup; }
    upstream drains { on_down drain; ZONE server %{a} A; server %{spare} backup; }
    upstream mixed  { ZONE server %{a} on_down=close A; server V6 V; server %{unix:sock} on_down=drain S; }
    upstream plain  { ZONE server %{a} A; server %{spare} backup; }
    server { listen %{closes}; proxy_pass closes; }
    server { listen %{drains}; proxy_pass drains; proxy_session_drop on; }
    server { listen %{mixed};  proxy_pass mixed; }
    server { listen %{plain};  proxy_pass plain; }
    server { listen %{drop};   proxy_pass plain; proxy_session_drop on; }
}
CONF

sub conf {
    my (%is) = (A => '', V => '', S => '', ZONE => '', @_);
    my $text = $conf;
    $text =~ s/\bV6\b/$v6/;
    $text =~ s/(?<=[ ;])(A|V|S|ZONE)(?=[ ;])/$is{$1}/g;
    $text =~ s/ZONE/$is{ZONE}/g;
    return $text;
}

# ---- marked down by a reload

$w->echo('spare');
$w->start(conf());
my %of = map { $_ => sessions($_, $many) } qw(closes drains plain drop);
my $mixed = sessions('mixed', 9);
is(($w->reload(conf(A => 'down')))[0], 0, 'a reload marks a server down');
all_end($of{closes}, 'on_down close: its sessions end, in both workers of the generation before');
all_end($of{drop}, 'proxy_session_drop on: as well');
is live($of{$_}), $many, "$_: they go on" for qw(drains plain);
is live($mixed), 6, 'on_down of a server: one of three had close';
is said(qr/"closes": server \S+ is marked down: closing its \d+ sessions/), 2, 'a line of each worker';
is said(qr/the server is marked down, the session is closed/), 2 * $many + 3, 'and one a session';
$_->close for map { @$_ } $mixed, values %of;

# ---- sessions that began while it was down have nothing to fear; removed by a reload

my $backup = sessions('closes', 4);
is(($w->reload(conf()))[0], 0, 'it is up again');
is live($backup), 4, 'sessions of the other server go on';
$of{closes} = sessions('closes', $many);
is(($w->reload(conf(A => 'weight=2')))[0], 0, 'a reload that changes its weight');
is live($of{closes}), $many, 'ends nothing';
(my $without = conf()) =~ s/server \Q%{a}\E[^;]*;/server %{unix:sock};/g;
is(($w->reload($without))[0], 0, 'a reload removes it');
all_end($of{closes}, 'its sessions end');
is live($backup), 4, 'those of the other do not';
is said(qr/was removed from the group: closing/), 2, 'it is said';

# ---- a zone of another size: the old workers hear nothing, their sessions finish

$of{closes} = sessions('closes', 4);
is(($w->reload(conf(ZONE => 'zone other 1m;')))[0], 0, 'another size');
is live($of{closes}), 4, 'sessions in the old zone finish';
$_->close for @{ $of{closes} }, @$backup;

# ---- kill -9 of a worker and of the keeper; an upgrade and back

$of{closes} = sessions('closes', $many);
my $keeper = $w->keeper;
kill 'KILL', $keeper;
becomes { ($w->keeper // $keeper) != $keeper } 'a new keeper';
is live($of{closes}), $many, 'ends nothing';
kill 'KILL', ($w->workers)[0];
becomes { $w->workers == 2 } 'a new worker';
$_->close for @{ $of{closes} };
$of{closes} = sessions('closes', $many);
my ($old, $new) = $w->upgrade;
is live($of{closes}), $many, 'an upgrade ends nothing';
my $newer = sessions('closes', 4);
$w->signal('QUIT', $new);
$_->close for @$newer;
becomes { !alive($new) } 'undone';
$w->{master} = $old;
is live($of{closes}), $many, 'nor does its end';
is(($w->reload(conf(ZONE => 'zone other 1m;', A => 'down')))[0], 0, 'reload');
all_end($of{closes}, 'the old generation heard of it');
$w->expect(qr/exited on signal 9/);
$w->finish;

# ---- ejected; a name that loses an address; a tunnel

$w = Weir->new;
my $dns = $w->dns('dns', 'two.test 1 A 127.0.0.2', 'two.test 1 A 127.0.0.3');
$w->echo('one', 'steady');
$w->backend($_, at => "$_:%{named.port}") for '127.0.0.2', '127.0.0.3';
$w->backend('tunnel', serve => sub {
    my ($fh) = @_;
    my $in = '';
    sysread $fh, $in, 4096, length $in or return until $in =~ /\r\n\r\n/;
    syswrite $fh, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n";
    while (sysread $fh, my $bytes, 4096) { syswrite $fh, $bytes }
});
my $text = <<'CONF';
worker_processes 2;
stream {
    resolver %{dns};
    upstream names { server two.test:%{named.port} resolve; on_down close; }
    upstream pair {
        server %{one} max_fails=0; server %{steady} max_fails=0;
        outlier errors=2 window=20s eject=60s; on_down close;
    }
    server { listen %{pair}; proxy_pass pair; }
    server { listen %{tls};  proxy_pass pair; proxy_ssl on; }
    server { listen %{names}; proxy_pass names; }
}
http {
    upstream tunnels { server %{tunnel} T; server %{steady} backup; on_down close; }
    server {
        listen %{web};
        location / {
            proxy_pass http://tunnels; proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade;
        }
    }
}
CONF
(my $first = $text) =~ s/ T;/;/;
$w->start($first);

my $pair = sessions('pair', $many);
for (1 .. 9) { $w->ask('tls', 'x') if !said(qr/is ejected/) }
becomes { said(qr/"pair": server \S+ was ejected: closing/) } 'failed handshakes eject one of two';
is live($pair), $many / 2, 'its sessions end, those of the other go on';

my $names = sessions('names', 10);
$dns->records('two.test 1 A 127.0.0.3');
becomes { said(qr/"names": server 127\.0\.0\.2:\d+ was removed from the group/) }
    'a name loses an address', 30;
is live($names), 5, 'the sessions of that address end, the others go on';

sub tunnel {
    my $c = $w->connect('web');
    $c->send(Weir::Http::request('GET /', Upgrade => 'x', Connection => 'upgrade'));
    is Weir::Http::reply($c)->{status}, 101, 'a tunnel';
    return $c;
}
my @tunnels = map { tunnel() } 1 .. 4;
is live(\@tunnels), 4, 'works';
(my $second = $text) =~ s/ T;/ down;/;
is(($w->reload($second))[0], 0, 'its server is marked down');
all_end(\@tunnels, 'the tunnels end');

for ([ 'on_down reset;', '' ], [ '', 'on_down=reset' ]) {
    my ($line, $param) = @$_;
    $w->write('wrong.conf',
        "events {}\nstream { upstream u { server 127.0.0.1:1 $param; $line } }\n");
    my ($code, undef, $err) = $w->bare('-t', '-p', $w->dir . '/', '-c', $w->path('wrong.conf'));
    is $code, 1, "$line$param";
    like $err, qr/invalid (?:parameter|value) "(?:on_down=)?reset"/, 'is refused';
    like $err, qr/it takes "?close"? or "?drain/, 'with a hint';
}
$w->expect(qr/invalid (?:parameter|value)/);
$w->finish;
done_testing;
