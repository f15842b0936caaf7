#!/usr/bin/perl
# chaos: yes

# A server that answers and closes while its client is still sending: its answer reaches the client,
# although weir can write no more to that server.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $answer = 'no, thank you; ' x 50;
my $w = Weir->new;

# Closing with unread bytes makes the kernel send RST right behind the answer.
$w->backend('curt', serve => sub {
    my ($fh) = @_;
    sysread $fh, my $bytes, 10;
    syswrite $fh, $answer;
});

$w->conf(<<'END');
stream {
    server { listen %{in}; proxy_pass %{curt}; }
}
END
$w->start;

my $whole = 0;
for (1 .. 20) {
    my $c = $w->connect('in');
    $c->send('x' x 200_000);
    $whole++ if $c->rest eq $answer;
    $c->close;
}
is $whole, 20, 'the answer arrives whole each time';
$w->finish;
done_testing;
