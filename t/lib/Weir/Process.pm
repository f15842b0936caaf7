package Weir::Process;

# Processes for the tests: whether they run, their children, title and memory, and their exit
# status. The test adopts orphans (PR_SET_CHILD_SUBREAPER), so a daemon, a new master after an
# upgrade and workers without a master all become its children: the test gets their exit status
# and finds those that are left behind.

use strict;
use warnings;

use Exporter 'import';
use POSIX qw(WNOHANG uname);
use Time::HiRes qw(time sleep);

our @EXPORT_OK = qw(wait_for patience alive status_of title children rss end_process spawn);

my %status;

# Seconds to wait for an event that should happen at once. Waiting ends when it happens.
sub patience { return $ENV{WR_CHAOS} ? 60 : 20 }

sub wait_for(&;$) {
    my ($condition, $seconds) = @_;
    my $until = time + ($seconds // patience());

    while (1) {
        my $got = $condition->();
        return $got if $got;
        return if time > $until;
        sleep 0.02;
    }
}

sub adopt_orphans {
    my %prctl = (x86_64 => 157, aarch64 => 167, riscv64 => 167, ppc64le => 171, s390x => 172);
    my $number = $prctl{ (uname())[4] };
    my $PR_SET_CHILD_SUBREAPER = 36;

    return defined $number && syscall($number, $PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) == 0;
}

sub reap {
    while ((my $pid = waitpid -1, WNOHANG) > 0) {
        $status{$pid} = $?;
    }
}

# Forks; the child leads a new process group, runs $code and ends.
sub spawn {
    my ($code) = @_;
    my $pid = fork // die "fork: $!\n";

    if ($pid == 0) {
        setpgrp;
        @SIG{qw(INT TERM HUP)} = ('DEFAULT') x 3;
        eval { $code->(); 1 } or print STDERR $@;
        POSIX::_exit(1);
    }
    delete $status{$pid};
    return $pid;
}

# As in wait(2); undef while the process runs or when it was never ours.
sub status_of {
    my ($pid) = @_;
    reap();
    return $status{$pid};
}

sub alive {
    my ($pid) = @_;
    reap();
    my @stat = stat_fields($pid);
    return @stat && $stat[0] !~ /^[ZX]/;
}

# State, parent and so on: the fields of /proc/PID/stat from the third on.
sub stat_fields {
    my ($pid) = @_;
    my $line = slurp("/proc/$pid/stat") // return;
    $line =~ s/^.*\) // or return;
    return split ' ', $line;
}

sub children {
    my ($parent) = @_;
    reap();
    opendir my $dir, '/proc' or die "/proc: $!\n";
    my @pids = grep {
        my @stat = /^\d+$/ ? stat_fields($_) : ();
        @stat && $stat[1] == $parent && $stat[0] !~ /^[ZX]/;
    } readdir $dir;
    return sort { $a <=> $b } @pids if wantarray;
    return scalar @pids;
}

# The title in ps.
sub title {
    my ($pid) = @_;
    my $line = slurp("/proc/$pid/cmdline") // return '';
    $line =~ tr/\0/ /;
    $line =~ s/ +$//;
    return $line;
}

# Resident memory in bytes.
sub rss {
    my ($pid) = @_;
    my ($kb) = (slurp("/proc/$pid/status") // '') =~ /^VmRSS:\s*(\d+) kB/m;
    return defined $kb ? $kb * 1024 : undef;
}

# Ends a process this test started, and the process group it leads.
sub end_process {
    my ($pid, $signal) = @_;

    for my $try ($signal // 'TERM', 'KILL') {
        kill $try, $pid;
        kill $try, -$pid;
        return if wait_for { !alive($pid) } 5;
    }
}

sub slurp {
    my ($path) = @_;
    open my $fh, '<', $path or return;
    local $/;
    return scalar <$fh>;
}

adopt_orphans();

1;
