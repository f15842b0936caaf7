#!/usr/bin/perl

# The directives about files and added fields: values that nginx refuses are refused in its words,
# and directives that have no effect in weir are accepted as nginx's configurations have them.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;

$w->expect(qr{\[emerg\] .* in \S+weir.conf:1});

# The exit code and standard error of -t, for these directives in a server.
sub check {
    my ($text) = @_;
    $w->conf("http { server { listen %{web}; $text } }\n");
    my ($code, undef, $err) = $w->command('-t');
    return ($code, $err);
}

my @wrong = (
    ['expires;',                      'invalid number of arguments in "expires" directive'],
    ['expires 5x;',                   '"expires" directive invalid value'],
    ['expires "";',                   '"expires" directive invalid value'],
    ['expires foo 1h;',               '"expires" directive invalid value'],
    ['expires modified;',             '"expires" directive invalid value'],
    ['expires modified max;',         '"expires" directive invalid value'],
    ['expires @25h;',                 'daily time value must be less than 24 hours'],
    ['expires modified @1h;',         'daily time cannot be used with "modified" parameter'],
    ['expires 1h; expires 2h;',       '"expires" directive is duplicate'],
    ['expires $no_such;',             'unknown "no_such" variable'],
    ['add_header X;',                 'invalid number of arguments in "add_header" directive'],
    ['add_header X y never;',         'invalid parameter "never"'],
    ['add_trailer X y never;',        'invalid parameter "never"'],
    ['add_header X $no_such;',        'unknown "no_such" variable'],
    ['add_header_inherit perhaps;',   'invalid value "perhaps"'],
    ['index;',                        'invalid number of arguments in "index" directive'],
    ['index "";',                     'index "" in "index" directive is invalid'],
    ['disable_symlinks perhaps;',     'invalid parameter "perhaps"'],
    ['disable_symlinks on off;',      'duplicate parameters "on off"'],
    ['disable_symlinks from=/x;',     'must have "off", "on" or "if_not_owner" parameter'],
    ['disable_symlinks off from=/x;', '"from=" cannot be used with "off" parameter'],
    ['open_file_cache 5;',            'invalid "open_file_cache" parameter "5"'],
    ['open_file_cache max=0;',        'invalid "open_file_cache" parameter "max=0"'],
    ['open_file_cache inactive=5s;',  '"open_file_cache" must have the "max" parameter'],
    ['aio perhaps;',                  '"aio" directive invalid value'],
    ['aio threads=no;',               'unknown thread pool "no"'],
    ['directio perhaps;',             '"directio" directive invalid value'],
    ['directio_alignment 3;',         '"directio_alignment" must be a power of 2'],
    ['open_file_cache max=1 inactive=x;', 'invalid "open_file_cache" parameter "inactive=x"'],
    ['open_file_cache_valid x;',      '"open_file_cache_valid" directive invalid value'],
    ['read_ahead x;',                 '"read_ahead" directive invalid value'],
);
for my $try (@wrong) {
    my ($text, $reason) = @$try;
    my ($code, $err) = check($text);
    ok $code eq 1 && $err =~ /\[emerg\] .*\Q$reason\E.* in \S+:\d/, $text or diag "$code: $err";
}

my ($code, $err);
for my $try (
    ['thread_pool a;', 'invalid number of arguments in "thread_pool" directive'],
    ['thread_pool a max_queue=5;', '"thread_pool" must have "threads" parameter'],
    ['thread_pool a threads=0;', 'invalid threads value "threads=0"'],
    ['thread_pool a threads=1 max_queue=x;', 'invalid max_queue value "max_queue=x"'],
    ['thread_pool a threads=1 queue=1;', 'invalid parameter "queue=1"'],
    ['thread_pool a threads=1; thread_pool a threads=2;', 'duplicate thread pool "a"'],
    ['thread_pool default threads=2; thread_pool b threads=2 max_queue=0;', undef],
) {
    my ($text, $reason) = @$try;
    $w->conf("$text\n");
    ($code, undef, $err) = $w->command('-t');
    ok defined $reason ? $code eq 1 && $err =~ /\[emerg\] .*\Q$reason\E.* in \S+:\d/ : $code eq 0,
        $text or diag "$code: $err";
}

($code, $err) = check('index a /b c;');
is $code, 0, 'an absolute index in front is taken';
like $err, qr/\[warn\] only the last index in "index" directive should be absolute/, 'with a warning';

for my $text (
    'open_file_cache max=1000 inactive=20s; open_file_cache_valid 30s; open_file_cache_min_uses 2;
        open_file_cache_errors on;',
    'open_file_cache off;',
    'aio threads; aio_write on;',
    'aio threads=default;',
    'aio threads=$host;',
    'aio on; output_buffers 1 128k;',
    'aio off;',
    'directio 4m; directio_alignment 4k; read_ahead 128k;',
    'directio off;',
    'expires +5; add_header X ""; add_header X y always; add_trailer X y always;',
    'add_header_inherit merge; add_trailer_inherit merge;',
    'index a b; index $host /c;',
    'disable_symlinks from=$document_root on;',
) {
    ($code, $err) = check($text);
    is $code, 0, $text or diag $err;
    unlike $err, qr/\[warn\]/, '  without a warning';
}

$w->has_ended;
$w->finish;
done_testing;
