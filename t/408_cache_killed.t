#!/usr/bin/perl

# kill -9 of workers, keepers and masters again and again, while clients look at every byte they get:
# 10,000 replies, with WEIR_WHOLE=1 (make test-all) 100,000, fewer if time runs out. What is whole is right, what is cut is
# the beginning of what is right. In the end the index counts what exists: max_size is used up, and
# not exceeded.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::MD5 qw(md5_hex);
use Test::More;
use Time::HiRes qw(sleep time);
use Weir;
use Weir::Client;
use Weir::Http;
use Weir::HttpServer;
use Weir::Process qw(spawn wait_for alive children);

my $WHOLE = $ENV{WEIR_WHOLE} && !chaos();
my $ALL = $WHOLE ? 100_000 : 10_000;    # replies
my $CLIENTS = 3;
my $DEATHS = $WHOLE ? 100 : 24;
my $UNTIL = time + ($WHOLE ? 240 : 90);
my $MAX_SIZE = 8 << 20;
my $LARGEST = 64 << 10;           # bytes of a file, and more
my $REPORT = 25;

my $w = Weir->new;
my $done = $w->path('done');      # a byte for $REPORT replies
my $wrong = $w->path('wrong');    # a line for each wrong one
my %outcome;

# The body follows from the target: anybody can tell whether it is whole.
my %body = map {
    my $size = 100 + hex(substr md5_hex($_), 0, 6) % ($_ % 10 ? 6000 : 60_000);
    ("/object/$_" => substr md5_hex($_) x (1 + $size / 32), 0, $size);
} 1 .. 1200;
my @targets = sort keys %body;

$w->backend('b', serve => Weir::HttpServer::serve(sub {
    my ($r) = @_;
    return Weir::HttpServer::reply(200, $body{ $r->{target} }, 'Cache-Control' => 'max-age=6000');
}));

my $conf = <<'CONF';
worker_processes 2;
http {
    proxy_cache_path cache levels=1:2 keys_zone=z:1m memory=2m max_size=8m;
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_cache_lock on;
    upstream b { server %{b}; keepalive 4; }
    server {
        listen %{web};
        proxy_cache z;
        proxy_cache_key $request_uri;
        add_header X-Cache $upstream_cache_status;
        location / { proxy_pass http://b; }
    }
}
CONF

# ---- clients

sub note_in {
    my ($file, $text) = @_;
    open my $fh, '>>', $file or die "$file: $!\n";
    syswrite $fh, $text;
}

# One reply of weir's; false: the connection was lost, which is what happens when a worker dies.
sub ask {
    my ($c, $target) = @_;
    $c->send(Weir::Http::request("GET $target"));
    my $r = Weir::Http::reply($c);
    my $is_whole = $r->{wrong} eq '' && length $r->{body} == length $body{$target};
    my $right = $is_whole ? $body{$target} : substr $body{$target}, 0, length $r->{body};

    return if $r->{status} == 0;
    note_in($wrong, "$target: $r->{status} $r->{wrong} of " . length($r->{body}) . " bytes\n")
        if $r->{status} != 200 || $r->{body} ne $right || (!$is_whole && !$r->{wrong});
    return $is_whole && $r;
}

sub client {
    my ($number) = @_;
    my ($c, %got);
    srand $number;
    for my $n (1 .. $ALL / $CLIENTS + 1) {
        last if time > $UNTIL;
        my $target = $targets[rand @targets];
        my $until = time + 120;
        my $r;
        while (!$r) {
            die "client $number: no reply to $target in two minutes\n" if time > $until;
            $c //= Weir::Client->new($w->address('web'));
            $r = $c && ask($c, $target);
            next if $r;
            $c->close if $c;
            $c = undef;
            sleep 0.02;
        }
        $got{ Weir::Http::field($r, 'X-Cache') // '-' }++;
        note_in($done, '.') if $n % $REPORT == 0;
    }
    note_in($w->path('outcomes'), join ' ', %got, '');
    POSIX::_exit(0);
}

# ---- deaths

sub kill_one {
    my ($time) = @_;
    my @workers = $w->workers;
    my $pid = $time % 8 == 0 ? $w->master : $time % 3 == 0 ? $w->keeper : $workers[$time % 2];

    kill 'KILL', $pid if $pid;
    if ($time % 8 == 0) {
        my $orphans = sub { grep { $_ != $pid && title($_) =~ /^weir: / } children($$) };
        wait_for { !alive($pid) && !$orphans->() };
        unlink $w->{pid_file};
        $w->has_ended;
        $w->start($conf);
    }
    return wait_for { 2 == $w->workers && $w->keeper };
}

$w->start($conf);
my @clients = map { my $n = $_; spawn(sub { client($n) }) } 1 .. $CLIENTS;
my ($deaths, $killed) = (0, 0);
for my $time (1 .. $DEATHS) {
    my $share = sub { (-s $done // 0) * $REPORT >= $ALL * $time / ($DEATHS + 2) };
    my $ended = sub { time > $UNTIL || !grep { alive($_) } @clients };
    wait_for { $share->() || $ended->() } 300;
    last if $ended->();
    $deaths++;
    $killed++ if kill_one($time);
}
is $killed, $deaths, "each of $deaths deaths was got over";
ok wait_for(sub { !grep { alive($_) } @clients }, 300), 'the clients have all replies';
is scalar(grep { (status_of($_) // 1) == 0 } @clients), $CLIENTS, 'none gave up';
is slurp($wrong), '', 'every byte was right';
my @outcomes = split ' ', slurp($w->path('outcomes'));
while (my ($outcome, $n) = splice @outcomes, 0, 2) {
    $outcome{$outcome} += $n;
}
note join ', ', map { "$outcome{$_} $_" } sort keys %outcome;
cmp_ok $outcome{HIT} // 0, '>', 100, 'many of them were hits';

# A file that was linked by a worker which died before it said so is found by the next keeper.

my $keeper = $w->keeper;
kill 'KILL', $keeper;
becomes { ($w->keeper // $keeper) != $keeper } 'another keeper reads all files';

sub files {
    my ($dir) = @_;
    return map { -d $_ ? files($_) : m{/[0-9a-f]{32}$} ? $_ : () } glob "$dir/*";
}

# Counts bytes as the index does: in blocks.
sub bytes {
    my $sum = 0;
    $sum += int((($_ // 0) + 4095) / 4096) * 4096 for map { -s $_ } files($w->path('cache'));
    return $sum;
}
sub body_is_right {
    my ($target) = @_;
    my $r = Weir::Http::ask($w, 'web', "GET $target");
    return $r->{status} == 200 && $r->{wrong} eq '' && $r->{body} eq $body{$target};
}
is scalar(grep { body_is_right($_) } @targets), scalar @targets, 'all of them once more';
my $bytes = 0;
becomes { $bytes = bytes(); $bytes <= $MAX_SIZE } 'max_size is kept';
cmp_ok $bytes, '>', $MAX_SIZE - 2 * $LARGEST, 'and nothing counts that is not there';
note "$bytes bytes in files";
is scalar(() = glob $w->path('cache/tmp/*')), 0, 'nothing was left in between';
$w->expect(qr/exited on signal 9/);
$w->finish;
done_testing;
