#!/usr/bin/perl

# weir --demo: what it tells to type works and answers as told, at both layers, the servers take
# turns, a body that needs a temporary file arrives, and SIGINT ends it with nothing left. Ctrl-C at
# a terminal ends it alone, so that make, which ran it, says nothing; and so does the terminal's end.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::Process qw(spawn);

my $w = Weir->new;
my $home = $w->path('run');
mkdir $home and chmod 0700, $home or die "$home: $!\n";
chown((getpwnam 'nobody')[2, 3], $home) if is_root;    # it goes on as that user

my $told = $w->path('told');
my $pid = spawn(sub {
    $w->redirect($told, $w->path('stderr'));
    $ENV{TMPDIR} = $home;
    exec { Weir::binary() } 'weir', '--demo' or die "exec: $!\n";
});
ok wait_for { slurp($told) =~ /--help all.*\n\z/ || !alive($pid) }, 'it tells what to type';
my $text = slurp($told);
diag $text, slurp($w->path('stderr')) if !alive($pid);
is scalar(grep { length > 100 } split /\n/, $text), 0, 'in lines that fit';
like $text, qr/^    weir -c FILE$/m, 'the program is called as it was';
like join('', glob "$home/*"), qr{^\Q$home\E/weir-demo\.\w+\z}, 'it has a folder of its own';
my ($uid) = slurp("/proc/$pid/status") =~ /^Uid:\t(\d+)/m;
isnt $uid, 0, 'it runs as an ordinary user, whoever started it';

# What a command line a person types prints.
sub sh {
    my ($command) = @_;
    my $out = $w->path('out');
    system('bash', '-c', "exec >$out 2>&1; $command");
    return slurp($out);
}

# ---- layer 4

my ($l4) = $text =~ m{^    cat < /dev/tcp/127\.0\.0\.1/(\d+) }m;
ok $l4, 'a line for bash alone';
is +($text =~ m{^    nc 127\.0\.0\.1 (\d+) < /dev/null }m)[0], $l4, 'and one for nc';
like $text, qr/^            listen 127\.0\.0\.1:$l4;$/m, 'the configuration is shown with its port';

like sh("cat < /dev/tcp/127.0.0.1/$l4"), qr/\Adatabase [123], you are 127\.0\.0\.1\n\z/,
    'it answers as told';
SKIP: {
    skip 'no nc', 1 if !Weir::program('nc');
    like sh("nc 127.0.0.1 $l4 </dev/null"), qr/\Adatabase [123], you are 127\.0\.0\.1\n\z/,
        'and nc ends by itself';
}
my %turn;    # each worker has its own
for (1 .. 100) {
    $turn{ $w->ask("127.0.0.1:$l4") }++;
    last if keys %turn == 3;
}
is_deeply [sort keys %turn], [map { "database $_, you are 127.0.0.1" } 1 .. 3],
    'the servers take turns';

# ---- layer 7

SKIP: {
    my @curl = $text =~ /^    (curl .*http:.*)$/mg;
    skip 'a build without http', 1 if !@curl && $text !~ /^    http \{/m;
    is scalar(@curl), 3, 'three lines for curl';
    skip 'no curl', 5 if system('command -v curl >/dev/null 2>&1') != 0;

    my ($one, $turns, $media) = map { sh($_ =~ s/^curl/curl -s/r) } @curl;
    like $one, qr{^HTTP/1\.1 200 OK\r$}m, 'curl -i shows the head';
    like $one, qr{^X-Upstream: 127\.0\.0\.1:\d+\r$}m, 'with the field that is added';
    like $one, qr{^api [123]: /api/users, Host: 127\.0\.0\.1, X-Real-IP: 127\.0\.0\.1$}m,
        'what the server says is what the fields are set to';
    my $round = join '', $turns =~ /^api ([123]): \/api\/[1-4], /mg;
    ok index('1231231', $round) >= 0 && length $round == 4, "the servers take turns: $round";
    like $media, qr{^media [12]: /cat\.jpg, Host: example\.com, X-Real-IP: 127\.0\.0\.1$},
        'another path leads to others, without the path';
}

SKIP: {
    my ($l7) = $text =~ m{^    curl -i http://(127\.0\.0\.1:\d+)/}m or skip 'no http', 4;
    my $r = Weir::Http::ask($w, $l7, 'GET /');
    is $r->{status}, 404, 'elsewhere';
    is $r->{body}, "try /api/ or /media/\n", 'it says what to try';
    $r = Weir::Http::ask($w, $l7, 'POST /api/up', body => 'x' x 300000);
    is $r->{status}, 200, 'a body that needs a file';
    like $r->{body}, qr{^api [123]: /api/up, }, 'arrives';
}

# ---- the end

kill 'INT', $pid;
ok wait_for { !alive($pid) }, 'SIGINT ends it';
is status_of($pid), 0, 'cleanly';
is_deeply [glob "$home/*"], [], 'its folder is gone';

# ---- at a terminal, under make

# Runs make from a shell in a terminal of its own, which gets what is written to the handle.
sub at_terminal {
    $w->write('demo.mk', "all:\n\t@" . Weir::top() . '/auto/front ' . Weir::binary() . " --demo\n");
    my ($said, $typed) = $w->path('said');
    unlink $said;
    pipe my $keys, $typed or die "pipe: $!\n";
    my $script = spawn(sub {
        close $typed;
        $w->redirect($said, $w->path('stderr'));
        open STDIN, '<&', $keys or die "dup: $!\n";
        $ENV{TMPDIR} = $home;
        my $make = 'make -f ' . $w->path('demo.mk') . '; exit $?';
        exec 'script', '-qec', $make, '/dev/null' or die "exec: $!\n";
    });
    ok wait_for { slurp($said) =~ /--help all/ || !alive($script) }, 'the demo runs at a terminal';
    return ($script, $typed, $said);
}

SKIP: {
    skip 'no script, or no make', 6 if grep { !Weir::program($_) } qw(script make);
    my ($script, $typed, $said) = at_terminal();
    syswrite $typed, "\cC";
    ok wait_for { !alive($script) }, 'Ctrl-C ends it';
    is status_of($script), 0, 'and make ends well';
    unlike slurp($said), qr/\*\*\*/, 'without a word';
    is_deeply [glob "$home/*"], [], 'and nothing is left';

    ($script) = at_terminal();
    kill 'KILL', $script;
    becomes { !@{[glob "$home/*"]} } 'when its terminal is gone it goes, too';
}
$w->finish;
done_testing;
