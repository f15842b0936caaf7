#!/usr/bin/perl
# chaos: yes

# Sessions that weir learns from replies lead to the server that made them: at the end of a reply or
# at its head, by several variables, until their time is over or the zone is full. They are known to
# both workers, to another group with the same zone, after a reload that adds servers or changes the
# group's size, after an upgrade and its undoing, and after the death of a worker; not where the
# zone's own size changes. A server that is down, fails or drains; one that is full keeps its
# sessions. Hostile names of sessions.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;

# Tells that a request is here, and waits until its client has left.
sub hold {
    my ($fh) = @_;
    $w->write('held', '');
    sysread $fh, my $more, 1;
    return;
}

# A server says its name and sets a cookie with the session that the request names, if it does.
# /slow: the head and half of the body, the rest after a request for /go/NAME.
sub server {
    my ($name) = @_;
    return $w->backend($name, serve => Weir::HttpServer::serve(sub {
        my ($request, $fh) = @_;
        my ($session) = $request->{target} =~ /new=([^&]*)/;
        my @cookie = defined $session ? ('Set-Cookie' => "s=$session; path=/") : ();
        return hold($fh) if $request->{target} =~ m{/hold};
        return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n$name\n\r\n0\r\n"
            . "s: $session\r\n\r\n" if $request->{target} =~ m{/late} && defined $session;
        my $reply = Weir::HttpServer::reply(200, "$name\n", @cookie);
        if ($request->{target} =~ m{/slow}) {
            Weir::HttpServer::give($fh, substr $reply, 0, -1);
            select undef, undef, undef, 0.01 until -e $w->path('go');
            return substr $reply, -1;
        }
        return $reply;
    }));
}

server($_) for qw(a b c);

my $learn = 'sticky learn create=$upstream_cookie_s lookup=$cookie_s';

sub conf {
    my (%how) = @_;
    my $main = $how{main} // 'server %{a}; server %{b};';
    my $zone = $how{zone} // '1m';
    my %groups = (
        main => "$main $learn zone=main:$zone;",
        other => "server %{b}; server %{a}; $learn zone=main:$zone;",
        head => "server %{a}; server %{b}; $learn zone=head:1m header;",
        short => "server %{a}; server %{b}; $learn zone=short:1m timeout=2;",
        small => "server %{a}; server %{b}; $learn zone=small:32k;",
        late => 'server %{a}; server %{b};
                 sticky learn create=$upstream_trailer_s lookup=$cookie_s zone=late:1m;',
        many => 'server %{a}; server %{b}; sticky learn create=$arg_x create=$upstream_cookie_s
                 lookup=$arg_x lookup=$cookie_s zone=many:1m;',
        own => 'server %{a}; server %{b};
                sticky learn create=$cookie_s lookup=$cookie_s zone=own:1m;',
        full => 'server %{a} max_conns=1; server %{b};
                 sticky learn create=$cookie_s lookup=$cookie_s zone=full:1m;',
        failed => 'server %{none} fail_timeout=1h; server %{c}; server %{a} backup;
                   sticky learn create=$cookie_s lookup=$cookie_s zone=failed:1m;',
        least => "least_conn; server %{a}; server %{b}; $learn zone=least:1m;",
        hash => "hash same; server %{a}; server %{b}; $learn zone=hash:1m;",
    );
    my $groups = join '', map { "upstream $_ { $groups{$_} }\n" } sort keys %groups;
    my $locations = join '', map { "location /$_ { proxy_pass http://$_; }\n" } sort keys %groups;
    return "worker_processes 2;\nhttp {\n$groups server { listen %{web};\n$locations } }\n";
}
$w->start(conf());

sub get {
    my ($path, $session) = @_;
    my $r = Weir::Http::ask($w, 'web', "GET /$path", defined $session ? (Cookie => "s=$session")
        : ());
    return $r->{body} =~ s/\n.*//sr;
}

sub names {
    my ($n, $path, $session) = @_;
    my %seen = map { get($path, $session) => 1 } 1 .. $n;
    return join ' ', sort keys %seen;
}

