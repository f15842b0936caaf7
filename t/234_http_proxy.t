#!/usr/bin/perl

# proxy_pass at layer 7 with real servers behind it: cases that need two of them, time or a body.
# The requests that weir sends and the fields of replies are tested in t/unit/modules_http_proxy.c.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep);
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;

# The server does what the target says; else it shows the request.
sub answer {
    my ($name) = @_;
    return sub {
        my ($r, $fh) = @_;
        my $head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n";

        return "$head\r\n2\r\nab\r\n0\r\nX-Sum: 7\r\nContent-Length: 9\r\n\r\n"
            if $r->{target} =~ /trailers/;
        return Weir::HttpServer::reply($1, "$name says $1\n", 'WWW-Authenticate' => 'a',
            'WWW-Authenticate' => 'b', 'X-Own' => $name) if $r->{target} =~ m{/(\d\d\d)/$name};
        return Weir::HttpServer::reply(200, 'not seen', 'X-Own' => 1, 'Set-Cookie' => 'c=1',
            'X-Accel-Redirect' => '/protected/f?x=%20', 'Content-Type' => 'a/b')
            if $r->{target} =~ /accel$/;
        if ($r->{target} =~ /late/) {
            sleep 0.5;
            return Weir::HttpServer::reply(200, 'late');
        }
        return if $r->{target} =~ /breaks/ && $name eq 'one';
        return Weir::HttpServer::reply(200, "$name\n$r->{raw}");
    };
}

