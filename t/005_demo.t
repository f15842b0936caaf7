#!/usr/bin/perl

# weir --demo: the commands it prints work and answer as it says, at both layers; the servers take
# turns; a body that needs a temporary file arrives; SIGINT ends it and nothing is left. Ctrl-C at a
# terminal ends only the demo: make, which ran it, prints no error. The end of the terminal ends it,
# too.

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
ok wait_for { slurp($told) =~ /--help all.*\n\z/ || !alive($pid) }, 'it prints what to type';
my $text = slurp($told);
diag $text, slurp($w->path('stderr')) if !alive($pid);
is scalar(grep { length > 100 } split /\n/, $text), 0, 'in lines of at most 100 columns';
like $text, qr/^    weir -c FILE$/m, 'the program is named as it was called';
like join('', glob "$home/*"), qr{^\Q$home\E/weir-demo\.\w+\z}, 'it has a folder of its own';
my ($uid) = slurp("/proc/$pid/status") =~ /^Uid:\t(\d+)/m;
isnt $uid, 0, 'it runs as an ordinary user, whoever started it';

# The output of a command line that a person types.
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
    'it answers as the demo says';
SKIP: {
    skip 'no nc', 1 if !Weir::program('nc');
    like sh("nc 127.0.0.1 $l4 </dev/null"), qr/\Adatabase [123], you are 127\.0\.0\.1\n\z/,
        'and nc ends by itself';
}
my %turn;    # each worker has its own turn
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
        'the server got the fields as they are set';
    my $round = join '', $turns =~ /^api ([123]): \/api\/[1-4], /mg;
    ok index('1231231', $round) >= 0 && length $round == 4, "the servers take turns: $round";
    like $media, qr{^media [12]: /cat\.jpg, Host: example\.com, X-Real-IP: 127\.0\.0\.1$},
        'another location leads to other servers, without its prefix';
}

SKIP: {
    my ($l7) = $text =~ m{^    curl -i http://(127\.0\.0\.1:\d+)/}m or skip 'no http', 4;
    my $r = Weir::Http::ask($w, $l7, 'GET /');
    is $r->{status}, 404, 'any other path: 404';
    is $r->{body}, "try /api/ or /media/\n", 'its page says what to try';
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
    is status_of($script), 0, 'and make succeeds';
    unlike slurp($said), qr/\*\*\*/, 'and prints no error';
    is_deeply [glob "$home/*"], [], 'and nothing is left';

    ($script) = at_terminal();
    kill 'KILL', $script;
    becomes { !@{[glob "$home/*"]} } 'the end of its terminal ends it';
}
$w->finish;
done_testing;