# Makes a session of the group on this server; returns its name.
my $number = 0;
sub session_on {
    my ($group, $server, $more) = @_;
    for (1 .. 100) {
        my $session = 'session' . ++$number . ($more // '');
        return $session if get("$group?new=$session") eq $server;
    }
    return 'none';
}

# ---- learning

is names(8, 'main'), 'a b', 'without a session the balancer picks';
my %on = map { $_ => session_on('main', $_) } 'a', 'b';
is names(12, 'main', $on{$_}), $_, "a session of $_ leads there, in both workers" for 'a', 'b';
is names(8, 'main', 'never-seen'), 'a b', 'an unknown one does not count';
is names(8, 'main', ''), 'a b', 'nor an empty one';
is names(8, 'other', $on{$_}), $_, "another group with the zone: $_" for 'a', 'b';
is names(8, $_, session_on($_, 'a')), 'a', "with $_" for 'least';
my $hashed = get('hash?new=h');
is names(8, 'hash', 'h'), $hashed, 'with hash';

is names(6, 'many?x=' . session_on('many', 'b')), 'b', 'several variables: the first with a value';
is get('many?x=own'), my $first = get('many?x=own'), 'and learned from the first of them';
is names(6, 'many', 'own'), $first, 'looked up by the second';

my $late = session_on('late', 'a');
becomes { names(8, 'late', $late) eq 'a' } 'named by a trailer';

# A request of the client that has the whole reply finds its session, whatever worker serves it.
my @lost = grep { my $at = get("main?new=at$_"); get('main', "at$_") ne $at } 1 .. 40;
is_deeply \@lost, [], 'a session is known when its reply has ended';

sub slow {
    my ($group, $session) = @_;
    my $c = $w->connect('web');
    $c->send(Weir::Http::request("GET /$group/slow?new=$session", Connection => 'close'));
    my $line = $c->line;
    my ($length) = (0);
    while (defined($line = $c->line) && $line !~ /^\r?$/) { }
    return ($c, $c->recv(1));
}

my ($c, $at) = slow('head', 'early');
is names(8, 'head', 'early'), $at, 'header: known while the body still comes';
my ($d, $then) = slow('main', 'late');
is names(8, 'main', 'late'), 'a b', 'without it: not yet';
$w->write('go', '');
$_->rest for $c, $d;
is names(8, 'main', 'late'), $then, 'at the end it is';
unlink $w->path('go');

# ---- time and room

my $fleeting = session_on('short', 'a');
becomes { names(8, 'short', $fleeting) =~ /b/ || do { select undef, undef, undef, 2.5; 0 } }
    'a session that nobody uses ends';

my @small = map { my $s = "small$_"; get("small?new=$s"); $s } 1 .. 700;
my $kept = grep { names(2, 'small', $_) =~ /^\w$/ } @small[-100 .. -1];
is $kept, 100, 'a full zone has the newest';
my %gone = map { my $s = $_; (join ' ', map { get('small', $s) } 1 .. 4) => 1 } @small[0 .. 19];
ok exists $gone{'a b a b'} || exists $gone{'b a b a'} || keys %gone > 2, 'and the oldest go';

# ---- another server than the bound one

is get('own', 'mine'), my $mine = get('own', 'mine'), 'learned from the request';
is names(6, 'own', 'mine'), $mine, 'and bound';

my $full = 'f';
$full .= 'f' while get('full', $full) ne 'a';
my $holder = $w->connect('web');
$holder->send(Weir::Http::request('GET /full/hold', Cookie => "s=$full"));
becomes { -e $w->path('held') } 'a server is full';
is get('full', $full), 'b', 'another one serves the session meanwhile';
$holder->close;
becomes { get('full', $full) eq 'a' } 'the session stays where it was';
is names(6, 'full', $full), 'a', 'and is there again';

is names(4, 'failed', 'x'), 'c', 'a server that refuses: another one, which the session has then';

# ---- names of sessions

for my $name ('long ' . 'x' x 3000, "bytes \xff\xfe\x80", 'quotes "\'\\', '0', '%00%0a') {
    my $session = $name =~ s/ //gr;
    my $c = session_on('main', 'b', $session =~ /^[0%]|xxx/ ? $session : '');
    is names(6, 'main', $c), 'b', "a session of any name: " . substr $name, 0, 5;
    is names(8, 'main', $session), 'a b', '  and unknown ones';
}

# ---- reload, upgrade, death

is +($w->reload(conf(main => 'server %{c} weight=3; server %{a}; server %{b};')))[0], 0, 'reload';
is names(8, 'main', $on{$_}), $_, "with another server: $_ has its sessions" for 'a', 'b';
my $many = join ' ', map { "server 127.0.0.1:$_ down;" } 1 .. 100;
is +($w->reload(conf(main => "$many server %{a}; server %{b};")))[0], 0, 'a group of another size';
is names(8, 'main', $on{$_}), $_, "$_ has its sessions" for 'a', 'b';
is +($w->reload(conf(main => 'server %{a} drain; server %{b};')))[0], 0, 'a is draining';
is names(8, 'main', $on{a}), 'a', 'its sessions stay';
is names(8, 'main'), 'b', 'others do not come';
is +($w->reload(conf(main => 'server %{a} down; server %{b};')))[0], 0, 'a is down';
is names(8, 'main', $on{a}), 'b', 'its sessions go elsewhere';
is +($w->reload(conf()))[0], 0, 'a is back';
is names(8, 'main', $on{$_}), $_, "with the sessions of $_" for 'a', 'b';

my ($old, $new) = $w->upgrade;
is names(8, 'main', $on{$_}), $_, "an upgrade under way: $_" for 'a', 'b';
my $during = session_on('main', 'b');
$w->signal('HUP', $old);
$w->signal('QUIT', $new);
$w->ended($new);
becomes { ($w->pid // 0) == $old } 'it is undone';
$w->{master} = $old;
is names(8, 'main', $on{$_}), $_, "the sessions of $_ go on" for 'a', 'b';
is names(8, 'main', $during), 'b', 'those made meanwhile, too';
($old, $new) = $w->upgrade;
$w->signal('QUIT', $old);
$w->ended($old);
is names(8, 'main', $on{$_}), $_, "an upgrade that is completed: $_" for 'a', 'b';

my ($victim) = $w->workers;
$w->signal('KILL', $victim);
$w->expect(qr/\[alert\] .* worker process $victim exited on signal 9/);
becomes { my @now = $w->workers; @now == 2 && !grep { $_ == $victim } @now } 'a worker dies';
is names(8, 'main', $on{$_}), $_, "the sessions of $_ are there" for 'a', 'b';

is +($w->reload(conf(zone => '2m')))[0], 0, 'another size of the zone';
is names(16, 'main', $on{a}), 'a b', 'it begins empty';
is names(8, 'main', session_on('main', 'a')), 'a', 'and learns again';

$w->finish;
done_testing;