$w->backend($_, serve => Weir::HttpServer::serve(answer($_))) for qw(one two);
$w->backend('deaf', serve => sub { sleep 20 });
$w->start(<<'CONF');
events { }
http {
    log_format plain '$status $upstream_status [$upstream_trailer_x_sum] '
                     '[$sent_trailer_x_sum] $request_uri';
    access_log %{dir}/access.log plain;
    proxy_headers_hash_max_size 512;
    proxy_headers_hash_bucket_size 64;
    upstream first { server %{one} max_fails=0; server %{two} backup; }

    server {
        listen %{web};
        location / { proxy_pass http://%{one}; }
        location /pass_trailers { proxy_pass http://%{one}; proxy_pass_trailers on; }
        location /stays { proxy_pass http://%{one}; proxy_ignore_client_abort on; }
        location /deaf { proxy_pass http://%{deaf}; proxy_send_timeout 400ms; proxy_read_timeout 9s;
                         proxy_request_buffering off; client_max_body_size 0; }
        location /body { proxy_pass http://%{one}; proxy_set_body "<$request_body>"; }
        location /one_zero { proxy_pass http://%{one}; proxy_http_version 1.0;
                             proxy_request_buffering off; }
        location /no_body { proxy_pass http://%{one}; proxy_pass_request_body off; }
        location /next/ { proxy_pass http://first/; proxy_next_upstream error http_404 http_500; }
        location /off/ { proxy_pass http://first/; proxy_next_upstream off; }
        location /stream/ { proxy_pass http://first/; proxy_request_buffering off;
                            proxy_next_upstream error non_idempotent; }
        location /intercept/ { proxy_pass http://%{one}/; proxy_intercept_errors on;
                               error_page 401 500 /page; }
        location = /page { return 200 "page\n"; }
        location /accel { proxy_pass http://%{one}; }
        location /accel_no/ { proxy_pass http://%{one}; proxy_ignore_headers X-Accel-Redirect; }
        location /protected/ { internal; return 200 "$request_method $uri $args\n"; }
    }
}
CONF

sub ask { return Weir::Http::ask($w, 'web', @_) }
sub body { return ask(@_)->{body} }

# ---- trailers

my $r = ask('GET /trailers');
is_deeply [$r->{body}, $r->{wrong}, $r->trailer('X-Sum')], ['ab', '', undef],
    'trailers are not passed by default';
$r = ask('GET /pass_trailers');
is_deeply [$r->{body}, $r->{wrong}, $r->trailer('X-Sum')], ['ab', '', 7],
    'proxy_pass_trailers passes them';
is $r->trailer('Content-Length'), undef, 'except one that may not be a trailer';
becomes { Weir::slurp($w->path('access.log')) =~ m{^200 200 \[7\] \[-\] /trailers$}m }
    'the access log has the trailer of the server';
becomes { Weir::slurp($w->path('access.log')) =~ m{^200 200 \[7\] \[7\] /pass_trailers$}m }
    'and that for the client when trailers are passed';

# ---- bodies

is body('POST /body', body => 'abc') =~ s/.*\r\n\r\n//sr, '<abc>', 'proxy_set_body';
is body('GET /body') =~ s/.*\r\n\r\n//sr, '<>', 'proxy_set_body when the client sends no body';
my $said = body('POST /one_zero', 'Transfer-Encoding' => 'chunked',
    body => "3\r\nabc\r\n0\r\n\r\n");
like $said, qr{^POST /one_zero HTTP/1\.0\r\nHost: [^\r]+\r\nConnection: close\r\n}m, 'HTTP/1.0';
like $said, qr{\r\nContent-Length: 3\r\n\r\nabc$},
    'chunks become a length for HTTP/1.0';
$said = body('POST /no_body', 'X-A' => 1, body => 'abc');
like $said, qr{\r\nContent-Length: 0\r\nX-A: 1\r\n\r\n$},
    'a body that is not passed is not announced';

# ---- another server

is body('GET /next/404/one') =~ s/\n.*//sr, 'two', 'a 404 asks another server';
is body('GET /next/x') =~ s/\n.*//sr, 'one', 'and a 404 does not count against its server';
is ask('GET /off/404/one')->{status}, 404, 'but not if proxy_next_upstream does not name it';
is body('GET /next/breaks') =~ s/\n.*//sr, 'two', 'a connection that breaks';
$r = ask('POST /off/breaks', body => 'x');
is $r->{status}, 502, 'proxy_next_upstream off';
my $c = $w->connect('web');
$c->send("POST /stream/breaks HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
sleep 0.2;
$c->send('def');
is Weir::Http::reply($c)->{status}, 502, 'a body that went by is not sent in part to another';

# ---- errors of servers

$r = ask('GET /intercept/500/one');
is_deeply [$r->{status}, $r->{body}, $r->field('X-Own')], [500, "page\n", undef], 'intercepted';
$r = ask('GET /intercept/401/one');
is_deeply [$r->{status}, $r->{body}, $r->field('WWW-Authenticate')], [401, "page\n", 'a | b'],
    'with its WWW-Authenticate';
$r = ask('GET /intercept/404/one');
is_deeply [$r->{status}, $r->{body}], [404, "one says 404\n"], 'only what error_page names';

# ---- X-Accel-Redirect

$r = ask('POST /accel');
is_deeply [$r->{status}, $r->{body}], [200, "GET /protected/f x=%20\n"], 'another location answers';
is_deeply [map { $r->field($_) } qw(Set-Cookie Content-Type X-Own X-Accel-Redirect)],
    ['c=1', 'a/b', undef, undef], 'with the fields that outlive the redirect';
is body('GET /accel_no/accel'), 'not seen', 'unless it is ignored';

# ---- clients that leave

for (['/stays/late', 200], ['/late', 499]) {
    my ($target, $status) = @$_;
    $c = $w->connect('web');
    $c->send("GET $target HTTP/1.1\r\nHost: a\r\n\r\n");
    sleep 0.1;
    $c->close;
    becomes { Weir::slurp($w->path('access.log')) =~ m{^$status \S+ \[-\] \[-\] \Q$target\E$}m }
        "$target: $status";
}

# ---- a server that does not read

$c = $w->connect('web');
$c->send("POST /deaf HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
$c->flood('x' x 65536, 50_000_000, 0.2);
is Weir::Http::reply($c)->{status}, 504, 'proxy_send_timeout';
like $w->error_log, qr/upstream timed out .* sending request to upstream, client: .*"POST \/deaf /, 'in the log';

$w->finish;
done_testing;
