#!/usr/bin/perl

# Real DNS and syslog through weir over UDP: dig asks unbound for 1,000 names, also while weir is
# reloaded again and again, and every answer is right; logger sends lines to a log server.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Datagrams;
use Weir::Process qw(spawn end_process status_of);

my ($unbound) = grep { -x } map { "$_/unbound" } qw(/usr/sbin /usr/local/sbin /usr/bin);
my ($dig) = grep { -x } map { "$_/dig" } qw(/usr/bin /usr/local/bin);
plan skip_all => 'needs unbound and dig' if !$unbound || !$dig;

my $NAMES = chaos() ? 200 : 1000;
my $w = Weir->new;
my ($host, $port) = split /:/, $w->address('dns');

sub address_of { my ($i) = @_; return join '.', 10, $i >> 16 & 255, $i >> 8 & 255, $i & 255 }

$w->write('unbound.conf', <<"CONF" . join '', map {
server:
    interface: $host\@$port
    do-daemonize: no
    use-syslog: no
    logfile: "%{dir}/unbound.log"
    pidfile: "%{dir}/unbound.pid"
    chroot: ""
    username: ""
    directory: "%{dir}"
    access-control: 127.0.0.0/8 allow
    local-zone: "weir.test." static
CONF
    qq(    local-data: "n$_.weir.test. A @{[address_of($_)]}"\n) } 1 .. $NAMES);
my $server = spawn(sub {
    $w->redirect($w->path('unbound.out'), $w->path('unbound.err'));
    exec $unbound, '-c', $w->path('unbound.conf');
});
END { local $?; end_process($server, 'KILL') if $server && !defined status_of($server) }

my $conf = <<'CONF';
worker_processes 2;
stream {
    proxy_timeout 2s;
    access_log %{dir}/access.log lines;
    log_format lines '$protocol $status $upstream_addr';
    server { listen %{front} udp; proxy_pass %{dns}; proxy_responses 1; }
    server { listen %{log} udp; proxy_pass %{logs}; proxy_responses 0; }
}
CONF
my $logs = Weir::Datagrams->server(where => $w->address('logs'), name => 'logs',
    tally => $w->path('logs.tally'));
$w->start($conf);

sub dig {
    my (@words) = @_;
    my ($at, $to) = split /:/, $w->address('front');
    open my $out, '-|', $dig, '-r', "\@$at", '-p', $to, '+time=3', '+tries=1', '+short', @words
        or die "dig: $!\n";
    my @lines = <$out>;
    close $out;
    return join '', @lines;
}

becomes { dig('n1.weir.test', 'A') eq address_of(1) . "\n" } 'the first answer';

# One dig asks for all of them, one after the other.
sub ask_all {
    $w->write('names', join '', map { "n$_.weir.test A\n" } 1 .. $NAMES);
    return dig('-f', $w->path('names'));
}
my $right = join '', map { address_of($_) . "\n" } 1 .. $NAMES;
ok ask_all() eq $right, "$NAMES names";

my $asking = spawn(sub { POSIX::_exit(ask_all() eq $right ? 0 : 1) });
my $reloads = 0;
while (!defined status_of($asking) && $reloads < 50) {
    last if ($w->reload($conf))[0] ne 0;
    $reloads++;
}
wait_for { defined status_of($asking) };
is status_of($asking), 0, "$NAMES names while weir is reloaded";
cmp_ok $reloads, '>', 0, "... $reloads times";

SKIP: {
    my ($logger) = grep { -x } '/usr/bin/logger';
    skip 'needs logger', 1 if !$logger;
    my ($at, $to) = split /:/, $w->address('log');
    for (1 .. 3) {
        system($logger, '-n', $at, '-P', $to, '-d', '--rfc3164', '-t', 'udp', "line $_") == 0
            or diag "logger: $?";
    }
    becomes { 3 == (() = slurp($w->path('logs.tally')) =~ /udp: line [123]$/mg) }
        'syslog: each line has arrived';
}

end_process($server, 'KILL');
$logs->kill;
$w->finish;
done_testing;
