#!/usr/bin/perl

# Clients that wait in the queue when a worker is told to end are served by the next worker: none of
# them is accepted and then dropped.
# chaos: yes

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Process qw(children);

my $w = Weir->new;
mkdir $w->path('html');
$w->write('html/index.html', 'x' x 8_000_000);
$w->start(<<'CONF');
http { server { listen %{web}; root %{dir}/html; } }
CONF

my ($worker) = grep { title($_) =~ /worker/ } children($w->master);
kill STOP => $worker;
# On a busy machine the worker may be woken by the first client before it stops, and accept it.
becomes { Weir::slurp("/proc/$worker/stat") =~ /\) T / } 'the worker has stopped';
my @waiting = map { $w->connect('web') } 1 .. 8;
$_->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") for @waiting;
kill TERM => $worker;
kill CONT => $worker;
becomes { !alive($worker) } 'it ends';
becomes { $w->error_log =~ /worker process $worker exited with code 0/ } 'in order';
my @cut = grep { ($waiting[$_]->line // '') !~ /200 OK/ } 0 .. $#waiting;
is "@cut", '', 'the next worker serves all clients that waited';
$_->close for @waiting;
$w->finish;
done_testing;
