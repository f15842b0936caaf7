#!/usr/bin/perl
# chaos: yes

# Timeouts: bytes that arrive together with the end of a timeout count; each step begins with a
# timeout of its own; a page ends when its client leaves. Also: how often a parked connection may
# break before a new one is made, and rates that no counter holds.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;

sub note_down {
    open my $fh, '>>', $w->path('notes') or die "notes: $!\n";
    syswrite $fh, "$_[0]\n";
}

sub noted { return scalar(() = slurp($w->path('notes')) =~ /^\Q$_[0]\E$/mg) }

$w->echo('echo');
# The target says how to behave.
$w->backend('server', serve => sub {
    my ($fh) = @_;
    my $in = { fh => $fh, text => '' };

    for (my $n = 1; my $r = Weir::HttpServer::take($in); $n++) {
        my ($how) = $r->{target} =~ m{/(\w+)};

        note_down("asked $how");
        if ($how eq 'halves') {
            Weir::HttpServer::give($fh, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nfirst");
            wait_for { -e $w->path('go') };
            Weir::HttpServer::give($fh, 'other');
            note_down('given');
        } elsif ($how eq 'late') {
            sleep 4;
            Weir::HttpServer::give($fh, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n");
            sleep 4;
            Weir::HttpServer::give($fh, 'late');
        } elsif ($how eq 'upgrade') {
            sleep 4;
            Weir::HttpServer::give($fh, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: words\r\n"
                . "Connection: upgrade\r\n\r\n");
            sysread $fh, my $more, 100;
            Weir::HttpServer::give($fh, $more);
            return;
        } elsif ($how eq 'breaks') { # a second request on a connection is never answered
            return note_down('broken') if $n > 1;
            wait_for { -e $w->path('together') };
            Weir::HttpServer::give($fh, Weir::HttpServer::reply(200, 'fine'));
        } else {
            Weir::HttpServer::give($fh, Weir::HttpServer::reply(200, 'unseen',
                'X-Accel-Redirect' => '/limited', 'X-Accel-Limit-Rate' => '123456'));
        }
    }
});

# Has enough of a request when it begins.
$w->backend('closer', serve => sub { sysread $_[0], my $head, 1000 });
$w->write('large', 'l' x 4_000_000);
$w->start(<<'CONF');
worker_processes 1;
stream {
    server { listen %{l4}; proxy_timeout 6s; proxy_pass %{echo}; }
    server { listen %{rated}; proxy_pass %{echo};
             proxy_download_rate 2305843009213693952; proxy_upload_rate 2305843009213693952; }
}
http {
    access_log %{dir}/access;
    proxy_http_version 1.1;
    upstream breaks { server %{server}; keepalive 20; }
    server {
        listen %{web};
        location / { proxy_pass http://%{server}; proxy_read_timeout 6s;
                     proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection upgrade; }
        location /halves { proxy_pass http://%{server}; proxy_read_timeout 6s; }
        location /breaks { proxy_pass http://breaks; proxy_set_header Connection ""; }
        location /closes { proxy_request_buffering off; proxy_pass http://%{closer};
                           error_page 502 /large; }
        location /large { limit_rate 50k; root %{dir}; }
        location /limited { limit_rate 5m; add_header X-Rate $limit_rate; return 200 ok; }
    }
}
CONF

# ---- bytes that come together with the end of a timeout
{
    my ($worker) = $w->workers;
    my $l4 = $w->connect('l4');
    my $l7 = $w->connect('web');

    ok $l4->echoes('before'), 'a session';
    $l7->send(Weir::Http::request('GET /halves'));
    is $l7->line, 'HTTP/1.1 200 OK', 'a reply';
    becomes { $l7->fill(time + 1); $l7->{in} =~ /first$/ } 'its first half';
    becomes { slurp("/proc/$worker/stat") =~ /\) S / } 'the worker sleeps';
    $w->signal('STOP', $worker);
    becomes { slurp("/proc/$worker/stat") =~ /\) T / } 'and stands still';
    $l4->send('late');
    $w->write('go', '');
    becomes { noted('given') } 'the other half is on its way';
    sleep 7; # longer than both timeouts: the worker finds bytes and timers in one turn
    $w->signal('CONT', $worker);
    is $l4->recv(4), 'late', 'layer 4: the bytes count';
    like $l7->rest(2) . ($l7->{in} // ''), qr/firstother$/, 'layer 7: the bytes count';
    unlike $w->error_log, qr/timed out/, 'nobody timed out';
    $_->close for $l4, $l7;
}

# ---- the timeout of a step is not the rest of that of the step before
{
    my $late = $w->connect('web');
    my $up = $w->connect('web');

    $late->send(Weir::Http::request('GET /late'));
    $up->send(Weir::Http::request('GET /upgrade', Upgrade => 'words', Connection => 'upgrade'));
    is Weir::Http::reply($up)->{status}, 101, 'an upgrade, after most of the timeout';
    is Weir::Http::reply($late)->{body}, 'late', 'a body has a timeout of its own';
    ok $up->echoes('words'), 'and so does a tunnel';
    $_->close for $late, $up;
}

# ---- a page instead of a reply, while the client still sends
{
    my $c = $w->connect('web', rcvbuf => 4096);

    $c->send("POST /closes HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nbegin");
    like $c->line, qr/ 502 /, 'a page';
    $c->fin;
    becomes { slurp($w->path('access')) =~ m{"POST /closes } } 'ends with its client';
    $c->close;
}

# ---- kept connections that break
{
    my @c = map { $w->connect('web') } 1 .. 10;

    $_->send(Weir::Http::request('GET /breaks')) for @c;
    becomes { noted('asked breaks') == 10 } 'ten requests at once';
    $w->write('together', '');
    is scalar(grep { Weir::Http::reply($_)->{status} == 200 } @c), 10, 'are answered';
    is Weir::Http::ask($w, 'web', 'GET /breaks')->{body}, 'fine', 'and one more';
    is noted('broken'), 3, 'after three broken connections a new one is made';
    $_->close for @c;
}

# ---- rates
{
    my $c = $w->connect('rated');

    ok $c->echoes('x' x 100_000), 'a rate beyond all counters does not stop a session';
    $c->close;
    is Weir::Http::ask($w, 'web', 'GET /accel')->field('X-Rate'), 123456,
        'X-Accel-Limit-Rate is not lost where it redirects to';
}
$w->finish;
done_testing;
