#!/usr/bin/perl
# chaos: yes

# servers_file: servers of a group in a file of their own, which the keeper reads again when it
# changes: written in place, renamed over, reached by a link that changes. Broken, empty and missing
# files; a disk that does not answer; reload, upgrade, death. state: such a file of `server` lines,
# read at start.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;
use Weir::SlowFs;

my $V6 = Weir::Ports::has_ipv6();
my $w = Weir->new;
chmod 0755, $w->dir;
$w->greeter(qw(one two three four unix:five));
$w->backend('six', at => '[::1]:%{one.port}', serve => 'greet', greet => "six\n") if $V6;
$w->echo('echo');
for my $name (qw(web1 web2)) {
    $w->backend($name, serve => sub {
        my ($fh) = @_;
        sysread $fh, my $request, 4096;
        print $fh "HTTP/1.1 200 OK\r\nContent-Length: 4\r\nConnection: close\r\n\r\n$name";
    });
}

my $slow = Weir::SlowFs::works();

# Sets the file to which the path of the group "stuck" leads.
sub lead_to {
    my ($file) = @_;
    unlink $w->path('elsewhere.new');
    symlink "slow/$file", $w->path('elsewhere.new');
    rename $w->path('elsewhere.new'), $w->path('elsewhere');
}

# Puts the file there by a rename.
sub put { my ($file, $text) = @_; rename $w->write("$file.new", $text), $w->path($file) }

sub seen {
    my ($where, $times) = @_;
    my %seen;
    $seen{ $w->ask($where) }++ for 1 .. $times // 12;
    return join ' ', sort keys %seen;
}
sub said { my ($what) = @_; return scalar grep { /$what/ } split /\n/, $w->error_log }

# ---- wrong configurations

