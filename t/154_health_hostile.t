#!/usr/bin/perl

# Servers that answer health checks with malice: thousands of heads of 1xx, a body that is said to
# be 2^31 bytes and more, a reply in crumbs, a database that wants 30,000 iterations of SCRAM with
# another salt each time. Each is down for a reason; the keeper goes on, and checks the others.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use MIME::Base64 qw(encode_base64);
use Socket qw(IPPROTO_TCP TCP_NODELAY);
use Test::More;
use Time::HiRes qw(sleep);
use Weir;
use Weir::HttpServer;

my $w = Weir->new;
my $DATABASES = 8;

# Serves what the code sends after the client has said something; true: then waits.
sub hostile {
    my ($name, $code) = @_;
    $w->backend($name, serve => sub {
        my ($fh) = @_;
        sysread $fh, my $said, 4096 or return;
        $code->($fh) and sysread $fh, $said, 4096;
    });
}

hostile('heads', sub { syswrite $_[0], "HTTP/1.1 100 C\na:\n\n" x 4000 });
hostile('fields', sub { syswrite $_[0], "HTTP/1.1 200 OK\n" . "a:\n" x 20000 . "\n" });
hostile('huge', sub {
    syswrite $_[0], "HTTP/1.1 200 OK\r\nContent-Length: " . 2**32 . "\r\n\r\n" . 'a' x 70000;
});
hostile('huger', sub { syswrite $_[0], "HTTP/1.1 200 OK\r\nContent-Length: " . '9' x 30 . "\r\n\r\n" });
hostile('crumbs', sub {
    my ($fh) = @_;
    setsockopt $fh, IPPROTO_TCP, TCP_NODELAY, 1;
    for (1 .. 60000) { syswrite $fh, 'a' or return 0; sleep 0.0005 }
});
hostile('database', sub {
    my ($fh) = @_;
    my $ask = sub {
        my ($what, $text) = @_;
        syswrite $fh, pack 'a N N a*', 'R', 8 + length $text, $what, $text;
    };
    $ask->(10, "SCRAM-SHA-256\0\0");
    sysread $fh, my $first, 4096 or return;
    my ($nonce) = $first =~ /r=(.*)/s or return;
    my $salt = encode_base64(join('', map { chr int rand 256 } 1 .. 16), '');
    $ask->(11, "r=${nonce}x,s=$salt,i=30000");
    sysread $fh, my $proof, 4096;
    return 0;    # and closes
});
$w->backend('well', serve => Weir::HttpServer::serve(sub { Weir::HttpServer::reply(200, 'well') },
    record => $w->path('checks')));
$w->write('secret', 'secret');
chmod 0600, $w->path('secret');

my $http = join '', map { <<"CONF" } qw(heads fields huge huger);
    upstream $_ { server %{$_}; }
    server { listen %{to_$_}; location / { proxy_pass http://$_; health_check interval=300ms match=b; } }
CONF
my $many = join ' ', map { 'server %{database};' } 1 .. $DATABASES;
$ENV{WR_ASK_MS} = 5000;    # not 1 s, as these intervals ask for: the machine may be busy
$w->start(<<"CONF");
http {
    match b { body ~ x; }
    $http
    upstream well { server %{well}; }
    server { listen %{to_well}; location / { proxy_pass http://well; health_check interval=200ms; } }
}
stream {
    match crumbs { send hello; expect ~ "a+b"; }
    health_check_timeout 20s;
    upstream crumbs { server %{crumbs}; }
    server { listen %{to_crumbs}; proxy_pass crumbs; health_check match=crumbs; }
    upstream database { $many }
    server { listen %{to_database}; proxy_pass database;
             health_check type=pgsql user=u password_file=secret interval=5s; }
}
CONF

my %down = (
    heads => qr/the head is longer than 64 KB|too many|too big/,
    fields => qr/invalid reply: /,
    huge => qr/body does not match "x"/,
    huger => qr/invalid reply: /,
    crumbs => qr/the reply "a+\.\.\." does not match|timed out/,    # few crumbs if busy
    database => qr/the server closed the connection|does not prove/,
);
for my $name (sort keys %down) {
    becomes { $w->error_log =~ /in upstream "$name": is down: $down{$name}/ } "$name is down", 60;
}
my ($keeper) = $w->keeper;
$w->write('checks', '');
becomes { (() = slurp($w->path('checks')) =~ /GET/g) >= 5 } 'others are checked', 60;
is "@{[ $w->keeper ]}", $keeper, 'by the same keeper';
unlike $w->error_log, qr/has not answered|keeper process \d+ exited/, 'which was never replaced';
$w->finish;
done_testing;
