package Weir::Bulk;

# Long streams of bytes that never repeat, and their SHA-256 at both ends: the bytes that arrive
# must be those that were sent, at any size. Both ends of a transfer use the same two functions on
# blocking sockets; they fail after a stall of patience() seconds.

use strict;
use warnings;

use Digest::SHA;
use Exporter 'import';
use Socket qw(SOL_SOCKET SO_RCVTIMEO SO_SNDTIMEO);
use Weir::Process qw(patience);

our @EXPORT_OK = qw(digest_of);

my $SIZE = 65536;
my $noise = join '', map { Digest::SHA::sha256("noise $_") } 1 .. $SIZE / 32 - 1;

# The $i-th block of a stream with $left bytes to go.
sub block {
    my ($i, $left) = @_;
    return substr pack('A32', $i) . $noise, 0, $left;
}

my %digest;

# The digest of a whole stream of $n bytes.
sub digest_of {
    my ($n) = @_;
    return $digest{$n} //= do {
        my $sha = Digest::SHA->new(256);
        $sha->add(block($_, $n - $_ * $SIZE)) for 0 .. ($n - 1) / $SIZE;
        $sha->hexdigest;
    };
}

# Sends $n bytes; false if the other side ended or stalled.
sub give {
    my ($fh, $n) = @_;

    blocking($fh);
    for (my $i = 0; $n > 0; $i++) {
        my $block = block($i, $n);
        for (my $at = 0; $at < length $block;) {
            $at += syswrite($fh, $block, length($block) - $at, $at) // return 0;
        }
        $n -= length $block;
    }
    return 1;
}

# Takes $n bytes; returns their digest, or undef if not all of them came.
sub take {
    my ($fh, $n) = @_;
    my $sha = Digest::SHA->new(256);

    blocking($fh);
    while ($n > 0) {
        my $got = sysread $fh, my $bytes, $n < $SIZE ? $n : $SIZE or return;
        $sha->add($bytes);
        $n -= $got;
    }
    return $sha->hexdigest;
}

# A server for Weir::Backend. On 'give N' it sends N bytes, on 'take N' it takes N bytes and answers
# with their digest, on 'both N' it does both at once.
sub serve {
    my ($fh) = @_;
    my $order = '';

    blocking($fh);
    while ($order !~ /\n/) {
        sysread $fh, $order, 1, length $order or return;
    }
    my ($what, $n) = $order =~ /^(give|take|both) (\d+)\n/ or return;
    my $giver = $what eq 'both' ? fork // die "fork: $!\n" : undef;
    if ($what eq 'give' || defined $giver && $giver == 0) {
        give($fh, $n);
        POSIX::_exit(0) if defined $giver;
        return;
    }
    my $digest = take($fh, $n) // 'incomplete';
    waitpid $giver, 0 if $giver;
    syswrite $fh, "$digest\n";
}

sub blocking {
    my ($fh) = @_;
    $fh->blocking(1);
    setsockopt $fh, SOL_SOCKET, $_, pack 'l!l!', patience(), 0 for SO_RCVTIMEO, SO_SNDTIMEO;
}

1;
