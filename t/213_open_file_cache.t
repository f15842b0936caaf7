#!/usr/bin/perl
# chaos: yes
# threads: yes

# open_file_cache: what a worker remembers of paths, for how long, and when a descriptor stays open.
# Each location has a cache of its own over the same folder.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;

my $w = Weir->new;

mkdir $w->path("html$_") for '', qw(/dir /idx /link);
chmod 0755, $w->path('html');

# Under a new name first, then put in place: another file, as when a site is deployed.
sub put {
    my ($name, $text) = @_;
    $w->write("html/$name.new", $text);
    rename $w->path("html/$name.new"), $w->path("html/$name") or die "$name: $!";
}

put($_, "first $_") for map { "$_.txt" } qw(kept gone short twice inactive other a b c try);
put('idx/b.html', 'second in the list');
put('link/real.txt', 'linked');
symlink 'real.txt', $w->path('html/link/soft.txt');

# debug_points: its user may look at the worker's files.
$w->start(<<'CONF');
worker_processes 1;
debug_points abort;
http {
    access_log off;
    open_file_cache_valid 1h;
    server {
        listen %{web};
        root %{dir}/html;
        log_not_found off;
        location /plain/ { alias %{dir}/html/; }
        location /kept/ { open_file_cache max=10; alias %{dir}/html/; }
        location /short/ {
            open_file_cache max=10;
            open_file_cache_valid 1s;
            alias %{dir}/html/;
        }
        location /errors/ {
            open_file_cache max=10;
            open_file_cache_errors on;
            alias %{dir}/html/;
            location /errors/idx/ { index a.html b.html; alias %{dir}/html/idx/; }
            location /errors/off/ { open_file_cache off; alias %{dir}/html/; }
        }
        location /brief/ {
            open_file_cache max=10;
            open_file_cache_errors on;
            open_file_cache_valid 1s;
            alias %{dir}/html/;
        }
        location /twice/ {
            open_file_cache max=10;
            open_file_cache_min_uses 3;
            alias %{dir}/html/;
        }
        location /few/ { open_file_cache max=2; alias %{dir}/html/; }
        location /inactive/ { open_file_cache max=10 inactive=1s; alias %{dir}/html/; }
        location /try {
            open_file_cache max=10;
            open_file_cache_errors on;
            try_files $uri.txt /kept/other.txt;
        }
        location /links/ {
            open_file_cache max=10;
            alias %{dir}/html/link/;
            location /links/free/ { alias %{dir}/html/link/; }
            location /links/off/ { disable_symlinks on; alias %{dir}/html/link/; }
        }
    }
}
CONF

sub ask { return Weir::Http::ask($w, 'web', "GET $_[0]") }

sub body { my $r = ask(@_); return $r->{status} == 200 ? $r->{body} : $r->{status} }

# The files of the folder that the worker has open, by name.
sub kept_open {
    my ($pid) = $w->workers;
    my $dir = $w->path('html');
    return join ' ', sort map { (readlink // '') =~ m{^\Q$dir\E/(\S+)} ? $1 : () }
        glob "/proc/$pid/fd/*";
}

# ---- files

is body('/kept/kept.txt'), 'first kept.txt', 'a file';
is kept_open(), 'kept.txt', 'it stays open';
put('kept.txt', 'second');
is body('/plain/kept.txt'), 'second', 'another one takes its place';
is body('/kept/kept.txt'), 'first kept.txt', 'which is not seen before open_file_cache_valid ends';
is ask('/kept/kept.txt')->field('Content-Length'), 14, 'its size is the old one, too';

is body('/kept/gone.txt'), 'first gone.txt', 'a file';
unlink $w->path('html/gone.txt');
is body('/plain/gone.txt'), 404, 'that goes away';
is body('/kept/gone.txt'), 'first gone.txt', 'is served until open_file_cache_valid ends';

is body('/short/short.txt'), 'first short.txt', 'a file';
put('short.txt', 'second');
becomes { body('/short/short.txt') eq 'second' } 'when the time is over it is looked up again';
unlink $w->path('html/short.txt');
becomes { body('/short/short.txt') eq 404 } 'and found to be gone';
put('short.txt', 'third');
is body('/short/short.txt'), 'third', 'what was not found is not remembered';
open my $more, '>>', $w->path('html/short.txt');
print $more ' and more';
close $more;
becomes { body('/short/short.txt') eq 'third and more' } 'a file that grew is the same file';

# ---- errors

is body('/kept/none.txt'), 404, 'a file that is missing: open_file_cache_errors off';
is body('/errors/none.txt'), 404, 'a file that is missing: open_file_cache_errors on';
is body('/brief/none.txt'), 404, 'a file that is missing: errors are valid for a short time';
put('none.txt', 'there');
is body('/kept/none.txt'), 'there', 'off: the error is not kept';
is body('/errors/none.txt'), 404, 'on: the error is kept';
is body('/errors/off/none.txt'), 'there', 'not where the cache is off';
becomes { body('/brief/none.txt') eq 'there' } 'an error is dropped after open_file_cache_valid';
is ask('/kept/dir')->{status}, 301, 'a folder';
is ask('/kept/dir')->{status}, 301, 'a folder, remembered';

# ---- other users of the cache

is body('/errors/idx/'), 'second in the list', 'index';
put('idx/a.html', 'first in the list');
is body('/errors/idx/'), 'second in the list', 'index: a missing file stays missing';
is body('/try'), 'first try.txt', 'try_files';
is body('/try-not'), 'first other.txt', 'try_files: the first file is missing';
put('try-not.txt', 'now');
is body('/try-not'), 'first other.txt', 'and stays missing';

# ---- how many, how often, how long

is body('/twice/twice.txt'), 'first twice.txt', "use $_" for 1, 2;
put('twice.txt', 'second');
is body('/twice/twice.txt'), 'second', 'below open_file_cache_min_uses files are opened each time';
put('twice.txt', 'third');
is body('/twice/twice.txt'), 'second', 'from then on they stay open';

is body("/few/$_.txt"), "first $_.txt", "$_ of two" for qw(a b c);
put("$_.txt", 'second') for qw(a b c);
is body('/few/c.txt'), 'first c.txt', 'the last one is kept';
is body('/few/b.txt'), 'first b.txt', 'and the one before';
is body('/few/a.txt'), 'second', 'the least recently used one was dropped';

is body('/inactive/inactive.txt'), 'first inactive.txt', 'a file';
like kept_open(), qr/inactive/, 'it stays open';
becomes { body('/inactive/other.txt'); kept_open() !~ /inactive/ }
    'until it is inactive for too long';

# ---- links

is body('/links/free/soft.txt'), 'linked', 'a link';
is body('/links/off/soft.txt'), 403, 'is not let in through the cache where links are disabled';
is body('/links/off/real.txt'), 'linked', 'a file is';
unlink $w->path('html/link/real.txt');
symlink '/etc/passwd', $w->path('html/link/real.txt');
is body('/links/off/real.txt'), 'linked',
    'the file that was opened is still served when a link takes its place';

$w->finish;
done_testing;
