package Weir::Surroundings;

# Reports, when a test ends, effects of the machine: skipped tests, in the file WEIR_SKIPS, from
# which t/run counts them, and connections that the kernel ended because it had no memory for TCP,
# which look like failures of weir.

use strict;
use warnings;

use File::Basename qw(basename);
use Test::More;

# TcpExtTCPAbortOnMemory of this network namespace.
sub aborted {
    my @lines = split /\n/, Weir::Process::slurp('/proc/net/netstat') // '';
    my ($names, $values) = map { [split ' '] } grep { /^TcpExt:/ } @lines;

    for my $i (0 .. $#{ $names // [] }) {
        return $values->[$i] if $names->[$i] eq 'TCPAbortOnMemory';
    }
    return 0;
}

my $aborted_before = aborted();

# Reasons and how often each; "all" if the whole file was skipped.
sub skipped {
    my $hub = Test2::API::test2_stack()->top;
    my %times;

    return ($hub->skip_reason => 'all') if ($hub->plan // '') eq 'SKIP';
    $times{ $_->{reason} }++ for grep { $_->{type} eq 'skip' } Test::More->builder->details;
    return %times;
}

sub note_skips {
    my ($file) = @_;
    my %times = skipped();
    my $name = basename($0, '.t');

    open my $fh, '>>', $file or return;
    print $fh map { "$name\t$times{$_}\t$_\n" } sort keys %times;
}

sub tell {
    my $aborted = aborted() - $aborted_before;

    note_skips($ENV{WEIR_SKIPS}) if defined $ENV{WEIR_SKIPS} && length $ENV{WEIR_SKIPS};
    diag("the kernel had no memory for TCP and ended $aborted connections meanwhile "
        . '(net.ipv4.tcp_mem): that is not weir')
        if $aborted > 0 && !Test::More->builder->is_passing;
}

1;
