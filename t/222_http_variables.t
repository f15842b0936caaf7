#!/usr/bin/perl

# Variables of layer 7: those of the request as `return` sees them, those of the reply and of
# upstreams as the access log does.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use MIME::Base64 qw(encode_base64);
use Test::More;
use Weir;
use Weir::Http;

my $w = Weir->new;

mkdir $w->path('html');
symlink 'html', $w->path('link');
$w->write('html/file.txt', 'twelve bytes');

# ---- of the request: the expression, the request, the value

my $basic = 'Basic ' . encode_base64('us:p:w', '');
my $port = $w->port('web');
my @request = (
    ['$request',              ['GET /x?a=1'],                   'GET /x?a=1 HTTP/1.1'],
    ['$request_uri',          ['GET /%78//y?a=%20'],            '/%78//y?a=%20'],
    ['$uri',                  ['GET /%78//y/../z'],             '/x/z'],
    ['$document_uri',         ['GET /%78'],                     '/x'],
    ['$request_method',       ['PUT /', body => 'x'],           'PUT'],
    ['$request_method',       ['ODD /'],                        'ODD'],
    ['$args',                 ['GET /?a=1&b'],                  'a=1&b'],
    ['$query_string',         ['GET /?a=1&b'],                  'a=1&b'],
    ['$is_args',              ['GET /?a'],                      '?'],
    ['[$is_args]',            ['GET /?'],                       '[]'],
    ['[$is_args]',            ['GET /'],                        '[]'],
    ['$arg_b',                ['GET /?a=1&b=2&c=3'],            '2'],
    ['$arg_b',                ['GET /?B=%32'],                  '%32'],
    ['[$arg_b]',              ['GET /?bb=1&b'],                 '[]'],
    ['$http_x_some',          ['GET /', 'X-Some' => 'v'],       'v'],
    ['$http_x_some',          ['GET /', 'X-Some' => 1, 'x-some' => 2], '1, 2'],
    ['$http_cookie',          ['GET /', Cookie => 'a', Cookie => 'b'], 'a; b'],
    ['[$http_none]',          ['GET /'],                        '[]'],
    ['$cookie_b',             ['GET /', Cookie => 'a=1; b=2'],  '2'],
    ['$cookie_b',             ['GET /', Cookie => 'a=1', Cookie => 'B=3'], '3'],
    ['$content_length',       ['POST /', body => 'four'],       '4'],
    ['$content_type',         ['POST /', body => 'x', 'Content-Type' => 'a/b'], 'a/b'],
    ['$host',                 ['GET /', Host => 'Name:80'],     'name'],
    ['$host',                 ['GET http://line/', Host => 'x'], 'line'],
    ['$request_port',         ['GET /', Host => 'name:8080'],   '8080'],
    ['$host$is_request_port$request_port', ['GET /', Host => 'n:81'], 'n:81'],
    ['[$is_request_port$request_port]', ['GET /', Host => 'n'], '[]'],
    ['$server_name',          ['GET /', Host => 'second.name'], 'first.name'],
    ['$server_port $server_addr', ['GET /'],                    "$port 127.0.0.1"],
    ['$server_protocol',      ['GET /'],                        'HTTP/1.1'],
    ['$server_protocol',      ['GET / HTTP/1.0'],               'HTTP/1.0'],
    ['$scheme[$https]',       ['GET /'],                        'http[]'],
    ['$document_root',        ['GET /'],                        '%{dir}/link'],
    ['$realpath_root',        ['GET /'],                        '%{dir}/html'],
    ['$request_filename',     ['GET /a/b'],                     '%{dir}/link/a/b'],
    ['$remote_user',          ['GET /', Authorization => $basic], 'us'],
    ['[$remote_user]',        ['GET /', Authorization => 'Basic !'], '[]'],
    ['[$remote_user]',        ['GET /', Authorization => 'Bearer x'], '[]'],
    ['$remote_addr',          ['GET /'],                        '127.0.0.1'],
    ['$limit_rate',           ['GET /'],                        '0'],
    ['$connection_requests',  ['GET /'],                        '1'],
    ['$status',               ['GET /'],                        '200'],
    ['$pipe',                 ['GET /'],                        '.'],
    ['$request_id',           ['GET /'],                        qr/^[0-9a-f]{32}$/],
    ['$request_time $connection_time', ['GET /'],               qr/^\d\.\d{3} \d\.\d{3}$/],
    ['$tcpinfo_rtt $tcpinfo_rttvar $tcpinfo_snd_cwnd $tcpinfo_rcv_space', ['GET /'],
        qr/^\d+ \d+ \d+ \d+$/],
    ['$time_local $msec $pid $hostname $connection', ['GET /'], qr/^\S+ \S+ \d+\.\d{3} \d+ \S+ \d+$/],
    ['[$sent_http_location$sent_trailer_x$upstream_status$upstream_http_x]', ['GET /'], '[]'],
);
my $servers = '';
for my $i (0 .. $#request) {
    $servers .= "        if (\$http_ask = $i) { return 200 \"$request[$i][0]\"; }\n";
}

