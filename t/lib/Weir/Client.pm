package Weir::Client;

# One connection that a test makes, with a deadline for each operation: none waits for ever, and a
# passed deadline, an end and a reset are reported differently.

use strict;
use warnings;

use Errno qw(EAGAIN EWOULDBLOCK EINTR);
use IO::Select;
use IO::Socket::IP;
use IO::Socket::UNIX;
use Socket qw(SOL_SOCKET SO_ERROR SO_LINGER SO_RCVBUF IPPROTO_TCP TCP_NODELAY);
use Time::HiRes qw(time);
use Weir::Process qw(patience);

# $where: 'HOST:PORT', '[V6]:PORT' or 'unix:PATH'. Options: from (local address), rcvbuf.
# Returns undef if connecting fails; $! is the reason.
sub new {
    my ($class, $where, %how) = @_;
    my $fh;

    if ($where =~ /^unix:(.*)/) {
        $fh = IO::Socket::UNIX->new(Peer => $1, Timeout => patience()) or return;
    } else {
        my ($host, $port) = $where =~ /^\[?(.*?)\]?:(\d+)$/ or die "connect to $where?\n";
        $fh = IO::Socket::IP->new(
            PeerHost => $host, PeerPort => $port, Timeout => patience(), GetAddrInfoFlags => 0,
            $how{from} ? (LocalHost => $how{from}) : (),
            $how{rcvbuf} ? (Sockopts => [[SOL_SOCKET, SO_RCVBUF, $how{rcvbuf}]]) : (),
        ) or return;
        setsockopt $fh, IPPROTO_TCP, TCP_NODELAY, 1;
    }
    $fh->blocking(0);
    return bless { fh => $fh, in => '', end => '' }, $class;
}

sub socket { return $_[0]{fh} }

# True if all of it was taken.
sub send {
    my ($c, $bytes, $seconds) = @_;
    my $until = time + ($seconds // patience());
    my $at = 0;

    local $SIG{PIPE} = 'IGNORE';
    while ($at < length $bytes) {
        my $n = syswrite $c->{fh}, $bytes, length($bytes) - $at, $at;
        if (defined $n) {
            $at += $n;
        } elsif (!$!{EAGAIN} && !$!{EINTR}) {
            $c->{end} = 'reset';
            return 0;
        } elsif (!IO::Select->new($c->{fh})->can_write($until - time) && time >= $until) {
            return 0;
        }
    }
    return 1;
}

# Sends until no byte is taken for $quiet seconds, at most $limit bytes; returns how many.
sub flood {
    my ($c, $block, $limit, $quiet) = @_;
    my $sent = 0;

    while ($sent < $limit && IO::Select->new($c->{fh})->can_write($quiet)) {
        my $n = syswrite $c->{fh}, $block;
        last if !defined $n && !$!{EAGAIN};
        $sent += $n // 0;
    }
    return $sent;
}

# Reads once; false at the deadline or after the end.
sub fill {
    my ($c, $until) = @_;

    return 0 if $c->{end};
    my $wait = $until - time;
    return 0 if !IO::Select->new($c->{fh})->can_read($wait > 0 ? $wait : 0);
    my $n = sysread $c->{fh}, $c->{in}, 65536, length $c->{in};
    return 1 if $n;
    return 1 if !defined $n && ($!{EAGAIN} || $!{EINTR});
    $c->{end} = defined $n ? 'eof' : 'reset';
    return 0;
}

# Exactly $n bytes; fewer when the other side ends or the deadline passes.
sub recv {
    my ($c, $n, $seconds) = @_;
    my $until = time + ($seconds // patience());

    1 while length $c->{in} < $n && $c->fill($until);
    return substr $c->{in}, 0, $n, '';
}

# One line without its end; undef when there is none.
sub line {
    my ($c, $seconds) = @_;
    my $until = time + ($seconds // patience());

    1 while $c->{in} !~ /\n/ && $c->fill($until);
    return $c->{in} =~ s/^(.*?)\r?\n// ? $1 : undef;
}

# Everything up to the other side's end.
sub rest {
    my ($c, $seconds) = @_;
    my $until = time + ($seconds // patience());

    1 while $c->fill($until);
    return substr $c->{in}, 0, length $c->{in}, '';
}

# The way the other side ended within that time: 'eof', 'reset', or 'open' when it did not.
sub ending {
    my ($c, $seconds) = @_;
    my $until = time + ($seconds // patience());

    1 while $c->fill($until);
    return $c->{end} || 'open';
}

# Sends bytes; true if they come back.
sub echoes {
    my ($c, $bytes) = @_;
    return $c->send($bytes) && $c->recv(length $bytes) eq $bytes;
}

# Ends our direction only.
sub fin { return shutdown $_[0]{fh}, 1 }

# Closes with a RST instead of a FIN.
sub abort {
    my ($c) = @_;
    setsockopt $c->{fh}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
    $c->close;
}

sub close {
    my ($c) = @_;
    close $c->{fh} if $c->{fh};
    $c->{end} ||= 'closed';
}

1;
