#!/usr/bin/perl
# chaos: yes

# Health checks with what else a group can do: on_down by a check that fails, and by a server that
# leaves a servers_file, in old workers as well; one check for all generations and masters;
# slow_start after a check that passes; sticky; backups and servers marked down; ejections and panic;
# a file system that never answers.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(time);
use Weir;
use Weir::Http;
use Weir::SlowFs;

my $w = Weir->new;
chmod 0755, $w->dir;
my @names = qw(a b c);
my %t = map { $_ => $w->turnstile($_, http => 1, hold => 0) } @names, 'idle';

# Servers of layer 4 whose checks say what a file says; clients get an echo.
for my $name (qw(x y z)) {
    $w->write("$name.answer", 'well');
    my $file = $w->path("$name.answer");
    $w->backend($name, serve => sub {
        my ($fh) = @_;
        sysread $fh, my $bytes, 4096;
        return syswrite $fh, slurp($file) if $bytes eq 'check';
        do { syswrite $fh, $bytes } while sysread $fh, $bytes, 4096;
    });
}

sub says {
    my ($name, $text) = @_;
    $w->write("$name.new", $text);
    rename $w->path("$name.new"), $w->path("$name.answer");
}

sub put { my ($file, $text) = @_; rename $w->write("$file.new", $text), $w->path($file) }

my $slow = Weir::SlowFs::works();
my $fs = $slow && Weir::SlowFs->new(at => $w->path('slow'),
    files => { list => $w->address('a') . "\n" });
put('listed', "%{x}\n%{y} on_down=drain\n%{z}\n");

