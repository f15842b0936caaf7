#!/usr/bin/perl
# chaos: yes

# A forged answer of a name server has to guess the port a question came from: no more than 8
# questions go out over a socket, also while clients keep asking for names that nobody answers.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;

my $w = Weir->new;
my $NAMES = 40;
my $dns = $w->dns('dns', 'good.test 1 A 127.0.0.1', map { "slow$_.test 1 SILENT -" } 1 .. $NAMES);

$w->start(<<'CONF');
worker_processes 1;
http {
    resolver %{dns};
    resolver_timeout 60s;
    server { listen %{web}; location / { proxy_pass http://$arg_h:%{back.port}; } }
    server { listen %{back}; return 200 here; }
}
CONF

my @waiting = map {
    my $c = $w->connect('web');
    $c->send(Weir::Http::request("GET /?h=slow$_.test"));
    $c;
} 1 .. $NAMES;

sub ports {    # each with the questions that came from it
    my %of;
    for ($dns->asked_from) {
        my ($name, $type, $port) = split ' ';
        $of{$port}{"$name $type"} = 1;
    }
    return \%of;
}
becomes { my %all = map { $_ => 1 } $dns->asked; keys %all >= 2 * $NAMES } 'all are asked for';
my $ports = ports();
is scalar(grep { keys %$_ > 8 } values %$ports), 0, 'at most 8 questions from a port';
cmp_ok scalar(keys %$ports), '>=', 2 * $NAMES / 8, 'so there are several';
is Weir::Http::ask($w, 'web', 'GET /?h=good.test')->{body}, 'here', 'a name that is answered';
$_->close for @waiting;

# With nothing under way the next question has a port of its own.
my $before = keys %{ ports() };
for my $time (1 .. 3) {
    my $asked = () = grep { /^good\.test/ } $dns->asked;
    becomes {
        Weir::Http::ask($w, 'web', 'GET /?h=good.test')->{body} eq 'here'
            && $asked < (() = grep { /^good\.test/ } $dns->asked)
    } "its TTL ends, and it is asked for again ($time)";
}
cmp_ok scalar(keys %{ ports() }), '>', $before, 'from another port';

$w->finish;
done_testing;
