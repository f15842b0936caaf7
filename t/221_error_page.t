#!/usr/bin/perl
# chaos: yes

# Errors: the built-in pages, error_page in all its forms, the fields of a failure that go with its
# page, and the statuses after which the connection ends.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;

my $w = Weir->new;

# ---- the text a built-in page has; undef: none

my %page = (
    301 => '301 Moved Permanently',      302 => '302 Found',          303 => '303 See Other',
    304 => undef,                        306 => undef,
    307 => '307 Temporary Redirect',     308 => '308 Permanent Redirect',
    400 => '400 Bad Request',            401 => '401 Authorization Required',
    402 => '402 Payment Required',       403 => '403 Forbidden',      404 => '404 Not Found',
    405 => '405 Not Allowed',            406 => '406 Not Acceptable', 409 => '409 Conflict',
    410 => '410 Gone',                   411 => '411 Length Required',
    412 => '412 Precondition Failed',    413 => '413 Request Entity Too Large',
    414 => '414 Request-URI Too Large',  415 => '415 Unsupported Media Type',
    416 => '416 Requested Range Not Satisfiable', 418 => undef,
    421 => '421 Misdirected Request',    429 => '429 Too Many Requests',
    431 => '431 Request Header Fields Too Large',
    500 => '500 Internal Server Error',  501 => '501 Not Implemented', 502 => '502 Bad Gateway',
    503 => '503 Service Temporarily Unavailable', 504 => '504 Gateway Time-out',
    505 => '505 HTTP Version Not Supported', 507 => '507 Insufficient Storage', 599 => undef,
);
my %closes = map { $_ => 1 } 400, 413, 414, 431, 500, 501;
my $statuses = join '', map { "        location = /$_ { return $_; }\n" }
    sort keys %page, 494 .. 497, 408, 444, 499;

# ---- what stands in the location, the method, the status and body (or Location) that come

my @rows = (
    ['error_page 404 /page; return 404;',              'GET',  '404 page GET /page'],
    ['error_page 404 /page; return 404;',              'POST', '404 page GET /page'],
    ['error_page 404 /page?n=1; return 404;',          'GET',  '404 page GET /page?n=1'],
    ['error_page 403 404 /page; return 404;',          'GET',  '404 page GET /page'],
    ['error_page 403 /page; return 404;',              'GET',  qr/^404 <html>/],
    ['error_page 404 =200 /page; return 404;',         'GET',  '200 page GET /page'],
    ['error_page 404 = /page; return 404;',            'GET',  '200 page GET /page'],
    ['error_page 404 = /teapot; return 404;',          'GET',  '418 teapot'],
    ['error_page 404 =410 /gone; return 404;',         'GET',  qr/^404 <html>/],
    ['error_page 404 @named; return 404;',             'GET',  '404 named GET L'],
    ['error_page 404 @named; return 404;',             'POST', '404 named POST L'],
    ['error_page 404 = @named; return 404;',           'GET',  '200 named GET L'],
    ['error_page 404 =202 @named; return 404;',        'GET',  '202 named GET L'],
    ['error_page 404 @nobody; return 404;',            'GET',  qr/^500 <html>/],
    ['error_page 404 http://e/; return 404;',          'GET',  '302 -> http://e/'],
    ['error_page 404 =301 http://e/; return 404;',     'GET',  '301 -> http://e/'],
    ['error_page 404 =308 http://e$uri; return 404;',  'GET',  '308 -> http://eL'],
    ['error_page 404 =200 http://e/; return 404;',     'GET',  '302 -> http://e/'],
    ['error_page 404 = http://e/; return 404;',        'GET',  '302 -> http://e/'],
    ['error_page 497 https://e$uri; return 497;',      'GET',  '302 -> https://eL'],
    ['error_page 497 /page; return 497;',              'GET',  '400 page GET /page'],
    ['error_page 494 =431 /page; return 494;',         'GET',  '431 page GET /page'],
    ['error_page 494 =200 /page; return 431;',         'GET',  '200 page GET /page'],
    ['set $p ge; error_page 404 /pa$p; return 404;',   'GET',  '404 page GET /page'],
    ['set $q x?n=2; error_page 404 /page/$q; return 404;', 'GET', '404 page GET /page/x?n=2'],
    ['error_page 404 /second; return 404;',            'GET',  qr/^403 <html>/],
    ['recursive_error_pages on; error_page 404 /more; return 404;', 'GET',
        '402 page GET /page'],
    ['error_page 404 L; return 404;',                  'GET',  qr/^404 <html>/],
    ['recursive_error_pages on; error_page 404 L; return 404;', 'GET', qr/^500 <html>/],
    ['recursive_error_pages on; error_page 404 @nobody; error_page 500 /page; return 404;', 'GET',
        '500 page GET /page'],
    ['recursive_error_pages on; error_page 404 500 @nobody; return 404;', 'GET', qr/^500 <html>/],
    ['error_page 302 =200 /page; return 302 /x;',      'GET',  '200 -> %{own}/x'],
    ['error_page 302 /moved; return 302 /x;',          'GET',  '301 -> http://moved/'],
    ['error_page 404 /page; return 404 "own text";',   'GET',  '404 own text'],
    ['if ($uri) { error_page 404 /page; return 404; }', 'GET', '404 page GET /page'],
    ['error_page 404 /page; proxy_pass http://%{back};', 'GET', '404 from the backend'],
    ['error_page 404 /page; proxy_intercept_errors on; proxy_pass http://%{back};', 'GET',
        '404 page GET /page'],
    ['error_page 403 /page; proxy_intercept_errors on; proxy_pass http://%{back};', 'GET',
        '404 from the backend'],
    ['error_page 502 = /backend; proxy_pass http://%{nobody};', 'GET', '404 from the backend'],
    ['error_page 502 @other; proxy_pass http://%{nobody};', 'POST', '502 from the backend'],
    ['error_page 404 =200 /page; try_files /none =404;', 'GET', '200 page GET /page'],
    ['',                                               'GET',  '404 of the server'],
);

