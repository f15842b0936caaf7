#!/usr/bin/perl
# chaos: yes

# The error log reports a server that fails as disabled for a while: once, and again after each
# probe that fails; never a server that is alone in its group, since it stays in use.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;
$w->greeter('alive');
$w->start(<<'CONF');
stream {
    upstream one    { server %{gone}; }
    upstream spare  { server %{gone}; server %{gone2} down; }
    upstream two    { server %{gone} fail_timeout=1s; server %{alive}; }
    server { listen %{alone};  proxy_pass one; }
    server { listen %{direct}; proxy_pass %{gone}; }
    server { listen %{pair};   proxy_pass spare; }
    server { listen %{mixed};  proxy_pass two; }
}
CONF

# The number of times that was logged for sessions of that server {}.
sub said {
    my ($name) = @_;
    my $where = $w->address($name);
    return scalar grep { /temporarily disabled.* server: \Q$where\E,/ } split /\n/, $w->error_log;
}

for my $name ('alone', 'direct') {
    is $w->ask($name), '', "$name: the session ends" for 1 .. 3;
    is said($name), 0, "$name: a server that is alone is not disabled";
}
is $w->ask('pair'), '', 'a second server that is down does not help' for 1 .. 3;
is said('pair'), 1, 'but then the first is disabled, once';

is $w->ask('mixed'), 'alive', 'the next server' for 1 .. 6;
is said('mixed'), 1, 'one warning while it is disabled';
becomes { $w->ask('mixed'); said('mixed') > 1 } 'a probe that fails disables it again', 20;
$w->finish;
done_testing;
