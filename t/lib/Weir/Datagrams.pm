package Weir::Datagrams;

# Datagrams (UDP): servers behind weir, each in a process of its own, and clients.
#
# A server answers "who" by its name and the port it was asked from, "times N" by N datagrams "1",
# "2" ..., "nothing" by nothing, "empty" by an empty datagram, "late S TEXT" by TEXT after S seconds,
# and anything else by the same bytes.

use strict;
use warnings;

use Errno qw(EINTR);
use IO::Select;
use IO::Socket::IP;
use Socket qw(SOCK_DGRAM SOL_SOCKET SO_RCVBUF);
use Time::HiRes qw(time sleep);
use Weir::Process qw(spawn end_process patience);

# where: 'HOST:PORT'; name: what it answers to "who"; tally: a file that gets a line for each
# datagram.
sub server {
    my ($class, %how) = @_;
    my $s = bless {%how}, $class;

    pipe my $ready, my $tell or die "pipe: $!\n";
    $s->{pid} = spawn(sub {
        my $fh = bound($s->{where});
        syswrite $tell, "ready\n";
        close $_ for $ready, $tell;
        $s->answer($fh) while 1;
    });
    close $tell;
    defined readline $ready or die "no server at $s->{where}\n";
    return $s;
}

sub kill { end_process(delete $_[0]{pid} // return, 'KILL') }

sub DESTROY { local ($@, $?); $_[0]->kill if $_[0]{pid} }

sub split_address { return $_[0] =~ /^\[?(.*?)\]?:(\d+)$/ }

sub bound {
    my ($where, @more) = @_;
    my ($host, $port) = split_address($where);
    my $fh = IO::Socket::IP->new(LocalHost => $host, LocalPort => $port, Type => SOCK_DGRAM, @more)
        // die "cannot bind $where: $!\n";
    setsockopt $fh, SOL_SOCKET, SO_RCVBUF, 1 << 22;
    return $fh;
}

sub answer {
    my ($s, $fh) = @_;
    my $from = recv($fh, my $asked, 70_000, 0) // return;
    my @answers = $asked eq 'who' ? "$s->{name} " . port_of($from)
        : $asked =~ /^times (\d+)/ ? (1 .. $1)
        : $asked =~ /^nothing/ ? ()
        : $asked eq 'empty' ? ''
        : $asked =~ /^late (\S+) (.*)/ ? (sleep($1) && $2)
        : $asked;

    if ($s->{tally}) {
        open my $tally, '>>', $s->{tally} or die "$s->{tally}: $!\n";
        syswrite $tally, substr($asked, 0, 60) . "\n";
    }
    send $fh, $_, 0, $from for @answers;
    return;
}

sub port_of {
    my ($from) = @_;
    my ($error, undef, $port) = Socket::getnameinfo($from,
        Socket::NI_NUMERICHOST() | Socket::NI_NUMERICSERV());
    return $port;
}

# ---- clients

# A client of 'HOST:PORT'; from: the host it sends from.
sub client {
    my ($class, $where, %how) = @_;
    my ($host, $port) = split_address($where);
    my $fh = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port, Type => SOCK_DGRAM,
        $how{from} ? (LocalHost => $how{from}) : ()) // die "no way to $where: $!\n";
    setsockopt $fh, SOL_SOCKET, SO_RCVBUF, 1 << 22;
    return bless { fh => $fh, again => $how{again} // 1 }, 'Weir::Datagrams::Client';
}

package Weir::Datagrams::Client;

use Time::HiRes qw(time);

sub send { my ($c, $text) = @_; return syswrite($c->{fh}, $text) // CORE::send($c->{fh}, $text, 0) }

# Sends the text, also an empty one.
sub put { my ($c, $text) = @_; return CORE::send($c->{fh}, $text, 0) }

# The next datagram; undef: none in time.
sub get {
    my ($c, $seconds) = @_;
    my $end = time + ($seconds // Weir::Process::patience(10));

    while ((my $left = $end - time) > 0) {
        next if !IO::Select->new($c->{fh})->can_read($left);
        return $_ for grep { defined } scalar recv_one($c->{fh});
    }
    return;
}

sub recv_one {
    my ($fh) = @_;
    defined recv $fh, my $text, 70_000, 0 or return;
    return $text;
}

sub ask { my ($c, $text, $seconds) = @_; $c->put($text); return $c->get($seconds) }

sub port { return $_[0]{fh}->sockport }

1;