# ---- as the log has them: request, fields "name=value" that must be in its line

my $alive = $w->address('back');
my $dead = $w->address('nobody');
my @log = (
    [['GET /text'],        'status=200', 'body=5', 'done=OK', 'type=text/plain', 'length=5',
        'conn=close', 'up=- - -', 'n=1', 'user=-'],
    [['HEAD /text'],       'status=200', 'body=0', 'length=5'],
    [['GET /none'],        'status=404', 'type=text/html'],
    [['GET /file.txt'],    'status=200', 'body=12', 'modified=date', 'done=OK'],
    [['GET /moved'],       'status=301', 'location=http://else/'],
    [['POST /text', body => 'abc'], 'status=200', 'cl=3'],
    [['GET /proxied'],     'status=200', "up=$alive 200 8", 'upx=X one, two', 'upc=1|-',
        'upt=text/plain|8', 'uptime=T T T'],
    [['POST /proxied', body => 'abc'], 'status=200', "up=$alive 200 8", 'cl=3'],
    [['GET /hidden'],      'status=200', 'upx=X one, two', 'sentx=-'],
    [['GET /retried'],     'status=200', "up=$dead, $alive 502, 200 0, 8"],
    [['GET /failed'],      'status=502', "up=$dead 502 0", 'uptime=- - T'],
    [['GET /redirected'],  'status=200', "up=$dead : $alive 502 : 200 0 : 8"],
    [['GET /cached'],      'status=200', 'sentc=no-cache, private'],
    [['GET /chunked'],     'status=200', 'te=chunked', 'length=-'],
);

