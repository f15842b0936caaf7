#!/usr/bin/perl

# The command line: what -v, -V, -h, -t, -T and -q print, and where; that -p, -c and -e decide where
# files are and -g adds directives; that -s finds the running weir by its pid file; that unknown
# words are refused. -h fits one screen. No option leaves anything behind.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;
my $CONF = <<'CONF';
stream {
    server { listen %{web}; return hello; }
}
CONF

# The list of what is built in.

my ($code, $out, $err) = $w->bare('-v');
is $code, 0, '-v exits with 0';
like $out . $err, qr{^weir version: weir/\d+\.\d+(?:\.\d+)?\b.*\n\z}, '-v is one line';

($code, $out, $err) = $w->bare('-V');
is $code, 0, '-V exits with 0';
like $out . $err, $_->[0], "-V names $_->[1]" for (
    [qr{^weir version: weir/\d+\.}m, 'the version'],
    [qr{^built (?:by|with) .*(?:gcc|clang)}m, 'the compiler'],
    [qr{^built with OpenSSL \d+\.\d+\.\d+}m, 'the OpenSSL it runs with'],
    [qr{^TLS SNI support enabled$}m, 'that a name of a TLS client chooses the server'],
    [qr{^modules:(?=.* stream )(?=.* stream_map )(?=.* stream_return )(?=.* stream_set )}m,
        'its modules'],
    [qr{^configure arguments:}m, 'the configure arguments'],
);

for my $help ('-h', '-?') {
    ($code, $out, $err) = $w->bare($help);
    my @lines = split /\n/, $out . $err;
    is $code, 0, "$help exits with 0";
    cmp_ok @lines, '<=', 24, "$help fits 24 lines";
    is scalar(grep { length > 80 } @lines), 0, "$help fits 80 columns";
    for my $option (qw(-t -T -q -v -V -h -p -c -e -g -s)) {
        like $out . $err, qr/^\s*(?:-.,\s*)*\Q$option\E\b/m, "$help lists $option";
    }
}

($code, $out, $err) = $w->bare('--help', 'proxy_pass');
is $code, 0, '--help DIRECTIVE exits with 0';
like $out, qr/^proxy_pass\b.*\n(?:.*\n)*\s*context:.*\bserver\b/, 'and explains the directive';
($code, $out, $err) = $w->bare('--help', 'keepalive');
is $code, 0, '--help of a directive of upstream {} exits with 0';
like $out, qr/^    default:  32 local$/m, 'and prints its default';
($code, $out, $err) = $w->bare('--help', 'include');
is $code, 0, '--help of include, which no module has, exits with 0';
like $out, qr/^    syntax:   include path;$/m, 'and prints its syntax';
($code, $out, $err) = $w->bare('--help', 'proxy_pas');
isnt $code, 0, '--help with a word that is no directive fails';
($code, $out, $err) = $w->bare('--help', 'max_conns');
is $code, 0, '--help of a parameter exits with 0';
like $out, qr/^"max_conns" is not a directive; it is a word of\nserver: .*\n    syntax:   server ADDRESS/,
    'and explains the directive that has it';
($code, $out, $err) = $w->bare('--help', 'sticky');
like $out, qr/^    context:  upstream of http \{\}$/m, 'the layer of a directive of one layer';

# Testing a configuration.

my $conf = $w->conf($CONF);

($code, $out, $err) = $w->command('-t');
is $code, 0, '-t of a good configuration exits with 0';
like $err, qr/the configuration file \Q$conf\E syntax is ok/, '-t says that the syntax is ok';
like $err, qr/configuration file \Q$conf\E test is successful/, '-t reports success';
is $out, '', '-t prints nothing else';

($code, $out, $err) = $w->command('-t', '-q');
is "$code $out$err", '0 ', '-t -q prints nothing on success';

$w->write('extra.conf', "# extra\nserver { listen %{extra}; return more; }\n");
$w->conf("stream {\n    include extra.conf;\n    include none*.conf;\n}\n");
($code, $out, $err) = $w->command('-T');
is $code, 0, '-T exits with 0';
like $out, qr/^# configuration file \Q$conf\E:\n(?:.*\n)*?.*stream \{\n/m, '-T prints the file';
like $out, qr/^# configuration file \Q@{[$w->path('extra.conf')]}\E:\n# extra\n/m,
    '-T prints what it includes';
unlike $out, qr/configuration file \S*none/, '-T prints nothing of an empty glob';

$w->conf("stream {\n    server { listen %{web} }\n");
($code, $out, $err) = $w->command('-t', '-q');
isnt $code, 0, '-t of a wrong configuration does not exit with 0';
like $err, qr/\[emerg\]/, '-t -q prints the error';
like $err, qr/configuration file \Q$conf\E test failed/, 'and that the test failed';

# Words that are refused.

