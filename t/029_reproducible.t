#!/usr/bin/perl

# The same sources make the same bytes: configured and built in two folders of different depth,
# weir, its debug information and its build id do not differ. Some files stand for all of them; with
# WEIR_WHOLE=1, as in make test-all, the whole program is built.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

Weir->needs_programs('make', 'cc', 'readelf');

my $top = Weir::top();
my $w = Weir->new;

# The files that configure generates, and some of each other kind.
my @some = grep { $_ eq 'modules' || -f "$top/$_.c" } qw(modules core/app/options core/app/paths
    core/base/check core/log/log core/config/words modules/shared/map_table);
my @set = $ENV{WEIR_WHOLE} ? () : ("OBJ=@{[map { qq(objs/$_.o) } @some]}",
    'LD_OPT=-Wl,--unresolved-symbols=ignore-all');

my @built = map { $w->path("$_/objs/weir") } 'here', 'deeper/than/there';

for my $bin (@built) {
    my $dir = $bin =~ s{/objs/weir$}{}r;
    my @parts = grep { -e "$top/$_" } qw(configure Makefile auto conf core modules);
    system('mkdir', '-p', $dir) == 0 or die "mkdir $dir\n";
    system('cp', '-R', (map { "$top/$_" } @parts), $dir) == 0 or die "cp to $dir\n";
}
for my $bin (@built) {
    my $dir = $bin =~ s{/objs/weir$}{}r;
    my $goals = join ' ', map { "'$_'" } @set, 'objs/weir';
    local %ENV = ((map { $_ => $ENV{$_} // '' } qw(PATH HOME TMPDIR)), CCACHE_DISABLE => 1);
    my $said = qx(cd '$dir' && { ./configure && make -j2 $goals; } 2>&1);
    is $?, 0, 'it builds' or diag $said;
}

my @id = map { qx(readelf -n '$_') =~ /Build ID: (\w+)/ ? $1 : 'none' } @built;

is $id[1], $id[0], 'the build id is the same';
is system('cmp', '-s', @built), 0, 'not one byte differs';
for my $bin (@built) {
    open my $in, '<:raw', $bin or BAIL_OUT("$bin: $!");
    local $/;
    is index(<$in>, $w->dir), -1, 'the folder of the build is not in it';
}
$w->finish;
done_testing;
