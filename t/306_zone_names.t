#!/usr/bin/perl
# chaos: yes

# An upstream may have any name: longer than a file name can be, or with the characters that
# separate entries in the environment variable of an upgrade. -t accepts the same names as a start.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;
my $long = 'x' x 300;

$w->greeter('one', 'two', 'three');
my $conf = <<"CONF";
worker_processes 1;
stream {
    upstream $long { server %{one}; }
    upstream "a;b%3b c" { server %{two}; }
    server { listen %{long}; proxy_pass $long; }
    server { listen %{odd}; proxy_pass "a;b%3b c"; }
}
CONF

$w->conf($conf);
is +($w->command('-t'))[0], 0, '-t takes it';
$w->start($conf);
is $w->ask('long'), 'one', 'a long name';
is $w->ask('odd'), 'two', 'a name with a ;';

my ($old) = $w->upgrade;
$w->signal('QUIT', $old);
becomes { !alive($old) } 'an upgrade';
is $w->ask('long'), 'one', 'a long name';
is $w->ask('odd'), 'two', 'a name with a ;';
unlike $w->error_log, qr/is not used|invalid line/, 'the segments were taken over';

$w->finish;
done_testing;
