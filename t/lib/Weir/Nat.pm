package Weir::Nat;

# Kernel NAT for tests: this process is in a network of its own, beside the machines of a client (c)
# and of two servers (a, b), which send everything through this one. The servers listen on port 5000
# at 10.98.2.2 and 10.98.3.2, fd98:2::2 and fd98:3::2; the client is 10.98.1.2 and fd98:1::2, and
# weir has 10.98.1.1 and fd98:1::1 for it.

use strict;
use warnings;

use IO::Socket::IP;
use Test::More;
use Weir;
use Weir::Process qw(spawn);

# Call Weir->in_private_network before. Skips the test where the kernel cannot do it.
sub new {
    my ($class, $w) = @_;
    my $n = bless { w => $w }, $class;

    for my $row (['c', 1], ['a', 2], ['b', 3]) {
        my ($name, $net) = @$row;
        $n->{net}{$name} = $w->machine(link => $name, routed => 1,
            here => ["10.98.$net.1", "fd98:$net\::1"], there => ["10.98.$net.2", "fd98:$net\::2"]);
    }
    put('/proc/sys/net/ipv4/ip_forward', 1);
    put('/proc/sys/net/ipv6/conf/all/forwarding', 1);
    $n->begin_server('a', '10.98.2.2:5000', '[fd98:2::2]:5000');
    $n->begin_server('b', '10.98.3.2:5000', '[fd98:3::2]:5000');
    return $n;
}

sub put {
    my ($file, $text) = @_;
    open my $fh, '>', $file or die "$file: $!\n";
    print $fh $text;
    close $fh;
}

# Starts weir, or skips the test.
sub start {
    my ($n, $conf) = @_;
    my $w = $n->{w};

    $w->conf($conf);
    my ($code, $out, $err) = $w->command('-t');
    plan skip_all => 'this weir has no libnftables' if $err =~ /was built without/;
    return if eval { $w->start; 1 };
    my $why = $@;
    die $why if $why !~ /refused the rules|CAP_NET_ADMIN/;
    $w->has_ended;
    plan skip_all => "kernel NAT does not work here: $why";
}

# A server says its name and the client's address, then echoes.
sub begin_server {
    my ($n, $name, @at) = @_;
    my $serve = sub {
        my ($fh) = @_;
        my $s = IO::Socket::IP->new_from_fd($fh, 'r+');
        syswrite $fh, "$name " . $s->peerhost . "\n";
        while (sysread $fh, my $more, 65536) {
            syswrite $fh, $more;
        }
    };
    for my $at (@at) {
        $n->{w}->backend("$name $at", at => $at, before => sub { $n->{net}{$name}->enter },
            serve => $serve);
    }
}

# One connection from this machine: the first line, or the error.
sub once {
    my ($n, $host, $port) = @_;
    my $s = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port, Timeout => 5) or return "$!";
    my $line = <$s> // "closed\n";
    chomp $line;
    return $line;
}

# The same from the client's machine.
sub ask {
    my ($n, @to) = @_;
    return $n->{net}{c}->run(sub { print $n->once(@to) });
}

# The names of the servers of that many connections of the client, in order: "aba".
sub order {
    my ($n, $host, $port, $times) = @_;
    return $n->{net}{c}->run(sub {
        print map { substr $n->once($host, $port), 0, 1 } 1 .. $times;
    });
}

# A connection of the client that sends and gets lines until end_transfer.
sub begin_transfer {
    my ($n, $host, $port) = @_;
    my $w = $n->{w};

    unlink map { $w->path($_) } 'count', 'enough';
    $n->{transfer} = spawn(sub {
        $n->{net}{c}->enter;
        my $s = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port, Timeout => 5)
            or POSIX::_exit(4);
        my $line = <$s>;
        for my $i (1 .. 1_000_000) {
            syswrite $s, "$i\n";
            my $back = <$s>;
            POSIX::_exit(2) if !defined $back || $back ne "$i\n";
            POSIX::_exit(0) if -e $w->path('enough');
            put($w->path('count'), $i);
            select undef, undef, undef, 0.002;
        }
        POSIX::_exit(3);
    });
    becomes { slurp($w->path('count')) } 'a transfer begins';
}

# A test: the transfer goes on.
sub moves {
    my ($n, $what) = @_;
    my $count = sub { slurp($n->{w}->path('count')) || 0 };
    my $from = $count->();
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    wait_for { $count->() > $from + 5 || defined status_of($n->{transfer}) };
    is status_of($n->{transfer}), undef, "$what: the transfer goes on";
}

# A test: it ends well.
sub end_transfer {
    my ($n) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    put($n->{w}->path('enough'), 1);
    is $n->{w}->ended($n->{transfer}), 0, 'the transfer ends well';
}

1;
