#!/usr/bin/perl
# chaos: yes

# Stored replies survive a restart, a reload with other sizes or levels, an upgrade and back, kill -9
# of workers, keeper and master. Each reply is whole and of the right key. A disk that fails costs no
# client its reply.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::MD5 qw(md5_hex);
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;
use Weir::Process qw(wait_for alive children);

my $w = Weir->new;
my $asked = $w->path('asked');

# The body follows from the target: anybody can tell whether it is whole.
sub body_of {
    my ($target) = @_;
    my $size = 100 + hex(substr md5_hex($target), 0, 6) % 60000;
    return substr md5_hex($target) x (1 + $size / 32), 0, $size;
}

$w->backend('b', serve => Weir::HttpServer::serve(sub {
    my ($r) = @_;
    open my $out, '>>', $asked or die $!;
    syswrite $out, "$r->{target}\n";
    return Weir::HttpServer::reply(200, body_of($r->{target}),
        'Cache-Control' => $r->{target} =~ /short/ ? 'max-age=1' : 'max-age=600');
}));


sub configure {
    my ($keys, $memory, $levels, $folder) = @_;
    $folder //= 'cache';
    return <<"CONF";
daemon on;
worker_processes 2;
http {
    proxy_cache_path $folder levels=$levels keys_zone=z:$keys memory=$memory;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    upstream b { server %{b}; keepalive 4; }
    server {
        listen %{web};
        proxy_cache z;
        proxy_cache_key \$request_uri;
        add_header X-Cache \$upstream_cache_status;
        location / { proxy_pass http://b; }
    }
}
CONF
}

sub get { return Weir::Http::ask($w, 'web', "GET $_[0]") }
sub status { return Weir::Http::field($_[0], 'X-Cache') // '-' }
sub asked { return scalar(() = Weir::slurp($asked) =~ /^/mg) }

my @targets = map { "/object/$_" } 1 .. 40;
my $wrong = 0;

# Returns how many are hits; counts replies that are not what they should be.
sub hits {
    my $hits = 0;
    for my $target (@targets) {
        my $r = get($target);
        $hits++ if status($r) eq 'HIT';
        $wrong++ if $r->{status} != 200 || $r->{body} ne body_of($target);
    }
    return $hits;
}

sub all_hits { return wait_for { hits() == @targets } }

$w->start(configure('1m', '4m', '1:2'));
ok all_hits(), 'stored';
my $before = asked();
is hits(), scalar @targets, 'hits';
is asked(), $before, 'the server is not asked';

# A disk that takes nothing more: the new reply is in memory only, and its older file must not come
# back with the next start.

my $name = md5_hex('/short');
my $short = $w->path('cache/' . substr($name, -1) . '/' . substr($name, -3, 2) . "/$name");
wait_for { status(get('/short')) eq 'HIT' && -e $short };
get('/short') for 1 .. 3; # so that it goes to memory, too
chmod 0555, $w->path('cache');
wait_for { status(get('/short')) eq 'EXPIRED' };
becomes { !-e $short } 'a file that could not be replaced is removed';
chmod 0700, $w->path('cache');
$before = asked();

# Reloads.

$w->reload(configure('2m', '8m', '1:2'));
is hits(), scalar @targets, 'a reload with other sizes keeps it';
$w->reload(configure('2m', '8m', '1:2'));
is hits(), scalar @targets, 'so does one with the same';
is asked(), $before, 'nobody asked the server';

# An upgrade, and back.

my ($old, $new) = $w->upgrade;
is hits(), scalar @targets, 'an upgrade keeps it';
$w->signal('WINCH', $new);
wait_for { !grep { Weir::Process::title($_) =~ /: worker process$/ } children($new) };
$w->signal('HUP', $old);
wait_for { grep { Weir::Process::title($_) =~ /: worker process$/ } children($old) };
$w->signal('QUIT', $new);
wait_for { !alive($new) };
$w->{master} = $old;
wait_for { ($w->pid // 0) == $old };
is hits(), scalar @targets, 'and undone';
is asked(), $before, 'nobody asked the server';

# A restart reads the files back. Their times are old: most file systems do not note each access.

$w->stop;
utime time - 7200, time - 7200, files($w->path('cache'));
$w->start(configure('2m', '8m', '1:2'));
is hits(), scalar @targets, 'a restart keeps it';
is asked(), $before, 'nobody asked the server';
$w->stop;
$w->start(configure('2m', '8m', '2'));
ok all_hits(), 'other levels';

# Deaths.

for my $round (1 .. 6) {
    my @clients = map { my $c = $w->connect('web');
        $c->send(Weir::Http::request("GET /round/$round/$_")) if $c; $c } 1 .. 10;
    my $pid = $round % 3 ? ($w->workers)[0] : $w->keeper;
    kill 'KILL', $pid if $pid;
    for my $i (0 .. $#clients) {
        my $c = $clients[$i] or next;
        my $r = eval { Weir::Http::reply($c) } or next;
        $wrong++ if $r->{status} == 200 && !$r->{wrong} && $r->{body} ne body_of("/round/$round/" . ($i + 1));
    }
    wait_for { 2 == $w->workers && $w->keeper };
}
ok all_hits(), 'kill -9 of workers and keepers';
$before = asked();
my ($master, @children) = ($w->master, children($w->master));
kill 'KILL', $master;
wait_for { !grep { alive($_) } @children };
unlink $w->{pid_file};
$w->has_ended;
$w->start(configure('2m', '8m', '2'));
is hits(), scalar @targets, 'kill -9 of the master';
is asked(), $before, 'nobody asked the server';
$w->expect(qr/exited on signal 9/);

# Files that are not what they were.

sub files {
    my ($dir) = @_;
    return map { -d $_ ? files($_) : -f $_ && m{/[0-9a-f]{32}$} ? $_ : () } glob "$dir/*";
}
my @files = files($w->path('cache'));
cmp_ok scalar @files, '>=', scalar @targets, 'each reply is a file';
$w->stop;
my $n = 0;
for my $file (@files) {
    if ($n % 4 == 0) {
        truncate $file, (-s $file) / 2;
    } elsif ($n % 4 == 1) {
        open my $fh, '+<', $file or die $!;
        sysseek $fh, 100, 0;
        syswrite $fh, "\0" x 40;
    } elsif ($n % 4 == 2) {
        truncate $file, 0;
    }
    $n++;
}
$w->start(configure('2m', '8m', '2'));
my $hit = hits();
cmp_ok $hit, '<', scalar @targets, 'broken files are no hits';
ok all_hits(), 'they are replaced';

# A folder that goes away.

system 'rm', '-rf', $w->path('cache');
my @new = map { get("/after/$_") } 1 .. 5;
is scalar(grep { $_->{status} == 200 && $_->{body} =~ /^[0-9a-f]+$/ } @new), 5,
    'the folder is gone: replies come nevertheless';
is $wrong, 0, 'every reply was whole, and of its own key';
$w->expect(qr/cache/);

# A folder of somebody else.

mkdir $w->path('foreign');
open my $fh, '>', $w->path('foreign/index.html');
print $fh "mine\n";
close $fh;
$w->write('other.conf', $w->expand(configure('1m', '1m', '1:2', 'foreign')));
my ($code, $out, $err) = $w->bare('-t', '-p', $w->dir, '-c', $w->path('other.conf'));
isnt $code, 0, 'a folder that is not empty is refused';
like $err, qr/foreign/, 'by name';
ok -f $w->path('foreign/index.html'), 'and nothing in it is touched';
$w->finish;
done_testing;
