#!/usr/bin/perl
# chaos: yes

# The worked example of CONTRIBUTING.md, t/modules/preface, taken in by ./configure --add-module: a
# directive, a variable, a filter of bodies and a child exchange. Whatever becomes of the child - it
# is slow, fails, is cut, sends too much, loses its client or its process - the page goes out whole
# or ends as it would without it.
#
# WEIR_PREFACE names a program that was built so already.

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
$w->{bin} = $ENV{WEIR_PREFACE} // $w->built_with('t/modules/preface');

# ---- what is asked for the text

my $log = $w->path('asked');
$w->backend('text', serve => Weir::HttpServer::serve(sub {
    my ($request, $fh) = @_;
    my ($how) = $request->{target} =~ m{^/text/(\w+)};

    return Weir::HttpServer::reply(200, "[text]", 'Content-Type' => 'text/plain')
        if $how eq 'whole';
    return Weir::HttpServer::reply(403, 'no') if $how eq 'refused';
    return Weir::HttpServer::reply(200, 'x' x 70_000) if $how eq 'long';
    return undef if $how eq 'closed';
    if ($how eq 'slow') {
        Weir::HttpServer::give($fh, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n[");
        sleep 0.3;
        return 'slow]';
    }
    if ($how eq 'cut') {
        Weir::HttpServer::give($fh, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin");
        return undef;
    }
    Weir::HttpServer::give($fh, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin")
        if $how eq 'begins';
    note_down("begun $how");
    sysread $fh, my $more, 1;
    note_down("ended $how");
    return undef;
}, record => $log));

sub note_down {
    open my $fh, '>>', $w->path('notes') or die "notes: $!\n";
    syswrite $fh, "$_[0]\n";
}

sub noted { return scalar(() = slurp($w->path('notes')) =~ /^\Q$_[0]\E$/mg) }

$w->hole('hole');
mkdir $w->path('html');
my $page = '<html>' . join('', map { "line $_\n" } 1 .. 20_000);
$w->write('html/page.html', $page);
$w->write('html/text', '[file]' x 1000);
$w->write('html/plain.txt', 'plain');
my $conf = <<'CONF';
http {
    log_format short '$uri $status $preface_status';
    access_log %{dir}/access short;
    types { text/html html; }
    default_type text/plain;
    root %{dir}/html;
    server {
        listen %{web};
        listen %{unix:web};
        add_header X-From server;
        location / { preface /text/whole?a=b; }
        location /off/ { preface off; alias %{dir}/html/; }
        location /return { preface /static; default_type text/html; return 200 "<p>"; }
        location /empty { preface /text/whole; default_type text/html; return 200 ""; }
        location /proxied { preface /text/slow; proxy_pass http://%{own}; }
        location /itself { preface /itself; default_type text/html; return 200 "(me)"; }
        location /denied { preface /text/refused; default_type text/html; return 200 "<p>"; }
        location /dead { preface /nobody; default_type text/html; return 200 "<p>"; }
        location /long { preface /text/long; default_type text/html; return 200 "<p>"; }
        location /cut { preface /text/cut; default_type text/html; return 200 "<p>"; }
        location /closed { preface /text/closed; default_type text/html; return 200 "<p>"; }
        location /broken { preface /page2; default_type text/html; return 200 "<p>"; }
        location /silent { preface /text/silent; default_type text/html; return 200 "<p>"; }
        location /begins { preface /text/begins; default_type text/html; return 200 "<p>"; }
        location /kept/ { preface /text/silent; proxy_pass http://%{own}/; }
        location /text/ {
            internal;
            deny all;            # of clients: a child was let in with its parent
            proxy_set_header X-Method $request_method;
            proxy_pass http://%{text};
        }
        location /static { internal; alias %{dir}/html/text; }
        location /nobody { internal; proxy_pass http://%{nobody}; }
        location /page2 { internal; error_page 404 =200 /static; return 404; }
    }
    server {
        listen %{own};
        default_type text/html;
        location / { return 200 "<p>own"; }
    }
}
CONF
$w->start($conf);

sub ask { return Weir::Http::ask($w, 'web', @_) }

# ---- pages

my $r = ask('GET /page.html', Range => 'bytes=0-9', Cookie => 'c', 'Accept-Encoding' => 'gzip',
    'If-None-Match' => '"x"');
is $r->{wrong}, '', 'a page with a text is well-formed';
is $r->{status}, 200, 'is whole although a part of it was asked for';
ok $r->{body} eq "[text]$page", 'and begins with the text';
is $r->field($_), undef, "without $_" for qw(ETag Last-Modified Content-Length Accept-Ranges);
is $r->field('X-From'), 'server', 'other filters run as before';
my ($asked) = Weir::HttpServer::recorded($log);
like $asked, qr{^GET /text/whole\?a=b HTTP/1\.1\r\n}, 'the request for the text';
like $asked, qr/^Cookie: c\r$/m, 'has the fields of the request';
unlike $asked, qr/^(Range|Accept-Encoding|If-None-Match|Content-Length)/m,
    'but not those that ask for a part or for another form';

for my $case (
    ['/return',  '[file]' x 1000 . '<p>',  'a file in front of a text'],
    ['/empty',   '[text]',                 'in front of nothing'],
    ['/proxied', '[slow]<p>own',           'a slow one in front of a server\'s reply'],
    ['/itself',  '(me)(me)',               'a child gets no text of its own'],
    ['/broken',  '[file]' x 1000 . '<p>',  'error_page works for a child'],
    ['/plain.txt', 'plain',                'not in front of other types'],
    ['/off/page.html', $page,              'nor where it is off'],
) {
    my ($uri, $body, $name) = @$case;
    my $r = ask("GET $uri");
    is $r->{wrong}, '', "$name: well-formed";
    ok $r->{body} eq $body, $name or diag substr $r->{body}, 0, 200;
}
is +(ask('GET /none.html'))->{status}, 404, 'no text in front of an error';
my $get = ask('GET /page.html');
my $head = ask('HEAD /page.html');
is $head->field('Transfer-Encoding'), $get->field('Transfer-Encoding'), 'HEAD says what GET says';
is $head->field('Content-Length'), undef, 'no length either';
is +(Weir::Http::ask($w, 'unix:web', 'GET /empty'))->{body}, '[text]', 'through a unix socket';
Weir::HttpServer::recorded($log);
is +(ask('POST /empty', body => 'b' x 100_000))->{body}, '[text]', 'behind a POST';
($asked) = Weir::HttpServer::recorded($log);
like $asked, qr/^GET .*\nX-Method: POST\r\n(?:.*\r\n)?\r\n\z/s, 'a child is a GET, without the body';
is $w->ask('web', "GET /empty HTTP/1.0\r\n\r\n") =~ s/.*\r\n\r\n//sr, '[text]', 'HTTP/1.0';

# ---- children that fail

for my $case (
    ['/denied', 403], ['/dead', 502], ['/long', 200], ['/cut', 200], ['/closed', 502],
) {
    my ($uri, $status) = @$case;
    my $r = ask("GET $uri");
    is $r->{wrong}, '', "the text fails: $uri";
    is $r->{body}, '<p>', 'the page goes out without it';
    becomes { slurp($w->path('access')) =~ /^$uri 200 $status$/m } 'and the log says why';
}
like $w->error_log, qr/subrequest's reply is too long.*subrequest: "\/text\/long"/,
    'a text that is too long is logged with its subrequest';
like slurp($w->path('access')), qr{^/off/page.html 200 -$}m, 'without a child there is no status';
unlike slurp($w->path('access')), qr{^/text}m, 'children have no lines of their own';

# ---- parents that end first

sub leaves {
    my ($uri, $how, $rst) = @_;
    my $before = noted("ended $how");
    my $c = $w->connect('web');
    $c->send("GET $uri HTTP/1.1\r\nHost: a\r\n\r\n");
    ok wait_for { noted("begun $how") > $before }, "$uri: its child waits";
    $rst ? $c->abort : $c->close;
    becomes { noted("ended $how") > $before } 'a client that leaves ends it, too';
}
leaves('/silent', 'silent', $_) for 0, 1;
leaves('/begins', 'begins', 0);
leaves('/kept/', 'silent', 0);
becomes { slurp($w->path('access')) =~ m{^/silent 200 -$}m } 'which is logged once';
is +(ask('GET /empty'))->{body}, '[text]', 'the next one is served';

my $c = $w->connect('web');
my $ended = noted('ended silent');
$c->send("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
wait_for { noted('begun silent') > $ended };
$w->conf("worker_shutdown_timeout 1s;\n$conf");
is +($w->reload)[0], 0, 'a reload while a child waits';
is +(ask('GET /empty'))->{body}, '[text]', 'new requests are served';
ok noted('ended silent') == $ended, 'the old one still waits' if !chaos;
$c->close;
becomes { noted('ended silent') > $ended } 'until its client leaves';

$c = $w->connect('web');
$ended = noted('ended silent');
$c->send("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
wait_for { noted('begun silent') > $ended };
my ($worker) = $w->workers;
$w->signal('KILL', $worker);
becomes { noted('ended silent') > $ended } 'a worker that dies takes it along';
becomes { +(ask('GET /empty'))->{body} eq '[text]' } 'and another serves';

$c = $w->connect('web');
$ended = noted('ended silent');
$c->send("GET /silent HTTP/1.1\r\nHost: a\r\n\r\n");
wait_for { noted('begun silent') > $ended };
$w->command('-s', 'stop');
becomes { noted('ended silent') > $ended } 'a shutdown ends both';
$w->ended($w->master);
$w->has_ended;

# ---- configurations

for my $case (
    ['preface text;', qr/invalid URI "text" in .*preface|invalid URI "text"/],
    ['preface /../a;', qr/invalid URI/],
    ['preface;', qr/invalid number of arguments/],
    ['preface /a; preface /b;', qr/is duplicate/],
) {
    my ($text, $refused) = @$case;
    $w->conf("http { server { $text } }\n");
    my ($exit, undef, $err) = $w->command('-t');
    is $exit, 1, $text;
    like $err, $refused, 'is refused';
}
$w->expect(qr/invalid URI|invalid number|duplicate/, qr/signal 9|exited on signal/);
$w->finish;
done_testing;
