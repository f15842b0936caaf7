package Weir::Backend;

# A server behind weir, in a process of its own, that can be killed and revived on its port.
# Either one process serves all connections in a loop (greet them, echo what they send, or end
# at once), or a piece of code gets each connection in a process of its own.

use strict;
use warnings;

use Errno qw(EAGAIN EINTR);
use IO::Select;
use IO::Socket::IP;
use IO::Socket::UNIX;
use POSIX qw(WNOHANG);
use Socket qw(IPPROTO_TCP TCP_NODELAY SOMAXCONN);
use Weir::Process qw(spawn end_process);

my $QUEUE_MOST = 1 << 20;

# where: 'HOST:PORT' or 'unix:PATH'; tally: a file that gets one byte per session;
# serve: 'echo', 'greet' (send the greeting, end), or code (socket, number of the session);
# greet: what each session gets first; before: code to run in the process before it listens.
sub new {
    my ($class, %how) = @_;
    my $b = bless { serve => 'echo', greet => '', %how }, $class;
    return $b->start;
}

# Returns when connecting works.
sub start {
    my ($b) = @_;

    pipe my $ready, my $tell or die "pipe: $!\n";
    $b->{pid} = spawn(sub {
        $b->{before}->() if $b->{before};
        $b->{listener} = $b->listener;
        syswrite $tell, "ready\n";
        close $_ for $ready, $tell;
        $b->run;
    });
    close $tell;
    defined readline $ready or die "no server at $b->{where}\n";
    return $b;
}

# By KILL: as in a crash, the kernel ends the open sessions.
sub kill {
    my ($b) = @_;
    my $pid = delete $b->{pid} // return;
    end_process($pid, 'KILL');
    unlink $1 if $b->{where} =~ /^unix:(.*)/;
}

# The number of sessions it has had, over all its lives.
sub sessions { return -s $_[0]{tally} // 0 }

sub listener {
    my ($b) = @_;
    my $fh;

    if ($b->{where} =~ /^unix:(.*)/) {
        $fh = IO::Socket::UNIX->new(Local => $1, Listen => 1024);
        chmod 0777, $1;    # weir's workers may be another user
    } else {
        my ($host, $port) = $b->{where} =~ /^\[?(.*?)\]?:(\d+)$/;
        $fh = IO::Socket::IP->new(
            LocalHost => $host, LocalPort => $port, ReuseAddr => 1,
            Listen => $b->{backlog} // SOMAXCONN,
        );
    }
    return $fh // die "cannot listen on $b->{where}: $!\n";
}

sub run {
    my ($b) = @_;
    my $test = getppid;

    $SIG{PIPE} = 'IGNORE';
    open my $tally, '>>', $b->{tally} or die "$b->{tally}: $!\n";
    $tally->autoflush(1);
    $b->{listener}->blocking(0);
    ref $b->{serve} ? $b->fork_each($tally, $test) : $b->loop($tally, $test);
    POSIX::_exit(0);
}

sub fork_each {
    my ($b, $tally, $test) = @_;
    my $ready = IO::Select->new($b->{listener});
    my $number = 0;

    while (getppid == $test) {
        1 while waitpid(-1, WNOHANG) > 0;
        $ready->can_read(1) or next;
        my $fh = $b->{listener}->accept or next;
        print $tally '.';
        $number++;
        my $pid = fork // die "fork: $!\n";
        next if $pid;
        close $b->{listener};
        $fh->blocking(1);
        $fh->autoflush(1);
        print $fh $b->{greet};
        $b->{serve}->($fh, $number);
        close $fh;
        POSIX::_exit(0);
    }
}

sub loop {
    my ($b, $tally, $test) = @_;
    my $readers = IO::Select->new($b->{listener});
    my $writers = IO::Select->new;
    my %queue;    # by descriptor: bytes not yet echoed
    my %ended;    # by descriptor: the client has sent its FIN

    my $drop = sub {
        my ($fh) = @_;
        $_->remove($fh) for $readers, $writers;
        delete $_->{ fileno $fh } for \%queue, \%ended;
        close $fh;
    };
    while (getppid == $test) {
        my ($can_read, $can_write) = IO::Select->select($readers, $writers, undef, 1);
        for my $fh (@{ $can_read // [] }) {
            if ($fh == $b->{listener}) {
                $b->welcome($tally, $readers, $writers, \%queue);
                next;
            }
            my $id = fileno $fh;
            my $n = sysread $fh, $queue{$id}, 65536, length $queue{$id};
            next if !defined $n && ($!{EAGAIN} || $!{EINTR});
            if (!defined $n) {
                $drop->($fh);
                next;
            }
            $ended{$id} = 1 if $n == 0;
            $readers->remove($fh) if $n == 0 || length $queue{$id} > $QUEUE_MOST;
            $writers->add($fh);
        }
        for my $fh (@{ $can_write // [] }) {
            defined fileno $fh or next;
            my $id = fileno $fh;
            my $n = length $queue{$id} ? syswrite $fh, $queue{$id} : 0;
            next if !defined $n && ($!{EAGAIN} || $!{EINTR});
            substr $queue{$id}, 0, $n // 0, '';
            if (!defined $n || !length $queue{$id} && $ended{$id}) {
                $drop->($fh);
                next;
            }
            $readers->add($fh) if !$ended{$id};
            $writers->remove($fh) if !length $queue{$id};
        }
    }
}

sub welcome {
    my ($b, $tally, $readers, $writers, $queue) = @_;

    while (my $fh = $b->{listener}->accept) {
        print $tally '.';
        setsockopt $fh, IPPROTO_TCP, TCP_NODELAY, 1 if $b->{where} !~ /^unix:/;
        if ($b->{serve} eq 'greet') {
            syswrite $fh, $b->{greet};
            close $fh;
            next;
        }
        $fh->blocking(0);
        $queue->{ fileno $fh } = $b->{greet};
        $readers->add($fh);
        $writers->add($fh) if length $b->{greet};
    }
}

1;
