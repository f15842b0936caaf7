#!/usr/bin/perl

# README.md is true: its table of nginx's modules follows from the directives of this build and from
# nginx's list in core/config/words.c; its first configuration passes -t here and, if nginx is
# installed, there; the files and commands that README.md and docs/ name exist.
#
#     perl -It/lib t/009_readme.t table          prints the table that README should have

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $top = Weir::top();
my $w = Weir->new;

# ---- the table

# Names of this build by layer. A directive that is allowed only in upstream {} or server {} counts
# for both.
sub our_names {
    my %have;
    my ($code, $out) = $w->bare('--help', 'all');
    for my $row (split /\n/, $out) {
        my ($name, $where) = split /\t/, $row;
        my $both = $where !~ /\b(?:stream|http|location)\b/;
        $have{core}{$name} = 1;
        $have{http}{$name} = 1 if $both || $where =~ /\b(?:http|location)\b/;
        $have{stream}{$name} = 1 if $both || $where =~ /\bstream\b/;
    }
    return \%have;
}

# Modules of nginx, each with its names; those of the commercial version are left out.
sub nginx_names {
    my ($text) = slurp("$top/core/config/words.c") =~ /\bwr_nginx_directives(\[\] = .*?^\};)/ms;
    my (%module, %own);
    while ($text =~ /\b(W|COMMERCIAL)\((\w+), (?:[A-Z]+ )?"?[^"()]*"?, (\w+)\)/g) {
        $own{$3}{$1} = 1;
        push @{ $module{$3} }, $2 if $1 eq 'W';
    }
    while ($text =~ /\bSEVERAL\((\w+),[^()]*?"(ngx_[^"]*)",\s+false\)/g) {
        my $name = $1;
        push @{ $module{$_} }, $name for map { s/^ngx_|_module$//gr } split /, /, $2;
    }
    delete @module{ grep { $own{$_}{COMMERCIAL} && !$own{$_}{W} } keys %own };
    return \%module;
}

# Shortens missing names that begin alike to "proxy_cache*", if no name of this build begins so.
sub in_short {
    my ($missing, $have) = @_;
    my (%group, @short);
    push @{ $group{ s/^([a-z0-9]+_[a-z0-9]+).*/$1/r } }, $_ for sort @$missing;
    for my $start (sort keys %group) {
        my @all = @{ $group{$start} };
        my $alone = @all > 2 && !grep { /^\Q$start/ } @$have;
        push @short, $alone ? "`$start*`" : map { "`$_`" } @all;
    }
    return join ', ', @short;
}

sub table {
    my ($ours, $nginx) = (our_names(), nginx_names());
    my ($rows, @none) = ('');
    for my $module (sort keys %$nginx) {
        my ($layer) = $module =~ /^(core|http|stream)/ or push(@none, $module), next;
        my @names = @{ $nginx->{$module} };
        my @have = grep { $ours->{$layer}{$_} } @names;
        my @missing = grep { !$ours->{$layer}{$_} } @names;
        if (4 * @have < @names) { push @none, $module }
        elsif (!@missing) { $rows .= "| $module | all |\n" }
        else { $rows .= "| $module | all but " . in_short(\@missing, \@have) . " |\n" }
    }
    return "$rows| @{[join ', ', @none]} | not in this build |\n";
}

if ("@ARGV" eq 'table') {
    print table();
    exit;
}
my $readme = slurp("$top/README.md");

SKIP: {
    skip 'not a build of everything', 1 if ($w->bare('-V'))[2] =~ /^configure arguments: .*--with/m;
    my ($told) = $readme =~ /^\| module of nginx \|.*\n\|[-|]+\|\n((?:\|.*\n)+)/m;
    is $told, table(), 'the table of modules'
        or diag 'print it with: perl -It/lib t/009_readme.t table';
}

# ---- the first configuration, unchanged except for its port

my ($first) = $readme =~ /^((?:    .*\n)*?    events \{.*\n(?:    .*\n)+)/m;
like $first, qr/^    events \{\}\n    stream \{\n/, 'there is a configuration for both programs';
my $port = $w->port('first');
$w->conf($first =~ s/listen \d+/listen $port/r);
my ($code, $out, $err) = $w->command('-t');
is $code, 0, 'weir takes it' or diag $err;
unlike $err, qr/\[warn\]/, 'without a warning';

SKIP: {
    my $nginx = Weir::program('nginx') // (-x '/usr/sbin/nginx' ? '/usr/sbin/nginx' : undef);
    skip 'no nginx', 1 if !$nginx;
    my ($module) = glob '/usr/lib/nginx/modules/ngx_stream_module.so';
    my $load = $module ? "load_module $module; " : '';
    my $dir = $w->dir;
    my $globals = "${load}pid $dir/nginx.pid;";
    my $said = qx($nginx -t -p '$dir' -e stderr -c '$dir/weir.conf' -g '$globals' 2>&1);
    is $?, 0, 'so does nginx' or diag $said;
}

# ---- files and commands that are named

for my $doc ('README.md', 'HACKING.md', 'SECURITY.md', glob "$top/docs/*.md") {
    my $text = slurp($doc =~ m{^/} ? $doc : "$top/$doc");
    my @paths = $text =~ m{`((?:core|modules|conf|auto|docs|html|t)/[\w./-]+)`}g;
    push @paths, $text =~ /\]\(([\w.\/-]+)\)/g;
    my ($folder) = $doc =~ m{^(.*)/};
    my @lost = grep { !-e "$top/$_" && !-e(($folder // $top) . "/$_") } @paths;
    is "@lost", '', "$doc names files that are there";
    my @words = $text =~ /\bweir (?:-s|--help) ([a-z_]+)/g;
    my @wrong = grep { !/^(?:stop|quit|reload|reopen|trace|all)$/ && ($w->bare('--help', $_))[0] }
        @words;
    is "@wrong", '', 'and commands that exist';
}

# ---- the programs of t/bench explain themselves

SKIP: {
    skip 'no python3', 6 if !Weir::program('python3');
    for my $program ('run', 'hops', 'train') {
        my $help = qx('$top/t/bench/$program' --help 2>&1);
        like $help, qr/\A(?:bench|hops|train WEIR): \w/, "t/bench/$program --help";
    }
    for my $program ('bench', 'hops', 'train') {    # run would build something first
        my $said = qx('$top/t/bench/$program' --no-such-option 2>&1);
        unlike $said, qr/Traceback/, "t/bench/$program with a wrong option";
    }
}
$w->finish;
done_testing;
