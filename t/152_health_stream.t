#!/usr/bin/perl
# chaos: yes

# health_check in a stream server: a connection, or what the server says to a text that is sent;
# PROXY headers, TLS, health_check_timeout; with a master process and without.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Process;

my $w;
my $CONF = <<'CONF';
stream {
    upstream plain { server %{a}; server %{b}; }
    upstream asked { server %{c}; server %{d}; }
    upstream proxied { server %{e}; }
    upstream silent { server %{f} max_fails=0; }
    match pong { send "PING\x0d\n"; expect ~ "^PONG"; }
    match banner { expect "hello"; }
    server { listen %{plain};   proxy_pass plain; proxy_connect_timeout 10s;
             health_check interval=200ms fails=2; }
    server { listen %{asked};   proxy_pass asked; health_check interval=200ms match=pong; }
    server { listen %{proxied}; proxy_pass proxied; proxy_protocol on;
             health_check interval=200ms match=banner; }
    server { listen %{silent};  proxy_pass silent; health_check_timeout 500ms;
             health_check interval=200ms match=banner; }
}
CONF

sub state_of {
    my ($name) = @_;
    my $where = $w->address($name);
    my @lines = $w->error_log =~ /health check of "\Q$where\E" in upstream "\w+": is (?:still )?(.*)/g;
    return $lines[-1] // '';
}

# The servers answer what stands in files.
sub says {
    my ($name, $text) = @_;
    $w->write("$name.new", $text);
    rename $w->path("$name.new"), $w->path("$name.answer");
}

sub begin {
    $w = Weir->new;
    $w->greeter('a', 'b');
    for my $name ('c', 'd') {
        says($name, "PONG\n");
        my $file = $w->path("$name.answer");
        $w->backend($name, serve => sub {
            my ($fh) = @_;
            sysread $fh, my $line, 100;
            syswrite $fh, $line eq "PING\r\n" ? slurp($file) : $name;
        });
    }
    $w->backend('e', serve => sub {
        my ($fh) = @_;
        sysread $fh, my $line, 100;
        syswrite $fh, $line =~ /^PROXY UNKNOWN\r\n$/ ? 'hello' : "not $line";
    });
    $w->backend('f', serve => sub { sleep 60 });
}

sub spread {
    my ($where, $say) = @_;
    my %n;
    $n{ $w->ask($where, $say) }++ for 1 .. 10;
    return \%n;
}

for my $mode ('', "master_process off;\n") {
    my $how = $mode ? 'one process' : 'a keeper';
    begin();
    $w->start($mode . $CONF);

    is_deeply spread('plain'), { a => 5, b => 5 }, "$how: both get sessions";
    $w->{backend}{a}->kill;
    becomes { state_of('a') =~ /^down: connect refused after \d+ ms$/ } 'one is not there';
    is_deeply spread('plain'), { b => 10 }, 'no session tries it';
    unlike $w->error_log, qr/connect\(\) failed.*upstream: "\Q${\$w->address('a')}\E/,
        'and checks do not fill the log';
    $w->{backend}{a}->start;
    becomes { state_of('a') =~ /^up: connected$/ } 'it is back';
    is_deeply spread('plain'), { a => 5, b => 5 }, 'and gets sessions';

    says('c', "-LOADING\n");
    becomes { state_of('c') } 'the answer is not as expected';
    like state_of('c'), qr/^down: the reply "-LOADING\\x0a" does not match "\^PONG"$/, 'which is said';
    is_deeply spread('asked', 'x'), { d => 10 }, 'no session goes there';
    says('c', "PONG\n");
    becomes { state_of('c') eq 'up: the reply matches' } 'it is as expected';

    becomes { state_of('f') } 'a server that says nothing';
    like state_of('f'), qr/^down: (?:connect )?timed out after [\d.]+ m?s(?: \(sent 0 bytes, got 0\))?$/,
        'is down after health_check_timeout';
    is state_of('e'), '', 'a PROXY header without addresses comes first';
    $w->finish;
}
done_testing;
