#!/usr/bin/perl
# chaos: yes

# limit_conn at both layers: as many connections (layer 7: requests) of a key at a time as it says,
# over all workers; several limits, keys that are empty, dry runs, statuses, the variable and the
# log; IPv6 and unix sockets. What a reload, an upgrade and its end, another size of the zone and
# the death of a worker or the keeper do to the counts.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;

my $w = Weir->new;
my $V6 = Weir::Ports::has_ipv6();

$w->echo('echo');
my $slow = $w->turnstile('slow', http => 1);

my $SIX = $V6 ? 'listen [::1]:%{web.port}; listen [::1]:%{six.port};' : '';
my $HTTP_SIX = $V6 ? 'listen [::1]:%{http.port};' : '';
my $CONF = <<"CONF";
worker_processes 2;
stream {
    log_format main '\$server_port \$status \$limit_conn_status';
    access_log %{dir}/stream.log main;
    limit_conn_zone \$binary_remote_addr zone=addr:64k;
    limit_conn_zone \$server_port zone=port:%SIZE%;
    map \$server_port \$nothing { default ""; }
    limit_conn_zone \$nothing zone=nothing:64k;

    server { listen %{web}; $SIX limit_conn port 3; proxy_pass %{echo}; }
    server { listen %{both}; limit_conn addr 8; limit_conn port 2; proxy_pass %{echo}; }
    server { listen %{empty}; limit_conn nothing 1; proxy_pass %{echo}; }
    server { listen %{dry}; limit_conn port 1; limit_conn_dry_run on;
             limit_conn_log_level notice; proxy_pass %{echo}; }
    server { listen %{unix:sock}; limit_conn addr 1; proxy_pass %{echo}; }
    server { listen %{pid}; return \$pid; }
}
http {
    log_format main '\$uri \$status \$limit_conn_status';
    access_log %{dir}/http.log main;
    limit_conn_zone \$arg_key zone=addr:64k;    # not the zone of the same name at layer 4
    limit_conn_zone all zone=all:64k;
    limit_conn_status 429;
    server {
        listen %{http};
        $HTTP_SIX
        location / { limit_conn addr 2; proxy_pass http://%{slow}/; }
        location /all/ { limit_conn all 1; limit_conn_status 503; proxy_pass http://%{slow}/; }
        location /dry/ { limit_conn addr 1; limit_conn_dry_run on; proxy_pass http://%{slow}/; }
        location /again/ { limit_conn addr 1; error_page 404 = /fallback; return 404; }
        location /fallback { limit_conn addr 1; return 200 "fallback\\n"; }
        location /free { return 200 "free\\n"; }
    }
}
CONF
(my $conf = $CONF) =~ s/%SIZE%/64k/;
$w->start($conf);

# Opens sessions; each knows whether it was let in.
sub sessions {
    my ($n, $where) = @_;
    my @c = map { $w->connect($where // 'web') } 1 .. $n;
    $_->{let_in} = $_->echoes("hello\n") for @c;
    return @c;
}

sub let_in { return scalar grep { $_->{let_in} } @_ }

sub close_all { $_->close for @_ }

# True when exactly $n sessions are let in, and all of them are gone again.
sub room_is {
    my ($n, $where) = @_;
    return wait_for {
        my @c = sessions($n + 1, $where);
        my $in = let_in(@c);
        close_all(@c);
        $in == $n;
    };
}

# Opens $n sessions that are let in, as soon as there is room for them.
sub fill {
    my ($n) = @_;
    my @c;
    wait_for {
        my ($new) = sessions(1);
        $new->{let_in} ? push(@c, $new) : $new->close;
        @c == $n;
    };
    return @c;
}

# ---- layer 4

my @c = sessions(5);
is let_in(@c), 3, 'three at a time, over both workers';
becomes { $w->error_log =~ /\[error\] \d+#\d+: \*\d+ limiting connections by zone "port"/ } 'logged';
is $w->connect('web')->ending, 'eof', 'what is refused is closed';
my ($gone) = grep { $_->{let_in} } @c;
$gone->close;
becomes { my ($new) = sessions(1); push @c, $new if $new->{let_in}; $new->{let_in} } 'one goes, one comes';
close_all(@c);
ok room_is(3), 'and three again';

@c = (sessions(2, 'both'), sessions(1, 'both'));
is let_in(@c), 2, 'the smaller of two limits holds';
close_all(@c);
@c = sessions(4, 'empty');
is let_in(@c), 4, 'an empty key is not limited';
close_all(@c);
@c = sessions(3, 'dry');
is let_in(@c), 3, 'a dry run refuses nothing';
becomes { $w->error_log =~ /\[notice\].* limiting connections, dry run, by zone "port"/ }
    'it logs, at the level that was set';
close_all(@c);
@c = sessions(2, 'unix:sock');
is let_in(@c), 1, 'clients of a unix socket are one address';
close_all(@c);
SKIP: {
    skip 'no IPv6', 1 if !$V6;
    @c = map { sessions(1, $_) } ('[::1]:%{web.port}') x 2, ('web') x 2;
    is let_in(@c), 3, 'IPv6 and IPv4';
    close_all(@c);
}
my $log = sub { slurp($w->path('stream.log')) };
my $port = $w->port('web');
becomes { $log->() =~ /^$port 503 REJECTED$/m && $log->() =~ /^$port 200 PASSED$/m } 'the variable';
my $dry = $w->port('dry');
becomes { $log->() =~ /^$dry 200 REJECTED_DRY_RUN$/m } 'of a dry run';

# ---- layer 7

sub keep {
    my ($path, $where) = @_;
    my $c = $w->connect($where // 'http');
    $c->send(Weir::Http::request("GET $path"));
    return $c;
}

sub status_now { return Weir::Http::ask($w, 'http', "GET $_[0]")->{status} }

my @kept = map { keep('/keep?key=a') } 1, 2;
becomes { $slow->now == 2 } 'two requests of a key';
is status_now('/ok?key=a'), 429, 'a third is refused';
is status_now('/ok?key=b'), 200, 'not that of another key';
is status_now('/ok'), 200, 'nor one without a key';
is status_now('/dry/ok?key=a'), 200, 'nor in a dry run';
is status_now('/free?key=a'), 200, 'nor where there is no limit';
close_all(@kept);
becomes { status_now('/ok?key=a') == 200 } 'clients that left count no more';

@kept = (keep('/all/keep'));
becomes { $slow->now == 1 } 'one of all';
is status_now('/all/ok'), 503, 'with its own status';
close_all(@kept);
is Weir::Http::ask($w, 'http', 'GET /again/?key=c')->{body}, "fallback\n",
    'a request counts once, whatever location it ends in';

# A connection that is kept alive, with requests in a pipeline: each gives back before the next.
my $pipe = $w->connect('http');
$pipe->send(join '', map { Weir::Http::request('GET /all/ok') } 1 .. 4);
becomes { status_now('/free') == 200 } 'served meanwhile';
is join(' ', map { Weir::Http::reply($pipe)->{status} } 1 .. 4), '200 200 200 200', 'a pipeline';
$pipe->close;
SKIP: {
    skip 'no IPv6', 1 if !$V6;
    @kept = map { keep('/keep?key=six', '[::1]:%{http.port}') } 1, 2;
    wait_for { $slow->now == 2 };
    is status_now('/ok?key=six'), 429, 'IPv6 and IPv4 have one key';
    close_all(@kept);
}
my $http = sub { slurp($w->path('http.log')) };
becomes { $http->() =~ m{^/ok 429 REJECTED$}m && $http->() =~ m{^/ok 200 PASSED$}m
    && $http->() =~ m{^/dry/ok 200 REJECTED_DRY_RUN$}m && $http->() =~ m{^/free 200 -$}m }
    'the variable at layer 7';

# ---- processes

@c = fill(3);
is let_in(@c), 3, 'three before a reload';
is +($w->reload($conf))[0], 0, 'reload';
is let_in(sessions(1)), 0, 'sessions of the old generation count';
$c[0]->close;
ok room_is(1), 'and leave their place when they end';
close_all(@c);
ok room_is(3), 'all of them';

@c = fill(3);
my ($old, $new) = $w->upgrade;
is let_in(sessions(1)), 0, 'after USR2 they count as well';
$w->signal('QUIT', $old);
close_all(@c);
wait_for { !alive($old) };
ok room_is(3), 'until they end';

@c = fill(3);
my ($victim) = $w->workers;
$w->expect(qr/exited on signal 9/);
$w->signal('KILL', $victim);
wait_for { my @now = $w->workers; @now == 2 && !grep { $_ == $victim } @now };
my $left = grep { $_->echoes("still there\n") } @c;
cmp_ok $left, '<=', 3, "$left of three live on after the death of a worker";
ok room_is(3 - $left), 'exactly the others give back their places';
my $keeper = $w->keeper;
$w->signal('KILL', $keeper, $w->workers);
wait_for { ($w->keeper // $keeper) != $keeper };
ok room_is(3), 'keeper and workers die together';
close_all(@c);

@c = fill(3);
($conf = $CONF) =~ s/%SIZE%/128k/;
is +($w->reload($conf))[0], 0, 'reload with another size';
ok room_is(3), 'the new zone begins empty';
close_all(@c);

# ---- what is wrong

sub refused {
    my ($text) = @_;
    my $other = Weir->new;
    $other->conf($text);
    my ($code, undef, $err) = $other->command('-t');
    $other->remove;
    return $code ? $err : 'accepted';
}

for (
    ['limit_conn_zone $remote_addr zone=a;', qr/invalid zone size "zone=a"/],
    ['limit_conn_zone $remote_addr zone=a:1k;', qr/zone "zone=a:1k" is too small/],
    ['limit_conn_zone $remote_addr size=a;', qr/invalid parameter "size=a"/],
    ['limit_conn_zone $remote_addr zone=a:1m; limit_conn_zone $uri zone=a:1m;',
        qr/limit_conn_zone "a" is already bound to key "\$remote_addr"/],
    ['limit_conn_zone $remote_addr zone=a:1m; limit_conn a 0;',
        qr/invalid number of connections "0"/],
    ['limit_conn_zone $remote_addr zone=a:1m; limit_conn a 65536;',
        qr/connection limit must be less 65536/],
    ['limit_conn_zone $remote_addr zone=a:1m; limit_conn a 1; limit_conn a 2;', qr/is duplicate/],
    ['limit_conn b 1;', qr/unknown zone "b"/],
) {
    my ($line, $error) = @$_;
    like refused("http { $line }"), $error, $line;
}
$w->finish;
done_testing;
