#!/usr/bin/perl
# chaos: yes

# A client that leaves while its request waits for a server, by RST or by FIN; a FIN that ends only
# its own half counts as leaving, as in nginx. All that is under way for it ends, unless
# proxy_ignore_client_abort says otherwise.

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

$w->hole('hole');
# "silent" gets no reply, "stalls" the beginning of one; what becomes of the connection then is
# written down.
$w->backend('server', serve => sub {
    my ($fh) = @_;
    my $in = { fh => $fh, text => '' };
    my $r = Weir::HttpServer::take($in) or return;
    my ($how) = $r->{target} =~ m{(\w+)$};

    return Weir::HttpServer::give($fh, Weir::HttpServer::reply(200, 'whole')) if $how eq 'whole';
    Weir::HttpServer::give($fh, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nbegin")
        if $how eq 'stalls';
    note_down("begun $r->{target}");
    sysread $fh, my $more, 1;
    note_down("ended $r->{target}");
});

sub note_down {
    open my $fh, '>>', $w->path('notes') or die "notes: $!\n";
    syswrite $fh, "$_[0]\n";
}

# True if that was noted down once more since the last call.
my %times;
sub seen {
    my ($what, $target) = @_;
    my $n = () = slurp($w->path('notes')) =~ /^$what \Q$target\E$/mg;
    return $n > ($times{"$what $target"} // 0) && ($times{"$what $target"} = $n);
}

$w->write('large', 'l' x 8_000_000);
$w->start(<<'CONF');
http {
    log_format short '$status "$request" $upstream_addr $upstream_status';
    access_log %{dir}/access short;
    proxy_connect_timeout 30s;
    proxy_read_timeout 30s;
    upstream second { server %{hole} max_fails=0; server %{server}; }
    server {
        listen %{web};
        location / { proxy_pass http://%{server}; }
        location /direct/ { proxy_buffering off; proxy_pass http://%{server}; }
        location /hole { proxy_pass http://%{hole}; }
        location /streamed/hole { proxy_request_buffering off; proxy_pass http://%{hole}; }
        location /second { proxy_connect_timeout 1s; proxy_pass http://second/silent; }
        location /kept/ { proxy_ignore_client_abort on; proxy_read_timeout 3s;
                          proxy_pass http://%{server}/; }
        location /large { root %{dir}; }
    }
}
CONF

# The lines of the access log about this target.
sub lines {
    my @lines = slurp($w->path('access')) =~ /^(.*"[A-Z]+ \Q$_[0]\E HTTP.*)$/mg;
    return wantarray ? @lines : scalar @lines;
}

my %LEAVES = (FIN => sub { $_[0]->close }, RST => sub { $_[0]->abort }, half => sub { $_[0]->fin });

# A request whose client leaves when `ready` is true.
sub leaves {
    my ($target, $how, $ready, %more) = @_;
    my $c = $w->connect('web', %{ $more{connect} // {} });
    $c->send($more{request} // Weir::Http::request("GET $target"));
    wait_for { $ready->() } or diag "$target: not ready";
    $LEAVES{$how}->($c);
    return $c;
}

for my $how (sort keys %LEAVES) {
    for my $target (qw(/silent /direct/silent /stalls /direct/stalls /hole /streamed/hole)) {
        my $hole = $target =~ /hole/;
        my $before = lines($target);
        my $c = leaves($target, $how, sub { $hole ? sleep 0.2 : seen('begun', $target) });
        my $status = $target =~ /stalls/ ? 200 : 499;

        becomes { lines($target) > $before } "$how, $target: it ends";
        like +(lines($target))[-1], qr/^$status /, "as $status";
        becomes { seen('ended', $target) } 'and so does the connection to the server' if !$hole;
        $c->close;
    }
}

# The body counts as read when it is all there, and half a one does not.
for my $body ('12345', '1234567890') {
    my $c = leaves('/streamed/hole', 'half', sub { sleep 0.2 },
        request => "POST /streamed/hole?$body HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n"
            . $body);
    becomes { lines("/streamed/hole?$body") == 1 } 'a streamed body, while dialling: it ends';
    like +(lines("/streamed/hole?$body"))[0], qr/^499 /, 'as 499';
}

# With a second server.
{
    my $c = leaves('/second', 'half', sub { seen('begun', '/silent') });
    becomes { lines('/second') == 1 } 'while the second server is asked: it ends';
    like +(lines('/second'))[0], qr/^499 .*, /, 'as 499 with two tries';
}

# A request that is pipelined behind does not change that.
{
    my $two = Weir::Http::request('GET /direct/silent') . Weir::Http::request('GET /whole');
    my $before = lines('/direct/silent');
    my $c = leaves('/direct/silent', 'half', sub { seen('begun', '/direct/silent') },
        request => $two);
    becomes { lines('/direct/silent') > $before } 'with a request behind it: it ends';
    is $c->rest, '', 'both requests end';
}

# proxy_ignore_client_abort
{
    my $c = leaves('/kept/silent', 'half', sub { seen('begun', '/silent') });
    like $c->line, qr/ 504 /, 'proxy_ignore_client_abort: the request goes on';
    $c->close;
    leaves('/kept/stalls', 'FIN', sub { seen('begun', '/stalls') });
    sleep 0.3;
    is scalar(lines('/kept/stalls')), 0, 'its reply, too';
    becomes { lines('/kept/stalls') == 1 } 'until it ends itself';
}

# A file for a slow reader
{
    my $c = $w->connect('web', rcvbuf => 4096);
    $c->send(Weir::Http::request('GET /large'));
    like $c->line, qr/ 200 /, 'a large file';
    $c->fin;
    becomes { lines('/large') == 1 } 'ends with its client, too';
    cmp_ok length($c->rest), '<', 8_000_000, 'before it has all of it';
}

is +Weir::Http::ask($w, 'web', 'GET /whole')->{body}, 'whole', 'it still serves';
$w->finish;
done_testing;
