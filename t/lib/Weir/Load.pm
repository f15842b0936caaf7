package Weir::Load;

# TCP sessions that run while weir is changed: a few long ones, each echoing a message in turn, and
# new short ones in between. Each failure that a client would notice is recorded: a refused or
# reset connection, a wrong or missing answer, an early end.

use strict;
use warnings;

use IO::Select;
use POSIX ();
use Weir::Client;
use Weir::Process qw(spawn end_process);

# where: addresses to connect to (all echo); lasting: how many long sessions per address.
sub new {
    my ($class, %how) = @_;
    my $load = bless { lasting => 8, %how }, $class;

    pipe my $asked, my $ask or die "pipe: $!\n";
    pipe my $result, my $tell or die "pipe: $!\n";
    $_->autoflush(1) for $ask, $tell;
    $load->{pid} = spawn(sub {
        close $_ for $ask, $result;
        $load->run($asked, $tell);
    });
    close $_ for $asked, $tell;
    @$load{qw(ask result)} = ($ask, $result);
    return $load->rounds(1) ? $load : die "the load did not start\n";
}

# Returns after that many more rounds: $n new sessions per address, and as many messages in each
# long one.
sub rounds {
    my ($load, $n) = @_;
    print { $load->{ask} } chr $n;
    return defined readline $load->{result};
}

# Ends the load. Returns the number of good echoes and a list of the failures.
sub end {
    my ($load) = @_;
    my ($good, @wrong);

    close delete $load->{ask};
    while (defined(my $line = readline $load->{result})) {
        $good = $1 if $line =~ /^good (\d+)/;
        push @wrong, $1 if $line =~ /^wrong (.*)/;
    }
    end_process(delete $load->{pid});
    return ($good // 0, @wrong);
}

sub run {
    my ($load, $asked, $tell) = @_;
    my $control = IO::Select->new($asked);
    my ($good, $left, @wrong) = (0, 0);

    $SIG{PIPE} = 'IGNORE';
    my $check = sub {
        my ($c, $what) = @_;
        if ($c && $c->echoes("$what\n")) {
            $good++;
        } elsif (@wrong < 20) {
            push @wrong, "$what: " . ($c ? $c->{end} || 'no answer' : "connect: $!");
        }
        return $c && !$c->{end};
    };
    my @lasting = map {
        my $where = $_;
        map { { where => $where, c => scalar Weir::Client->new($where) } } 1 .. $load->{lasting};
    } @{ $load->{where} };
    for (my $round = 1; ; $round++) {
        if ($control->can_read(0.01)) {
            sysread $asked, my $rounds, 1 or last;
            $left = ord $rounds;
        }
        for my $s (grep { !$_->{gone} } @lasting) {
            $s->{gone} = !$check->($s->{c}, "lasting session at $s->{where}, round $round");
        }
        for my $where (@{ $load->{where} }) {
            my $c = Weir::Client->new($where);
            $check->($c, "new session at $where, round $round");
            $c->close if $c;
        }
        print $tell "done\n" if $left && !--$left;
    }
    print $tell map({ "wrong $_\n" } @wrong), "good $good\n";
    POSIX::_exit(0);
}

1;
