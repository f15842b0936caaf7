package Weir::Ports;

# Hands out TCP and UDP ports nobody else uses: not the kernel for outgoing connections (they
# lie outside its ephemeral range), not another test of this user (each port is a locked file
# in a per-user folder), not a stranger (binding it works). A port is held until the process
# that reserved it ends or calls release.

use strict;
use warnings;

use Fcntl qw(:flock :DEFAULT);
use File::Spec;
use IO::Socket::IP;
use Socket qw(SOCK_STREAM SOCK_DGRAM);

my ($LOWEST, $HIGHEST) = (10240, 32767);
my %held;
my $next;

sub reserve {
    my ($count) = @_;
    my ($low, $high) = bounds();

    $next //= $low + int(rand($high - $low));
    for (1 .. 5000) {
        $next = $low if $next + $count > $high;
        my $first = $next;
        $next += $count;
        return $first if hold($first .. $first + $count - 1);
    }
    die "no free port between $low and $high\n";
}

sub release {
    for my $port (keys %held) {
        unlink path($port);
        delete $held{$port};
    }
    rmdir folder();
}

# The part of our range that the kernel does not use for outgoing connections.
sub bounds {
    my ($first, $last) = (32768, 60999);

    if (open my $fh, '<', '/proc/sys/net/ipv4/ip_local_port_range') {
        ($first, $last) = split ' ', <$fh>;
    }
    return ($LOWEST, $first - 1 < $HIGHEST ? $first - 1 : $HIGHEST) if $first > $LOWEST + 1000;
    return ($last + 1, 65535) if $last < 64500;
    return ($LOWEST, $HIGHEST);
}

sub hold {
    my @ports = @_;
    my @mine;

    for my $port (@ports) {
        my $lock = lock_file($port);
        push @mine, $port if $lock;
        if (!$lock || !bindable($port)) {
            unlink path($_) for @mine;
            delete @held{@mine};
            return 0;
        }
        $held{$port} = $lock;
    }
    return 1;
}

# Somebody may have removed the file between our open and our lock: the name must still be it.
sub lock_file {
    my ($port) = @_;

    mkdir folder(), 0700;
    sysopen my $fh, path($port), O_RDWR | O_CREAT, 0600 or return;
    flock $fh, LOCK_EX | LOCK_NB or return;
    my @opened = stat $fh;
    my @named = stat path($port);
    return @named && $named[1] == $opened[1] ? $fh : undef;
}

sub bindable {
    my ($port) = @_;

    for my $type (SOCK_STREAM, SOCK_DGRAM) {
        for my $host ('0.0.0.0', has_ipv6() ? '::' : ()) {
            my $s = IO::Socket::IP->new(
                LocalHost => $host, LocalPort => $port, Type => $type, V6Only => 1,
                $type == SOCK_STREAM ? (ReuseAddr => 1, Listen => 1) : (),
            );
            return 0 if !$s;
        }
    }
    return 1;
}

my $ipv6;

sub has_ipv6 {
    $ipv6 //= IO::Socket::IP->new(LocalHost => '::1', LocalPort => 0, Listen => 1) ? 1 : 0;
    return $ipv6;
}

sub folder { return File::Spec->catdir(File::Spec->tmpdir, "weir-test-ports-$>") }

sub path { return File::Spec->catfile(folder(), $_[0]) }

1;