my $conf = <<'CONF';
worker_processes 2;
stream {
    upstream closes { on_down close; server %{x}; server %{y}; }
    upstream drains { on_down drain; server %{x}; server %{y}; }
    upstream listed { on_down close; servers_file listed; }
    match well { send check; expect well; }
    server { listen %{closes}; proxy_pass closes; health_check interval=100ms match=well; }
    server { listen %{drains}; proxy_pass drains; health_check interval=100ms match=well; }
    server { listen %{listed}; proxy_pass listed; }
}
http {
    access_log off;
    upstream tunnels { on_down close; server %{a}; server %{b}; }
    upstream slowly  { server %{a}; server %{b} slow_start=1h; }
    upstream bound   { server %{a} route=a; server %{b} route=b; sticky route $arg_r; }
    upstream spare   { server %{a}; server %{c} down; server %{b} backup; }
    upstream panic   { server %{a} max_fails=0; server %{b} max_fails=0; server %{c} down;
                       outlier errors=1 window=10s eject=1h; panic 60%; }
    SLOW
    server {
        listen %{web};
        location /tunnels {
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_pass http://tunnels;
            health_check interval=100ms uri=/check;
        }
        location /idle {
            proxy_http_version 1.1;
            proxy_set_header Upgrade $http_upgrade;
            proxy_set_header Connection upgrade;
            proxy_pass http://%{idle};
            health_check interval=200ms uri=/check;
        }
        location /slowly { proxy_pass http://slowly; health_check interval=100ms uri=/check; }
        location /bound  { proxy_pass http://bound;  health_check interval=100ms uri=/check; }
        location /spare  { proxy_pass http://spare;  health_check interval=100ms uri=/check; }
        location /panic  { proxy_pass http://panic;  proxy_next_upstream off;
                           health_check interval=100ms uri=/check; }
    }
}
CONF
my $file = $fs ? 'upstream stuck { servers_file slow/list; }' : '';
$conf =~ s/SLOW/$file/;
$w->start($conf);

sub said { my ($what) = @_; return scalar grep { /$what/ } split /\n/, $w->error_log }

sub state_of {
    my ($name, $group) = @_;
    my $where = $w->address($name);
    return ($w->error_log =~ /health check of "\Q$where\E" in upstream "$group": is (up|down)/g)[-1] // 'up';
}

sub goes {
    my ($name, $how, @groups) = @_;
    if ($t{$name}) { $t{$name}->sick($how eq 'down') } else { says($name, $how eq 'up' ? 'well' : 'sick') }
    becomes { !grep { state_of($name, $_) ne $how } @groups } "$name: $how, by its check";
}

sub get { my $r = Weir::Http::ask($w, 'web', "GET /$_[0]"); return $r->{body} =~ s/\n.*//sr }

sub count {
    my ($path, $n) = @_;
    my %n;
    $n{ get($path) }++ for 1 .. $n;
    return join ' ', map { "$_=$n{$_}" } sort keys %n;
}

sub sessions {
    my ($where, $n) = @_;
    my @c = map { $w->connect($where) } 1 .. $n;
    is scalar(grep { $_->echoes("hello\n") } @c), $n, "$where: $n sessions";
    return \@c;
}

sub live { return scalar grep { $_->echoes("still\n") } @{ $_[0] } }

# ---- on_down: a check that fails

my %of = map { $_ => sessions($_, 8) } qw(closes drains);
goes('x', 'down', 'closes', 'drains');
becomes { said(qr/the server failed its health check, the session is closed/) == 4 }
    'on_down close: the sessions of that server end';
is live($of{closes}), 4, 'those of the other one go on';
is live($of{drains}), 8, 'on_down drain: all go on';
my $later = sessions('closes', 2);
goes('x', 'up', 'closes', 'drains');
is live($later), 2, 'that it is up again ends nothing';
$_->close for map { @$_ } $later, values %of;

my $old = sessions('closes', 8);
is +($w->reload)[0], 0, 'a reload';
goes('y', 'down', 'closes', 'drains');
becomes { said(qr/the server failed its health check, the session is closed/) == 8 }
    'the old workers close their sessions, too';
is live($old), 4, 'and only those of that server';
goes('y', 'up', 'closes', 'drains');
$_->close for @$old;

sub tunnel {
    my $c = $w->connect('web');
    $c->send(Weir::Http::request('GET /tunnels/upgrade', Upgrade => 'x', Connection => 'upgrade'));
    is(Weir::Http::reply($c)->{status}, 101, 'a tunnel');
    return $c;
}
my @tunnels = map { tunnel() } 1 .. 4;
becomes { $t{a}->now == 2 && $t{b}->now == 2 } 'two to each server';
goes('a', 'down', 'tunnels');
becomes { $t{a}->now == 0 } 'those of the server that is down end';
is live(\@tunnels), 2, 'the others go on';
$_->close for @tunnels;

# ---- a server is asked once, not once for each generation that has sessions, or each master

my $tunnel = $w->connect('web');
$tunnel->send(Weir::Http::request('GET /idle/upgrade', Upgrade => 'x', Connection => 'upgrade'));
is(Weir::Http::reply($tunnel)->{status}, 101, 'a session');
is +($w->reload)[0], 0, 'a reload';
sub asked_once {
    my ($asked, $since) = ($t{idle}->checks, time);
    wait_for { $t{idle}->checks >= $asked + 10 };
    cmp_ok time - $since, '>', 1.6, "$_[0]: ten checks take their time";
}
asked_once('two generations');
my ($first, $second) = $w->upgrade;
asked_once('two masters');
$w->signal('QUIT', $second);
becomes { !alive($second) } 'the upgrade is undone';
$w->{master} = $first;
asked_once('the old master again');
$tunnel->close;

# ---- on_down: a server that leaves a file

my $listed = sessions('listed', 9);
put('listed', "%{y}\n%{z}\n");
becomes { said(qr/was removed from the group, the session is closed/) == 3 }
    'servers_file: the sessions of a server that leaves it end';
is live($listed), 6, 'the others go on';
put('listed', "%{x}\n%{z}\n");
becomes { said(qr/"\S+listed" has 2 servers, before 2/) } 'another one leaves';
is live($listed), 6, 'it had on_down=drain when they began';
put('listed', "%{x}\n%{y}\n%{z} down\n");
becomes { said(qr/is marked down, the session is closed/) == 3 } 'one is marked down';
is live($listed), 3, 'its sessions end';
$_->close for @$listed;

# ---- slow_start, sticky

becomes { state_of('a', 'slowly') eq 'down' } 'a is down';
goes('a', 'up', 'slowly', 'bound', 'tunnels', 'spare', 'panic');
goes('b', 'down', 'slowly', 'bound');
is count('slowly', 4), 'a=4', 'a server is down';
is count('bound?r=b', 4), 'a=4', 'also for those that are bound to it';
goes('b', 'up', 'slowly', 'bound', 'tunnels', 'spare', 'panic');
is count('slowly', 10), 'a=10', 'slow_start begins when its check passes';
is count('bound?r=b', 4), 'b=4', 'those that were bound to it come back at once';

# ---- backup, down

is count('spare', 4), 'a=4', 'a backup waits';
is $t{c}->checks, 0, 'a server that is marked down is not checked';
goes('a', 'down', 'spare');
is count('spare', 4), 'b=4', 'the main server is down: the backup';
goes('b', 'down', 'spare');
is Weir::Http::ask($w, 'web', 'GET /spare')->{status}, 502, 'the backup is down, too';
goes('b', 'up', 'spare', 'panic');
is count('spare', 4), 'b=4', 'the backup is up';
goes('a', 'up', 'spare', 'panic');
is count('spare', 4), 'a=4', 'the main server is up';

# ---- outlier, panic

is count('panic', 4), 'a=2 b=2', 'no panic';
wait_for { get('panic/fail'); said(qr/"panic": server \S+ is ejected/) };
my ($out) = $w->error_log =~ /"panic": server (\S+) is ejected/;
becomes { count('panic', 4) eq 'a=2 b=2' } 'one of two is ejected: below 60%, both are tried';
is said(qr/"panic": 1 of 2 servers healthy, panic is below 60%/), 1, 'which is said';
my $other = $out eq $w->address('a') ? 'b' : 'a';
goes($other, 'down', 'panic');
becomes { count('panic', 4) eq 'a=2 b=2' } 'the other one fails its check: both are tried';
goes($other, 'up', 'panic');

# ---- a file system that never answers

SKIP: {
    skip 'needs FUSE, as root', 7 if !$fs;
    my $keeper = $w->keeper;
    $fs->hold;
    $w->signal('KILL', $keeper);    # the next one has read nothing yet
    becomes { ($w->keeper // $keeper) != $keeper } 'a new keeper';
    $keeper = $w->keeper;
    my $checks = $t{a}->checks;
    becomes { $fs->held } 'reads a file that nobody gives it' or diag "held: ", $fs->held;
    becomes { $t{a}->checks > $checks + 20 } 'checks go on';
    goes('a', 'down', 'spare');
    is count('spare', 4), 'b=4', 'and are seen';
    goes('a', 'up', 'spare');
    is $w->keeper, $keeper, 'the keeper is not taken for stopped';
    $fs->release;
    $w->expect(qr/exited on signal 9/);
}
$fs->kill if $fs;
$w->finish;
done_testing;
