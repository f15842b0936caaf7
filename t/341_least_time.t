#!/usr/bin/perl
# chaos: yes

# least_time, random and random two at both layers: servers that answer fast get most requests,
# servers that fail fast do not; shares by weight, also while a server is down.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;

# A slow server is asked again after fail_timeout, only to measure it: not in `header`.

# Answers with its name after a time; the head at once if asked for.
sub web {
    my ($name, $seconds, $status) = @_;
    return Weir::HttpServer::serve(sub {
        my ($request, $fh) = @_;
        my $reply = Weir::HttpServer::reply($status // 200, $name);
        if ($request->{target} eq '/late') { # the body comes late, not the head
            Weir::HttpServer::give($fh, substr $reply, 0, -1);
            $reply = substr $reply, -1;
        }
        select undef, undef, undef, $seconds if $seconds;
        return $reply;
    });
}
$w->backend('fast', serve => web('fast'));
$w->backend('unix:quick', serve => web('quick'));
$w->backend('slow', serve => web('slow', 0.9));
$w->backend('bad', serve => web('bad', 0, 503));
$w->backend('t1', greet => "t1\n");
$w->backend('t2', greet => "t2\n");
$w->backend('late', serve => sub {
    my ($fh) = @_;
    select undef, undef, undef, 0.3;
    print $fh "late\n";
    1 while sysread $fh, my $bytes, 100;
});
$w->start(<<'CONF');
worker_processes 2;
http {
    access_log off;
    proxy_next_upstream error timeout;
    upstream header    { least_time header;    server %{fast}; server %{slow} fail_timeout=1h; }
    upstream last      { least_time last_byte inflight; server %{unix:quick}; server %{slow}; }
    upstream failing   { least_time header;    server %{fast}; server %{nobody} max_fails=0; }
    upstream errors    { least_time header;    server %{fast}; server %{bad}; }
    upstream two       { random two least_time=header; server %{fast}; server %{slow}; }
    upstream backup    { least_time header;    server %{nobody2} max_fails=0;
                         server %{fast} backup; }
    upstream weights   { random; server %{fast} weight=3; server %{bad}; server %{slow} down; }
    upstream pair      { random two; server %{fast}; server %{unix:quick}; server %{nobody3}; }
    server {
        listen %{web};
        location /header/  { proxy_pass http://header/; }
        location /last/    { proxy_pass http://last/; }
        location /failing/ { proxy_pass http://failing/; }
        location /errors/  { proxy_pass http://errors/; }
        location /two/     { proxy_pass http://two/; }
        location /backup/  { proxy_pass http://backup/; }
        location /weights/ { proxy_pass http://weights/; }
        location /pair/    { proxy_pass http://pair/; }
    }
}
stream {
    upstream first   { least_time first_byte; server %{t1}; server %{late}; }
    upstream connect { least_time connect; server %{t1}; server %{nobody4} max_fails=0; }
    upstream session { least_time last_byte inflight; server %{t1}; server %{t2}; }
    upstream draw    { random; server %{t1}; server %{t2} weight=2; server %{nobody5}; }
    upstream two     { random two least_time=connect; server %{t1}; server %{t2}; }
    server { listen %{first};   proxy_pass first; }
    server { listen %{connect}; proxy_pass connect; }
    server { listen %{session}; proxy_pass session; }
    server { listen %{draw};    proxy_pass draw; }
    server { listen %{pair};    proxy_pass two; }
}
CONF

sub count {
    my ($n, $ask) = @_;
    my %seen;
    $seen{ $ask->() // '-' }++ for 1 .. $n;
    return %seen;
}

sub http {
    my ($where, $n) = @_;
    return count($n, sub { Weir::Http::ask($w, 'web', "GET /$where")->{body} });
}

sub stream {
    my ($where, $n) = @_;
    return count($n, sub { my $c = $w->connect($where); my $l = $c->line; $c->close; $l });
}

# Times of one machine vary: a few requests may go astray, but not the turns of round robin.
sub mostly {
    my ($name, $want, $n, %seen) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    cmp_ok $seen{$want} // 0, '>=', 0.8 * $n, $name
        or diag join ' ', map { "$_=$seen{$_}" } sort keys %seen;
    return;
}

mostly('header: the fast server', 'fast', 20, http('header/', 20));
mostly('last_byte: where the body is fast', 'quick', 20, http('last/late', 20));
mostly('random two least_time', 'fast', 20, http('two/', 20));
mostly('an error page is not fast', 'fast', 20, http('errors/', 20));
mostly('a backup serves while the others fail', 'fast', 20, http('backup/', 20));
mostly('a server that fails costs no request', 'fast', 20, http('failing/', 20));
cmp_ok scalar(() = $w->error_log =~ /connect\(\) failed.*"GET \/failing\//g), '<=', 4,
    'and is not fast either';
mostly('layer 4: first_byte', 't1', 20, stream('first', 20));
is_deeply { stream('connect', 20) }, { t1 => 20 }, 'layer 4: connect, a dead server costs none';
cmp_ok scalar(() = $w->error_log =~ /connect\(\) failed.*"\Q@{[$w->address('nobody4')]}\E"/g),
    '<=', 4, 'and is not fast either';
my %session = stream('session', 12);
is $session{t1} + $session{t2}, 12, 'layer 4: last_byte';

# Sessions that stay open count.

my @held = map { my $c = $w->connect('session'); $c->{server} = $c->line; $c } 1 .. 12;
my $t1 = grep { $_->{server} eq 't1' } @held;
cmp_ok $t1, '>=', 3, 'open sessions are spread';
cmp_ok $t1, '<=', 9, 'over both servers';
$_->close for @held;
@held = map { my $c = $w->connect('pair'); $c->{server} = $c->line; $c } 1 .. 12;
cmp_ok scalar(grep { $_->{server} eq 't1' } @held), '<=', 10, 'random two: the same';
$_->close for @held;

# random: 60 draws of 3 to 1 are 45 +- 10 in all but one of 10,000 runs or so.

my %draws = http('weights/', 60);
is $draws{fast} + $draws{bad}, 60, 'random: the one that is down is not drawn';
cmp_ok abs($draws{fast} - 45), '<', 14, 'shares by weight';
%draws = stream('draw', 60);
is $draws{t1} + $draws{t2}, 60, 'a dead server costs no session';
cmp_ok abs($draws{t2} - 40), '<', 15, 'layer 4: shares by weight';
%draws = http('pair/', 30);
is $draws{fast} + $draws{quick}, 30, 'random two: a dead server costs no request';

# The averages stay: a reload does not begin with the slow one.

$w->reload;
my %after = http('header/', 5);
is_deeply \%after, { fast => 5 }, 'after a reload the times are known';
my ($victim) = $w->workers;
$w->signal('KILL', $victim);
becomes { my @now = $w->workers; @now == 2 && !grep { $_ == $victim } @now } 'a worker is killed';
is_deeply { http('header/', 5) }, { fast => 5 }, 'and the times are still known';

$w->expect(qr/exited on signal 9/);
$w->finish;
done_testing;
