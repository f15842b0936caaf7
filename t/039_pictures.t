#!/usr/bin/perl

# The pictures of docs/ are what docs/pictures/draw makes of their texts. They are well-formed XML,
# no box lies on another, no arrow goes through one, and the files they name exist.

use strict;
use warnings;
use FindBin;
use Test::More;

my $top = "$FindBin::Bin/..";

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!\n";
    local $/;
    return scalar <$in>;
}

# ---- XML: elements close in order, attributes are quoted, & and < stand for nothing else

sub attributes_are_wrong {
    my ($text) = @_;
    my %seen;
    while ($text =~ /\G\s+([A-Za-z][\w:.-]*)="([^"<]*)"/gc) {
        return "attribute $1 twice" if $seen{$1}++;
        return "& in $1" if $2 =~ /&(?!(?:amp|lt|gt|quot|#\d+);)/;
    }
    return $text =~ /\G\s*$/gc ? '' : "attributes \"$text\"";
}

sub xml_is_wrong {
    my ($xml) = @_;
    my (@open, $roots);
    $xml =~ s/\A<\?xml version="1\.0" encoding="UTF-8"\?>\n// or return 'no declaration';
    while ($xml =~ m{\G(?:([^<]+)|<(/?)([A-Za-z][\w:.-]*)([^<>]*?)(/?)>)}gc) {
        my ($text, $closes, $name, $more, $is_empty) = ($1, $2, $3, $4, $5);
        if (defined $text) {
            return "& in \"$text\"" if $text =~ /&(?!(?:amp|lt|gt|quot|#\d+);)/;
            return "text outside: \"$text\"" if !@open && $text =~ /\S/;
        } elsif ($closes) {
            return "</$name> closes nothing" if !@open || pop(@open) ne $name || $more ne '';
        } else {
            my $wrong = attributes_are_wrong($more);
            return $wrong if $wrong;
            return 'two roots' if !@open && $roots++;
            push @open, $name if !$is_empty;
        }
    }
    return 'rest: ' . substr($xml, pos($xml) // 0, 40) if (pos($xml) // 0) < length $xml;
    return @open ? "open: @open" : '';
}

like xml_is_wrong(qq(<?xml version="1.0" encoding="UTF-8"?>\n<a><b c="&amp;"/>$_->[0]</a>)),
    $_->[1], "what is wrong is found: $_->[0]"
    for ['<b>&lt;</b>', qr/^$/], ['<b></a>', qr/closes/], ['<b>', qr/closes/], ['&', qr/&/],
    ['<b c="1" c="2"/>', qr/twice/], ['<b c=1/>', qr/attributes/], ['</a><a>', qr/two/];

# ---- positions

sub boxes_of {
    my ($svg) = @_;
    my @boxes;
    while ($svg =~ /<rect class="([^"]+)" x="([\d.]+)" y="([\d.]+)" width="([\d.]+)" height="([\d.]+)"/g) {
        push @boxes, [$2, $3, $2 + $4, $3 + $5] if $1 !~ /^(?:lane|paper)/;
    }
    return @boxes;
}

sub has_inside {
    my ($a, $b) = @_;
    return $a->[0] <= $b->[0] && $a->[1] <= $b->[1] && $a->[2] >= $b->[2] && $a->[3] >= $b->[3];
}

sub is_apart {
    my ($a, $b) = @_;
    return $a->[2] <= $b->[0] || $b->[2] <= $a->[0] || $a->[3] <= $b->[1] || $b->[3] <= $a->[1];
}

sub overlaps {
    my @boxes = boxes_of($_[0]);
    my $n = 0;
    for my $i (0 .. $#boxes) {
        for my $k (0 .. $i - 1) {
            my ($a, $b) = @boxes[$i, $k];
            $n += !is_apart($a, $b) && !has_inside($a, $b) && !has_inside($b, $a);
        }
    }
    return $n;
}

# A line ends 1 pixel before a box and begins on its edge.
sub crossings {
    my ($svg) = @_;
    my @boxes = boxes_of($svg);
    my $n = 0;
    while ($svg =~ /<path class="line[^"]*" d="M([^"]+)"/g) {
        my @points = map { [split / /] } split / L/, $1;
        for my $i (1 .. $#points) {
            my ($x, $to_x) = sort { $a <=> $b } $points[$i - 1][0], $points[$i][0];
            my ($y, $to_y) = sort { $a <=> $b } $points[$i - 1][1], $points[$i][1];
            my $line = [$x, $y, $to_x, $to_y];
            $n += grep { !is_apart([$_->[0] + 1, $_->[1] + 1, $_->[2] - 1, $_->[3] - 1], $line) }
                @boxes;
        }
    }
    return $n;
}

# ---- the pictures

my %file;
$file{$_}++ for map { m{([^/]+)$} } split /\n/,
    qx(find '$top/core' '$top/modules' -name '*.[ch]');

my @texts = sort map { m{([^/]+)\.txt$} } glob "$top/docs/pictures/*.txt";
my @pictures = sort map { m{([^/]+)\.svg$} } glob "$top/docs/*.svg";
is "@pictures", "@texts", 'each text has its picture';
for my $name (@texts) {
    my $drawn = qx('$^X' '$top/docs/pictures/draw' '$top/docs/pictures/$name.txt');
    is $?, 0, "$name is drawn";
    ok $drawn eq slurp("$top/docs/$name.svg"), 'and is the one in docs/'
        or diag "draw it again: docs/pictures/draw";
    is xml_is_wrong($drawn), '', 'it is XML';
    is overlaps($drawn), 0, 'no box lies on another';
    is crossings($drawn), 0, 'no arrow goes through a box';
    my @lost = grep { !$file{$_} } slurp("$top/docs/pictures/$name.txt") =~ /\b(\w+\.[ch])\b/g;
    is "@lost", '', 'the files it names exist';
}
done_testing;
