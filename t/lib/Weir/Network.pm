package Weir::Network;

# A second machine: a network namespace joined to ours by a pair of interfaces, so that a test
# in a private network (Weir->in_private_network) has servers on the very ports weir listens on,
# and clients whose packets this machine forwards. Also covers files of /etc for this test only.

use strict;
use warnings;

use POSIX qw(uname);
use Weir::Process qw(spawn end_process wait_for);

my %SETNS = (x86_64 => 308, aarch64 => 268, riscv64 => 268, ppc64le => 350, s390x => 339);

# here: our address; there: theirs, in the same /24 (IPv6: /64). For several machines: link, a name
# for our interface. routed: they send everything to us.
sub new {
    my ($class, %how) = @_;
    my $n = bless {%how}, $class;
    my $link = sub { system('ip', @_) == 0 or die "ip @_ failed\n" };

    $n->{pid} = spawn(sub { exec qw(unshare -n sleep infinity) });
    wait_for { ($n->namespace($n->{pid}) // '') ne $n->namespace('self') };
    $link->(qw(link set lo up));
    my $near = $n->{link} // 'here';
    my @here = ref $n->{here} ? @{ $n->{here} } : $n->{here};
    $link->('link', 'add', 'name', $near, qw(type veth peer name there netns), $n->{pid});
    $link->('addr', 'add', size($_), 'dev', $near) for @here;
    $link->('link', 'set', 'dev', $near, 'up');
    my $there = spawn(sub {
        $n->enter;
        $link->(qw(link set lo up));
        $link->(qw(addr add), size($_), qw(dev there)) for @{ $n->{there} };
        $link->(qw(link set there up));
        $link->(qw(route replace default via), $_) for $n->{routed} ? @here : ();
        POSIX::_exit(0);
    });
    wait_for { defined Weir::Process::status_of($there) };
    return $n;
}

# An address with the size of its network; IPv6 is used at once, without a probe for twins.
sub size { return $_[0] =~ /:/ ? ("$_[0]/64", 'nodad') : "$_[0]/24" }

# Runs the code on the second machine; returns what it prints.
sub run {
    my ($n, $code) = @_;
    pipe my $read, my $write or die "pipe: $!\n";
    my $pid = spawn(sub {
        $n->enter;
        close $read;
        open STDOUT, '>&', $write;
        $| = 1;
        $code->();
        POSIX::_exit(0);
    });
    close $write;
    my $text = do { local $/; <$read> };
    wait_for { defined Weir::Process::status_of($pid) };
    return $text;
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
