#!/usr/bin/perl

# Directives of layer 7 that no other test covers, each by its effect: the timeouts and limits of a
# client's connection, bodies in files, clients that leave, trailers; and directives without effect,
# which are only accepted.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(time sleep);
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;
mkdir $w->path('body') and chmod 0777, $w->path('body');

$w->backend('echoing', serve => Weir::HttpServer::serve(sub {
    my ($r) = @_;
    my @said = map { "$_->[0]=$_->[1]" } grep { $_->[0] =~ /^X-/ } @{ $r->{fields} };
    return Weir::HttpServer::reply(200, "@said" || $r->{body});
}));
$w->backend('slow', serve => Weir::HttpServer::serve(sub {
    sleep 0.7;
    return Weir::HttpServer::reply(200, "late\n");
}));
$w->backend('trailers', serve => Weir::HttpServer::serve(
    "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
    . "2\r\nab\r\n0\r\nX-Sum: 7\r\n\r\n"));
$w->backend('deaf', serve => sub { my ($fh) = @_; sleep 20 });

$w->start(<<'CONF');
http {
    log_format short '$status $uri $body_bytes_sent';
    access_log access.log short;
    client_body_temp_path %{dir}/body;

    # accepted, without effect
    client_header_buffer_size 2k;
    postpone_output 1460;
    tcp_nopush on;
    proxy_headers_hash_max_size 1024;
    proxy_headers_hash_bucket_size 128;
    client_body_in_single_buffer on;

    server {
        listen %{web};
        server_name other.example;
        server_name_in_redirect on;
        location = /moved { return 301 /there; }
        location /here { return 200 here; }

        location /body { proxy_pass http://%{echoing}; }
        location /body/memory { proxy_pass http://%{echoing}; client_body_buffer_size 64k; }
        location /body/little { proxy_pass http://%{echoing}; client_body_buffer_size 1k; }
        location /body/stays {
            proxy_pass http://%{echoing};
            client_body_in_file_only on;
            proxy_set_header X-File $request_body_file;
        }
        location /body/goes {
            proxy_pass http://%{echoing};
            client_body_in_file_only clean;
            proxy_set_header X-File $request_body_file;
        }

        location /left { proxy_pass http://%{slow}; }
        location /left/ignored { proxy_pass http://%{slow}; proxy_ignore_client_abort on; }

        location /trailers { proxy_pass http://%{trailers}; }
        location /trailers/passed { proxy_pass http://%{trailers}; proxy_pass_trailers on; }

        location /deaf {
            proxy_pass http://%{deaf};
            proxy_send_timeout 300ms;
            proxy_read_timeout 300ms;
            proxy_request_buffering off;
            client_max_body_size 0;
        }
    }

    server {
        listen %{few};
        keepalive_requests 2;
        return 200 few;
    }
    server {
        listen %{aged};
        keepalive_time 500ms;
        return 200 aged;
    }
    server {
        listen %{hurry};
        client_header_timeout 300ms;
        client_body_timeout 300ms;
        location / { proxy_pass http://%{echoing}; }
    }
    server {
        listen %{hard};
        client_header_timeout 300ms;
        client_body_timeout 300ms;
        reset_timedout_connection on;
        location / { proxy_pass http://%{echoing}; }
        location /444 { return 444; }
    }
    server {
        listen %{lax};
        ignore_invalid_headers off;
        location / { proxy_pass http://%{echoing}; }
    }
    server {
        listen %{patient};
        lingering_close always;
        lingering_time 800ms;
        return 200 patient;
    }
    server {
        listen %{brisk};
        lingering_close always;
        lingering_timeout 300ms;
        return 200 brisk;
    }
}
CONF

sub get { return Weir::Http::ask($w, @_) }

sub logged {
    my ($pattern, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    becomes { slurp($w->path('access.log')) =~ /^$pattern$/m } $name;
}

# ---- connections that are kept

sub kept {
    my ($where, @pauses) = @_;
    my $c = $w->connect($where);
    my @said;
    for my $pause (@pauses) {
        sleep $pause;
        $c->send(Weir::Http::request('GET /'));
        push @said, Weir::Http::reply($c)->field('Connection') // 'kept';
    }
    return "@said " . $c->ending(0.3);
}

is kept('few', 0, 0), 'keep-alive close eof', 'keepalive_requests: the second is the last';
is kept('aged', 0, 0), 'keep-alive keep-alive open', 'keepalive_time: a young connection';
is kept('aged', 0, 0.6), 'keep-alive close eof', 'closes behind the request that finds it old';

# ---- clients that take their time

sub timed_out {
    my ($where, $text) = @_;
    my $c = $w->connect($where);
    my $begun = time;
    $c->send($text);
    my ($said, $ending, $took) = ($c->rest, $c->ending, time - $begun);
    return "$said$ending " . ($took > 0.25 ? 'later' : 'at once');
}

my $half_head = "GET /head HTTP/1.1\r\nHost: a\r\n";
my $half_body = "POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345";
is timed_out('hurry', $half_head), 'eof later', 'client_header_timeout';
is timed_out('hurry', $half_body), 'eof later', 'client_body_timeout';
logged('408 /body 0', 'is 408 in the log');
is timed_out('hard', $half_head), 'reset later', 'reset_timedout_connection: of a head';
is timed_out('hard', $half_body), 'reset later', 'reset_timedout_connection: of a body';
is timed_out('hard', "GET /444 HTTP/1.1\r\nHost: a\r\n\r\n"), 'reset at once', 'and for 444';

# ---- the end of a connection whose client still sends

sub still_read {
    my ($where, $pause) = @_;
    my $c = $w->connect($where);
    $c->send("POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 1000\r\n\r\n");
    my $begun = time;
    while (time - $begun < 5 && $c->send('x')) {
        sleep $pause;
    }
    return time - $begun;
}

my $took = still_read('patient', 0.1);
ok $took > 0.6 && $took < 4, "lingering_time: bytes are read and dropped for that long ($took s)";
$took = still_read('brisk', 0.1);
ok $took > 0.9, "lingering_timeout: not over while more bytes come ($took s)";
$took = still_read('brisk', 0.8);
ok $took < 4, "over when none come ($took s)";

# ---- fields

is get('web', 'GET /body', 'X-Y' => 1, 'X-Y.Z' => 2)->{body}, 'X-Y=1',
    'a field with an invalid name is left out';
is get('lax', 'GET /', 'X-Y' => 1, 'X-Y.Z' => 2)->{body}, 'X-Y=1 X-Y.Z=2',
    'ignore_invalid_headers off: such a field is kept';
like get('web', 'GET /moved')->field('Location'), qr{^http://other\.example(?::\d+)?/there$},
    'server_name_in_redirect';

# ---- bodies

my $body = join '', map { "$_\n" } 1 .. 2000;
my $spilled = sub { scalar(() = $w->error_log =~ /is buffered to a temporary file/g) };
is get('web', 'POST /body/memory', body => $body)->{body}, $body, 'client_body_buffer_size';
is $spilled->(), 0, 'a body that fits stays in memory';
is get('web', 'POST /body/little', body => $body)->{body}, $body, 'one that does not fit';
is $spilled->(), 1, 'is written to a file';

my $file = get('web', 'POST /body/stays', body => $body)->{body} =~ s/^X-File=//r;
like $file, qr{^\Q$w->{dir}\E/body/\d+$}, 'client_body_in_file_only: a file with a name';
is slurp($file), $body, 'that stays';
$file = get('web', 'POST /body/goes', body => $body)->{body} =~ s/^X-File=//r;
like $file, qr{^\Q$w->{dir}\E/body/\d+$}, 'client_body_in_file_only clean: a file with a name';
becomes { !-e $file } 'that goes with the request';

# ---- upstream

sub leave {
    my ($path) = @_;
    my $c = $w->connect('web');
    $c->send(Weir::Http::request("GET $path"));
    sleep 0.2;
    $c->close;
}

leave('/left');
leave('/left/ignored');
logged('499 /left 0', 'a client that leaves');
logged('200 /left/ignored \d+', 'proxy_ignore_client_abort: its request goes on');

my $r = get('web', 'GET /trailers', TE => 'trailers');
is $r->{body}, 'ab', 'a reply with trailers';
is $r->trailer('X-Sum'), undef, 'which are dropped';
$r = get('web', 'GET /trailers/passed', TE => 'trailers');
is $r->{body}, 'ab', 'proxy_pass_trailers: the reply';
is $r->trailer('X-Sum'), 7, 'and its trailers';

my $c = $w->connect('web');
$c->send("POST /deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
$c->flood('x' x 65536, 50_000_000, 0.3);
logged('504 /deaf \d+', 'proxy_send_timeout: a server that does not read is given up');
$c->close;

# ---- values of directives without effect are checked

$w->finish;

my $v = Weir->new;
$v->expect(qr/\[emerg\]/);
for (['client_header_buffer_size', 'x'], ['postpone_output', 'x'], ['tcp_nopush', 'maybe'],
    ['client_body_in_single_buffer', 'maybe'], ['proxy_headers_hash_max_size', 'x'],
    ['proxy_headers_hash_bucket_size', 'x']) {
    my ($name, $value) = @$_;
    $v->conf("http { $name $value; }");
    my ($code, $out, $err) = $v->command('-t');
    ok $code != 0 && $err =~ /directive invalid (?:value|number)|must be "on"/, "$name $value"
        or diag $err;
}

# ---- the end of a worker

$v->start(<<'CONF');
http {
    server { listen %{kept}; keepalive_min_timeout 3s; return 200 kept; }
    server { listen %{let_go}; return 200 gone; }
}
CONF
my %idle = map { $_ => $v->connect($_) } 'kept', 'let_go';
for (values %idle) {
    $_->send(Weir::Http::request('GET /'));
    Weir::Http::reply($_);
}
my $master = $v->master;
$v->signal('QUIT');
is $idle{let_go}->ending, 'eof', 'idle connections end when a worker ends';
is $idle{kept}->ending(0.5), 'open',
    'keepalive_min_timeout: but are kept for keepalive_min_timeout';
$idle{kept}->send(Weir::Http::request('GET /'));
is Weir::Http::reply($idle{kept})->{body}, 'kept', 'and are served';
is $idle{kept}->ending, 'eof', 'for the last time';
$v->has_ended;
is $v->ended($master), 0, 'then weir ends';
$v->finish;
done_testing;
