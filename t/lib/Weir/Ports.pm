package Weir::Ports;

# Reserves TCP and UDP ports that are not used by the kernel for outgoing connections (they are
# outside its ephemeral range), by another test (also of another user or in a chroot), or by other
# programs. A socket is bound to each port, alone, and then allows others to bind there that set
# SO_REUSEADDR, as servers do. It never listens. A port is held until the process that reserved it
# ends or calls release.

use strict;
use warnings;

use IO::Socket::IP;
use Socket qw(:DEFAULT SOL_SOCKET SO_REUSEADDR);

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

sub release { %held = () }

# The range of ports, without those the kernel uses for outgoing connections.
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
    my %got;

    for my $port (@ports) {
        my $holder = bound_alone($port) or return 0;
        setsockopt $holder, SOL_SOCKET, SO_REUSEADDR, 1 or return 0;
        $got{$port} = $holder;
        return 0 if !is_free_elsewhere($port);
    }
    @held{ keys %got } = values %got;
    return 1;
}

# Without SO_REUSEADDR: fails if another process has or reserves the port.
sub bound_alone {
    my ($port) = @_;

    socket my $fh, PF_INET, SOCK_STREAM, 0 or return;
    return bind($fh, sockaddr_in($port, INADDR_ANY)) ? $fh : undef;
}

sub is_free_elsewhere {
    my ($port) = @_;

    my @six = has_ipv6() ? (['::', SOCK_DGRAM], ['::', SOCK_STREAM]) : ();

    for my $where (['0.0.0.0', SOCK_DGRAM], @six) {
        my ($host, $type) = @$where;
        IO::Socket::IP->new(LocalHost => $host, LocalPort => $port, Type => $type, V6Only => 1,
            $type == SOCK_STREAM ? (ReuseAddr => 1, Listen => 1) : ()) or return 0;
    }
    return 1;
}

my $ipv6;

sub has_ipv6 {
    $ipv6 //= IO::Socket::IP->new(LocalHost => '::1', LocalPort => 0, Listen => 1) ? 1 : 0;
    return $ipv6;
}

1;
