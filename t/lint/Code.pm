package Code;

# Checks of C that read one file beside another: what nobody uses, circles, switches, functions.
# Each sub takes the sources as { file => code }, comments removed and strings emptied (see code_of
# of t/lint/run), and returns messages. `excused` maps names to the reason why they may stay; an
# excuse that is not needed is a message, too.
use strict;
use warnings;
use File::Basename qw(basename dirname);

my $index = qr/\[[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*\]/;

sub line_at { return 1 + (substr($_[0], 0, $_[1]) =~ tr/\n//) }

# ---- what nobody uses ----

# The names that a header declares: name => kind.
sub declared {
    my ($code) = @_;
    my %is;
    $is{$1} = 'function' while $code =~ /^(?!static|typedef|extern|\s|[#}])[^\n;{}=()]*?\b(wr_\w+)\(/mg;
    $is{$1} = 'function' while $code =~ /^static inline [^\n;{}=()]*?\b(wr_\w+)\(/mg;
    $is{$1} = 'macro' while $code =~ /^[ \t]*#[ \t]*define[ \t]+(?![XW]\b|WR_\w+_H$)(\w+)/mg;
    while ($code =~ /^extern ([^;]*);/mg) {
        my $list = $1;
        my @names = $list =~ /\(\*(\w+)\)/ ? $1 : $list =~ /(\w+)(?:$index)*(?=,|$)/g;
        @is{@names} = ('variable') x @names;
    }
    while ($code =~ /^(?:typedef )?enum\b[^{;]*\{([^}]*)\}/mg) {
        my @members = $1 =~ /(?:^|,)\s*(\w+)/g;
        @is{@members} = ('member') x @members;
    }
    return %is;
}

# The names that the header of a file declares and no other file uses. Tests are not sources, so
# they do not count as users.
sub dead_symbols {
    my ($sources, $excused) = @_;
    my (%in, %kind, %header, @found, %needed);
    for my $file (keys %$sources) {
        $in{$_}{$file}++ for $sources->{$file} =~ /\w+/g;
        next if $file !~ /\.h$/;
        my %is = declared($sources->{$file});
        @kind{keys %is} = values %is;
        @header{keys %is} = ($file) x keys %is;
    }
    for my $name (sort keys %kind) {
        my $header = $header{$name};
        next if $in{$name}{$header} > 1; # an inline function or a macro uses it
        my @users = grep { $_ ne $header } sort keys %{ $in{$name} };
        next if @users > 2;
        my @own = grep { defines($sources->{$_}, $name) } @users;
        next if @users > @own;
        if (exists $excused->{$name}) { $needed{$name}++; next }
        my $where = $own[0] // $header;
        push @found, @own && $in{$name}{$own[0]} > 1
            ? "$where: $name is used by nobody else: make it static or delete it"
            : "$where: $name is used by nobody: delete it";
    }
    push @found, map { "t/lint/run: $_ needs no excuse" }
        grep { !$needed{$_} } sort keys %$excused;
    return @found;
}

# Is it defined here, not only used?
sub defines {
    my ($code, $name) = @_;
    return $code =~ /^(?!static|extern)\w[^\n;{}=()]*\b\Q$name\E(?:\([^;{}]*\)\s*\{|(?:$index)*(?:\s*=|;|,))
                     |^(?!static|extern)\w[^\n;{}=()]*\(\*\Q$name\E\)/mx;
}

# ---- struct fields ----

# The fields of all structs of a file: [name, struct, line, declaration].
sub fields {
    my ($code) = @_;
    my @fields;
    while ($code =~ /^(?:typedef |static |const )*struct(?: (\w+))? \{\n(.*?)^\}([^;=]*=)?/msg) {
        my ($struct, $body, $at) = ($1 // '', $2, $-[2]);
        next if defined $3; # a table, initialized on the spot
        while ($body =~ /^([ \t]+(?!union\b|struct \w* ?\{|enum \w* ?\{|static\b)\w[^;{}]*);/mg) {
            my ($declaration, $from) = ($1, $-[1]);
            my @names;
            if ($declaration =~ /\(\*+(?:const )?(\w+)(?:\[\w*\])?\)/) { @names = $1 }
            else {
                my $plain = $declaration;
                1 while $plain =~ s/\([^()]*\)//g;
                @names = grep { defined && !/^\d/ }
                    map { /(\w+)(?:$index)*(?:\s*:\s*\d+)?\s*$/ ? $1 : undef } split /,/, $plain;
            }
            push @fields, [$_, $struct, line_at($code, $at + $from), $declaration] for @names;
        }
    }
    return @fields;
}

# Which names are read and which are written as fields: adds to %$read and %$written.
sub accesses {
    my ($code, $read, $written) = @_;
    while ($code =~ /([&*]*)(?:\b\w+|\(\*+\w+\)|[)\]])?(?:$index)*((?:(?:->|(?<![\d.])\.)\w+(?:$index)*)+)
                     \s*(\+\+(?=;)|--(?=;)|\+\+|--|(?:[-+*\/|&^%]|<<|>>)?=(?!=)|)/gx) {
        my ($before, $chain, $after) = ($1, $2, $3);
        my @part = $chain =~ /((?:->|\.)\w+(?:$index)*)/g;
        accesses("$1;", $read, $written) while $chain =~ /\[([^\[\]]*(?:$index)*[^\[\]]*)\]/g;
        while (my $part = shift @part) {
            my ($name, $element) = $part =~ /(\w+)((?:$index)*)$/ or next;
            if (@part) {
                $read->{$name}++;
                $written->{$name}++ if $part[0] =~ /^\./;
            }
            elsif ($element ne '' || $before =~ /&/ || $after =~ /^(?:\+\+|--)$/ && $code !~ /\G;/) {
                $read->{$name}++;
                $written->{$name}++ if $after ne '' || $before =~ /&/;
            }
            elsif ($before =~ /\*/ || $after eq '') { $read->{$name}++ }
            else { $written->{$name}++ }
        }
    }
    # offsetof, the rows of directives, and macros that get the name alone
    while ($code =~ /\b(?:offsetof|[A-Z][A-Z0-9_]+)\(([^()]*(?:\([^()]*\)[^()]*)*)\)/g) {
        my $words = $1;
        for my $name ($words =~ /(?<![.>\w])(\w+)/g, $words =~ /\bfield(?:\.\w+)*\.(\w+)/g) {
            $read->{$name}++;
            $written->{$name}++;
        }
    }
    $written->{$1}++, $read->{$1}++ while $code =~ /(?:\+\+|--)[\w>.\[\]-]*(?:->|\.)(\w+)/g;
}

# The structs that are filled by place somewhere, without the names of their fields.
sub filled_by_place {
    my ($code) = @_;
    my %is;
    $is{$1}++ while $code =~ /\bstruct (\w+) \w+(?:\[\w*\])* = \{\s*\{?\s*(?![.\[{}]|0\s*\})/g;
    $is{$1}++ while $code =~ /\(struct (\w+)(?:\[\])?\)\s*\{\s*\{?\s*(?![.\[{}]|0\s*\})/g;
    return %is;
}

# A field is known by its name alone: one that shares it with a living one is not found.
sub dead_fields {
    my ($sources, $excused) = @_;
    my (%all_read, %all_written, %in, %by_place, %needed, @found, %seen);
    for my $file (keys %$sources) {
        my ($read, $written) = @{ $in{$file} = [{}, {}] };
        accesses($sources->{$file}, $read, $written);
        $all_read{$_}++ for keys %$read;
        $all_written{$_}++ for keys %$written;
        my %is = filled_by_place($sources->{$file});
        @by_place{keys %is} = values %is;
    }
    for my $file (sort keys %$sources) {
        my ($read, $written) = (\%all_read, \%all_written);
        ($read, $written) = @{ $in{$file} } if $file =~ /\.c$/; # its structs are its own
        for (fields($sources->{$file})) {
            my ($name, $struct, $line, $declaration) = @$_;
            next if $name eq 'magic' || $name eq 'pad'; # WR_TYPED and WR_CHECK; nothing
            my $r = $read->{$name};
            my $w = $written->{$name} || $by_place{$struct}
                || ($r && $declaration =~ /\b\Q$name\E\[|\bWR_VEC\b/);
            next if $r && $w || $seen{"$struct.$name"}++;
            if (exists $excused->{$name}) { $needed{$name}++; next }
            my $does = !$r && !$w ? 'uses' : $r ? 'writes' : 'reads';
            push @found, "$file:$line: nobody $does $name of struct $struct: delete it";
        }
    }
    push @found, map { "t/lint/run: field $_ needs no excuse" }
        grep { !$needed{$_} } sort keys %$excused;
    return @found;
}

# ---- the shape of the code ----

# Folders that include each other, directly or around several: each circle once.
sub circles {
    my ($text) = @_;
    my (%from, %dir, @found);
    $dir{ s{^core/}{}r } = dirname($_) for grep { /\.h$/ } keys %$text;
    for my $file (sort keys %$text) {
        while ($text->{$file} =~ /^[ \t]*#[ \t]*include[ \t]+"([^"]+)"/mg) {
            my $to = $dir{$1} // next;
            $from{ dirname($file) }{$to} //= "$file includes \"$1\"" if $to ne dirname($file);
        }
    }
    my (%done, %told);
    my $walk;
    $walk = sub {
        my ($at, @path) = @_;
        for my $to (sort keys %{ $from{$at} // {} }) {
            my ($i) = grep { $path[$_] eq $to } 0 .. $#path;
            if (defined $i) {
                my @circle = (@path[$i .. $#path], $to);
                next if $told{ join ' ', sort @circle[1 .. $#circle] }++;
                push @found, "folders in a circle: "
                    . join('; ', map { $from{ $circle[$_] }{ $circle[$_ + 1] } } 0 .. $#circle - 1);
            }
            elsif (!$done{$to}) { $walk->($to, @path, $to) }
        }
        $done{$at} = 1;
    };
    for my $at (sort keys %from) { $walk->($at, $at) if !$done{$at} }
    return @found;
}

# The named enums of a source: member => [all members of its enum].
sub enum_members {
    my %all;
    while ($_[0] =~ /\benum \w+ \{([^}]*)\}/g) {
        my @members = grep { !/COUNT$/ } $1 =~ /(?:^|,)\s*(\w+)/g;
        $all{$_} = [@members] for @members;
    }
    return %all;
}

# A switch names all members of its enum, or says at `default` what the others have in common.
# texts: the sources with their comments.
sub partial_switches {
    my ($texts, $sources) = @_;
    my %public = map { enum_members($sources->{$_}) } grep { /\.h$/ } keys %$sources;
    my @found;
    for my $file (grep { /\.c$/ } sort keys %$sources) {
        my $code = $sources->{$file};
        next if $code !~ /\bswitch\b/;
        my %members = (%public, enum_members($code));
        my @line = split /\n/, $texts->{$file};
        while ($code =~ /^([ ]*)switch \(.*?\) \{\n(.*?)^\1\}/msg) {
            my ($body, $from, $to) = ($2, line_at($code, $-[0]), line_at($code, $-[2]));
            my @cases = $body =~ /\bcase (\w+):/g;
            my ($all) = grep { $_ } map { $members{$_} } @cases or next;
            my %has = map { $_ => 1 } @cases;
            my @missing = grep { !$has{$_} } @$all or next;
            my $default = $body =~ /\A(.*?)\bdefault:/s ? $to + ($1 =~ tr/\n//) : 0;
            next if $default > 0 && ($line[$default - 1] . $line[$default]) =~ m{/\*|//};
            splice @missing, 3, @missing, '...' if @missing > 3;
            push @found, "$file:$from: the switch has no case for @missing"
                . ($default > 0 ? ', and its default does not say why' : '');
        }
    }
    return @found;
}

# The functions of a file: [name, line, lines, static].
sub functions {
    my ($code) = @_;
    my @found;
    while ($code =~ /^(static )?(?:\w+[ *]+)+?\*?(\w+)\([^{};]*\)[^{};()]*\n\{\n(.*?)^\}/msg) {
        my ($static, $name, $from, $lines) = (defined $1, $2, line_at($code, $-[0]), $& =~ tr/\n//);
        push @found, [$name, $from, $lines + 1, $static];
    }
    return @found;
}

sub long_functions {
    my ($sources, $excused) = @_;
    my (@found, %needed);
    for my $file (sort keys %$sources) {
        for (functions($sources->{$file})) {
            my ($name, $line, $lines) = @$_;
            next if $lines <= 80;
            if (exists $excused->{$name}) { $needed{$name}++; next }
            push @found, "$file:$line: $name has $lines lines, 80 are enough";
        }
    }
    push @found, map { "t/lint/run: function $_ needs no excuse" }
        grep { !$needed{$_} } sort keys %$excused;
    return @found;
}

# Static functions of one word that are called by this name, not through a table.
sub one_word_statics {
    my ($sources) = @_;
    my @found;
    for my $file (sort keys %$sources) {
        my $code = $sources->{$file};
        for (functions($code)) {
            my ($name, $line, undef, $static) = @$_;
            next if !$static || $name =~ /_/ || $code =~ /[(,={]\s*&?$name\s*[,;)}]/;
            push @found, "$file:$line: static $name has one word";
        }
    }
    return @found;
}

# ---- the rules themselves ----

# Each check finds what is wrong in these sources, and nothing else.
sub self_test {
    my %code = ('a/a.h' => <<'H', 'a/a.c' => <<'A', 'b/b.c' => <<'B');
#include "b/b.h"
enum wr_way { WR_UP, WR_DOWN, WR_WAY_COUNT };
struct wr_a {
    int used, unread, unwritten;
    struct wr_a *next;
    enum wr_way way;
};
int wr_used(struct wr_a *a);
int wr_own(void);
void wr_dead(void);
#define WR_LONE 1
extern int wr_table[2], wr_lost;
H
#include "a/a.h"
int wr_table[2] = { 1, 2 };
int wr_lost;
int wr_used(struct wr_a *a)
{
    a->used = a->unread = 1;
    *a->next = a->used;
    (*at)->next = NULL;
    a->way = WR_DOWN;
    return a->unwritten + wr_own();
}
int wr_own(void)
{
    return 1;
}
void wr_dead(void)
{
}
A
#include "a/a.h"
static int name(struct wr_a *a)
{
    switch (a->way) {
    case WR_UP:
        return wr_table[0];
    default:
        return 0;
    }
}
int wr_b(struct wr_a *a)
{
    switch (a->way) {
    case WR_UP:
        return name(a);
    default: /* down */
        return wr_used(a);
    }
}
B
    $code{'b/b.h'} = qq{#include "a/a.h"\nint wr_b(struct wr_a *a);\n};
    my %is = (
        'symbols' => [map { s/.*: (wr_\w+|WR_\w+) is.*/$1/r }
            dead_symbols({ %code, 'c/c.c' => 'wr_b(WR_WAY_COUNT)' }, {})],
        'fields' => [map { s/.*nobody (\w+ \w+) .*/$1/r } dead_fields(\%code, {})],
        'circles' => [map { tr/;/;/ } circles(\%code)],
        'switches' => [map { s/:.*//r } partial_switches(\%code, \%code)],
        'one word' => [map { s/.*static (\w+) .*/$1/r } one_word_statics(\%code)],
    );
    my %wanted = ('symbols' => 'WR_LONE wr_dead wr_lost wr_own', 'circles' => '1',
        'fields' => 'reads unread writes unwritten', 'switches' => 'b/b.c', 'one word' => 'name');
    return map { "t/lint/Code.pm: $_: found @{ $is{$_} }, not $wanted{$_}" }
        grep { "@{ $is{$_} }" ne $wanted{$_} } sort keys %wanted;
}

1;
