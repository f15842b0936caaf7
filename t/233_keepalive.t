#!/usr/bin/perl

# Connections to servers are kept and used again, by the directives of an upstream; one that its
# server closed meanwhile costs no request, but a request that the server may have processed is not
# sent twice. proxy_next_upstream and max_fails for requests. A reload and an upgrade under the load
# of clients that keep their connections: no request is lost.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(time);
use Weir;
use Weir::Http;
use Weir::HttpLoad;
use Weir::HttpServer;

my $w = Weir->new;

# A server says its name, which of its connections this is and the how many-th request on it. The
# path may ask for something else.
sub server {
    my ($name) = @_;
    return $w->backend($name, serve => Weir::HttpServer::serve(sub {
        my ($request, $fh) = @_;
        my $said = "$name $request->{session} $request->{number}\n";
        my ($what, $who) = $request->{target} =~ m{^/(\w+)(?:/(\w+))?};

        return Weir::HttpServer::reply(200, $said) if defined $who && $who ne $name;
        if (($what // '') eq 'end') {    # say yes, then close without a word
            Weir::HttpServer::give($fh, Weir::HttpServer::reply(200, $said));
            return;
        }
        return if ($what // '') eq 'reset';
        return Weir::HttpServer::reply(200, $said) =~ s/\r\n\r\n\K.*//sr
            if $request->{method} eq 'HEAD';
        return "HTTP/1.1 204 No Content\r\n\r\n" if ($what // '') eq 's204';
        return Weir::HttpServer::reply($1, $said) if ($what // '') =~ /^s(\d+)$/;
        return "garbage\r\n\r\n" if ($what // '') eq 'garbage';
        if (($what // '') eq 'silent') {
            sysread $fh, my $more, 1;
            return;
        }
        return Weir::HttpServer::reply(200, $said, Connection => 'close')
            if ($what // '') eq 'close';
        # a reused connection takes the request and dies
        return if ($what // '') eq 'once' && $request->{number} > 1;
        return Weir::HttpServer::reply(200, $said);
    }, record => $w->path("$name.requests")));
}

sub arrived { return Weir::HttpServer::recorded($w->path("$_[0].requests")) }

server($_) for qw(a b c d e f g h i j k);

my $CONF = <<'CONF';
worker_processes 1;
http {
    log_format tries '$request_uri $status $upstream_status $upstream_addr';
    access_log %{dir}/access tries;
    upstream default { server %{a}; }
    upstream none { server %{b}; keepalive 0; }
    upstream requests { server %{c}; keepalive_requests 3; }
    upstream timeout { server %{d}; keepalive_timeout 1s; }
    upstream time { server %{e}; keepalive_time 1s; }
    upstream two { server %{f} max_fails=0; server %{g} max_fails=0; }
    upstream weak {
        server %{f} max_fails=2 fail_timeout=3s;
        server %{g} max_fails=2 fail_timeout=3s;
    }
    upstream one { server %{h}; }
    upstream kept { server %{j}; }

    server {
        listen %{web};
        location / { proxy_pass http://default/; }
        location /none/ { proxy_pass http://none/; }
        location /requests/ { proxy_pass http://requests/; }
        location /timeout/ { proxy_pass http://timeout/; }
        location /time/ { proxy_pass http://time/; }
        location /version10/ { proxy_http_version 1.0; proxy_pass http://default/; }
        location /one/ { proxy_pass http://one/; }
        location /implicit/ { proxy_pass http://%{i}/; }
        location /same/ { proxy_pass http://%{i}/; }
        location /variable/ { set $to %{i}; proxy_pass http://$to/; }
        location /group/ { set $to kept; proxy_pass http://$to/; }
        location /unheard/ { set $to %{k}; proxy_pass http://$to/; }
        location /own/ { proxy_set_header Connection "x"; proxy_pass http://none/; }
        location /two/ {
            proxy_read_timeout 1s;
            proxy_next_upstream error timeout invalid_header http_500 http_503 http_404 http_429;
            proxy_pass http://two/;
        }
        location /two-default/ { proxy_read_timeout 1s; proxy_pass http://two/; }
        location /two-off/ { proxy_next_upstream off; proxy_pass http://two/; }
        location /two-all/ {
            proxy_next_upstream error timeout http_500 non_idempotent;
            proxy_pass http://two/;
        }
        location /two-tries/ {
            proxy_next_upstream http_500;
            proxy_next_upstream_tries 1;
            proxy_pass http://two/;
        }
        location /weak/ { proxy_next_upstream error http_500; proxy_pass http://weak/; }
    }
}
CONF

$w->start($CONF);

sub get {
    my ($line, @fields) = @_;
    return Weir::Http::ask($w, 'web', $line, @fields);
}

# The bodies of that many requests for a path.
sub bodies {
    my ($path, $n) = @_;
    return map { get("GET $path")->{body} =~ s/\n//r } 1 .. $n;
}

# Connections to that server that are not closed on this side.
sub open_to {
    my ($name) = @_;
    my $port = sprintf '%04X', $w->port($name);
    return scalar(() = slurp('/proc/net/tcp') =~ /^\s*\d+: \w+:\w+ \w+:$port 0[18] /mg);
}

# ---- connections are used again

is_deeply [bodies('/', 5)], [map { "a 1 $_" } 1 .. 5], 'by default a connection is kept';
is_deeply [map { /^Connection:.*/mi ? $& : 'none' } arrived('a')], [('none') x 5],
    'no Connection is sent';
is $w->{backend}{a}->sessions, 1, 'the server saw one connection';
is_deeply [bodies('/none/', 3)], ['b 1 1', 'b 2 1', 'b 3 1'], 'keepalive 0: none is';
like +(arrived('b'))[0], qr/^Connection: close\r$/m, 'and the server gets Connection: close';
is_deeply [bodies('/requests/', 7)], ['c 1 1', 'c 1 2', 'c 1 3', 'c 2 1', 'c 2 2', 'c 2 3',
    'c 3 1'],
    'keepalive_requests 3';
is join(', ', bodies('/timeout/', 2)), 'd 1 1, d 1 2', 'keepalive_timeout: kept within it';
becomes { !open_to('d') } 'and closed after it';
is join(', ', bodies('/timeout/', 2)), 'd 2 1, d 2 2', 'then there is a new one';
my $began = time;
is join(', ', bodies('/time/', 2)), 'e 1 1, e 1 2', 'keepalive_time: kept within it';
becomes { (bodies('/time/', 1))[0] eq 'e 2 1' } 'and not for ever';
cmp_ok time - $began, '>=', 1, 'but for as long as it says';
is_deeply [bodies('/implicit/', 3)], [map { "i 1 $_" } 1 .. 3],
    'an address in proxy_pass is a group like others';
is_deeply [bodies('/same/', 2)], [map { "i 2 $_" } 1 .. 2],
    'each location keeps its own: "keepalive 32 local"';
is_deeply [bodies('/variable/', 2)], [map { "i 3 $_" } 1 .. 2], 'a variable that means it, too';
is_deeply [bodies('/group/', 2)], [map { "j 1 $_" } 1 .. 2], 'or a group by its name';
is scalar(grep { /^Connection:/m } arrived('i'), arrived('j')), 0, 'none of them gets Connection';
is_deeply [bodies('/unheard/', 2)], [map { "k $_ 1" } 1 .. 2],
    'an address from a variable that is no upstream of the configuration: no connection is kept';
is scalar(grep { /^Connection:/m } arrived('k')), 0, 'but no Connection is sent, as in nginx';
get('GET /own/');
like +(arrived('b'))[-1], qr/^Connection: x\r$/m, 'proxy_set_header says something else';
get('GET /version10/');
like +(arrived('a'))[-1], qr{^GET / HTTP/1\.0\r.*^Connection: close\r$}ms, 'HTTP/1.0: none is kept';
is join(', ', (bodies('/close', 1), bodies('/', 1))[1]) =~ /a \d+ 1/ ? 1 : 0, 1,
    'a server that says close is believed';
{
    my @before = bodies('/', 2);
    get('HEAD /');
    get('POST /', body => 'x' x 100_000);
    get('GET /s204');
    my ($session) = $before[1] =~ /^a (\d+)/;
    like +(bodies('/', 1))[0], qr/^a $session /, 'HEAD, a body, 204: the connection serves on';
}

# ---- stale connections

arrived('h');
is join(', ', bodies('/one/', 2)), 'h 1 1, h 1 2', 'one server, a kept connection';
get('GET /one/end');
becomes { !open_to('h') } 'it is closed by the server';
is join(', ', bodies('/one/', 1)), 'h 2 1',
    'a new one, nothing is seen';
is get('GET /one/once')->{body}, "h 3 1\n",
    'closed when the request came: it is sent again on a new one';
is scalar(grep { /^GET \/once/ } arrived('h')), 2, 'the server saw it twice';
{
    my $r = get('POST /one/once', body => 'abc');
    is $r->{status}, 502, 'a POST is not sent again';
    is scalar(grep { /^POST \/once/ } arrived('h')), 1, 'the server saw it once';
}
get('GET /one/');
$w->{backend}{h}->kill;
$w->{backend}{h}->start;
is get('POST /one/', body => 'abc')->{status}, 200,
    'a POST on a connection known to be closed goes over a new one';
unlike $w->error_log, qr/\[error\].*GET \/one\//, 'no error is logged for a stale connection';

# ---- next_upstream

sub first_f {    # the next request to the group begins with f
    for (1 .. 4) {
        return if get('GET /two-default/')->{body} =~ /^g/;
    }
}

for my $what ('reset', 'garbage', 'silent', 's500', 's503', 's404', 's429') {
    first_f();
    is get("GET /two/$what/f")->{body} =~ /^g/ ? 1 : 0, 1, "next_upstream: $what at one server";
}
becomes {
    slurp($w->path('access')) =~ m{^/two/s500/f 200 500, 200 \S+, \S+$}m
} 'both are in the log';
for my $what ('s403', 's502', 's504') {
    first_f();
    is get("GET /two/$what/f")->{status}, substr($what, 1),
        "$what is not configured: the reply is passed on";
}
is get('GET /two/s500')->{status}, 500, 'no server is better: the last one\'s answer';
like get('GET /two/s500')->{body}, qr/^[fg] \d+ \d+$/, 'with its body';
is get('GET /two/s404')->{status}, 404, 'likewise 404';
is get('GET /two/silent')->{status}, 504, 'all silent: 504';
is get('GET /two/reset')->{status}, 502, 'all close: 502';
is get('GET /two/garbage')->{status}, 502, 'all send garbage: 502';
first_f();
is get('GET /two-default/reset/f')->{status}, 200, 'by default: error';
first_f();
is get('GET /two-default/silent/f')->{status}, 200, 'by default: timeout';
first_f();
is get('GET /two-default/s500/f')->{status}, 500, 'by default: no status';
first_f();
is get('GET /two-off/reset/f')->{status}, 502, 'off';
first_f();
is get('GET /two-tries/s500/f')->{status}, 500, 'tries are limited';

arrived($_) for 'f', 'g';
for my $method (qw(POST PATCH LOCK)) {
    first_f();
    is get("$method /two/reset/f", body => 'abc')->{status}, 502, "$method is not sent to another";
    is scalar(grep { /^$method/ } map { arrived($_) } 'f', 'g'), 1, 'it arrived once';
}
for my $method (qw(PUT DELETE)) {
    first_f();
    is get("$method /two/reset/f", body => 'abc')->{status}, 200, "$method is sent to another";
    like +(arrived('g'))[-1], qr/\r\n\r\nabc\z/, 'with its body';
}
first_f();
is get('POST /two-all/reset/f', body => 'abc')->{status}, 200, 'non_idempotent: POST, too';
$w->{backend}{f}->kill;
is get('POST /two/', body => 'abc')->{status}, 200, 'a POST that was never sent goes to another'
    for 1, 2;
$w->{backend}{f}->start;

# ---- max_fails

arrived($_) for 'f', 'g';
get('GET /weak/s500/f') for 1 .. 10;
my @f = arrived('f');
is scalar(@f), 2, 'max_fails 2: two failures, then it is left alone';
becomes { get('GET /weak/'); arrived('f') } 'until fail_timeout ends', 20;
is scalar(grep { m{temporarily disabled.*/weak/} } split /\n/, $w->error_log), 1, 'one warning';

# ---- reload and upgrade under load

sub under_load {
    my ($name, $do) = @_;
    my @load = map { Weir::HttpLoad->new(where => [$w->address('web')], lasting => 8, @$_) }
        [good => qr/^a \d+ \d+$/], [request => 'POST /', fields => [body => 'x' x 3000]];
    $_->rounds(3) for @load;
    $do->();
    $_->rounds(5) for @load;
    my ($good, @wrong) = (0);
    for (@load) {
        my ($n, @list) = $_->end;
        $good += $n;
        push @wrong, @list;
    }
    is_deeply \@wrong, [], "$name: none of $good requests was lost";
}

under_load('reload', sub {
    for my $workers (2, 1, 3) {
        my ($code, undef,
            $err) = $w->reload($CONF =~ s/worker_processes \d/worker_processes $workers/r);
        is $code, 0, "reload to $workers workers" or diag $err;
    }
});
under_load('upgrade', sub {
    my ($old, $new) = $w->upgrade;
    $w->signal('QUIT', $old);
    is $w->ended($old), 0, 'the old master has ended';
});

$w->finish;
done_testing;
