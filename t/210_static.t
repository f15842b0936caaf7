#!/usr/bin/perl
# chaos: yes

# Static files: those that exist and those that do not, folders and their index, ranges, conditions,
# and the fields and trailers that the configuration adds to replies.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA qw(sha256_hex);
use POSIX qw(mkfifo strftime setlocale LC_ALL);
use Test::More;
use Time::HiRes qw(time);
use Weir;
use Weir::Bulk qw(digest_of);
use Weir::Http;

setlocale(LC_ALL, 'C');
my $w = Weir->new;
my $TEXT = '0123456789abcdefghij';
my $THEN = 1_700_000_000;
my $LARGE = chaos() ? 300_001 : 3_000_001;
my $large = join '', map { sprintf '%07d ', $_ } 0 .. $LARGE / 8 + 1;
$large = substr $large, 0, $LARGE;

sub date { return strftime('%a, %d %b %Y %H:%M:%S GMT', gmtime $_[0]) }

sub file {
    my ($name, $text) = @_;
    open my $fh, '>', $w->path("html/$name") or die "$name: $!";
    print $fh $text;
    close $fh;
    utime $THEN, $THEN, $w->path("html/$name");
}

mkdir $w->path("html$_") for '', '/dir', '/empty', '/with index', '/closed', '/folderindex',
    '/folderindex/index.html', '/second', '/links', '/links/real';
file('a.txt', $TEXT);
file('empty.txt', '');
file('page.html', '<p>');
file('noext', 'n');
file('with index/index.html', 'the index');
file('dir/index.html', 'of dir');
file('second/index.txt', 'the second');
file('second/test.idx', 'by variable');
file('large.txt', $large);
file('secret.txt', 'x');
file('links/real/a.txt', 'linked');
symlink 'real', $w->path('html/links/dir');
symlink 'real/a.txt', $w->path('html/links/a.txt');
symlink '/etc/passwd', $w->path('html/links/foreign');
mkfifo $w->path('html/fifo'), 0644;
chmod 0, $w->path('html/closed');
chmod 0, $w->path('html/secret.txt');
chmod 0755, $w->path('html');

