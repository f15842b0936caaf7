#!/usr/bin/perl
# chaos: yes

# queue with what else chooses a server, and with what makes one usable: every balancer and every
# kind of sticky (a bound client that waits takes what comes first, and stays bound), a draining
# server, backups, a retry, retry_budget, an ejection that ends, a health check that passes, at both
# layers; a reload that takes the queue or the size of the zone away from those who wait.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;

# A server says its name; /hold: when it is let go; /check: well or sick, as a file says; /bad: 503
# while the file "bad" is there.
sub server {
    my ($name) = @_;
    $w->backend($name, serve => Weir::HttpServer::serve(sub {
        my ($r) = @_;
        my $cookie = $r->field('Cookie') // '';
        my @learn = $r->{target} =~ m{learn} && $cookie !~ /id=/ ? ('Set-Cookie' => "id=$$") : ();
        if ($r->{target} =~ m{/hold}) {
            $w->write("$name.held", '');
            select undef, undef, undef, 0.02 until unlink $w->path("$name.go");
        }
        my $bad = $r->{target} =~ m{/check} ? "$name.sick" : $r->{target} =~ m{/bad} ? 'bad' : 'no';
        return Weir::HttpServer::reply(-e $w->path($bad) ? 503 : 200, $name, @learn);
    }));
    return;
}
server($_) for qw(a b sick);
$w->backend('banner', greet => "hello\n");

# The directives of groups with a and b, and what a request brings to be bound to one of them.
my %group = (
    round => ['', sub { () }],
    least => ['least_conn;', sub { () }],
    times => ['least_time header;', sub { () }],
    chance => ['random two;', sub { () }],
    hash => ['hash $arg_k;', \&by_key],
    ring => ['hash $arg_k consistent;', \&by_key],
    maglev => ['hash $arg_k maglev;', \&by_key],
    address => ['ip_hash;', sub { () }],
    cookie => ['sticky cookie sid;', \&by_cookie],
    signed => ['sticky cookie sid secret_file=secret;', \&by_cookie],
    route => ['sticky route $arg_r;', sub { ("r=$_[1]") }],
    learn => ['sticky learn create=$upstream_cookie_id lookup=$cookie_id zone=z:64k;', \&by_cookie],
);
$w->write('secret', "a secret of this test, long enough\n");

