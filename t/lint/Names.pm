package Names;

# Names in comments and documents: a file, a function or a type that they mention exists.
use strict;
use warnings;
use File::Basename qw(basename);

# Names of others that look like ours: of protocols, of the kernel, of libraries and of nginx; and
# names that stand for any.
my %outside = map { $_ => 1 } qw(
    fetch_add find_session inet_aton max_connect_errors max_user_watches no_new_privs proxy_cache_rfc9111 sd_notify seq_cst
    ssl_0x21 stream_geo stream_limit_conn supported_versions wr_module_x wr_module_y);
# Code that is to come, which a document announces in so many words.
my %planned = map { $_ => 1 } qw(
    wr_certificate_source wr_check_ops wr_fetch wr_proxy_hook);
# Made by configure, not in the tree; names that stand for any.
my %generated = map { $_ => 1 } qw(
    objs/modules.c objs/wr_auto.h objs/wr_configured.h modules.c wr_auto.h wr_configured.h);

# The text for readers: comments of C and of scripts, documents whole. Lines keep their numbers.
sub prose {
    my ($file, $text) = @_;
    if ($file =~ /\.[ch]$/) {
        $text =~ s{(/\*.*?\*/)|(//[^\n]*)|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)+'|[^\n"'/]+|.}
                  {defined $1 ? $1 : defined $2 ? $2 : ($& =~ tr/\n//cdr)}gse;
        return $text;
    }
    return $text if $file =~ /\.(?:md|8)$/;
    $text =~ s/^(?!\s*#).*$//mg;
    return $text;
}

# texts: { file => text } of the tree; code: { file => code } of its C without comments.
sub missing {
    my ($texts, $code) = @_;
    my (%path, %word, @found);
    for my $file (keys %$texts, keys %generated) {
        my $tail = $file;
        do { $path{$tail} = 1 } while $tail =~ s{^[^/]+/}{};
        $word{ basename($file) =~ s/\.\w+$//r } = 1;
        next if $file =~ /\.md$/ || !defined $texts->{$file};
        my $text = $texts->{$file};
        if ($file =~ /\.[ch]$/) { # strings name directives and variables
            $text =~ s{(/\*.*?\*/)|(//[^\n]*)|("(?:[^"\\\n]|\\.)*")}{$3 // ' '}gse;
        }
        $word{$_} = 1 for $text =~ /\w+/g;
    }
    my %symbol = map { map { $_ => 1 } $_ =~ /\b(?:wr|WR)_\w+/g } values %$code,
        map { $texts->{$_} } grep { m{^(?:auto/|configure$|Makefile$)|\.(?:pm|t)$|^t/run} } keys %$texts;
    for my $file (sort keys %$texts) {
        next if $file !~ m{\.(?:[chtm]|md|pm|8)$|^(?:auto/|configure$|Makefile$|t/)};
        next if $file =~ m{^t/conform/|^CHANGES}; # of nginx; of the past
        my ($ours, $n) = ($file =~ m{\.[ch]$|^docs/|^(?:HACKING|CONTRIBUTING)\.md$}, 0);
        for my $line (split /\n/, prose($file, $texts->{$file})) {
            $n++;
            while ($line =~ m{(?<![\w./\$<@-])((?:[\w-]+/)*([\w-]{2,})\.(?:c|h|md|t))\b(?![\w/(])}g) {
                push @found, "$file:$n: there is no file $1"
                    if !$path{$1} && $2 !~ /^[A-Z]+(?:_|$)/; # NAME.c, NNN_x.t
            }
            while ($line =~ /\b((?:wr|WR)_\w+)(\*)?/g) {
                my ($name, $star) = ($1, $2);
                next if $symbol{$name} || $outside{$name} || $name =~ /^wr_[A-Z]/
                    || $planned{$name} && $file =~ m{^docs/};
                next if ($star || $name =~ /_$/) && grep { index($_, $name) == 0 } keys %symbol;
                push @found, "$file:$n: there is no $name";
            }
            next if !$ours;
            while ($line =~ m{(?<![\w.\$"/-])([a-z][a-z0-9]*_[a-z0-9_]*[a-z0-9])\b(?![./-]\w)}g) {
                push @found, "$file:$n: $1 is the name of nothing"
                    if !$word{$1} && !$outside{$1} && $1 !~ /^wr_/;
            }
        }
    }
    return @found;
}

# The rule itself.
sub self_test {
    my %text = (
        'core/a/old_name.c' => "/* old_name: see wr_go and new_name.c, wr_gone, lost_name, b/b.h. */\n"
            . "int wr_go(void);\n",
        'core/b/b.h' => "/* core/b/cc.h, `wr_g*`; (\"any_name\") */\n",
        'docs/x.md' => "`wr_nowhere` of core/a/old_name.c and NNN_x.t\n",
    );
    my @found = map { s/.* //r } missing(\%text, { 'core/a/old_name.c' => 'int wr_go(void);' });
    my @wanted = qw(new_name.c wr_gone nothing core/b/cc.h wr_nowhere);
    return "@found" eq "@wanted" ? () : "t/lint/Names.pm: found @found, not @wanted";
}

1;