sub refused {
    my ($group, $why, $what) = @_;
    $w->conf("stream {\n upstream u { $group }\n server { listen %{lb}; proxy_pass u; }\n}\n");
    my ($code, undef, $err) = $w->command('-t');
    ok $code != 0 && $err =~ $why, $what // $group or diag $err;
}
my $dir = $w->dir;
put('broken', "%{one}\n%{two} wieght=2\n");
put('names', "# names\nbackend.test:80\n");
put('good', "%{one}\n");
put('state', "server %{one} weight=2;\n");
refused('servers_file nowhere;', qr/open\(\) "\Q$dir\E\/nowhere" failed \(2: No such file or direc/);
refused('servers_file broken;', qr/invalid parameter "wieght=2" in \Q$dir\E\/broken:2\n/);
refused('servers_file names;', qr/"backend\.test:80" is not an address.* in \Q$dir\E\/names:2\n/);
refused("servers_file $dir;", qr/"\Q$dir\E" is not a regular file/, 'a folder');
POSIX::mkfifo($w->path('fifo'), 0644);
refused('servers_file fifo;', qr/fifo" is not a regular file/, 'a FIFO');
refused('servers_file good empty_allowed;', qr/invalid parameter "empty_allowed"/);
refused('servers_file good; state state;', qr/"servers_file" is incompatible with "state"/);
refused('state state; servers_file good;', qr/"servers_file" is incompatible with "state"/);
refused('server %{one}; state state;', qr/"state" is incompatible with "server"/);
refused('state state; server %{one};', qr/"server" is incompatible with "state"/);
put('backup', "%{one}\n%{two} backup\n");
put('routes', "%{one} route=a\n");
refused("$_;", qr/balancing method does not support parameter "backup" in \Q$dir\E\/backup:2\n/)
    for 'hash $remote_addr; servers_file backup', 'servers_file backup; random';
refused('servers_file routes;', qr/"route" parameter is not known in stream.* in \Q$dir\E\/routes:1\n/);
refused('state good;', qr/unknown directive "127\.0\.0\.1:\d+" in \Q$dir\E\/good:1\n/);

# ---- the first list, at both layers

mkdir $w->path($_) for qw(k8s k8s/..v1 k8s/..v2);
put('k8s/..v1/list', "%{one}\n");
put('k8s/..v2/list', "%{two}\n");
symlink '..v1', $w->path('k8s/..data');
symlink '..data/list', $w->path('k8s/list');
put('list', "# two of them\n%{one}\n%{two} weight=1 # the second\n");
put('eager', "%{one}\n%{two}\n");
put('web', "%{web1}\n");
put('held', "%{echo}\n");
put('v6', $V6 ? "[::1]:%{one.port}\n%{unix:five}\n" : "%{unix:five}\n");
put('mixed', "%{two}\n");
put('hashed', "%{one}\n");
my $fs = $slow && Weir::SlowFs->new(at => $w->path('slow'), files => {
    late1 => $w->expand("%{one}\n"), late2 => $w->expand("%{two}\n"),
});
lead_to('late1');

sub conf {
    my ($zone) = @_;
    my $stuck = $fs ? 'upstream stuck { servers_file elsewhere; }
        server { listen %{to_stuck}; proxy_pass stuck; }' : '';
    return <<"CONF";
pid %{dir}/weir.pid;
worker_processes 2;
stream {
    upstream list  { zone list $zone; servers_file list; }
    upstream eager { servers_file eager allow_empty; }
    upstream k8s   { servers_file k8s/list; }
    upstream held  { servers_file held allow_empty; }
    upstream v6    { servers_file v6; }
    upstream mixed { server %{one}; servers_file mixed; }
    upstream state { state state; }
    upstream none  { state none; }
    upstream hashed { servers_file hashed; ip_hash; }
    server { listen %{to_list};  proxy_pass list; }
    server { listen %{to_eager}; proxy_pass eager; }
    server { listen %{to_k8s};   proxy_pass k8s; }
    server { listen %{to_held};  proxy_pass held; }
    server { listen %{to_v6};    proxy_pass v6; }
    server { listen %{to_mixed}; proxy_pass mixed; }
    server { listen %{to_state}; proxy_pass state; }
    server { listen %{to_none};  proxy_pass none; }
    server { listen %{to_hashed}; proxy_pass hashed; }
    $stuck
}
http {
    upstream web { servers_file web; }
    server { listen %{web}; location / { proxy_pass http://web; } }
}
CONF
}

put('state', "# written by hand\nserver %{one} weight=2;\nserver %{three};\nserver %{two} down;\n");
$w->start(conf('64k'));
is seen('to_list'), 'one two', 'a file of two';
is seen('to_mixed'), 'one two', 'beside a server line';
is seen('to_v6'), $V6 ? 'six unix:five' : 'unix:five', 'IPv6 and a unix socket';
is seen('to_state'), 'one three', 'a state file';
is $w->ask('to_none'), '', 'a state file that does not exist: an empty group';
my @workers = $w->workers;

# ---- changes

put('list', "%{one}\n%{two}\n%{three} backup\n%{four}\n");
becomes { seen('to_list') eq 'four one two' } 'a server was added, by a rename';
becomes { said(qr/\[notice\].*upstream "list": "\Q$dir\E\/list" has 4 servers, before 2 \(2 new, 0 gone, 0 changed\)/) }
    'the log says so';
put('list', "%{one} down\n%{two} max_conns=7\n%{three} backup\n%{four} drain\n");
becomes { seen('to_list') eq 'two' } 'parameters changed';
$w->write('list', "%{three}\n%{two}\n%{four}\n");
becomes { seen('to_list') eq 'four three two' } 'written in place';
is said(qr/servers stay as they are/), 0, 'what is half written is not complained of';
unlink $w->path('k8s/..data.new');
symlink '..v2', $w->path('k8s/..data.new');
rename $w->path('k8s/..data.new'), $w->path('k8s/..data');
becomes { seen('to_k8s', 4) eq 'two' } 'a link in the way was changed';
put('web', "%{web2} weight=3\n");
becomes { Weir::Http::ask($w, 'web', 'GET /')->{body} eq 'web2' } 'http';
put('v6', "%{one}\n");
becomes { seen('to_v6') eq 'one' } 'other kinds of addresses';
put('mixed', "%{two}\n%{three}\n");
becomes { seen('to_mixed') eq 'one three two' } 'the server line stays';

my $c = $w->connect('to_held');
ok $c->echoes('one'), 'a session';
put('held', '');
becomes { said(qr/\[warn\].*"held": .* has 0 servers, before 1/) } 'its server goes';
is $w->ask('to_held'), '', 'the group is empty';
ok $c->echoes('two'), 'it goes on';
$c->close;

put('hashed', "%{one}\n%{three} backup\n");
becomes { said(qr/balancing method does not support parameter "backup" in \Q$dir\E\/hashed:2, the 1 servers/) }
    'backup is refused where the balancer has no use for it, later as well';
put('hashed', "%{one}\n");

# ---- broken, empty, gone

put('list', "%{three}\n%{four} weight=x\n");
becomes {
    said(qr/\[error\].*: invalid parameter "weight=x": it takes a number, 1 or more in \Q$dir\E\/list:2, the 3 servers of upstream "list" stay as they are/)
} 'a broken file is one line';
is seen('to_list'), 'four three two', 'and changes nothing';

put('eager', '');
becomes { $w->ask('to_eager') eq '' } 'allow_empty: an empty file, at once';
is said(qr/\[warn\].*"eager": .* has 0 servers, before 2/), 1, 'is a warning';
is said(qr/weight=x/), 1, 'still one line';

my $before = said(qr/upstream "list": .* has /);
put('list', "%{one}\n");
put('list', "%{three}\n%{four}\n%{one}\n");
becomes { seen('to_list') eq 'four one three' } 'a list that is short for a moment';
is said(qr/"list": .* has 1 servers/), 0, 'is not taken';
put('list', "%{one}\n");
becomes { seen('to_list') eq 'one' } 'one that stays is';
is said(qr/\[warn\].*"list": .* has 1 servers, before 3 \(0 new, 2 gone, 0 changed\)/), 1, 'with a warning';

unlink $w->path('list');
becomes { said(qr/\[error\].*open\(\) "\Q$dir\E\/list" failed, the 1 servers of .* \(2: No such/) }
    'a file that is gone is one line';
is seen('to_list'), 'one', 'and changes nothing';
put('list', "%{one}\n%{two}\n");
becomes { seen('to_list') eq 'one two' } 'it is there again';

SKIP: {
    skip 'only root can take a file from its workers', 2 if !is_root();
    chmod 0600, $w->write('list.new', "%{three}\n");
    rename $w->path('list.new'), $w->path('list');
    becomes { said(qr/\[error\].*list" failed, .* \(13: Permission denied\)/) } 'a file of root';
    put('list', "%{one}\n%{two}\n%{three}\n");
    becomes { seen('to_list') eq 'one three two' } 'that all may read';
}
is_deeply [$w->workers], \@workers, 'no process was started for all that';

# ---- a disk that does not answer

SKIP: {
    skip 'needs FUSE, as root', 4 if !$fs;
    is seen('to_stuck', 4), 'one', 'a file on another disk';
    $fs->hold;
    lead_to('late2');
    becomes { $fs->held } 'the disk does not answer';
    put('list', "%{two}\n%{three}\n");
    becomes { seen('to_list') eq 'three two' } 'other files are read';
    is seen('to_stuck', 4), 'one', 'and its group goes on';
}
put('list', "%{one}\n%{two}\n%{three}\n");
becomes { seen('to_list') eq 'one three two' } 'three';

SKIP: {
    skip 'needs FUSE, as root', 1 if !$fs;
    $fs->release;
    becomes { seen('to_stuck', 4) eq 'two' } 'the disk answers again';
}

# ---- reload, upgrade, death

my $keeper = $w->keeper;
$w->signal('KILL', $keeper);
becomes { my $k = $w->keeper; $k && $k != $keeper } 'the keeper was killed';
is seen('to_list'), 'one three two', 'the next one knows what that had read';
put('list', "%{four}\n%{two}\n%{three}\n");
becomes { seen('to_list') eq 'four three two' } 'and reads on';
$keeper = $w->keeper;
$w->signal('STOP', $keeper);
put('list', "%{one}\n%{two}\n");
$w->signal('KILL', $keeper);
becomes { seen('to_list') eq 'one two' } 'a change while there was none';
is +($w->reload(conf('64k')))[0], 0, 'a reload';
is seen('to_list'), 'one two', 'the same servers';
put('list', "%{three}\n%{two}\n");
becomes { seen('to_list') eq 'three two' } 'watched by the new keeper';
is +($w->reload(conf('1m')))[0], 0, 'a reload with a larger zone';
is seen('to_list'), 'three two', 'the same servers';
put('list', "%{broken\n");
my ($code) = $w->reload(conf('1m'));
isnt $code, 0, 'a reload with a broken file is refused';
is seen('to_list'), 'three two', 'the same servers';
put('list', "%{three}\n%{two}\n");

my ($old, $new) = $w->upgrade;
put('list', "%{one}\n%{two}\n%{three}\n");
becomes { seen('to_list') eq 'one three two' } 'upgrade: a change';
$w->signal('QUIT', $new);
becomes { !alive($new) } 'it is taken back';
$w->{master} = $old;
becomes { seen('to_list') eq 'one three two' } 'the old keeper knows the change';
put('list', "%{four}\n%{two}\n");
becomes { seen('to_list') eq 'four two' } 'and the next one';

$w->signal('KILL', $w->master);
becomes { !$w->keeper } 'the master was killed';
unlink $w->path('weir.pid');
$w->start(conf('1m'));
is seen('to_list'), 'four two', 'a new start';

$fs->kill if $fs;
$w->expect(qr/exited on signal 9/, qr/ in \Q$dir\E\/\w+(\.conf)?:\d+/, qr/still waits for a disk/);
$w->finish;
done_testing;
