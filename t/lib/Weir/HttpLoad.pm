package Weir::HttpLoad;

# HTTP requests that run while weir or its servers are changed: over a few connections that are kept
# open and, in between, over new ones. Each failure that a client would notice is recorded: no
# reply, a status other than 200, a wrong body.
#
# A kept connection that ends between two requests is not a failure: HTTP allows that, and a client
# then sends the request again, once, on a new connection (RFC 9112 9.3.1).

use strict;
use warnings;

use IO::Select;
use POSIX ();
use Weir::Client;
use Weir::Http;
use Weir::Process qw(spawn end_process);

# where: addresses; request: its line; fields: a list; lasting: how many kept connections per
# address; good: a pattern for the body.
sub new {
    my ($class, %how) = @_;
    my $load = bless { lasting => 4, request => 'GET /', fields => [], good => qr//, %how }, $class;

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

# Returns after that many more rounds.
sub rounds {
    my ($load, $n) = @_;
    print { $load->{ask} } chr $n;
    return defined readline $load->{result};
}

# Ends the load. Returns the number of good replies and a list of the failures.
sub end {
    my ($load) = @_;
    my ($good, @wrong);

    # Send a byte; closing the pipe is not enough, as servers started meanwhile keep it open.
    print { $load->{ask} } chr 0;
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
    my ($left, $n, @kept) = (0, 0);

    $SIG{PIPE} = 'IGNORE';
    @$load{qw(good_ones wrong)} = (0, []);
    while (1) {
        if ($control->can_read(0.01)) {
            sysread $asked, my $rounds, 1 or last;
            $left = ord $rounds or last;
        }
        for my $i (0 .. @{ $load->{where} } - 1) {
            my $where = $load->{where}[$i];
            $n++;
            $kept[$i][$_] = $load->once($where, "kept $_, round $n", $kept[$i][$_])
                for 0 .. $load->{lasting} - 1;
            my $c = $load->once($where, "new, round $n", undef, Connection => 'close');
            $c->close if $c;
        }
        print $tell "done\n" if $left && !--$left;
    }
    print $tell map({ tr/\n/ /; "wrong $_\n" } @{ $load->{wrong} }), "good $load->{good_ones}\n";
    POSIX::_exit(0);
}

# One request. Returns the connection if it can be used again.
sub once {
    my ($load, $where, $what, $c, @more) = @_;
    my $reused = defined $c;

    $c //= Weir::Client->new($where) or return $load->failed("$what: connect: $!");
    $c->send(Weir::Http::request($load->{request}, @{ $load->{fields} }, @more));
    my $r = Weir::Http::reply($c);
    if ($reused && !$r->{status} && !length $c->{in} && $c->{end}) {
        $c->close;
        return $load->once($where, "$what, again");
    }
    if ($r->{status} != 200 || $r->{wrong} || $r->{body} !~ $load->{good}) {
        $c->close;
        return $load->failed("$what: $r->{status} $r->{wrong} $r->{body}");
    }
    $load->{good_ones}++;
    return $c if lc($r->field('Connection') // '') ne 'close';
    $c->close;
    return;
}

sub failed {
    my ($load, $what) = @_;
    push @{ $load->{wrong} }, $what if @{ $load->{wrong} } < 20;
    return;
}

1;
