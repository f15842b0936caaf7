#!/usr/bin/perl

# Every process has a listening socket for each worker and address. The soft limit of open files
# does not matter, and below a hard limit that is too low workers share fewer sockets, evenly.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my @addresses = map { "a$_" } 1 .. 30;
my $conf = "worker_processes 8;\nevents { worker_connections 64; }\nstream {\n"
    . join('', map { "    server { listen %{$_}; return \"\$pid\\n\"; }\n" } @addresses) . "}\n";

# Starts weir under that limit.
sub limited {
    my ($limit) = @_;
    my $w = Weir->new;
    my $bin = $w->{bin};
    $w->{bin} = $w->write('limited', "#!/bin/sh\n$limit && exec $bin \"\$@\"\n");
    chmod 0755, $w->{bin};
    return $w->start($conf);
}

sub serves {
    my ($w) = @_;
    my %worker;
    $worker{ $w->ask($_) }++ for (@addresses) x 5;
    return \%worker;
}

my $w = limited('ulimit -S -n 200');
becomes { 8 == $w->workers } 'a soft limit: all workers run';
unlike $w->error_log, qr/\[(?:warn|error|alert)\]/, 'nothing is logged';
serves($w);
my ($code, $out, $err) = $w->reload;
is $code, 0, 'a reload' or diag $err;
$w->finish;

$w = limited('ulimit -n 200');
becomes { 8 == $w->workers } 'a hard limit: all workers run';
is scalar(() = $w->error_log =~ /\[warn\].* allows only 3 sockets for each of 30 addresses/g), 1,
    'one line says that they share';
my $served = serves($w);
is_deeply [grep { !/^\d+$/ } keys %$served], [], 'every address is served';
cmp_ok scalar(keys %$served), '==', 8, 'by all workers';
$w->expect(qr{too large});
$w->conf("worker_processes 501;\n");
like +($w->command('-t'))[2], qr/"worker_processes" is too large, the maximum is 500 in/,
    'one worker more than there are slots for is refused';
$w->conf("worker_processes 500;\n");
is +($w->command('-t'))[0], 0, 'and the largest number is accepted';
$w->finish;
done_testing;
