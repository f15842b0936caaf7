#!/usr/bin/perl

# make install and make uninstall, with DESTDIR. Installed are the program, a link where PATH finds
# it, its manual page with the paths filled in, html/ and the configurations. Files of the user are
# neither overwritten nor removed; nothing else stays. Without a configuration weir says what to do.
# The manual page has each option of -h and each signal that the master handles.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

Weir->needs_programs('make', 'cc', 'find');

my $top = Weir::top();
my $w = Weir->new;
my $dest = $w->path('dest');
my $copy = $w->path('source');

# make treats the program that is there as up to date.
mkdir $copy;
system('cp', '-R', (map { "$top/$_" } qw(configure Makefile auto conf core docs html modules)),
    $copy) == 0 or die "cp\n";

sub there {
    my ($command) = @_;
    local %ENV = map { $_ => $ENV{$_} // '' } qw(PATH HOME TMPDIR);
    my $said = qx(cd '$copy' && ($command) 2>&1 < /dev/null);
    is $?, 0, $command or diag $said;
    return $said;
}

sub install { return there("make -o objs/weir $_[0] DESTDIR='$dest'") }

sub installed {
    return sort map { s/^\Q$dest\E//r } split /\n/, qx(find '$dest' '!' -type d);
}

there('./configure && cp ' . Weir::binary() . ' objs/weir');
like install('install'), qr{^weir is installed: +/usr/local/bin/weir$}m,
    'make install prints where the program is';

my $home = '/usr/local/weir';
my @own = ("$home/conf/weir.conf.default", "$home/sbin/weir", '/usr/local/bin/weir',
    '/usr/local/share/man/man8/weir.8');
my @once = (
    (map { "$home/conf/$_" } qw(weir.conf mime.types fastcgi_params fastcgi.conf uwsgi_params
        scgi_params)),
    (map { "$home/html/$_" } qw(index.html 50x.html)),
    (map { "$home/conf/examples/" . s{.*/}{}r } glob "$top/conf/examples/*"),
);
is_deeply [installed()], [sort @own, @once], 'the files are installed';
is readlink "$dest/usr/local/bin/weir", "$home/sbin/weir", 'the link leads to the program';
ok -d "$dest$home/logs", 'there is a folder for logs';

# It runs from there.

$w->{bin} = "$dest$home/sbin/weir";
my ($code, $out, $err) = $w->bare('-t', '-p', "$dest$home", '-e', 'stderr');
is $code, 0, 'what is installed passes -t' or diag $err;
unlike $err, qr/\[warn\]/, 'without a warning';
unlink "$dest$home/logs/access.log";    # -t opens it
rename "$dest$home/conf/weir.conf", "$dest$home/conf/nginx.conf" or die "rename: $!\n";
($code, $out, $err) = $w->bare('-p', "$dest$home", '-e', 'stderr');
is $code, 1, 'without a configuration it does not start';
like $err, qr/^    \Q$w->{bin}\E --demo /m, 'and says what to try';
my $names = qr/^    \Q$w->{bin}\E -t -c \Q$dest$home\E\/conf\/nginx\.conf /m;
like $err, $names, 'and names the configuration of nginx';
($code, $out, $err) = $w->bare('-t', '-p', "$dest$home", '-e', 'stderr');
is $code, 1, '-t fails';
like $err, $names, 'and names it, too';
rename "$dest$home/conf/nginx.conf", "$dest$home/conf/weir.conf" or die "rename: $!\n";

# Install twice, then uninstall.

$w->write("dest$home/conf/weir.conf", "# mine\n");
unlink "$dest$home/conf/uwsgi_params";
install('install');
is slurp("$dest$home/conf/weir.conf"), "# mine\n", 'a configuration is not overwritten';
is_deeply [installed()], [sort @own, @once], 'a missing file is installed again';

$w->write("dest$home/logs/error.log", "a line\n");
like install('uninstall'), qr{^not removed, because it was changed: $home/conf/weir\.conf$}m,
    'a changed file is kept and reported';
is_deeply [installed()], ["$home/conf/weir.conf", "$home/logs/error.log"], 'and so is a log';
unlink map { "$dest$_" } installed();
install('install');
install('uninstall');
is_deeply [installed()], [], 'unchanged files are removed';
ok !-e "$dest$home", 'and so are the folders';

# Other paths.

there("./configure --prefix=/opt/w --sbin-path=/usr/sbin/weir --man-path=/usr/share/man");
install('install');
is_deeply [grep { !m{^/opt/w/(?:conf|html)/} } installed()],
    ['/usr/sbin/weir', '/usr/share/man/man8/weir.8'],
        'files are where configure was told to put them, without a link';
like slurp("$dest/usr/share/man/man8/weir.8"), qr{/opt/w/conf/weir\.conf},
    'the manual page has the path';
install('uninstall');
is_deeply [installed()], [], 'and are removed again';

there('./configure --prefix=/opt/own');
install('install');
unlike install('uninstall'), qr/files of yours/,
    'a prefix that only weir uses has no files of the user';
ok !-e "$dest/opt/own", 'and is removed with its folder of manual pages';

# The manual page is complete.

$w->{bin} = Weir::binary();
my $page = slurp("$top/docs/weir.8");
my $is_told = sub { return $page =~ /^\.It Fl (?:\S+ , )?\Q$_[0]\E(?: |$)/m };
(undef, undef, $err) = $w->bare('-h');
my @options = map { s/^-//r } $err =~ /^ +(?:(?=-\?)-\?,)?(--?\w+)/mg;
cmp_ok @options, '>', 11, '-h lists the options';
ok $is_told->($_), "the page has -$_" for @options;
my %known = map { $_ => 1 } @options, '?', '-version';
is_deeply [grep { !$known{ s/ .*//r } } $page =~ /^\.It Fl (.*)/mg], [], 'and no other options';
ok $page =~ /^\.Cm $_\b/m, "-s $_" for $err =~ /(stop|quit|reopen|reload|trace)\b/g;

$w->start("stream { server { listen %{web}; return hello; } }\n");
no warnings 'portable';    # a number of more than 32 bits
my ($caught) = slurp('/proc/' . $w->master . '/status') =~ /^SigCgt:\s*(\w+)/m;
my %name = (1 => 'HUP', 2 => 'INT', 3 => 'QUIT', 10 => 'USR1', 12 => 'USR2', 15 => 'TERM',
    28 => 'WINCH', 34 => 'RTMIN');
my @takes = grep { hex(substr $caught, -9) >> ($_ - 1) & 1 } sort { $a <=> $b } keys %name;
cmp_ok @takes, '==', keys %name, 'the master handles the signals that have a name here';
ok $page =~ /^\.It Dv (?:SIG\w+ , )?SIG$name{$_}$/m || $page =~ /^\.It Dv SIG$name{$_} ,/m,
    "the page has SIG$name{$_}" for @takes;
$w->finish;
done_testing;
