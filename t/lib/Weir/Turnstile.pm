package Weir::Turnstile;

# A server behind weir that counts what it serves at a time: sessions, or with http => 1 requests.
# The peak is never too high: whatever has begun is looked at again for its end before it is
# counted, so two sessions count together only if there was a moment at which both had not ended.
#
#     my $t = $w->turnstile('name');    # see Weir
#     is $t->peak, 4;
#
# A session gets the server's name and then waits for the client's end. A request is answered with
# the name after `hold` seconds at most; one of /check at once, uncounted, with 503 while the
# server is sick; one of /upgrade begins a tunnel that lasts, as a session does, until its end; one
# of /fail gets 503 after as long; one of /keep is never answered.

use strict;
use warnings;

use IO::Select;
use Time::HiRes qw(time);
use Weir::Backend;
use Weir::Process qw(spawn end_process);

# where: as in Weir::Backend; name; file: for the counts; http; hold: seconds.
sub new {
    my ($class, %how) = @_;
    my $t = bless { hold => 0.02, %how }, $class;

    $t->{listener} = Weir::Backend::listener($t);
    $t->{listener}->blocking(0);
    $t->tell(0, 0, 0, 0);
    $t->{pid} = spawn(sub { $t->run });
    close delete $t->{listener};
    return $t;
}

sub now { return ($_[0]->counts)[0] }       # at this time
sub peak { return ($_[0]->counts)[1] }      # the most at a time
sub total { return ($_[0]->counts)[2] }
sub checks { return ($_[0]->counts)[3] }    # requests of /check

# From now on.
sub sick {
    my ($t, $is) = @_;
    return $is ? open(my $fh, '>', "$t->{file}.sick") : unlink "$t->{file}.sick";
}

sub counts {
    my ($t) = @_;
    return split ' ', Weir::Process::slurp($t->{file});
}

sub kill { end_process(delete $_[0]{pid} // return, 'KILL') }

sub tell {
    my ($t, @counts) = @_;
    open $t->{out}, '>', $t->{file} or die "$t->{file}: $!\n" if !$t->{out};
    sysseek $t->{out}, 0, 0;
    syswrite $t->{out}, sprintf("%9d %9d %9d %9d\n", @counts);
}

sub run {
    my ($t) = @_;
    my $test = getppid;

    $SIG{PIPE} = 'IGNORE';
    $t->{all} = IO::Select->new($t->{listener});
    @$t{qw(in serves due peak total checks)} = ({}, {}, {}, 0, 0, 0);
    while (getppid == $test) {
        my ($next) = sort { $a <=> $b } values %{ $t->{due} };
        my $wait = defined $next ? $next - time : 1;
        $t->{all}->can_read($wait > 0 ? $wait : 0);
        1 while $t->look;
        $t->answer($_) for grep { $t->{due}{$_} <= time } keys %{ $t->{due} };
        my $now = keys %{ $t->{serves} };
        $t->{peak} = $now if $now > $t->{peak};
        $t->tell($now, @$t{qw(peak total checks)});
    }
    POSIX::_exit(0);
}

# Reads whatever there is; true if something has begun, so that the others may have ended.
sub look {
    my ($t) = @_;
    my $begun = 0;

    while (my $fh = $t->{listener}->accept) {
        $t->{all}->add($fh);
        $t->{in}{ fileno $fh } = '';
        $begun += $t->begin($fh) if !$t->{http};
        syswrite $fh, "$t->{name}\n" if !$t->{http};
    }
    for my $fh (grep { $_ != $t->{listener} } $t->{all}->can_read(0)) {
        my $id = fileno $fh;
        if (!sysread $fh, $t->{in}{$id}, 65536, length $t->{in}{$id}) {
            $t->drop($fh);
        } elsif (!$t->{http} || ($t->{serves}{$id} && !$t->{due}{$id})) {
            syswrite $fh, $t->{in}{$id};    # echo
            $t->{in}{$id} = '';
        } elsif ($t->{in}{$id} =~ s{\A\S+ (\S+).*?\r\n\r\n}{}s) {
            $begun += $t->request($fh, $1);
        }
    }
    return $begun;
}

sub begin {
    my ($t, $fh) = @_;
    $t->{total}++;
    return $t->{serves}{ fileno $fh } = $fh;
}

sub drop {
    my ($t, $fh) = @_;
    delete $t->{$_}{ fileno $fh } for qw(in serves due);
    $t->{all}->remove($fh);
    close $fh;
}

sub request {
    my ($t, $fh, $target) = @_;

    if ($target =~ m{^/check}) {
        $t->{checks}++;
        $t->reply($fh, -e "$t->{file}.sick" ? 503 : 200);
        return 0;
    }
    $t->begin($fh);
    if ($target =~ m{/upgrade}) {
        syswrite $fh, "HTTP/1.1 101 Then\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n";
    } elsif ($target !~ m{/keep}) {
        $t->{due}{ fileno $fh } = time + $t->{hold} * rand;
        $t->{fails}{ fileno $fh } = $target =~ m{/fail};
    }
    return 1;
}

sub answer {
    my ($t, $id) = @_;
    delete $t->{due}{$id};
    my $fh = delete $t->{serves}{$id} // return;
    $t->reply($fh, $t->{fails}{$id} ? 503 : 200);
}

sub reply {
    my ($t, $fh, $status) = @_;
    my $body = "$t->{name}\n";
    syswrite $fh, "HTTP/1.1 $status So\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
}

1;