$w->start(<<'CONF');
http {
    access_log off;
    default_type application/octet-stream;
    types { text/html html; text/plain txt; }
    root %{dir}/html;
    server {
        listen %{web};
        location /quiet/ { log_not_found off; alias %{dir}/html/; }
        location /plain/ { etag off; alias %{dir}/html/; }
        location /ims-off/ { if_modified_since off; alias %{dir}/html/; }
        location /ims-before/ { if_modified_since before; alias %{dir}/html/; }
        location /none/ { max_ranges 0; alias %{dir}/html/; }
        location /one/ { max_ranges 1; alias %{dir}/html/; }
        location /limited/ { limit_rate $arg_rate; alias %{dir}/html/; }
        location /long-head { limit_rate 1k; add_header X-Long $arg_long; return 200 ok; }
        location /no-etag/ { add_header ETag ""; alias %{dir}/html/; }
        location /no-date/ { add_header Last-Modified ""; alias %{dir}/html/; }
        location /dated/ {
            add_header Last-Modified "Mon, 28 Sep 1970 06:00:00 GMT";
            alias %{dir}/html/;
        }
        location /second/ { index nothing.html $arg_i index.txt; }
        location /absolute/ { index nothing.html /a.txt; alias %{dir}/html/empty/; }
        location /cycle/ { index /cycle/; }
        location /links/ { disable_symlinks on; }
        location /own/ { disable_symlinks if_not_owner; alias %{dir}/html/links/; }
        location /from/ {
            disable_symlinks on from=$document_root;
            alias %{dir}/html/links/dir/;
        }
        location /proxied/ { proxy_pass http://%{web}/; }
    }
    server {
        listen %{fields};
        location / { add_header X-One 1; add_header X-Two $request_method; add_header X-None ""; }
        location /always { add_header X-A a always; add_header X-B b; alias %{dir}/html; }
        location ~ ^/bad { add_header X-Path "<$uri>"; alias %{dir}/html/a.txt; }
        location /cache { expires 1h; add_header Cache-Control public; alias %{dir}/html/a.txt; }
        location /expires {
            expires $arg_e;
            alias %{dir}/html/a.txt;
            location /expires/modified { expires modified $arg_e; alias %{dir}/html/a.txt; }
        }
        location /trailers {
            add_trailer X-End $status;
            add_trailer X-Always $uri always;
            add_trailer X-None "";
            alias %{dir}/html;
        }
        location /unchunked {
            chunked_transfer_encoding off;
            add_trailer X-End 1;
            alias %{dir}/html;
        }
    }
    server {
        listen %{inherit};
        add_header X-S server;
        location /above { alias %{dir}/html/a.txt; }
        location /own { add_header X-L own; alias %{dir}/html/a.txt; }
        location /merge { add_header_inherit merge; add_header X-L own; alias %{dir}/html/a.txt;
            location /merge/in { add_header X-I in; alias %{dir}/html/a.txt; }
            location /merge/on { add_header_inherit on; add_header X-I in;
                alias %{dir}/html/a.txt; }
        }
        location /off { add_header_inherit off; alias %{dir}/html/a.txt;
            location /off/in { alias %{dir}/html/a.txt; }
            location /off/own { add_header X-I in; alias %{dir}/html/a.txt;
                location /off/own/in { alias %{dir}/html/a.txt; } }
        }
    }
}
CONF

my $etag = sprintf '"%x-%x"', $THEN, length $TEXT;
my $date = date($THEN);

sub ask { return Weir::Http::ask($w, 'web', @_) }

# Status and body, with a note when the reply was not well-formed.
sub is_reply {
    my ($r, $status, $body, $name) = @_;
    my $got = "$r->{status} $r->{body}$r->{wrong}";
    return is $got, "$status $body", $name if defined $body;
    return is "$r->{status}$r->{wrong}", $status, $name;
}

# ---- files that exist

my $r = ask('GET /a.txt');
is_reply $r, 200, $TEXT, 'a file';
is $r->field($_->[0]), $_->[1], "its $_->[0]"
    for ['Content-Type', 'text/plain'], ['Content-Length', 20], ['Last-Modified', $date],
    ['ETag', $etag], ['Accept-Ranges', 'bytes'];
my $head = ask('HEAD /a.txt');
is $head->{head}, $r->{head}, 'HEAD gives the same head' if $head->field('Date') eq $r->field('Date');
is_reply $head, 200, '', 'and no body';
is ask('GET /plain/a.txt')->field('ETag'), undef, 'etag off';
is ask('GET /page.html')->field('Content-Type'), 'text/html', 'a type by extension';
is ask('GET /noext')->field('Content-Type'), 'application/octet-stream', 'the default type';
is_reply ask('GET /empty.txt'), 200, '', 'an empty file';
is sha256_hex(ask('GET /large.txt')->{body}), sha256_hex($large), 'a large file';
is_reply ask('GET /a.txt HTTP/1.0'), 200, $TEXT, 'for HTTP/1.0';

# ---- files that do not exist, methods that are not allowed

is_reply ask('GET /nothing'), 404, undef, 'nothing there';
is_reply ask('GET /a.txt/'), 404, undef, 'a file with a slash behind its name';
is_reply ask('GET /a.txt/b'), 404, undef, 'a path below a file';
is_reply ask('GET /' . 'n' x 300), 404, undef, 'too long a name';
is_reply ask('GET /fifo'), 404, undef, 'a pipe';
is_reply ask('GET /quiet/missing'), 404, undef, 'nothing there, quietly';
is_reply ask('POST /a.txt', body => 'abc'), 405, undef, 'POST to a file';
is_reply ask('POST /nothing', body => 'abc'), 404, undef, 'POST to nothing';
is_reply ask('PUT /nothing', body => 'abc'), 405, undef, 'PUT';
is_reply ask('DELETE /a.txt'), 405, undef, 'DELETE';
SKIP: {
    skip 'root may read everything', 2 if is_root() && !getpwnam('nobody');
    is_reply ask('GET /secret.txt'), 403, undef, 'a file nobody may read';
    is_reply ask('GET /closed/a'), 403, undef, 'a closed folder';
}

# ---- folders

$r = ask('GET /dir');
is_reply $r, 301, undef, 'a folder without its slash';
is $r->field('Location'), 'http://test:' . $w->port('web') . '/dir/', 'is redirected to it';
is ask('GET /dir?a=%20b')->field('Location'), 'http://test:' . $w->port('web') . '/dir/?a=%20b',
    'with its arguments';
is ask('GET /with%20index')->field('Location'), 'http://test:' . $w->port('web') . '/with%20index/',
    'and escaped';
is_reply ask('GET /with%20index/'), 200, 'the index', 'index.html';
is_reply ask('GET /with%20index/?x'), 200, 'the index', 'with arguments';
is_reply ask('GET /second/'), 200, 'the second', 'the first of index that is there';
is_reply ask('GET /second/?i=test.idx'), 200, 'by variable', 'by a variable';
is_reply ask('GET /absolute/'), 200, $TEXT, 'an absolute one';
is_reply ask('GET /cycle/'), 500, undef, 'an index that leads to itself';
is_reply ask('GET /folderindex/'), 301, undef, 'an index that is a folder';
is_reply ask('GET /empty/'), 403, undef, 'a folder without index';
is_reply ask('GET /missing/'), 404, undef, 'a folder that is not there';
is_reply ask('POST /dir/', body => 'x'), 405, undef, 'POST to an index';
is_reply ask('PUT /dir/', body => 'x'), 405, undef, 'PUT to an index';

# ---- the log

my $html = $w->path('html');
for my $line (
    qr/\[error\] .* open\(\) "\Q$html\E\/nothing" failed \(2: No such file or directory\)/,
    qr/\[error\] .* open\(\) "\Q$html\E\/a\.txt\/b" failed \(20: Not a directory\)/,
    qr/\[error\] .* "\Q$html\E\/a\.txt\/index\.html" is not found \(20: Not a directory\)/,
    qr/\[error\] .* "\Q$html\E\/missing\/index\.html" is not found \(2: No such file or directory\)/,
    qr/\[error\] .* directory index of "\Q$html\E\/empty\/" is forbidden/,
    qr/\[crit\] .* "\Q$html\E\/fifo" is not a regular file/,
    qr/rewrite or internal redirection cycle/,
) {
    like $w->error_log, $line, "the log says it: $line";
}
unlike $w->error_log, qr/html\/missing" failed/, 'log_not_found off';

# ---- ranges: field, status, Content-Range, body

for my $try (
    ['bytes=0-4', 206, '0-4', '01234'],
    ['bytes=5-', 206, '5-19', '56789abcdefghij'],
    ['bytes=-5', 206, '15-19', 'fghij'],
    ['bytes=-99', 206, '0-19', $TEXT],
    ['bytes=18-99', 206, '18-19', 'ij'],
    ['bytes=0-0,30-', 206, '0-0', '0'],
    ['bytes=0-10,5-16', 200, undef, $TEXT],
    ['things=0-4', 200, undef, $TEXT],
    ['bytes=20-', 416, '*', undef],
    ['bytes=-0', 416, '*', undef],
    ['bytes=x', 416, '*', undef],
    ['bytes=0-1,', 416, '*', undef],
) {
    my ($field, $status, $range, $body) = @$try;
    $r = ask('GET /a.txt', Range => $field);
    is_reply $r, $status, $body, $field;
    is $r->field('Content-Range'), defined $range ? "bytes $range/20" : undef, '  its range';
    is $r->field('Accept-Ranges'), $status == 200 ? 'bytes' : undef, '  and Accept-Ranges';
}
is_reply ask('HEAD /a.txt', Range => 'bytes=0-4'), 206, '', 'HEAD with a range';
is_reply ask('GET /a.txt HTTP/1.0', Range => 'bytes=0-4'), 206, '01234', 'a range in HTTP/1.0';
is_reply ask('GET /empty.txt', Range => 'bytes=0-'), 200, '', 'a range of an empty file';

# The parts of a multipart reply: [range, text] each.
sub parts {
    my ($reply) = @_;
    my ($boundary) = ($reply->field('Content-Type') // '')
        =~ m{^multipart/byteranges; boundary=(\S+)$} or return 'no multipart';
    return 'no end' if $reply->{body} !~ s/\r\n--$boundary--\r\n\z//;
    return join ' ', map {
        m{\AContent-Type: text/plain\r\nContent-Range: bytes (\S+)/\d+\r\n\r\n(.*)\z}s
            ? "$1=$2" : "bad part: $_"
    } grep { $_ ne '' } split /\r\n--$boundary\r\n/, $reply->{body};
}

for my $try (
    ['bytes=0-1,5-6', '0-1=01 5-6=56'],
    ['bytes=5-6,0-1', '5-6=56 0-1=01'],
    ['bytes=0-4,2-6,1-1', '0-4=01234 2-6=23456 1-1=1'],
    ['bytes=-1,0-0,99-', '19-19=j 0-0=0'],
) {
    $r = ask('GET /a.txt', Range => $try->[0]);
    is_reply $r, 206, undef, $try->[0];
    is parts($r), $try->[1], '  its parts';
    is $r->field('Content-Range'), undef, '  no range of the whole';
}
is_reply ask('GET /none/a.txt', Range => 'bytes=0-1'), 200, $TEXT, 'max_ranges 0';
is ask('GET /none/a.txt')->field('Accept-Ranges'), undef, 'max_ranges 0: no Accept-Ranges';
is_reply ask('GET /one/a.txt', Range => 'bytes=0-1'), 206, '01', 'max_ranges 1';
is_reply ask('GET /one/a.txt', Range => 'bytes=0-1,3-4'), 200, $TEXT,
    'max_ranges 1: two ranges get the whole file';
my ($from, $to) = (100_003, $LARGE - 7);
is sha256_hex(ask('GET /large.txt', Range => "bytes=$from-$to")->{body}),
    sha256_hex(substr $large, $from, $to - $from + 1), 'most of a large file';
$r = parts(ask('GET /large.txt', Range => "bytes=200000-299999,0-99999"));
is sha256_hex($r), sha256_hex('200000-299999=' . substr($large, 200_000, 100_000) . ' 0-99999='
    . substr($large, 0, 100_000)), 'two large parts';

# ---- ranges of replies that stream

is_reply ask('GET /proxied/a.txt', Range => 'bytes=3-5'), 206, '345', 'a range of a proxied reply';
is parts(ask('GET /proxied/a.txt', Range => 'bytes=3-5,7-8')), '3-5=345 7-8=78', 'two ranges of it';
is sha256_hex(ask('GET /proxied/large.txt', Range => "bytes=$from-$to")->{body}),
    sha256_hex(substr $large, $from, $to - $from + 1), 'most of a large one';

# ---- If-Range

for my $try ([$etag, 206], [$date, 206], ["W/$etag", 200], ['"x"', 200], [date($THEN + 1), 200],
    ['nonsense', 200]) {
    is_reply ask('GET /a.txt', Range => 'bytes=0-4', 'If-Range' => $try->[0]), $try->[1], undef,
        "If-Range: $try->[0]";
}
is_reply ask('GET /no-date/a.txt', Range => 'bytes=0-4', 'If-Range' => $date), 200, $TEXT,
    'If-Range without a date';
is_reply ask('GET /no-etag/a.txt', Range => 'bytes=0-4', 'If-Range' => $etag), 200, $TEXT,
    'If-Range without a tag';
is_reply ask('GET /dated/a.txt', Range => 'bytes=0-4',
    'If-Range' => 'Mon, 28 Sep 1970 06:00:00 GMT'), 206, '01234', 'If-Range with another date';

# ---- conditions

for my $try (
    ['/', 304, 'If-Modified-Since' => $date],
    ['/', 200, 'If-Modified-Since' => date($THEN + 1)],
    ['/', 200, 'If-Modified-Since' => 'nonsense'],
    ['/ims-before/', 304, 'If-Modified-Since' => date($THEN + 1)],
    ['/ims-before/', 200, 'If-Modified-Since' => date($THEN - 1)],
    ['/ims-off/', 200, 'If-Modified-Since' => $date],
    ['/', 304, 'If-None-Match' => $etag],
    ['/', 304, 'If-None-Match' => "W/$etag"],
    ['/', 304, 'If-None-Match' => "\"a\", $etag"],
    ['/', 304, 'If-None-Match' => '*'],
    ['/', 200, 'If-None-Match' => '"a"'],
    ['/', 200, 'If-None-Match' => '"a"', 'If-Modified-Since' => $date],
    ['/', 200, 'If-None-Match' => $etag, 'If-Modified-Since' => date($THEN - 1)],
    ['/', 304, 'If-None-Match' => $etag, 'If-Modified-Since' => $date],
    ['/', 304, 'If-None-Match' => $etag, 'Range' => 'bytes=0-1'],
    ['/', 200, 'If-Match' => $etag],
    ['/', 200, 'If-Match' => '*'],
    ['/', 412, 'If-Match' => '"a"'],
    ['/', 412, 'If-Match' => "W/$etag"],
    ['/', 412, 'If-Match' => '"a"', 'Range' => 'bytes=0-1'],
    ['/', 200, 'If-Unmodified-Since' => $date],
    ['/', 412, 'If-Unmodified-Since' => date($THEN - 1)],
    ['/', 412, 'If-Unmodified-Since' => 'nonsense'],
) {
    my ($where, $status, @fields) = @$try;
    $r = ask("GET ${where}a.txt", @fields);
    is_reply $r, $status, $status == 200 ? $TEXT : $status == 304 ? '' : undef, "$where @fields";
    next if $status != 304;
    is $r->field('ETag'), $etag, '  the tag again';
    is $r->field($_), undef, "  no $_" for 'Content-Type', 'Content-Length', 'Accept-Ranges';
}
is_reply ask('GET /nothing', 'If-Match' => '"a"'), 404, undef,
    'a condition does not hold for a missing file';
is ask('GET /a.txt', 'If-Match' => '"a"')->field($_), undef, "412 has no $_"
    for 'ETag', 'Last-Modified', 'Accept-Ranges';

# ---- several requests on one connection

my $c = $w->connect('web');
$c->send(join '', map { Weir::Http::request(@$_) } (['GET /a.txt', Range => 'bytes=1-2'],
    ['GET /a.txt', 'If-None-Match' => '*'], ['HEAD /a.txt'], ['GET /nothing'],
    ['GET /a.txt', Range => 'bytes=99-'], ['GET /a.txt', Range => 'bytes=0-0,2-2'],
    ['GET /dir'], ['GET /a.txt', body => 'dropped'], ['GET /a.txt']));
is join(' ', map { my $one = Weir::Http::reply($c, $_ == 3); "$one->{status}$one->{wrong}" } 1 .. 9),
    '206 304 200 404 416 206 301 200 200', 'nine requests at once';
$c->close;

# ---- links

my $links = is_root() ? 'nobody' : getpwuid $>;
is_reply ask('GET /links/real/a.txt'), 200, 'linked', 'disable_symlinks: no link';
is_reply ask('GET /links/a.txt'), 403, undef, 'disable_symlinks: a file';
is_reply ask('GET /links/dir/a.txt'), 403, undef, 'disable_symlinks: a folder';
is_reply ask('GET /own/a.txt'), 200, 'linked', 'if_not_owner: our own';
is_reply ask('GET /own/dir/a.txt'), 200, 'linked', 'if_not_owner: our own folder';
is_reply ask('GET /from/a.txt'), 200, 'linked', 'from= lets the root be a link';
SKIP: {
    skip 'root owns /etc/passwd too', 1 if is_root();
    is_reply ask('GET /own/foreign'), 403, undef, 'if_not_owner: somebody else\'s';
}

# ---- add_header, expires

sub fields { return Weir::Http::ask($w, 'fields', @_) }

$r = fields('GET /a.txt');
is $r->field('X-One'), '1', 'add_header';
is $r->field('X-Two'), 'GET', 'with a variable';
is $r->field('X-None'), undef, 'without a value';
is fields('GET /nothing')->field('X-One'), undef, 'not for 404';
is fields('GET /dir')->field('X-One'), '1', 'for 301';
is fields('GET /a.txt', 'If-None-Match' => '*')->field('X-One'), '1', 'for 304';
is fields('GET /a.txt', Range => 'bytes=0-1')->field('X-One'), '1', 'for 206';
$r = fields('GET /always/nothing');
is $r->field('X-A'), 'a', 'always: for 404 too';
is $r->field('X-B'), undef, 'the others not';
$r = fields('GET /bad%0d%0aSet-Cookie:%20x');
is_reply $r, 200, $TEXT, 'a line end in a value';
is $r->field('X-Path'), '</bad  Set-Cookie: x>', '  is two spaces';
is $r->field('Set-Cookie'), undef, '  and no other field';
is fields('GET /cache')->field('Cache-Control'), 'max-age=3600 | public', 'expires and add_header';

for my $try (
    ['max', 'Thu, 31 Dec 2037 23:55:55 GMT', 'max-age=315360000'],
    ['epoch', 'Thu, 01 Jan 1970 00:00:01 GMT', 'no-cache'],
    ['off', undef, undef],
    ['nonsense', undef, undef],
    ['@25h', undef, undef],
    ['1h', 3600, 'max-age=3600'],
    ['0', 0, 'max-age=0'],
    ['-1h', -3600, 'no-cache'],
) {
    my ($value, $expires, $control) = @$try;
    $r = fields("GET /expires?e=$value");
    if (defined $expires && $expires =~ /^-?\d+$/) {
        my %near = map { date(time + $expires - $_) => 1 } 0 .. 10;
        ok $near{ $r->field('Expires') // '' }, "expires $value" or diag $r->{head};
    } else {
        is $r->field('Expires'), $expires, "expires $value";
    }
    is $r->field('Cache-Control'), $control, '  and Cache-Control';
}
$r = fields('GET /expires/modified?e=1h');
is $r->field('Expires'), date($THEN + 3600), 'expires modified';
is $r->field('Cache-Control'), 'no-cache', 'expires modified in the past: no-cache';
like fields('GET /expires?e=@12h')->field('Cache-Control'), qr/^max-age=\d{1,5}$/, 'expires @12h';
is fields('GET /expires/modified?e=off')->field('Expires'), undef, 'expires modified off';

# ---- trailers

$r = fields('GET /trailers/a.txt');
is_reply $r, 200, $TEXT, 'a file in chunks';
is $r->trailer("X-End"), 200, "a trailer";
is $r->trailer('X-Always'), '/trailers/a.txt', 'add_trailer always: a trailer';
is $r->trailer('X-None'), undef, 'none without a value';
is $r->field('X-End'), undef, 'and it is not in the head';
is fields('GET /trailers/a.txt', Range => 'bytes=0-1')->trailer("X-End"), 206, "for a range";
$r = fields('GET /trailers/nothing');
is $r->trailer('X-End'), undef, 'add_trailer: not for 404';
is $r->trailer('X-Always'), '/trailers/nothing', 'add_trailer always: for 404, too';
is_reply fields('GET /trailers/a.txt HTTP/1.0'), 200, $TEXT, 'none in HTTP/1.0';
is_reply fields('GET /unchunked/a.txt'), 200, $TEXT, 'none without chunks';
is fields('HEAD /trailers/a.txt')->field('Content-Length'), 20, 'none for HEAD';
is_reply fields('GET /trailers/a.txt', 'If-None-Match' => '*'), 304, '', 'none for 304';

# ---- inheritance

for my $try (
    ['/above', 'server', undef, undef],
    ['/own', undef, 'own', undef],
    ['/merge', 'server', 'own', undef],
    ['/merge/in', 'server', 'own', 'in'],
    ['/merge/on', undef, undef, 'in'],
    ['/off', undef, undef, undef],
    ['/off/in', undef, undef, undef],
    ['/off/own', undef, undef, 'in'],
    ['/off/own/in', undef, undef, undef],
) {
    my ($uri, @want) = @$try;
    $r = Weir::Http::ask($w, 'inherit', "GET $uri");
    is join(' ', map { $r->field($_) // '-' } 'X-S', 'X-L', 'X-I'), join(' ', map { $_ // '-' } @want),
        "inheritance: $uri";
}

# ---- a rate

my $begun = time;
$r = ask('GET /limited/large.txt?rate=' . int $LARGE / 4);
is sha256_hex($r->{body}), sha256_hex($large), 'a file at a rate';
cmp_ok time - $begun, '>', 1.5, 'takes its time';
is_reply ask('GET /limited/a.txt?rate=1m'), 200, $TEXT, 'a short one is not held up';
$begun = time;
$r = ask('GET /long-head?long=' . 'l' x 3000);
is_reply $r, 200, 'ok', 'a head longer than the rate';
is length((Weir::Http::all($r, 'X-Long'))[0] // ''), 3000, 'is whole';
cmp_ok time - $begun, '>', 1.5, 'and counts';

chmod 0755, $w->path('html/closed');
$w->finish;
done_testing;
