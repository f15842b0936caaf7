#!/usr/bin/perl

# CONTRIBUTING.md is true: the code it quotes is in the sources, line for line, and the files,
# macros, functions and headings it names exist.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $top = Weir::top();
my $text = slurp("$top/CONTRIBUTING.md");

# ```c FILE
my $quotes = 0;
while ($text =~ /^```(.*)\n((?:(?!```).*\n)*)```$/mg) {
    my ($kind, $code) = ($1, $2);
    my ($file) = $kind =~ /^c (\S+)$/ or fail("a quote says where it is from: $kind"), next;
    my ($first) = $code =~ /(.*)/;
    ok index("\n" . slurp("$top/$file"), "\n$code") >= 0, "$file has: $first";
    $quotes++;
}
cmp_ok $quotes, '>=', 10, 'code is quoted';

my $lines = () = slurp("$top/t/modules/preface/preface.c") =~ /\n/g;
cmp_ok $lines, '<', 150, 'the worked example has less than 150 lines';

# ---- what is named

my @paths = grep { !/[A-Z]{3}/ }    # FOLDER, NAME
    $text =~ m{`((?:core|modules|conf|auto|docs|t)/[\w./-]+)}g;
my @lost = grep { !-e "$top/$_" } @paths;
is "@lost", '', 'the files it names exist';

my $sources = join '', map { slurp($_) }
    grep { -f } glob("$top/core/*/*.h $top/modules/http/*.h $top/modules/shared/health/*.h"
        . " $top/modules/http/cache/*.[ch]");
my %word = map { $_ => 1 } "$sources" =~ /\w+/g;
my @names = grep { !/^wr_(?:module_)?NAME|^wr_NOUN/ } $text =~ /`[^`\n]*?\b((?:wr|WR)_\w+)/g;
@lost = grep { !$word{$_} } @names;
is "@lost", '', 'the macros and functions it names exist';

my %heading = map { lc(s/\W+$//r =~ s/[^\w -]//gr =~ tr/ /-/r) => 1 } $text =~ /^#+ (.*)/mg;
@lost = grep { !$heading{$_} } $text =~ /\]\(#([\w-]+)\)/g;
is "@lost", '', 'its links lead to headings';

done_testing;
