package Weir::Dns;

# A name server for tests: answers A, AAAA, SRV and CNAME over UDP and TCP out of a file that the
# test rewrites while it runs.

use strict;
use warnings;

use IO::Select;
use IO::Socket::IP;
use Socket qw(inet_pton AF_INET AF_INET6 SOCK_DGRAM);
use Weir::Process qw(spawn end_process);

my %TYPE = (A => 1, CNAME => 5, SOA => 6, AAAA => 28, SRV => 33);
my %NAME_OF = reverse %TYPE;

# where: HOST:PORT; file: for the records and, with .asked, the questions.
sub new {
    my ($class, %how) = @_;
    my $d = bless {%how}, $class;
    my ($host, $port) = $d->{where} =~ /^(.*):(\d+)$/;

    $d->records;
    my @sockets = (
        IO::Socket::IP->new(LocalHost => $host, LocalPort => $port, Type => SOCK_DGRAM),
        IO::Socket::IP->new(LocalHost => $host, LocalPort => $port, Listen => 64, ReuseAddr => 1),
    );
    die "cannot serve names at $d->{where}: $!\n" if 2 != grep { $_ } @sockets;
    $d->{pid} = spawn(sub { $d->run(@sockets) });
    return $d;
}

# Replaces all records by these, each 'NAME TTL TYPE VALUE'; a name without records is NXDOMAIN.
# Besides the real types there are:
#     ALIAS           a CNAME whose target is not in the same answer
#     FAIL            questions for the name get SERVFAIL
#     SILENT          they get no answer
#     FORGED          an answer with this address and the question in lower case comes first
#     TCP             answers over UDP are truncated, as those are that are longer than the question
#                     allows
#     TYPE/QUESTION   only questions of type QUESTION see the record
sub records {
    my ($d, @records) = @_;
    open my $fh, '>', "$d->{file}.new" or die "$d->{file}: $!\n";
    print $fh "$_\n" for @records;
    close $fh;
    rename "$d->{file}.new", $d->{file};
}

# The questions so far, each 'NAME TYPE'.
sub asked {
    my ($d) = @_;
    return map { s/ \d+ \S+$//r } $d->asked_from;
}

# The same with the ports (0: by TCP) and the hosts they came from: 'NAME TYPE PORT HOST'.
sub asked_from {
    my ($d) = @_;
    return split /\n/, Weir::Process::slurp("$d->{file}.asked") // '';
}

sub kill { end_process(delete $_[0]{pid} // return, 'KILL') }

sub run {
    my ($d, $udp, $tcp) = @_;
    my $test = getppid;
    my $ready = IO::Select->new($udp, $tcp);

    open my $asked, '>>', "$d->{file}.asked" or die "$d->{file}: $!\n";
    $asked->autoflush(1);
    while (getppid == $test) {
        for my $fh ($ready->can_read(1)) {
            if ($fh == $udp) {
                my $from = $udp->recv(my $query, 4096) // next;
                $udp->send($_, 0, $from) for $d->answers($query, $asked, $udp->peerport, $udp->peerhost);
            } elsif ($fh == $tcp) {
                $ready->add($tcp->accept // next);
            } elsif (my $query = take($fh, unpack 'n', take($fh, 2) // "\0\0")) {
                syswrite $fh, join '', map { pack 'n/a*', $_ } $d->answers($query, $asked, 0, $fh->peerhost);
            } else {
                $ready->remove($fh);
                close $fh;
            }
        }
    }
    POSIX::_exit(0);
}

# n bytes from a TCP connection; undef: it has ended.
sub take {
    my ($fh, $n) = @_;
    my $bytes = '';

    while (length $bytes < $n) {
        sysread($fh, $bytes, $n - length $bytes, length $bytes) or return undef;
    }
    return $bytes;
}

# The longest answer over UDP: 512 bytes, or what EDNS (an OPT record) says.
sub longest {
    my ($rest) = @_;
    return $rest =~ /^\0\0\x29(..)/s ? unpack('n', $1) : 512;
}

# All answers to a question, in order.
sub answers {
    my ($d, $query, $asked, $port, $host) = @_;
    my ($id, $flags) = unpack 'nn', $query;
    my ($at, @labels) = (12);

    while ((my $n = ord substr $query, $at, 1) > 0) {
        push @labels, lc substr $query, $at + 1, $n;
        $at += $n + 1;
    }
    my $name = join '.', @labels;
    my $type = $NAME_OF{ unpack 'n', substr $query, $at + 1, 2 } // '?';
    my $question = substr $query, 12, $at + 5 - 12;
    print $asked "$name $type $port $host\n";

    my $message = sub {
        my ($question, $bits, @answers) = @_;
        return pack('n6', $id, 0x8580 | ($flags & 0x0100) | $bits, 1, scalar @answers, 0, 0)
            . $question . join '', @answers;
    };
    my @forged = map { $message->(lc $question, 0, encode($name, 60, 'A', $_)) }
        $type eq 'A' ? $d->values($name, 'FORGED') : ();
    my ($code, @answers) = $d->look_up($name, $type);
    return @forged if !defined $code;
    my $answer = $message->($question, $code, @answers);
    my $most = $d->values($name, 'TCP') ? 0 : longest(substr $query, $at + 5);
    return $message->($question, 0x0200) if $port && length $answer > $most;
    return (@forged, $answer);
}

sub all_records {
    my ($d) = @_;
    return map { [split ' ', $_, 4] } split /\n/, Weir::Process::slurp($d->{file}) // '';
}

sub values {
    my ($d, $name, $type) = @_;
    return map { $_->[3] } grep { lc $_->[0] eq $name && $_->[2] eq $type } $d->all_records;
}

# Returns the code of the answer, undef for none, and the encoded records.
sub look_up {
    my ($d, $name, $type) = @_;
    my @records = $d->all_records;
    my ($known, @answers);

    $_->[2] =~ s{/\Q$type\E$}{} for @records;
    for (my $hops = 0; $hops < 8; $hops++) {
        my @mine = grep { lc $_->[0] eq $name && $_->[2] !~ m{/} } @records;
        $known = 1 if @mine;
        return 2 if grep { $_->[2] eq 'FAIL' } @mine;
        return undef if grep { $_->[2] eq 'SILENT' } @mine;
        my ($alias) = grep { $_->[2] eq 'CNAME' } @mine;
        push @answers, map { encode(@$_) } grep { $_->[2] =~ /^(?:\Q$type\E|CNAME|ALIAS)$/ } @mine;
        last if !$alias || $type eq 'CNAME';
        $name = lc $alias->[3];
    }
    return ($known ? 0 : 3, @answers);
}

sub encode {
    my ($name, $ttl, $type, $value) = @_;
    my $data = $type eq 'A' ? inet_pton(AF_INET, $value)
        : $type eq 'AAAA' ? inet_pton(AF_INET6, $value)
        : $type eq 'SRV' ? pack('n3', split ' ', $value) . wire_name($value =~ s/.* //r)
        : wire_name($value);
    return wire_name($name) . pack 'nnNn/a*', $TYPE{$type} // $TYPE{CNAME}, 1, $ttl, $data;
}

sub wire_name { return join('', map { pack 'C/a*', $_ } split /\./, $_[0]) . "\0" }

1;
