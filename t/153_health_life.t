#!/usr/bin/perl
# chaos: yes

# The fate of the results of health checks: at a reload and an upgrade, also one that is undone,
# when a worker, the keeper or the master is killed, when the keeper is stopped, when names get
# other addresses, and when health_check is removed. The same for an ordinary user.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Time::HiRes qw(sleep);
use Weir;

my $w = Weir->new;

# A check passes if the server says its file's text. Clients, who send first, get its name.
sub says {
    my ($name, $text) = @_;
    $w->write("$name.new", $text);
    rename $w->path("$name.new"), $w->path("$name.answer");
}
sub server {
    my ($name, %how) = @_;
    my $file = $w->path("$name.answer");
    says($name, 'well');
    $w->backend($name, serve => sub {
        my ($fh) = @_;
        sysread $fh, my $line, 100;
        syswrite $fh, $line eq 'check' ? slurp($file) : "$name\n";
    }, %how);
}
server($_) for qw(a b c);
server('d', at => '127.0.0.9:%{name.port}');
server('e', at => '127.0.0.10:%{name.port}');
my $dns = $w->dns('dns', 'pool.test 1 A 127.0.0.9');

my $CONF = <<'CONF';
worker_processes 2;
stream {
    resolver %{dns} valid=1s;
    upstream pair { server %{a}; server %{b}; }
    upstream must { server %{c} max_fails=0; }
    upstream named { server pool.test:%{name.port} resolve; }
    match well { send check; expect well; }
    server { listen %{pair};  proxy_pass pair;  CHECK }
    server { listen %{must};  proxy_pass must;  MUST }
    server { listen %{named}; proxy_pass named; CHECK }
}
CONF

sub conf {
    my (%is) = (CHECK => 'health_check interval=200ms match=well;', MUST => '', @_);
    my $text = $CONF;
    $text =~ s/\b(CHECK|MUST)\b/$is{$1}/g;
    return $text;
}

sub spread {
    my ($where) = @_;
    my %n;
    $n{ $w->ask($where, 'x') }++ for 1 .. 8;
    return join ' ', map { "$_=$n{$_}" } sort keys %n;
}

sub changes {
    my ($name) = @_;
    my $where = $w->{backend}{$name}{where};
    return my @all = $w->error_log =~ /health check of "\Q$where\E" in upstream "\w+": is (up|down)/g;
}

sub is_down { my @c = changes($_[0]); return @c && $c[-1] eq 'down' }

sub goes_down {
    my ($name, $why) = @_;
    my $before = changes($name);
    says($name, 'sick');
    becomes { changes($name) > $before && is_down($name) } "$why: a server goes down";
    is spread('pair'), 'b=8', "$why: it gets no sessions";
}
sub comes_back {
    my ($name, $why) = @_;
    says($name, 'well');
    becomes { !is_down($name) } "$why: it is back";
    is spread('pair'), 'a=4 b=4', "$why: it gets sessions";
}

$w->start(conf());
is spread('pair'), 'a=4 b=4', 'both are used';
goes_down('a', 'at first');

# Reload, with and without checks.
$w->reload;
is spread('pair'), 'b=8', 'the state is kept over a reload';
comes_back('a', 'after a reload');
goes_down('a', 'after a reload');
$w->reload(conf(CHECK => ''));
is spread('pair'), 'a=4 b=4', 'without health_check nothing is left of it';
says('a', 'well');
$w->reload(conf());
goes_down('a', 'with health_check again');

# Deaths.
my ($worker) = $w->workers;
$w->signal('KILL', $worker);
becomes { !grep({ $_ == $worker } $w->workers) && 2 == $w->workers } 'a worker is killed';
is spread('pair'), 'b=8', 'the state is as before';
my $keeper = $w->keeper;
$w->signal('KILL', $keeper);
becomes { ($w->keeper // $keeper) != $keeper } 'the keeper is killed';
is spread('pair'), 'b=8', 'the state is as before';
comes_back('a', 'with the next keeper');
goes_down('a', 'with the next keeper');
$keeper = $w->keeper;
$w->signal('STOP', $keeper);
says('a', 'well');
becomes { ($w->keeper // $keeper) != $keeper } 'a stopped keeper is replaced', 20;
like $w->error_log, qr/keeper process $keeper has not answered for 3000 ms/,
    'after three times the interval, or three seconds';
comes_back('a', 'after that');

# Upgrades.
goes_down('a', 'before an upgrade');
my ($old, $new) = $w->upgrade;
is spread('pair'), 'b=8', 'the state is kept over an upgrade';
comes_back('a', 'with two masters');
$w->signal('QUIT', $new);
becomes { !alive($new) } 'the upgrade is undone';
$w->{master} = $old;
is spread('pair'), 'a=4 b=4', 'the state is that of the servers';
goes_down('a', 'after an upgrade that was undone');
comes_back('a', 'after an upgrade that was undone');
($old, $new) = $w->upgrade;
$w->signal('QUIT', $old);
becomes { !alive($old) } 'the old master is gone';
goes_down('a', 'after an upgrade');
comes_back('a', 'after an upgrade');

# A name with another address: the new server is checked, the old one is not any more.
is spread('named'), 'd=8', 'a server that was resolved';
says('e', 'sick');
$dns->records('pool.test 1 A 127.0.0.10', 'pool.test 1 A 127.0.0.9');
becomes { is_down('e') } 'a new one is checked', 20;
is spread('named'), 'd=8', 'and gets no sessions';
$dns->records('pool.test 1 A 127.0.0.10');
becomes { $w->error_log =~ /"pool.test" is at 127.0.0.10:\d+$/m } 'the old one goes', 20;
my $sessions = $w->{backend}{d}->sessions;
sleep 0.8;
cmp_ok $w->{backend}{d}->sessions, '<=', $sessions + 2, 'and is not checked any more';

# mandatory: not used before the first check; again after a reload, unless it is persistent.
says('c', 'sick');
$w->reload(conf(MUST => 'health_check interval=200ms match=well mandatory;'));
unlike spread('must'), qr/c=/, 'mandatory: a server that is not well is never used';
says('c', 'well');
becomes { spread('must') eq 'c=8' } 'it is when it is well';
like $w->error_log, qr/in upstream "must": is up: the reply matches$/m, 'which is said';
my $must = 'health_check interval=1h match=well mandatory persistent;';
$w->reload(conf(MUST => $must));
is spread('must'), 'c=8', 'persistent: it is used at once after a reload';

my @left = ($w->keeper, $w->workers);
$w->signal('KILL', $w->master);
becomes { !grep { alive($_) } @left } 'keeper and workers end when their master is killed';
unlink $w->path('weir.pid');
$w->{master} = undef;
$w->expect(qr/exited on signal 9/);
$w->finish;
done_testing;
