#!/usr/bin/perl
# chaos: yes

# queue NUMBER: sessions and requests wait while all servers of their group are at max_conns or
# cannot be used, first in, first out over all workers; when the queue is full, or the time is over,
# they fail with 502. A place is given back when its client leaves. Those that wait are served at
# once when a connection ends, a server has rested, or a reload raises max_conns, adds a server or
# changes the number of places.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(time);
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;
$w->backend($_, greet => "$_\n") for qw(one two unix:three);
$w->backend('six', at => '[::1]:%{six.port}', greet => "six\n");
$w->backend('slow', serve => Weir::HttpServer::serve(sub {
    my ($request, $fh) = @_;
    if ($request->{target} =~ /wait/) {
        sysread $fh, my $more, 1;
        return;
    }
    select undef, undef, undef, 0.02 until -e $w->path('go') || $request->{target} !~ /hold/;
    return Weir::HttpServer::reply(200, $request->{target});
}));

# one, more: text after the server; queue: that directive.
sub conf {
    my (%is) = (one => 'max_conns=1', more => '', queue => 'queue 50;', @_);
    return <<"CONF";
worker_processes 2;
stream {
    log_format main '\$status \$upstream_addr \$upstream_queue_time';
    access_log %{dir}/stream.log main;
    upstream u { zone u 64k; server %{one} $is{one}; $is{more} $is{queue} }
    upstream few { server %{two} max_conns=1; queue 2; }
    upstream brief { server %{unix:three} max_conns=1; queue 9 timeout=300ms; }
    upstream v6 { server [::1]:%{six.port} max_conns=1; queue 9; }
    upstream rests { server %{later} max_conns=1 fail_timeout=1s; server %{later2} down; queue 9; }
    upstream none { server %{two} down; queue 9 timeout=300ms; }
    server { listen %{web}; proxy_pass u; }
    server { listen %{few}; proxy_pass few; }
    server { listen %{unix:brief}; proxy_pass brief; }
    server { listen %{v6}; proxy_pass v6; }
    server { listen %{rests}; proxy_pass rests; }
    server { listen %{none}; proxy_pass none; }
}
http {
    log_format main '\$status \$upstream_addr \$upstream_queue_time \$request_uri';
    access_log %{dir}/http.log main;
    upstream h { server %{slow} max_conns=1; queue 4 timeout=30s; }
    upstream short { server %{slow} max_conns=1; queue 1 timeout=400ms; }
    server { listen %{http}; location / { proxy_pass http://h; }
             location /short { proxy_pass http://short; } }
}
CONF
}
$w->start(conf());

sub lines { return scalar(() = $w->error_log =~ /$_[0]/g) }

sub waits { return lines('waits for a server in the queue') }

# Connects, and returns when the session waits.
sub in_line {
    my ($where) = @_;
    my $before = waits();
    my $c = $w->connect($where);
    wait_for { waits() > $before } or diag 'it does not wait';
    return $c;
}

sub holder {
    my ($where, $server) = @_;
    my $c = $w->connect($where);
    is $c->line, $server, "$where: the first session has the server";
    return $c;
}

# ---- the order, over two workers

my $holder = holder('web', 'one');
my (@line, %workers);
while (@line < 40 && (@line < 6 || keys %workers < 2)) {
    push @line, in_line('web');
    $workers{$_}++ for $w->error_log =~ /(\d+)#\d+: \*\d+ waits for a server/g;
}
is scalar(keys %workers), 2, scalar(@line) . ' sessions wait, in both workers';
$holder->close;
my $wrong = 0;
for my $i (0 .. $#line) {
    $wrong++ if ($line[$i]->line // '') ne 'one';
    $wrong++ if grep { defined $_->line(0) } @line[$i + 1 .. $#line];
    $line[$i]->close;
}
is $wrong, 0, 'each is served when the one before has ended, in the order of arrival';
holder('web', 'one')->close;
becomes { slurp($w->path('stream.log')) =~ /^200 \S+ \d+\.\d{3}$/m } '$upstream_queue_time';
becomes { slurp($w->path('stream.log')) =~ /^200 \S+ -$/m } 'and "-" where it did not wait';

# ---- clients that leave

$holder = holder('web', 'one');
@line = map { in_line('web') } 1 .. 3;
$line[0]->close;
becomes { lines('client disconnected while connecting') >= 1 } 'one leaves while it waits';
$line[1]->send("bytes before the end");
shutdown $line[1]->socket, 1;
my $had = $w->{backend}{one}->sessions;
$holder->close;
becomes { $w->{backend}{one}->sessions > $had } 'one has sent something before its FIN: it is served';
$line[1]->close;
is $line[2]->line, 'one', 'then the one behind it';
$line[2]->close;

# ---- full, time over

$holder = holder('few', 'two');
@line = map { in_line('few') } 1 .. 2;
is $w->connect('few')->rest, '', 'no place is free: closed at once';
becomes { $w->error_log =~ /\[error\] .* no live upstreams, the queue is full \(2 places\) while connecting to upstream, client: .*, upstream: "few"/ }
    'the log says so';
becomes { slurp($w->path('stream.log')) =~ /^502 few -$/m } 'status 502, the group instead of an address';
$line[0]->close;
becomes { lines('client disconnected while connecting') >= 2 } 'one leaves';
push @line, in_line('few');
$holder->close;
is $line[1]->line, 'two', 'a place that was free again';
$line[1]->close;
is $line[2]->line, 'two', 'was taken';
$line[2]->close;

$holder = holder('unix:brief', 'unix:three');
my $begun = time;
is in_line('unix:brief')->rest, '', 'unix sockets: the time is over';
cmp_ok time - $begun, '>=', 0.29, 'not before';
becomes { $w->error_log =~ /\[error\] .* no live upstreams, waited \d+ ms in the queue while connecting/ }
    'the log says so';
becomes { slurp($w->path('stream.log')) =~ /^502 brief 0\.[3-9]/m } 'the access log has the time';
my $next = in_line('unix:brief');
$holder->close;
is $next->line, 'unix:three', 'unix sockets';
$next->close;

$holder = holder('v6', 'six');
$next = in_line('v6');
$holder->close;
is $next->line, 'six', 'IPv6';
$next->close;

# ---- what else ends a wait

is $w->connect('rests')->rest, '', 'a server that is away';
$next = in_line('rests');
$w->backend('later', greet => "later\n", before => sub { close $next->socket });
is $next->line, 'later', 'rests for fail_timeout, then is tried by the one that waits';
$next->close;
is in_line('none')->rest, '', 'all servers are down: it waits for a reload until its time is over';

$holder = holder('web', 'one');
@line = map { in_line('web') } 1 .. 3;
my $change = sub {
    my ($code, undef, $err) = $w->reload(conf(@_));
    is $code, 0, 'reload' or diag $err;
};
$change->(one => 'max_conns=2');
is $line[0]->line, 'one', 'max_conns is raised: the first of those that wait in the old workers';
ok !defined $line[1]->line(0), 'and no other';
$change->(one => 'max_conns=2', more => 'server %{two} max_conns=1;');
is $line[1]->line, 'two', 'a server is added: the next one';
ok !defined $line[2]->line(0), 'and no other';
$change->(one => 'max_conns=2', more => 'server %{two} max_conns=1;', queue => 'queue 2;');
push @line, in_line('web');
is $w->connect('web')->rest, '', 'fewer places: one of them has an old session, one a new one';
$holder->close;
is $line[2]->line, 'one', 'the old one came first';
$line[2]->close;
is $line[3]->line, 'one', 'then the new one';
$_->close for @line;

# ---- requests

sub get {
    my ($target) = @_;
    my $c = $w->connect('http');
    $c->send(Weir::Http::request("GET $target"));
    return $c;
}
my $held = get('/hold');
becomes { $w->{backend}{slow}->sessions >= 1 } 'a request that is held';
my @asked;
for my $n (1 .. 4) {
    my $before = waits();
    push @asked, get("/$n");
    wait_for { waits() > $before };
}
is Weir::Http::ask($w, 'http', 'GET /5')->{status}, 502, 'requests: the fifth finds no place';
shift(@asked)->close;
becomes { $w->error_log =~ /client prematurely closed connection while connecting to upstream/ }
    'one leaves';
$w->write('go', '');
is(Weir::Http::reply($held)->{body}, '/hold', 'the held one is answered');
is(Weir::Http::reply($asked[$_])->{body}, '/' . ($_ + 2), 'request ' . ($_ + 2)) for 0 .. 2;
becomes { slurp($w->path('http.log')) =~ m{^200 \S+ \d+\.\d+ /4$}m } '$upstream_queue_time';
is Weir::Http::ask($w, 'http', 'GET /6')->{body}, '/6', 'a connection that is parked does not count';
becomes { slurp($w->path('http.log')) =~ m{^200 \S+ - /6$}m } 'it did not wait';

$had = $w->{backend}{slow}->sessions;
my $kept = get('/short/wait');
becomes { $w->{backend}{slow}->sessions > $had } 'a request that is not answered';
is Weir::Http::ask($w, 'http', 'GET /short/2')->{status}, 502, 'the time of a request is over';
becomes { slurp($w->path('http.log')) =~ m{^502 short 0\.[4-9]\d\d /short/2$}m } 'it is in the log';
$kept->close;
is Weir::Http::ask($w, 'http', 'GET /short/3')->{status}, 200, 'a client that leaves gives a server back';

# ---- what is wrong in a configuration

sub says {
    my ($queue, $pattern) = @_;
    $w->conf(conf(queue => $queue));
    my ($code, undef, $err) = $w->command('-t');
    ok $code != 0 && $err =~ $pattern, $queue or diag $err;
}
says('queue 0;', qr/invalid value "0" in "queue" directive/);
says('queue many;', qr/invalid value "many" in "queue" directive/);
says('queue 5 time=5s;', qr/invalid parameter "time=5s"/);
says('queue 5 timeout=0;', qr/invalid parameter "timeout=0"/);
says('queue 5; queue 6;', qr/"queue" directive is duplicate/);

$_->close for @asked, $held;
$w->expect(qr/"queue" directive|invalid parameter "time/);
$w->finish;
done_testing;
