#!/usr/bin/perl

# What the master tells: about logs that cannot be opened again, and which folders it makes.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;

# A log whose folder is gone.

mkdir $w->path('gone');
chmod 0777, $w->path('gone');
$w->start(<<'CONF');
stream {
    log_format f x;
    access_log %{dir}/gone/access.log f;
    server { listen %{web}; return hello; }
}
CONF
is $w->ask('web'), 'hello', 'it runs';
becomes { -s $w->path('gone/access.log') } 'and logs';
rename $w->path('gone'), $w->path('moved');
is +($w->command('-s', 'reopen'))[0], 0, '-s reopen';
my $log = $w->path('gone/access.log');
becomes { $w->error_log =~ /open\(\) "\Q$log\E" failed \(2: No such file or directory\)/ }
    'a log whose folder is gone is named as the file it is';
unlike $w->error_log, qr/buffer 0/, 'and nothing else';
is_deeply [$w->stop], [], 'it quits';

$w->expect(qr/open\(\) "\Q$log\E"/);
$w->finish;
done_testing;
