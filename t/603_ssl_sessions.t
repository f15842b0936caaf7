#!/usr/bin/perl
# chaos: yes
# threads: yes

# TLS sessions are resumed: from weir's cache (ssl_session_cache) or from the client's tickets, by
# any worker, after a reload and after an upgrade, with TLS 1.2 and 1.3; not for longer than
# ssl_session_timeout, not with another server, and not where it is off.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep);
use Weir;
use Weir::Http;
use Weir::Tls;

Weir::Tls::needs();
my $w = Weir->new;

Weir::Tls::certificate($w, $_) for 'server', 'second';
sub key_file {
    my ($name, $n, $seed) = @_;
    return $w->write($name, join '', map { chr(65 + ($_ * 7 + $seed) % 26) } 1 .. $n);
}
key_file('a.key', 80, 1);
key_file('b.key', 48, 2);
key_file('c.key', 80, 3);

my $OWN = 'ssl_certificate server.crt; ssl_certificate_key server.key;';
my $OFF = 'ssl_session_tickets off;';

# server, its directives, whether sessions are resumed: with tickets, without; in TLS 1.2, in 1.3
my @servers = (
    [none => '', [1, 0], [1, 0]],
    [notickets => $OFF, [0, 0], [0, 0]],
    [off => "ssl_session_cache off; $OFF", [0, 0], [0, 0]],
    [offtickets => 'ssl_session_cache off;', [1, 0], [1, 0]],
    [says_none => "ssl_session_cache none; $OFF", [0, 0], [0, 0]],
    [shared => "ssl_session_cache shared:one:1m; $OFF", [1, 1], [1, 1]],
    [both => 'ssl_session_cache shared:one:1m;', [1, 1], [1, 1]],
    [layered => "ssl_session_cache builtin:100 shared:one:1m; $OFF", [1, 1], [1, 1]],
    [keys => 'ssl_session_ticket_key a.key;', [1, 0], [1, 0]],
    [small_key => 'ssl_session_ticket_key b.key;', [1, 0], [1, 0]],
);

sub servers {
    my ($layer, $text) = @_;
    return join '', map {
        "    server { listen %{${layer}_$_->[0]} ssl; $OWN $_->[1] $text }\n"
    } @servers;
}

sub conf {
    my ($workers) = @_;
    my $say = '"$pid $ssl_session_reused $ssl_session_id\n"';
    return "worker_processes $workers;\nhttp {\n" . servers('http', "return 200 $say;")
        . "}\nstream {\n" . servers('stream', "return $say;") . "}\n";
}

# One connection: the client and weir's reply: the worker, reused or not, the session's id.
sub visit {
    my ($where, %how) = @_;
    my $c = Weir::Tls->new($w, $where, %how);

    return ($c, $c->{why}) if !$c->{up};
    $c->send(Weir::Http::request('GET /', Connection => 'close')) if $where =~ /^http/;
    my $said = $c->rest;
    $c->close;
    return ($c, $said =~ /^(\d+) ([r.]) (\S*)$/m);
}