sub conf {
    my (%is) = (ZONE => 'zone last 64k;', QUEUE => 'queue 9;', A => '', @_);
    my $text = "worker_processes 2;\nhttp {\n    access_log off;\n";
    for my $name (sort keys %group) {
        $text .= "    upstream $name { $group{$name}[0] queue 9; server %{a} max_conns=1 route=a;"
            . " server %{b} max_conns=1 route=b; }\n";
    }
    $text .= <<'CONF';
    upstream spare  { server %{a} max_conns=1; server %{b} max_conns=1 backup; queue 9; }
    upstream again  { server %{none} max_fails=0; server %{a} max_conns=1; queue 9; }
    upstream frugal { server %{none} fail_timeout=1h; server %{a} max_conns=1; queue 9;
                      retry_budget 1% min=0/s; }
    upstream eject  { server %{b} max_fails=0; server %{a} max_conns=1; queue 9;
                      outlier errors=1 window=10s eject=1s; }
    upstream check  { server %{sick} max_fails=0; queue 9; }
    upstream must   { server %{sick} max_fails=0; queue 9; }
    upstream last   { ZONE QUEUE server %{a} max_conns=1 A; server %{b} down; }
    upstream drains { zone drains 64k; server %{a} max_conns=1 route=a A; server %{b} max_conns=1 route=b;
                      queue 9; sticky route $arg_r; }
    server {
        listen %{web};
        location ~ ^/(?<group>\w+) { proxy_pass http://$group; }
        location /check { proxy_pass http://check; health_check interval=100ms uri=/check; }
        location /must  { proxy_pass http://must; health_check interval=100ms uri=/check mandatory; }
    }
}
stream {
    upstream banner { server %{banner} max_fails=0; queue 9; }
    match hello { expect hello; }
    server { listen %{banner_in}; proxy_pass banner; health_check interval=100ms match=hello; }
}
CONF
    $text =~ s/\b(ZONE|QUEUE|A)(?=[ ;])/$is{$1}/g;
    return $text;
}
$w->write('sick.sick', '');
$w->start(conf());

sub waits { return scalar(() = $w->error_log =~ /waits for a server in the queue/g) }

sub ask_for {
    my ($path, @fields) = @_;
    my $c = $w->connect('web');
    $c->send(Weir::Http::request("GET /$path", @fields, Connection => 'close'));
    return $c;
}

sub get { return Weir::Http::ask($w, 'web', "GET /$_[0]", @_[1 .. $#_]) }

# A request that has a server until it is let go.
sub holds {
    my ($name, $path, @fields) = @_;
    my $c = ask_for("$path", @fields);
    wait_for { -e $w->path("$name.held") } or diag "$name does not have /$path";
    unlink $w->path("$name.held");
    return $c;
}

sub let_go {
    my ($name, $c) = @_;
    $w->write("$name.go", '');
    my $r = Weir::Http::reply($c);
    $c->close;
    return $r->{body} eq $name;
}

# A request that waits.
sub waits_for {
    my ($path, @fields) = @_;
    my $before = waits();
    my $c = ask_for($path, @fields);
    wait_for { waits() > $before } or diag "/$path does not wait";
    return $c;
}

# A client may have its whole reply a moment before its worker gives the place at the server back.
sub comes_free {
    my ($path, $name, @fields) = @_;
    return wait_for { get($path, @fields)->{body} eq $name };
}

sub served { return Weir::Http::reply($_[0])->{body} }

# Which key leads to the server.
sub by_key {
    my ($group, $name) = @_;
    for my $k (1 .. 100) {
        return "k=$k" if get("$group?k=$k")->{body} eq $name;
    }
    return;
}

# Which cookie does.
sub by_cookie {
    my ($group, $name) = @_;
    for (1 .. 100) {
        my $r = get($group);
        my ($cookie) = grep { /^(?:sid|id)=/ } $r->all('Set-Cookie');
        return ('', Cookie => $cookie) if $r->{body} eq $name;
    }
    return;
}

# ---- every way to choose

# Both servers are taken, by whoever comes.
sub fill {
    my ($group) = @_;
    my %holder;
    for (1 .. 2) {
        my $c = ask_for("$group/hold?k=$_");
        my $name = wait_for { (grep { -e $w->path("$_.held") } 'a', 'b')[0] } or return;
        unlink $w->path("$name.held");
        $holder{$name} = $c;
    }
    return %holder;
}

for my $group (sort keys %group) {
    my ($args, @fields) = $group{$group}[1]->($group, 'a');
    my $bound = @fields || $args ? 1 : 0;
    my $path = $group . ($args ? "?$args" : '');
    is join('', map { get($path, @fields)->{body} } 1 .. 6), 'a' x 6, "$group: bound to a server" if $bound;
    my %holder = fill($group);
    my ($one, $two) = map { waits_for($path, @fields) } 1 .. 2;
    ok let_go('b', $holder{b}), "$group: two wait, a server ends its request";
    is served($one), 'b', "$group: the first gets it, bound to it or not";
    is served($two), 'b', "$group: then the second";
    ok let_go('a', $holder{a}), "$group: the other one ends its request";
    comes_free($path, 'a', @fields) if $bound;
    is join('', map { get($path, @fields)->{body} } 1 .. 6), 'a' x 6, "$group: it is still bound" if $bound;
    $_->close for $one, $two;
}

# ---- draining

is(($w->reload(conf(A => 'drain')))[0], 0, 'a server is to drain');
my $holder = holds('a', 'drains/hold?r=a');
is get('drains?r=a')->{body}, 'b', 'a bound client finds it full: another one';
my $other = holds('b', 'drains/hold');
my @line = (waits_for('drains'), waits_for('drains?r=a'));
ok let_go('a', $holder), 'the draining server has room';
is served($line[1]), 'a', 'for the one that is bound to it, though another came first';
ok !defined $line[0]->line(0), 'which it is not for';
ok let_go('b', $other), 'the other one has';
is served($line[0]), 'b', 'it is';
is(($w->reload(conf()))[0], 0, 'drain is taken away');

# ---- backups

$holder = holds('a', 'spare/hold');
is get('spare')->{body}, 'b', 'a backup comes before waiting';
$other = holds('b', 'spare/hold');
@line = map { waits_for('spare') } 1, 2;
ok let_go('b', $other), 'the backup has room';
is served($line[0]), 'b', 'for the first';
is served($line[1]), 'b', 'for the second';
ok let_go('a', $holder), 'the main server, too';
ok comes_free('spare', 'a'), 'it comes first again';

# ---- retries

$holder = holds('a', 'again/hold');
@line = map { waits_for('again') } 1 .. 3;
ok let_go('a', $holder), 'a server is refused, the other is full';
is join('', map { served($_) } @line), 'aaa', 'they wait for that one';

becomes { get('frugal')->{status} == 502 } 'a retry that the budget does not afford';
$holder = holds('a', 'frugal/hold');
@line = map { waits_for('frugal') } 1, 2;
ok let_go('a', $holder), 'the other server is full';
is join('', map { served($_) } @line), 'aa', 'waiting for it is no retry';

# ---- an ejection ends

$w->write('bad', '');
wait_for { get('eject/bad'); $w->error_log =~ /"eject": server \S+ is ejected/ };
unlink $w->path('bad');
$holder = holds('a', 'eject/hold');
@line = waits_for('eject');
is served($line[0]), 'b', 'an ejection is over: who waits is the probe';
becomes { $w->error_log =~ /"eject": server \S+ returns/ } 'it succeeded';
ok let_go('a', $holder), 'the other one goes on';

# ---- a check passes

becomes { $w->error_log =~ /upstream "check": is (?:still )?down: HTTP 503/ } 'a server is sick';
@line = map { waits_for($_) } qw(check check must must);
is(($w->reload(conf()))[0], 0, 'a reload');
push @line, map { waits_for($_) } qw(check must);
unlink $w->path('sick.sick');
is join(' ', map { served($_) } @line), join(' ', ('sick') x 6),
    'a check passes: all are served, in both generations';

$w->{backend}{banner}->kill;
becomes { $w->error_log =~ /upstream "banner": is (?:still )?down: connect refused/ } 'stream: a server is down';
my $before = waits();
my @sessions = map { $w->connect('banner_in') } 1 .. 3;
becomes { waits() == $before + 3 } 'three sessions wait';
$w->{backend}{banner}->start;
is scalar(grep { ($_->line // '') eq 'hello' } @sessions), 3, 'a check passes: all are served';
$_->fin for @sessions;    # the server that was started has these sockets, too

# ---- reloads while they wait

$holder = holds('a', 'last/hold');
@line = map { waits_for('last') } 1 .. 3;
is(($w->reload(conf(QUEUE => '')))[0], 0, 'a reload: the group has no queue any more');
is get('last')->{status}, 502, 'new requests do not wait';
ok let_go('a', $holder), 'the server ends its request';
is join('', map { served($_) } @line), 'aaa', 'those in the queue are served';

comes_free('last', 'a');
$holder = holds('a', 'last/hold');
is(($w->reload(conf()))[0], 0, 'the queue is back');
@line = map { waits_for('last') } 1 .. 2;
ok let_go('a', $holder), 'workers without a queue have the server';
is join('', map { served($_) } @line), 'aa', 'and call who waits';

$holder = holds('a', 'last/hold');
@line = map { waits_for('last') } 1 .. 3;
is(($w->reload(conf(ZONE => 'zone last 1m;')))[0], 0, 'a reload with another size of the zone');
is get('last')->{body}, 'a', 'connections and the queue are counted anew';
ok !defined $line[0]->line(0), 'those that wait go on waiting';
ok let_go('a', $holder), 'until a request of their generation ends';
is join('', map { served($_) } @line), 'aaa', 'all are served';
$holder = holds('a', 'last/hold');
@line = waits_for('last');
ok let_go('a', $holder), 'max_conns holds';
is served($line[0]), 'a', 'in the new zone';

$_->close for @line;
$w->finish;
done_testing;
