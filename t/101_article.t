#!/usr/bin/perl

# The article's first configuration, byte for byte, in a private network: it starts while none
# of its names is known (sessions are closed cleanly, the error log says why once), and as soon as
# the names stand in /etc/hosts it balances HTTP and a real PostgreSQL, without a reload. When a
# server is killed and comes back no session fails.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Article;

my @WEB = qw(backend1.example.com backend2.example.com);
my @DB = qw(db1.example.com db2.example.com);
my %ADDRESS = ($WEB[0] => '10.77.0.11', $WEB[1] => '10.77.0.12',
    $DB[0] => '10.77.0.21', $DB[1] => '10.77.0.22');

my $article = Weir::Article->new(file => 'article-l4.conf', names => \%ADDRESS);
my $w = $article->{w};

sub get {
    my $answer = $w->ask('127.0.0.1:80',
        "GET / HTTP/1.0\r\nHost: example.com\r\nConnection: close\r\n\r\n");
    return $answer =~ /^HTTP\/1\.1 200 .*\r\n\r\n(.*)/s ? $1 : $answer;
}

$w->backend($_, at => "$ADDRESS{$_}:80", before => sub { $article->{there}->enter },
    serve => Weir::HttpServer::serve(Weir::HttpServer::reply(200, "$_\n", Connection => 'close')))
    for @WEB;

# The names do not resolve yet.

$article->start;
is $w->ask("127.0.0.1:$_->[0]"), '', "port $_->[0]: the session is closed cleanly ($_->[1])"
    for [80, 'once'], [5432, 'once'], [80, 'again'], [5432, 'again'];
$article->names_failed_once;

# The names are written into /etc/hosts.

my $master = $w->master;
my @workers = $w->workers;
$article->names_known;
becomes { get() =~ /^backend/ } 'traffic flows as soon as the names are known';
becomes { my %seen = map { get() => 1 } 1 .. 2; keys %seen == 2 } 'to both servers';
like join('', map { get() =~ /(\d)/ } 1 .. 6), qr/^(?:121212|212121)$/, 'in turn';
is_deeply [$w->master, $w->workers], [$master, @workers], 'without a reload';

# One server is killed and comes back.

my %got;
$got{ get() }++ for 1 .. 4;
$w->{backend}{ $WEB[0] }->kill;
$got{ get() }++ for 1 .. 20;
is_deeply [sort keys %got], \@WEB, 'one server killed: no session fails';
$w->{backend}{ $WEB[0] }->start;
%got = ();
becomes { $got{ get() }++; $got{ $WEB[0] } } 'it comes back and is used again', 60;
delete @got{@WEB};
is_deeply [keys %got], [], 'no session failed meanwhile';

$article->postgresql(@DB);

$w->finish;
done_testing;