$w->start(<<"CONF");
http {
    root %{dir}/link;
    default_type text/plain;
    types { text/plain txt; }
    access_log off;
    log_format l 'status=\$status;body=\$body_bytes_sent;done=\$request_completion;'
        'type=\$sent_http_content_type;length=\$sent_http_content_length;'
        'conn=\$sent_http_connection;te=\$sent_http_transfer_encoding;'
        'modified=\$sent_http_last_modified;location=\$sent_http_location;'
        'sentx=\$sent_http_x;sentc=\$sent_http_cache_control;'
        'n=\$connection_requests;pipe=\$pipe;user=\$remote_user;cl=\$content_length;'
        'up=\$upstream_addr \$upstream_status \$upstream_response_length;'
        'upx=X \$upstream_http_x;upc=\$upstream_cookie_c|\$upstream_cookie_none;'
        'upt=\$upstream_http_content_type|\$upstream_http_content_length;'
        'uptime=\$upstream_connect_time \$upstream_header_time \$upstream_response_time;'
        'all=\$bytes_sent,\$request_length,\$request_time;\$request';
    upstream two { server %{nobody} max_fails=0; server %{back} backup; }
    server {
        listen %{web};
        server_name first.name second.name;
$servers
    }
    server {
        listen %{log};
        access_log %{dir}/logs/access.log l;
        location /text { return 200 hello; }
        location /file.txt { }
        location /none { log_not_found off; }
        location /moved { return 301 http://else/; }
        location /proxied { proxy_pass http://%{back}; }
        location /hidden { proxy_pass http://%{back}; proxy_hide_header X; }
        location /retried { proxy_pass http://two; }
        location /failed { proxy_pass http://%{nobody}; }
        location /redirected { error_page 502 = /proxied; proxy_pass http://%{nobody}; }
        location /cached {
            add_header Cache-Control no-cache;
            add_header Cache-Control private;
            return 200 x;
        }
        location /chunked { add_trailer T t; return 200 x; }
        location /body { proxy_pass http://%{echo}; proxy_set_header X-Body \$request_body; }
    }
    server {
        listen %{back};
        add_header X one; add_header X two; add_header Set-Cookie "c=1; path=/";
        location / { return 200 "a reply\\n"; }
    }
    server { listen %{echo}; location / { return 200 \$http_x_body; } }
}
CONF

sub value {
    my ($i) = @_;
    my ($line, @fields) = @{ $request[$i][1] };
    my $r = Weir::Http::ask($w, 'web', $line, @fields, Ask => $i);

    return $r->{wrong} ? "wrong: $r->{wrong}" : $r->{body};
}

subtest 'of requests' => sub {
    for my $i (0 .. $#request) {
        my ($expression, $asked, $want) = @{ $request[$i] };
        my $got = value($i);

        ref $want ? like($got, $want, $expression)
            : is($got, $w->expand($want), "$expression of $asked->[0]");
    }
    my ($id) = grep { $request[$_][0] eq '$request_id' } 0 .. $#request;
    isnt value($id), value($id), 'every request has an id of its own';
    my ($host) = grep { $request[$_][0] eq '$host' } 0 .. $#request;
    my $c = $w->connect('web');
    $c->send("GET / HTTP/1.0\r\nAsk: $host\r\n\r\n");
    is Weir::Http::reply($c)->{body}, 'first.name', '$host where none was named';
    $c->close;
};

my $seen = 0;

# The next line of the log.
sub logged {
    my @lines;
    Weir::wait_for(sub { @lines = split /\n/, slurp($w->path('logs/access.log')); @lines > $seen });
    return $lines[$seen++] // 'no line';
}

sub plain {
    my ($line) = @_;
    $line =~ s/\b0\.\d{3}\b/T/g;
    return $line =~ s/modified=\w{3}, \d\d \w{3} \d{4} [\d:]+ GMT/modified=date/r;
}

subtest 'in the log' => sub {
    for (@log) {
        my ($asked, @want) = @$_;
        my $r = Weir::Http::ask($w, 'log', @$asked);
        my $line = plain(logged());

        for my $field (@want) {
            like $line, qr/(?:^|;)\Q$field\E;/, "$asked->[0]: $field";
        }
    }
};

subtest 'sizes' => sub {
    my $c = $w->connect('log');
    my $request = Weir::Http::request('POST /proxied', body => 'four', Connection => 'close');

    $c->send($request);
    my $reply = $c->rest;
    like logged(), qr/all=${\ length $reply},${\ length $request},0\.\d{3};/, 'all bytes are counted';
    $c->close;
};

subtest 'several requests on a connection' => sub {
    my $c = $w->connect('log');

    $c->send(Weir::Http::request('GET /text') x 3);
    Weir::Http::reply($c) for 1 .. 3;
    like logged(), qr/;n=1;pipe=\.;/, 'the first';
    like logged(), qr/;n=2;pipe=p;/, 'one that came with it';
    like logged(), qr/;n=3;pipe=p;/, 'and another';
    $c->send(Weir::Http::request('GET /text'));
    Weir::Http::reply($c);
    like logged(), qr/;n=4;pipe=\.;/, 'one that came later';
    $c->close;
};

subtest 'a body' => sub {
    my $r = Weir::Http::ask($w, 'log', 'POST /body', body => 'the body');
    is $r->{body}, 'the body', '$request_body';
};

$w->finish;
done_testing;