my ($locations, @asked) = ('');
for my $i (0 .. $#rows) {
    my $path = "/t$i";
    my ($inside, $method, $want) = @{ $rows[$i] };

    $inside =~ s/\bL\b/$path/g;
    $inside =~ s/\$([pq])\b/\$$1_$i/g;
    $want =~ s/L(?=$)/$path/ if !ref $want;
    $want =~ s{%\{own\}}{'http://test:' . $w->port('web')}e if !ref $want;
    $locations .= "        location $path { $inside }\n";
    push @asked, ["$method $path", $want, $rows[$i][0] || 'inherited'];
}

$w->start(<<"CONF");
http {
    root %{dir}/none;
    access_log off;
    log_not_found off;
    server {
        listen %{web};
        error_page 404 /of-server;
        location = /of-server { internal; return 404 "of the server"; }
$locations
        location /page { return 200 "page \$request_method \$uri\$is_args\$args"; }
        location \@named { return 200 "named \$request_method \$uri"; }
        location \@other { proxy_pass http://%{back}; }
        location /teapot { return 418 teapot; }
        location /second { error_page 403 /page; return 403; }
        location /more { recursive_error_pages on; error_page 402 /page; return 402; }
        location /moved { return 301 http://moved/; }
        location /backend { proxy_pass http://%{back}; }
        location /challenge {
            error_page 401 /page; proxy_intercept_errors on;
            proxy_pass http://%{back}/401;
        }
        location /large { client_max_body_size 4; return 200 x; }
    }
    server {
        listen %{status};
$statuses
        location = /off { server_tokens off; return 404; }
        location = /bare { msie_padding off; return 404; }
    }
    server {
        listen %{back};
        location / { return 404 "from the backend"; }
        location /401 { add_header WWW-Authenticate 'Basic realm="x"' always; return 401; }
    }
}
CONF

sub summary {
    my ($r) = @_;

    return "wrong: $r->{wrong}" if $r->{wrong};
    return "$r->{status} -> " . $r->field('Location') if defined $r->field('Location');
    return "$r->{status} $r->{body}";
}

sub html {
    my ($title, $heading, $line) = @_;

    return "<html>\r\n<head><title>$title</title></head>\r\n<body>\r\n<center><h1>"
        . ($heading // $title) . "</h1></center>\r\n" . (defined $line ? "<center>$line</center>\r\n" : '')
        . "<hr><center>weir/V</center>\r\n</body>\r\n</html>\r\n";
}

sub text { return $_[0]{body} =~ s{weir/[\d.]+\w*}{weir/V}r }

subtest 'built-in pages' => sub {
    for my $status (sort keys %page) {
        my $r = Weir::Http::ask($w, 'status', "GET /$status");
        is $r->{status}, $status, "status $status";
        is text($r), defined $page{$status} ? html($page{$status}) : '', "its text";
        is $r->field('Content-Type'), defined $page{$status} ? 'text/html' : undef, 'its type'
            if $status >= 400;
    }
    my %special = (
        494 => 'Request Header Or Cookie Too Large', 495 => 'The SSL certificate error',
        496 => 'No required SSL certificate was sent',
        497 => 'The plain HTTP request was sent to HTTPS port',
    );
    for my $status (sort keys %special) {
        my $r = Weir::Http::ask($w, 'status', "GET /$status");
        is $r->{status}, 400, "$status is 400 for the client";
        is text($r), html("400 $special{$status}", '400 Bad Request', $special{$status}), 'its text';
    }
};

subtest 'details of the built-in pages' => sub {
    my @chrome = ('User-Agent' => 'Mozilla/5.0 Chrome/99');
    my $r = Weir::Http::ask($w, 'status', 'GET /off');
    like $r->{body}, qr{<center>weir</center>}, 'server_tokens off';
    $r = Weir::Http::ask($w, 'status', 'GET /404', @chrome);
    is +(() = $r->{body} =~ /<!-- a padding/g), 6, 'Chrome gets padding';
    $r = Weir::Http::ask($w, 'status', 'GET /301', @chrome);
    unlike $r->{body}, qr/padding/, 'not for a redirect';
    $r = Weir::Http::ask($w, 'status', 'GET /bare', @chrome);
    unlike $r->{body}, qr/padding/, 'msie_padding off';
    $r = Weir::Http::ask($w, 'status', 'HEAD /404');
    is $r->{body}, '', 'HEAD: no body';
    cmp_ok $r->field('Content-Length'), '>', 100, 'but its length';
};

subtest 'error_page' => sub {
    for (@asked) {
        my ($line, $want, $name) = @$_;
        my $got = summary(Weir::Http::ask($w, 'web', $line));
        ref $want ? like($got, $want, $name) : is($got, $want, $name);
    }
};

subtest 'fields of a failure that its page keeps' => sub {
    my $r = Weir::Http::ask($w, 'web', 'GET /challenge');
    is $r->{status}, 401, 'intercepted 401';
    is $r->field('WWW-Authenticate'), 'Basic realm="x"', 'WWW-Authenticate goes with the page';
    is $r->{body}, 'page GET /page', 'which is the configured one';
    $r = Weir::Http::ask($w, 'web', 'POST /large', body => 'too large');
    is $r->{status}, 413, 'a body that is too large';
};

subtest 'connections' => sub {
    for my $status (grep { $_ > 399 } sort keys %page) {
        my $c = $w->connect('status');
        $c->send(Weir::Http::request("GET /$status"));
        my $r = Weir::Http::reply($c);
        is $r->field('Connection'), $closes{$status} ? 'close' : 'keep-alive', "after $status";
        $c->close;
    }
    for my $status (408, 444, 499) {
        my $r = Weir::Http::ask($w, 'status', "GET /$status");
        like $r->{wrong}, qr/no reply/, "$status is not sent";
    }
    my $c = $w->connect('status');
    $c->send(Weir::Http::request('POST /404', body => 'x' x 1000) . Weir::Http::request('GET /403'));
    is Weir::Http::reply($c)->{status}, 404, 'a request with a body fails';
    is Weir::Http::reply($c)->{status}, 403, 'the body is dropped, the next request is read';
    $c->close;
};


$w->finish;
done_testing;
