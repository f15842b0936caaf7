#!/usr/bin/perl

# The memory of workers and keeper, where keys are: no other process of their user reads it, unless
# the configuration asks for core files or a debugger; and memory that holds sessions and the keys of
# tickets gets into no core file.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use POSIX ();
use Test::More;
use Weir;
use Weir::Tls;

Weir::Tls::needs();
my $w = Weir->new;
Weir::Tls::certificate($w, 'one');

sub conf {
    my ($more) = @_;
    return <<"CONF";
worker_processes 2;
$more
stream {
    server { listen %{tls} ssl; ssl_certificate one.crt; ssl_certificate_key one.key;
        ssl_session_cache shared:all:1m; return hello; }
}
CONF
}

# Does a process of the workers' user get at the memory of that process?
sub is_open {
    my ($pid) = @_;
    my $child = fork // die "fork: $!\n";
    if (!$child) {
        Weir::become('nobody') if Weir::is_root();
        POSIX::_exit(open(my $fh, '+<', "/proc/$pid/mem") ? 0 : 1);
    }
    waitpid $child, 0;
    return $? == 0;
}

# The flags of each mapping with that name.
sub flags_of {
    my ($pid, $name) = @_;
    my ($of, @found);
    for (split /\n/, slurp("/proc/$pid/smaps")) {
        $of = $1 // '' if /^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+\s*(.*)?$/;
        push @found, $_ if /^VmFlags:/ && $of =~ /\Q$name\E\b/;
    }
    return @found;
}

$w->start(conf(''));
my @pids = ($w->workers, $w->keeper);
is scalar(@pids), 3, 'two workers and a keeper';
ok !is_open($_), 'memory of a process is closed' for @pids;
is +Weir::Tls->new($w, "tls")->rest, 'hello', 'which serves';

for my $more ('debug_points abort;', 'worker_rlimit_core 1m;') {
    $w->reload(conf($more));
    becomes { my @new = $w->workers; @new == 2 && !grep { !is_open($_) } @new } "open by: $more";
    for my $pid ($w->workers) {
        is scalar(grep { /\bdd\b/ } flags_of($pid, 'memfd:weir-')), 2,
            'sessions and keys of tickets are in no core file';
    }
}
$w->reload(conf(''));
becomes { my @new = $w->workers; @new == 2 && !grep { is_open($_) } @new } 'and closed again';

$w->finish;
done_testing;
