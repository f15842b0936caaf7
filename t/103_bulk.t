#!/usr/bin/perl
# chaos: yes

# Bytes arrive as they were sent: 1 GiB in each direction through one session, both directions of a
# session at once, many sessions at once, over unix sockets, and at sizes around the limits at which
# weir changes from copying to splicing. (Under chaos 16 MiB instead of 1 GiB.)

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Bulk qw(digest_of);

my $KIB = 1024;
my $MIB = 1024 * $KIB;
my $LARGE = chaos() ? 16 * $MIB : 1024 * $MIB;

my $w = Weir->new;

$w->backend($_, serve => \&Weir::Bulk::serve) for 'tcp', 'unix:local';
$w->start(<<'CONF');
worker_processes 2;
stream {
    server { listen %{web}; listen %{unix:web}; proxy_pass %{tcp}; }
    server { listen %{tolocal}; proxy_pass %{unix:local}; }
    server { listen %{small}; proxy_buffer_size 1k; proxy_pass %{tcp}; }
}
CONF

# The digest of what arrived at the server.
sub upload {
    my ($where, $n) = @_;
    my $c = $w->connect($where) or return "connect: $!";
    $c->send("take $n\n");
    Weir::Bulk::give($c->socket, $n);
    $c->socket->blocking(0);
    return $c->line;
}

# The digest of what arrived at the client, and how the session ended.
sub download {
    my ($where, $n) = @_;
    my $c = $w->connect($where) or return "connect: $!";
    $c->send("give $n\n");
    my $taken = Weir::Bulk::take($c->socket, $n) // 'incomplete';
    $c->socket->blocking(0);
    return "$taken " . $c->ending;
}

for my $n (0, 1, 16 * $KIB, 64 * $KIB - 1, 64 * $KIB, 64 * $KIB + 1, 200_001, 3 * $MIB + 7) {
    is upload('web', $n), digest_of($n), "upload of $n bytes";
    is download('web', $n), digest_of($n) . ' eof', "download of $n bytes";
}

for my $way ('unix:web', 'tolocal', 'small') {
    my $n = chaos() ? $MIB : 32 * $MIB;
    is upload($way, $n), digest_of($n), "upload of $n bytes by way of $way";
    is download($way, $n), digest_of($n) . ' eof', "download of $n bytes by way of $way";
}

# Both directions of one session at once.

{
    my $n = chaos() ? $MIB : 32 * $MIB;
    my $c = $w->connect('web');
    $c->send("both $n\n");
    my $giver = fork // die "fork: $!\n";
    if ($giver == 0) {
        Weir::Bulk::give($c->socket, $n);
        POSIX::_exit(0);
    }
    is Weir::Bulk::take($c->socket, $n), digest_of($n), 'both directions at once: down';
    waitpid $giver, 0;
    $c->socket->blocking(0);
    is $c->line, digest_of($n), 'both directions at once: up';
}

# Many sessions at once, each in a process of its own.

{
    my ($sessions, $n) = (24, chaos() ? 100 * $KIB : 4 * $MIB);
    my $expected = digest_of($n);
    my @pids = map {
        my $how = $_ % 2 ? \&upload : \&download;
        Weir::Process::spawn(sub {
            POSIX::_exit($how->('web', $n) =~ /^$expected/ ? 0 : 1);
        });
    } 1 .. $sessions;
    is scalar(grep { ($w->ended($_) // 1) == 0 } @pids), $sessions, "$sessions sessions at once";
}

is upload('web', $LARGE), digest_of($LARGE), "upload of $LARGE bytes";
is download('web', $LARGE), digest_of($LARGE) . ' eof', "download of $LARGE bytes";

$w->finish;
done_testing;
