#!/usr/bin/perl

# make install and make uninstall, with DESTDIR: the program, a link where PATH finds it, its manual
# page with the places filled in, html/ and the configurations; what is the user's is neither
# overwritten nor removed, and nothing else stays. weir without a configuration says what to do. The
# manual page has each option of -h and each signal the master takes.

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

# make takes the program that is there for the one it would make.
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
like install('install'), qr{^weir is installed: +/usr/local/bin/weir$}m, 'where it is';

my $home = '/usr/local/weir';
my @own = ("$home/conf/weir.conf.default", "$home/sbin/weir", '/usr/local/bin/weir',
    '/usr/local/share/man/man8/weir.8');
my @once = (
    (map { "$home/conf/$_" } qw(weir.conf mime.types fastcgi_params fastcgi.conf uwsgi_params
        scgi_params)),
    (map { "$home/html/$_" } qw(index.html 50x.html)),
    (map { "$home/conf/examples/" . s{.*/}{}r } glob "$top/conf/examples/*"),
);
is_deeply [installed()], [sort @own, @once], 'the files';
is readlink "$dest/usr/local/bin/weir", "$home/sbin/weir", 'the link is one to the program';
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
like $err, $names, 'and names that of nginx';
($code, $out, $err) = $w->bare('-t', '-p', "$dest$home", '-e', 'stderr');
is $code, 1, '-t fails';
like $err, $names, 'and does so, too';
rename "$dest$home/conf/nginx.conf", "$dest$home/conf/weir.conf" or die "rename: $!\n";

# Twice, and away again.

$w->write("dest$home/conf/weir.conf", "# mine\n");
unlink "$dest$home/conf/uwsgi_params";
install('install');
is slurp("$dest$home/conf/weir.conf"), "# mine\n", 'a configuration is not overwritten';
is_deeply [installed()], [sort @own, @once], 'what is missing comes again';

$w->write("dest$home/logs/error.log", "a line\n");
like install('uninstall'), qr{^not removed, because it was changed: $home/conf/weir\.conf$}m,
    'what was changed is kept, and said';
is_deeply [installed()], ["$home/conf/weir.conf", "$home/logs/error.log"], 'and a log';
unlink map { "$dest$_" } installed();
install('install');
install('uninstall');
is_deeply [installed()], [], 'nothing is left of what was not';
ok !-e "$dest$home", 'nor a folder';

# Elsewhere.

there("./configure --prefix=/opt/w --sbin-path=/usr/sbin/weir --man-path=/usr/share/man");
install('install');
is_deeply [grep { !m{^/opt/w/(?:conf|html)/} } installed()],
    ['/usr/sbin/weir', '/usr/share/man/man8/weir.8'], 'where configure was told to, and no link';
like slurp("$dest/usr/share/man/man8/weir.8"), qr{/opt/w/conf/weir\.conf}, 'the page knows it';
install('uninstall');
is_deeply [installed()], [], 'and away again';

there('./configure --prefix=/opt/own');
install('install');
unlike install('uninstall'), qr/files of yours/, 'a prefix of its own';
ok !-e "$dest/opt/own", 'goes with its folder of manual pages';

# The page is true.

$w->{bin} = Weir::binary();
my $page = slurp("$top/docs/weir.8");
my $is_told = sub { return $page =~ /^\.It Fl (?:\S+ , )?\Q$_[0]\E(?: |$)/m };
(undef, undef, $err) = $w->bare('-h');
my @options = map { s/^-//r } $err =~ /^ +(?:(?=-\?)-\?,)?(--?\w+)/mg;
cmp_ok @options, '>', 11, 'options of -h';
ok $is_told->($_), "the page has -$_" for @options;
my %known = map { $_ => 1 } @options, '?', '-version';
is_deeply [grep { !$known{ s/ .*//r } } $page =~ /^\.It Fl (.*)/mg], [], 'and no others';
ok $page =~ /^\.Cm $_\b/m, "-s $_" for $err =~ /(stop|quit|reopen|reload|trace)\b/g;

$w->start("stream { server { listen %{web}; return hello; } }\n");
no warnings 'portable';    # a number of more than 32 bits
my ($caught) = slurp('/proc/' . $w->master . '/status') =~ /^SigCgt:\s*(\w+)/m;
my %name = (1 => 'HUP', 2 => 'INT', 3 => 'QUIT', 10 => 'USR1', 12 => 'USR2', 15 => 'TERM',
    28 => 'WINCH', 34 => 'RTMIN');
my @takes = grep { hex(substr $caught, -9) >> ($_ - 1) & 1 } sort { $a <=> $b } keys %name;
cmp_ok @takes, '==', keys %name, 'the signals of the master';
ok $page =~ /^\.It Dv (?:SIG\w+ , )?SIG$name{$_}$/m || $page =~ /^\.It Dv SIG$name{$_} ,/m,
    "the page has SIG$name{$_}" for @takes;
$w->finish;
done_testing;
