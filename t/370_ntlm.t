#!/usr/bin/perl
# chaos: yes

# ntlm: a server that authenticates connections, not requests, behind weir. A client that has begun
# to authenticate keeps its own connection to that server, which no other client gets, and which
# ends with the client's. Without ntlm any client would get what another one has authenticated.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;
use Weir::Ports;

my $w = Weir->new;

# The state of the handshake belongs to the connection: 401, 401 with a challenge, then 200.
sub server {
    my ($name) = @_;
    my %user;
    return Weir::HttpServer::serve(sub {
        my ($request) = @_;
        my ($session) = @$request{qw(session)};
        my ($said) = $request->{raw} =~ /^Authorization: ((?:NTLM|Negotiate)\s.*?)\r$/im;
        my $who = "$name session $session";
        if (($said // '') =~ /^(NTLM|Negotiate)\s+hello (\w+)$/i) {
            $user{$session} = "begins $2";
            return Weir::HttpServer::reply(401, "challenge\n",
                'WWW-Authenticate' => "$1 challenge-$session");
        }
        if (($said // '') =~ /^(?:NTLM|Negotiate)\s+answer-(\d+)$/i && $1 == $session
            && ($user{$session} // '') =~ /^begins (\w+)/) {
            $user{$session} = "is $1";
        }
        return Weir::HttpServer::reply(200, "$1 at $who\n")
            if ($user{$session} // '') =~ /^is (\w+)/;
        return Weir::HttpServer::reply(401, "nobody at $who\n", 'WWW-Authenticate' => 'NTLM');
    }, record => $w->path("$name.requests"));
}

$w->backend('a', serve => server('a'));
$w->backend('b', serve => server('b'));
$w->backend('unix:c', serve => server('c'));
$w->backend('d', at => '[::1]:' . $w->port('d'), serve => server('d')) if Weir::Ports::has_ipv6();
$w->start(<<'CONF');
worker_processes 1;
http {
    keepalive_timeout 60s;
    upstream own  { server %{a}; server %{b}; ntlm; keepalive 8; }
    upstream unix { server %{unix:c}; ntlm; }
    upstream six  { server [::1]:%{d.port}; ntlm; }
    upstream all  { server %{a}; keepalive 8; }
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    server {
        listen %{web};
        location /own { proxy_pass http://own; }
        location /unix { proxy_pass http://unix; }
        location /six { proxy_pass http://six; }
        location /all { proxy_pass http://all; }
        location /var { set $name own; proxy_pass http://$name; }
    }
}
CONF

sub ask {
    my ($c, $path, $credentials) = @_;
    $c->send("GET $path HTTP/1.1\r\nHost: a\r\n"
        . (defined $credentials ? "Authorization: $credentials\r\n" : '') . "\r\n");
    return Weir::Http::reply($c);
}

# Authenticates on a connection of its own; returns it and where it is.
sub login {
    my ($path, $user, $scheme) = @_;
    my $c = $w->connect('web');
    is ask($c, $path)->{status}, 401, "$path: $user is asked to authenticate";
    my $r = ask($c, $path, "$scheme hello $user");
    my ($number) = (Weir::Http::field($r, 'WWW-Authenticate') // '') =~ /challenge-(\d+)/;
    ok defined $number, 'gets a challenge' or diag explain $r;
    $r = ask($c, $path, "$scheme answer-" . ($number // ''));
    is $r->{status}, 200, 'and is in: the challenge and the answer were on one connection';
    like $r->{body}, qr/^$user at /, $r->{body} =~ s/\n//r;
    return ($c, $r->{body});
}

my ($first, $at) = login('/own', 'alice', 'NTLM');
is ask($first, '/own')->{body}, $at, 'further requests go the same way' for 1 .. 4;
is ask($first, '/var')->{body}, $at, 'by a name found at run time, too';

my $other = $w->connect('web');
like ask($other, '/own')->{body}, qr/^nobody at /, 'another client is nobody' for 1 .. 6;
my ($second, $at2) = login('/own', 'bob', 'negotiate');
isnt $at2, $at, 'a second user has a connection of his own';
for (1 .. 3) {
    is ask($first, '/own')->{body}, $at, 'the first is still the first';
    is ask($second, '/own')->{body}, $at2, 'and the second the second';
    like ask($other, '/own')->{body}, qr/^nobody at /, 'the other nobody';
}

# Another way to write it does not make it a connection of all.

for my $scheme ("NTLM\t", 'Negotiate  ') {
    my ($odd) = login('/own', 'odd', $scheme);
    like ask($w->connect('web'), '/own')->{body}, qr/^nobody at /, 'a stranger is nobody' for 1 .. 4;
    $odd->close;
}

# The number of a client's connection is in memory that every worker may write.

SKIP: {
    my $master = $w->master;
    my ($run) = grep { (-s $_) >= 2048 * 128 && -s $_ < 2048 * 128 + 4096 }
        grep { (readlink $_ // '') =~ /memfd:/ } glob "/proc/$master/fd/*";
    open my $fh, '+<', $run // '' or skip 'the memory of weir is not to be had', 12;
    my ($c, $there) = login('/own', 'victor', 'NTLM');
    my @clients;
    sysseek $fh, 2048 * 128, 0;
    sysread $fh, my $number, 8;
    for (1 .. 6) {
        sysseek $fh, 2048 * 128, 0;
        syswrite $fh, pack 'Q', unpack('Q', $number) - 1;    # the next client has his number
        push @clients, $w->connect('web');
        unlike ask($clients[-1], '/own', 'NTLM junk')->{body}, qr/^victor/, 'nobody is victor';
        is ask($c, '/own')->{body}, $there, 'but he';
    }
    $_->close for $c, @clients;
}

# The connection ends with the client's.

my ($name, $number) = $at =~ / at (\w+) session (\d+)/;
$first->close;
for (1 .. 10) {
    like ask($other, '/own')->{body}, qr/^nobody at /, 'nobody gets what the first has left';
}
my ($again, $at3) = login('/own', 'alice', 'NTLM');
isnt $at3, $at, 'she begins anew on another connection';
is ask($again, '/own')->{body}, $at3, 'and keeps that';

# A reload: the old worker has the client and its connection until it ends.

$w->reload;
is ask($second, '/own')->{body}, $at2, 'a reload: the client is served where it was, once more'
    if !$second->ending(0);
login('/own', 'carol', 'NTLM');

login('/unix', 'dora', 'NTLM');
SKIP: {
    skip 'no IPv6', 1 if !Weir::Ports::has_ipv6();
    login('/six', 'emil', 'NTLM');
}

# Without ntlm the next client gets the connection, with all that belongs to it.

my ($shared) = login('/all', 'fred', 'NTLM');
like ask($w->connect('web'), '/all')->{body}, qr/^fred at /, 'without ntlm: a stranger is fred';
$w->finish;
done_testing;