# Resumes the session with several workers in turn.
sub goes_on {
    my ($where, $session, %how) = @_;
    my (%with, $reused);

    for (1 .. 12) {
        my ($c, $pid, $is) = visit($where, session => $session, %how);
        $reused .= $is // '?';
        $with{ $pid // '?' } = 1;
    }
    return ($reused =~ /^r+$/ ? 1 : $reused =~ /^\.+$/ ? 0 : $reused, scalar keys %with);
}

my %V = ('1.2' => 0x0303, '1.3' => 0);
$w->start(conf(2));
my %kept;    # sessions for after the reload
for my $layer ('http', 'stream') {
    for my $server (@servers) {
        my ($name, undef, @by) = @$server;
        for my $version ('1.2', '1.3') {
            my ($with, $without) = @{ shift @by };
            for my $deaf (0, $version eq '1.2' ? 1 : ()) {    # TLS 1.3 has nothing but tickets
                my %how = (max => $V{$version}, deaf => $deaf);
                my $where = "${layer}_$name";
                my ($c, $pid, $is) = visit($where, %how);
                my $what = "$where, TLS $version" . ($deaf ? ', no tickets' : '');
                is $is, '.', "$what: a new session";
                my ($on, $workers) = goes_on($where, $c->session, %how);
                is $on, $deaf ? $without : $with, "$what: resumed or not";
                cmp_ok $workers, '>', 1, "$what: with several workers" if $on eq '1';
                push @{ $kept{"$what"} }, $where, $c->session, \%how
                    if $on eq '1' && $name !~ /^none$|^offtickets$/;
            }
        }
    }
}
is +(visit('http_shared', max => 0x0303))[3] =~ /^[0-9a-f]{64}$/ ? 1 : 0, 1, '$ssl_session_id';

{
    my ($c) = visit('http_both');
    my ($on) = goes_on('stream_both', $c->session);
    is $on, 1, 'a zone serves both layers, where the certificate is the same';
}

is +($w->reload)[0], 0, 'a reload';
for my $what (sort keys %kept) {
    my ($where, $session, $how) = @{ $kept{$what} };
    is +(goes_on($where, $session, %$how))[0], 1, "after a reload: $what";
}
$w->finish;

# ---- one worker keeps sessions of its own

$w = Weir->new;
Weir::Tls::certificate($w, $_) for 'server', 'second';
key_file('a.key', 80, 1);
key_file('b.key', 48, 2);
key_file('c.key', 80, 3);

sub keys_conf {
    my ($keys) = @_;
    my $say = 'return 200 "$pid $ssl_session_reused \n";';
    return <<"CONF";
worker_processes 1;
http {
    $OWN
    server {
        listen %{http_builtin} ssl; $OFF ssl_session_cache builtin;
        $say
    }
    server {
        listen %{http_few} ssl; $OFF ssl_session_cache builtin:2;
        $say
    }
    server {
        listen %{http_short} ssl; $OFF ssl_session_cache shared:short:1m; ssl_session_timeout 1s;
        $say
    }
    server {
        listen %{http_shortticket} ssl; ssl_session_timeout 1s;
        $say
    }
    server {
        listen %{http_small} ssl; $OFF ssl_session_cache shared:small:32k;
        $say
    }
    server {
        listen %{http_rotating} ssl; $keys
        $say
    }
    server {
        listen %{http_names} ssl; server_name one; ssl_session_cache shared:names:1m; $OFF
        $say
    }
    server {
        listen %{http_names} ssl; server_name two; ssl_session_cache shared:names:1m; $OFF
        ssl_certificate second.crt; ssl_certificate_key second.key;
        $say
    }
}
CONF
}

$w->start(keys_conf('ssl_session_ticket_key a.key;'));

# Resumes the session once.
sub once {
    my ($where, $session, %how) = @_;
    return (visit($where, session => $session, %how))[2];
}

for my $version ('1.2', '1.3') {
    my %how = (max => $V{$version});
    my ($c) = visit('http_builtin', %how);
    is once('http_builtin', $c->session, %how), 'r', "TLS $version: builtin, one worker";

    ($c) = visit('http_few', %how);
    my $session = $c->session;
    visit('http_few', %how) for 1 .. 3;
    is once('http_few', $session, %how), '.', "TLS $version: builtin:2 keeps two";

    ($c) = visit('http_small', %how);
    $session = $c->session;
    visit('http_small', %how) for 1 .. 200;
    is once('http_small', $session, %how), '.', "TLS $version: a small zone forgets the oldest";
    ($c) = visit('http_small', %how);
    is once('http_small', $c->session, %how), 'r', "TLS $version: and keeps the newest";

    for my $where ('http_short', 'http_shortticket') {
        ($c) = visit($where, %how);
        sleep 3;
        is once($where, $c->session, %how), '.',
            "TLS $version: $where: not after ssl_session_timeout";
    }
    ($c) = visit('http_names', name => 'one', %how);
    is once('http_names', $c->session, name => 'one', %how), 'r', "TLS $version: the same name";
    ($c) = visit('http_names', name => 'one', %how);
    is once('http_names', $c->session, name => 'two', %how), '.', "TLS $version: another name";
}

my %first = map { $_ => (visit('http_rotating', max => $V{$_}))[0]->session } keys %V;
$w->reload(keys_conf('ssl_session_ticket_key b.key; ssl_session_ticket_key a.key;'));
my %second;
for my $v (sort keys %V) {
    my ($c, undef, $is) = visit('http_rotating', max => $V{$v}, session => $first{$v});
    is $is, 'r', "TLS $v: a ticket of the key before is taken";
    $second{$v} = $c->session;
}
$w->reload(keys_conf('ssl_session_ticket_key b.key;'));
for my $v (sort keys %V) {
    my %how = (max => $V{$v});
    is once('http_rotating', $second{$v}, %how), 'r', "TLS $v: the client had got a new one";
    is once('http_rotating', $first{$v}, %how), '.', "TLS $v: the old ticket is not taken any more";
}
$w->reload(keys_conf('ssl_session_ticket_key c.key;'));
is once('http_rotating', $second{$_}, max => $V{$_}), '.',
    "TLS $_: nor the second one" for sort keys %V;
$w->finish;

# ---- an upgrade keeps the zone

$w = Weir->new;
Weir::Tls::certificate($w, $_) for 'server', 'second';
key_file('a.key', 80, 1);
key_file('b.key', 48, 2);
$w->start(conf(2));
my %before = map { $_ => (visit('http_both', max => $V{$_}))[0]->session } keys %V;
my ($old, $new) = $w->upgrade;
$w->signal('QUIT', $old);
ok defined $w->ended($old), 'an upgrade';
is +(goes_on('http_both', $before{$_}, max => $V{$_}))[0], 1, "TLS $_: resumed after it"
    for sort keys %V;

# ---- so does the death of workers; a reload with another size does not

my %shared = map { $_ => (visit('http_shared', max => $V{$_}))[0]->session } keys %V;
my @workers = $w->workers;
$w->expect(qr/exited on signal 9/);
$w->signal('KILL', $_) for @workers;
becomes { my @now = $w->workers; @now == 2 && !grep { alive($_) } @workers } 'workers are killed';
is +(goes_on('http_shared', $shared{$_}, max => $V{$_}))[0], 1, "TLS $_: resumed by other workers"
    for sort keys %V;
$w->reload(conf(2) =~ s/shared:one:1m/shared:one:2m/gr);
is +(visit('http_shared', max => $V{$_}, session => $shared{$_}))[2], '.',
    "TLS $_: a zone of another size begins empty" for sort keys %V;
$w->finish;
done_testing;
