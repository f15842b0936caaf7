#!/usr/bin/perl

# A worker that was taken over tries to make the master wait for ever, with the descriptors that
# every worker has: it makes the doorbells blocking, and passes on a socket whose last close takes
# hours. The master goes on: it starts workers, loads a configuration, ends.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Fcntl;
use POSIX ();
use Socket;
use Test::More;
use Weir;
use Weir::Process qw(spawn end_process children);

plan skip_all => 'system calls by the numbers of x86_64' if (POSIX::uname())[4] ne 'x86_64';
my ($SENDMSG, $PIDFD_OPEN, $PIDFD_GETFD) = (46, 434, 438);
my $HOURS = 10_000;

my $w = Weir->new;
$w->expect(qr/exited on signal 9/);
$w->start(<<'CONF');
worker_processes 2;
stream { server { listen %{web}; return well; } }
CONF

sub worker { return (grep { title($_) =~ /worker/ } children($w->master))[0] }

# The open descriptors of the worker, opened by this process, too.
sub descriptors_of {
    my ($pid) = @_;
    my $pidfd = syscall $PIDFD_OPEN, $pid, 0;
    my (%fd, %skip);

    for my $link (glob "/proc/$pid/fd/*") {
        my $what = readlink $link // '';
        my $fd = $pidfd < 0 ? -1 : syscall $PIDFD_GETFD, $pidfd, $link =~ s{.*/}{}r + 0, 0;
        next if $fd < 0;
        open my $fh, '+<&=', $fd or next;
        push @{ $fd{ $what =~ /timerfd/ ? 'bell' : $what =~ /^socket/ ? 'socket' : 'other' } }, $fh;
    }
    return %fd;
}

# The next read() waits for ever.
sub spoil_bell {
    my ($fh) = @_;

    fcntl $fh, F_SETFL, O_NONBLOCK;
    sysread $fh, my $unused, 8;
    return fcntl $fh, F_SETFL, 0;
}

# A connection that wants to say much more than anybody reads.
sub endless_socket {
    socket my $listening, AF_INET, SOCK_STREAM, 0 or die "socket: $!\n";
    bind $listening, sockaddr_in(0, INADDR_LOOPBACK) or die "bind: $!\n";
    listen $listening, 1;
    socket my $full, AF_INET, SOCK_STREAM, 0 or die "socket: $!\n";
    connect $full, getsockname $listening or die "connect: $!\n";
    fcntl $full, F_SETFL, O_NONBLOCK;
    1 while syswrite $full, 'x' x 65536;
    setsockopt $full, SOL_SOCKET, SO_LINGER, pack 'ii', 1, $HOURS;
    return ($full, $listening);
}

# sendmsg() of a few bytes and that descriptor.
sub send_along {
    my ($to, $fh) = @_;
    my $text = pack 'LLa16', 99, 0, 'nothing';
    my $control = pack 'QllL x4', 20, SOL_SOCKET, 1, fileno $fh;
    my $iov = pack 'PQ', $text, length $text;
    my $message = pack 'Q L x4 PQ PQ L x4', 0, 0, $iov, 1, $control, length $control, 0;

    return syscall $SENDMSG, fileno $to, $message, MSG_DONTWAIT;
}

sub master_does {
    my ($name) = @_;
    my $pid = worker();

    kill KILL => $pid;
    becomes { !alive($pid) && grep({ title($_) =~ /worker process$/ } children($w->master)) >= 2 }
        "$name: a worker that dies has a follower" or diag slurp($w->path('error.log'));
    my ($code, undef, $err) = $w->command('-s', 'reload');
    is $code, 0, "$name: a reload" or diag $err;
    becomes { ($w->ask('web') // '') =~ /^well/ } "$name: clients are served";
}

my %fd = descriptors_of(worker());

SKIP: {
    skip 'the descriptors of a worker are out of reach', 1 if !$fd{bell};
    spoil_bell($_) for @{ $fd{bell} };
    master_does('doorbells');
    %fd = ();

    my ($pid, $sent) = (worker(), 0);
    %fd = descriptors_of($pid);
    my ($endless, $peer) = endless_socket();
    $sent += send_along($_, $endless) > 0 for @{ $fd{socket} };
    setsockopt $endless, SOL_SOCKET, SO_LINGER, pack 'ii', 0, 0 if !$sent; # do not wait here
    close $endless;
    %fd = ();
    master_does('descriptors');
}

$w->finish;
done_testing;
