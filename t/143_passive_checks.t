#!/usr/bin/perl
# chaos: yes

# Passive checks as in nginx: what counts as an unsuccessful try (max_fails), what goes on to the
# next server (proxy_next_upstream), for how long (fail_timeout); 403 and 404 never count, statuses
# only where they are named, and a failed connection, a timeout or an invalid reply counts even
# where nothing is tried next. A table, each row with a group of its own.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;

# The server "bad" answers as the request's path asks.
$w->backend('bad', serve => Weir::HttpServer::serve(sub {
    my ($request, $fh) = @_;
    my ($what) = $request->{target} =~ m{^/\w+/(\w+)};
    open my $log, '>>', $w->path('bad.log') or die;
    syswrite $log, "$request->{target}\n";
    return undef if $what eq 'closes';
    return "nonsense\r\n\r\n" if $what eq 'invalid';
    sleep 60 if $what eq 'silent';
    return Weir::HttpServer::reply($what, 'bad');
}));
$w->backend('good', serve => Weir::HttpServer::serve(Weir::HttpServer::reply(200, 'good')));

# name, parameters of the bad server, proxy_next_upstream, what it does, then: how many of 6
# requests the client sees as failed, and how many the bad server gets. A retry takes a turn of
# round robin, too, so the next request begins at the bad server again.
my @rows = (
    [ 'n500',    'max_fails=1', 'error http_500',       500, 0, 1 ],
    [ 'n502',    'max_fails=1', 'error http_502',       502, 0, 1 ],
    [ 'n503',    'max_fails=1', 'error http_503',       503, 0, 1 ],
    [ 'n504',    'max_fails=1', 'error http_504',       504, 0, 1 ],
    [ 'n429',    'max_fails=1', 'error http_429',       429, 0, 1 ],
    [ 'n403',    'max_fails=1', 'error http_403',       403, 0, 6 ],
    [ 'n404',    'max_fails=1', 'error http_404',       404, 0, 6 ],
    [ 'o500',    'max_fails=1', 'error timeout',        500, 3, 3 ],
    [ 'o503',    'max_fails=1', 'error http_500',       503, 3, 3 ],
    [ 'three',   'max_fails=3', 'error http_500',       500, 0, 3 ],
    [ 'two',     'max_fails=2', 'error http_500',       500, 0, 2 ],
    [ 'never',   'max_fails=0', 'error http_500',       500, 0, 6 ],
    [ 'default', '',            'error',           'closes', 0, 1 ],
    [ 'offs',    '',            'off',             'closes', 1, 1 ],
    [ 'inval',   '',            'invalid_header', 'invalid', 0, 1 ],
    [ 'oinval',  '',            'error',          'invalid', 1, 1 ],
    [ 'slow',    '',            'timeout',         'silent', 0, 1 ],
    [ 'oslow',   '',            'error',           'silent', 1, 1 ],
);

my ($groups, $locations) = ('', '');
for (@rows) {
    my ($name, $params, $next, $what) = @$_;
    $groups .= "upstream $name { server %{bad} $params fail_timeout=1h; server %{good}; }\n";
    my $time = $what eq 'silent' ? 'proxy_read_timeout 2s;' : '';
    $locations .= "location /$name/ { proxy_pass http://$name; proxy_next_upstream $next; $time }\n";
}
$w->start(<<"CONF");
http {
    $groups
    upstream window { server %{bad} max_fails=2 fail_timeout=1s; server %{good}; }
    server {
        listen %{web};
        $locations
        location /window/ { proxy_pass http://window; proxy_next_upstream http_500; }
        location /post/ { proxy_pass http://default; proxy_next_upstream error http_500; }
    }
}
CONF

sub at_bad {
    my ($name) = @_;
    return scalar grep { m{^/$name/} } split /\n/, Weir::slurp($w->path('bad.log'));
}

for (@rows) {
    my ($name, $params, $next, $what, $failed, $tries) = @$_;
    my @status = map { Weir::Http::ask($w, 'web', "GET /$name/$what")->{status} } 1 .. 6;
    my $title = "$what, $next, " . ($params || 'max_fails=1');
    is scalar(grep { $_ != 200 } @status), $failed, "$title: failures that clients see";
    is at_bad($name), $tries, "$title: tries";
}

# ---- fail_timeout is the time in which they are counted, and for which the server is left alone

becomes { Weir::Http::ask($w, 'web', 'GET /window/500'); at_bad('window') >= 2 } 'two failures';
my $before = at_bad('window');
becomes { Weir::Http::ask($w, 'web', 'GET /window/500'); at_bad('window') > $before }
    'it is tried again after fail_timeout';

for my $word (qw(http_501 denied)) {
    $w->write('wrong.conf', "events {}\nhttp { proxy_next_upstream $word; }\n");
    my ($code, undef, $err) = $w->bare('-t', '-p', $w->dir . '/', '-c', $w->path('wrong.conf'));
    is $code, 1, "proxy_next_upstream $word is refused";
    like $err, qr/"$word"/, 'by name';
}
$w->expect(qr/invalid value|known in nginx/);
$w->finish;
done_testing;
