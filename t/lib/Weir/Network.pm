package Weir::Network;

# A second machine: a network namespace joined to ours by a pair of interfaces, so that a test
# in a private network (Weir->in_private_network) has servers on the very ports weir listens on.
# Also covers files of /etc for this test only.

use strict;
use warnings;

use POSIX qw(uname);
use Weir::Process qw(spawn end_process wait_for);

my %SETNS = (x86_64 => 308, aarch64 => 268, riscv64 => 268, ppc64le => 350, s390x => 339);

# here: our address; there: theirs, in the same /24.
sub new {
    my ($class, %how) = @_;
    my $n = bless {%how}, $class;
    my $link = sub { system('ip', @_) == 0 or die "ip @_ failed\n" };

    $n->{pid} = spawn(sub { exec qw(unshare -n sleep infinity) });
    wait_for { ($n->namespace($n->{pid}) // '') ne $n->namespace('self') };
    $link->(qw(link set lo up));
    $link->(qw(link add here type veth peer name there netns), $n->{pid});
    $link->(qw(addr add), "$n->{here}/24", qw(dev here));
    $link->(qw(link set here up));
    my $there = spawn(sub {
        $n->enter;
        $link->(qw(link set lo up));
        $link->(qw(addr add), "$_/24", qw(dev there)) for @{ $n->{there} };
        $link->(qw(link set there up));
        POSIX::_exit(0);
    });
    wait_for { defined Weir::Process::status_of($there) };
    return $n;
}

sub namespace { return readlink "/proc/$_[1]/ns/net" }

# Moves this process to the second machine, for good.
sub enter {
    my ($n) = @_;
    open my $fh, '<', "/proc/$n->{pid}/ns/net" or die "the other machine is gone: $!\n";
    syscall($SETNS{ (uname())[4] } // -1, fileno $fh, 0) == 0 or die "setns: $!\n";
}

sub kill { end_process(delete $_[0]{pid} // return, 'KILL') }

# Mounts a file over another one, for this test and the processes it starts. Later changes of the
# file are seen there, too, if it is written in place.
sub cover {
    my ($class, $path, $file) = @_;
    system('mount', '--bind', $file, $path) == 0 or die "cannot cover $path\n";
}

1;