for my $wrong (
    [['-x'], qr/invalid option: "-?x"/, 'an unknown option'],
    [['word'], qr/invalid option: "word"/, 'a word that is no option'],
    [['-c'], qr/option "-c" requires file name/, '-c without a file'],
    [['-p'], qr/option "-p" requires directory name/, '-p without a folder'],
    [['-e'], qr/option "-e" requires file name/, '-e without a file'],
    [['-g'], qr/option "-g" requires parameter/, '-g without a parameter'],
    [['-s'], qr/option "-s" requires parameter/, '-s without a signal'],
    [['-s', 'halt'], qr/invalid option: "-s halt"/, 'a signal weir does not know'],
    [['-t', '-p', '%{dir}', '-e', 'early.log', '-g', 'no_such 1;'],
        qr/unknown directive "no_such"/, 'a wrong -g'],
    [['-t', '-p', '%{dir}', '-e', 'early.log', '-c', 'nowhere.conf'],
        qr/nowhere\.conf.*No such file/, 'a missing file'],
) {
    my ($words, $says, $name) = @$wrong;
    ($code, $out, $err) = $w->bare(map { $w->expand($_) } @$words);
    isnt $code, 0, "$name: exit code";
    like $err, $says, "$name: message";
}

# Paths: -c and the names in a configuration are relative to -p; -e is used from the start.

$w->conf($CONF);
mkdir $w->path('sub');
$w->write('sub/own.conf', ($ENV{WEIR_PRELUDE} // '') . "daemon off; pid own.pid;\nlock_file x;\n");
($code, $out, $err) = $w->bare('-t', '-p', $w->dir, '-c', 'sub/own.conf', '-e', 'early.log');
is $code, 0, '-c is looked for below -p' or diag $err;
ok -f $w->path('early.log'), '-e names a file below -p';

$w->write('sub/own.conf', "wrong;\n");
($code, $out, $err) = $w->bare('-p', $w->dir, '-c', 'sub/own.conf', '-e', 'early.log');
isnt $code, 0, 'a wrong configuration keeps weir from starting';
like slurp($w->path('early.log')), qr/\[emerg\].*unknown directive "wrong" in \S*own\.conf:1/,
    'the -e log has the error too';

# An ordinary user needs no option for paths: the log is stderr, all other files are below
# XDG_RUNTIME_DIR.

mkdir $w->path('run');
chown((getpwnam 'nobody')[2, 3], $w->path('run')) if is_root;
$w->open_binary;
$w->write('user.conf', ($ENV{WEIR_PRELUDE} // '') . <<'CONF');
daemon off;
stream { server { listen %{user}; return "for users"; } }
CONF
my $pid = Weir::Process::spawn(sub {
    $w->redirect($w->path('user.out'), $w->path('user.err'));
    $ENV{XDG_RUNTIME_DIR} = $w->path('run');
    Weir::become('nobody') if is_root;
    exec $w->{bin}, '-c', $w->path('user.conf') or die "exec: $!\n";
});
SKIP: {
    wait_for { $w->connect('user') || !alive($pid) };
    skip 'the default prefix can be written', 5
        if slurp($w->path('user.err')) !~ /is not writable/;
    is $w->ask('user'), 'for users', 'an ordinary user needs no -p';
    is scalar(() = slurp($w->path('user.err')) =~ /^weir: \[notice\].*is not writable/mg), 1,
        'one notice says that the prefix is not used';
    is slurp($w->path('run/weir/weir.pid')), "$pid\n", 'the pid file is below XDG_RUNTIME_DIR';
    kill 'QUIT', $pid;
    is $w->ended($pid), 0, 'weir quits';
    ok !-e $w->path('run/weir/weir.pid'), 'the pid file is gone';
}
Weir::Process::end_process($pid) if alive($pid);

# Signals by name. Without a running weir -s fails.

$w->conf($CONF);
($code, $out, $err) = $w->command('-s', 'stop');
isnt $code, 0, '-s without a running weir fails';
like $err, qr/weir\.pid/, 'and names the pid file';

$w->start($CONF);
is $w->ask('web'), 'hello', 'weir runs';
rename $w->path('error.log'), $w->path('rotated.log');
is(($w->command('-s', 'reopen'))[0], 0, '-s reopen');
becomes { -f $w->path('error.log') } 'the error log is opened again';

($code, $out, $err) = $w->reload;
is $code, 0, '-s reload' or diag $err;
is $w->ask('web'), 'hello', 'weir runs on';

for my $how ('quit', 'stop') {
    my $master = $w->master;
    is(($w->command('-s', $how))[0], 0, "-s $how");
    is $w->ended($master), 0, "weir ended by $how";
    is $w->pid, undef, 'and removed its pid file';
    $w->has_ended;
    $w->start if $how eq 'quit';
}

$w->expect(qr/no_such|nowhere|"wrong"|\[emerg\].*weir\.conf|early\.log|weir\.pid/);
$w->finish;
done_testing;
