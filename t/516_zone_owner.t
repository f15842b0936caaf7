#!/usr/bin/perl
# chaos: yes

# A zone has the servers of the newest configuration, whatever the keeper of an earlier one still
# learns of names: a server that was added stays, one that was removed does not come back. This
# holds after a reload, also when the master is stopped before it retires the old processes, and
# during an upgrade; when the upgrade is taken back, the old servers are there again. A keeper that
# is killed or stops is replaced by one that has learned as much.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;
my $dns = $w->dns('dns');
$w->greeter(qw(first second third));

# The name's TTL is 1 s: every keeper that lives asks again and again.
sub say_names {
    my ($moved) = @_;
    $dns->records("name.test 1 A $moved");
}
say_names('127.0.0.1');

sub conf {
    my (@servers) = @_;
    my $list = join ' ', map { /^name$/ ? 'server name.test:%{third.port};' : "server %{$_};" } @servers;
    return "pid %{dir}/weir.pid;\nworker_processes 2;\nstream {\n    resolver %{dns};\n    resolver_grace 0;\n"
        . "    upstream u { zone u 64k; $list }\n    server { listen %{web}; proxy_pass u; }\n}\n";
}

sub answers {
    my %seen;
    $seen{ $w->ask('web') }++ for 1 .. 12;
    return join ' ', sort keys %seen;
}

# True when the keepers have asked often enough for the old one to have published.
sub keepers_ask {
    my $before = () = $dns->asked;
    return wait_for { $before + 4 <= (() = $dns->asked) };
}

$ENV{WR_ASK_MS} = 1000;    # debug builds; others ask every 5 s
$w->start(conf('first', 'name'));
becomes { answers() eq 'first third' } 'a server and a name';

# Reload: the master is stopped while both keepers live.

$w->conf(conf('second', 'name'));
my ($old_keeper) = $w->keeper;
$w->signal('HUP');
wait_for { my @k = $w->processes('keeper process'); @k == 2 || @k && $k[0] != $old_keeper };
$w->signal('STOP');
becomes { keepers_ask() } 'the master is stopped, keepers ask on';
$w->signal('CONT');
becomes { answers() eq 'second third' } 'the new server is there, the old one gone';
becomes { !alive($old_keeper) } 'the old keeper ends';
is answers(), 'second third', 'and stay';

# A generation that is undone after its keeper has published, as its pid file cannot be written. The
# old keeper publishes again, with what it has learned since its start. The name moves from the
# second server's machine to the third's: the port is the same.

sub moved { return "worker_processes 2;\npid %{dir}/$_[0];\n" . <<'CONF' }
stream {
    resolver %{dns} ipv6=off;
    resolver_grace 0;
    upstream u { zone u 64k; server name.test:%{third.port}; }
    server { listen %{web}; proxy_pass u; }
}
CONF

$w->backend('other', at => '127.0.0.2:%{third.port}', serve => 'greet', greet => "other\n");
is +($w->reload(moved('weir.pid')))[0], 0, 'one name';
becomes { answers() eq 'third' } 'its first address';
$dns->records('name.test 3600 A 127.0.0.2');
becomes { answers() eq 'other' } 'its second one, for an hour';
$dns->records('name.test 3600 A 127.0.0.1');
$w->conf(moved('nowhere/weir.pid'));
$w->signal('HUP');
becomes { $w->error_log =~ /the previous configuration stays active$/m } 'a reload is undone';
ok $w->error_log =~ /\[emerg\].*nowhere/, 'because the folder of its pid file does not exist';
$w->conf(moved('weir.pid'));
becomes { answers() eq 'other' } 'the address learned since the start is there again';
is answers(), 'other', 'and stays';
say_names('127.0.0.1');
is +($w->reload(conf('second', 'name')))[0], 0, 'the earlier configuration';
becomes { answers() eq 'second third' } 'and its servers';

# Upgrade: both keepers live until the upgrade is completed or taken back.

$w->conf(conf('second', 'first', 'name'));
my ($old, $new) = $w->upgrade;
becomes { answers() eq 'first second third' } 'upgrade: the added server is there';
ok keepers_ask(), 'both keepers ask on';
say_names('127.0.0.1');
ok keepers_ask(), 'and again';
is answers(), 'first second third', 'it stays';
$w->signal('QUIT', $new);
becomes { !alive($new) } 'the new binary is taken back';
$w->{master} = $old;
becomes { answers() eq 'second third' } 'the servers are those of before';
ok keepers_ask(), 'the keeper asks on';
is answers(), 'second third', 'and they stay';

# The other way: removed by an upgrade, which is completed.

$w->conf(conf('first', 'name'));
($old, $new) = $w->upgrade;
becomes { answers() eq 'first third' } 'upgrade: one added, one removed';
ok keepers_ask(), 'both keepers ask on';
is answers(), 'first third', 'the removed server does not come back';
$w->signal('QUIT', $old);
becomes { !alive($old) } 'the old one ends';
is answers(), 'first third', 'and it stays so';

# A keeper that is killed.

my $keeper = $w->keeper;
$w->signal('KILL', $keeper);
becomes { my $k = $w->keeper; $k && $k != $keeper } 'a killed keeper is replaced';
ok keepers_ask(), 'the next one asks';
is answers(), 'first third', 'nothing changed';
$dns->records();
becomes { answers() eq 'first' } 'and it learns that the name is gone';

# One that stops, without ending: the master asks it whether it lives.

say_names('127.0.0.1');
becomes { answers() eq 'first third' } 'the name is there again';
$keeper = $w->keeper;
$w->signal('STOP', $keeper);
becomes { my $k = $w->keeper; $k && $k != $keeper } 'a keeper that stopped is replaced', 60;
ok !alive($keeper), 'the stopped process is gone';
like $w->error_log, qr/\[error\].*keeper process $keeper has not answered for \d+ ms, replacing it$/m,
    'the log says so';
unlike $w->error_log, qr/\[alert\].*keeper process $keeper/, 'and there is no alert';
$dns->records();
becomes { answers() eq 'first' } 'the next one learns that the name is gone';
my $other = $w->keeper;
ok keepers_ask(), 'it asks on';
is $w->keeper, $other, 'and stays';

# Another capacity: the zone is a new one.

$w->conf(conf('second', ('first') x 40, 'name'));
say_names('127.0.0.1');
($old, $new) = $w->upgrade;
becomes { answers() eq 'first second third' } 'an upgrade to a larger zone';
$w->signal('QUIT', $old);
becomes { !alive($old) } 'is completed';

$w->expect(qr/exited on signal 9/, qr/nowhere/);
$w->finish;
done_testing;
