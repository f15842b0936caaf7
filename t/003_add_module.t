#!/usr/bin/perl

# A module from outside the tree: ./configure --add-module=DIR builds it in, weir -V names it, its
# directives, variable and phase hook work, and wrong uses of its directives are reported like those
# of weir's own. Built from a copy of the sources, so that the tree under test stays as it is.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

Weir->needs_programs('make', 'cc');

my $top = Weir::top();
my $w = Weir->new;
my $copy = $w->path('source');

mkdir $copy;
mkdir "$copy/t";
for my $part (qw(configure Makefile auto conf core modules t/modules)) {
    next if !-e "$top/$part";
    system('cp', '-R', "$top/$part", "$copy/$part") == 0 or die "cannot copy $part\n";
}

# Runs a command in the copy. Returns its exit code and its output.
sub there {
    my ($command) = @_;
    local %ENV = map { $_ => $ENV{$_} // '' } qw(PATH HOME TMPDIR);
    my $said = qx(cd '$copy' && ($command) 2>&1 < /dev/null);
    return ($? >> 8, $said);
}

my ($code, $said) = there('./configure --add-module=t/modules/none');
isnt $code, 0, 'a folder without a module is refused';
like $said, qr{t/modules/none/config}, 'and the message names the missing file';

($code, $said) = there('./configure --without-open_path');
isnt $code, 0, 'a module whose functions others call cannot be left out';
like $said, qr/weir cannot be built without this/, 'and configure says so';

my $options = join(' ', map { "--add-module=t/modules/$_" } qw(stamp shout first))
    . q( --with-cc-opt='-O0') . ' --without-stream_map_module --without-http_geo_module';
($code, $said) = there("./configure $options");
is $code, 0, 'configure' or diag $said;
like $said, qr/^\s*stamp\b.*\bin\b/m, 'the table of configure has the module';
like $said, qr/^\s*map +in, not for stream +map$/m, 'a module that serves one layer only';
($code, $said) = there('make objs/weir');
is $code, 0, 'make' or die $said;

$w->{bin} = "$copy/objs/weir";
like join('', $w->bare('-V')), qr/configure arguments: .*--add-module=t\/modules\/stamp/,
    '-V shows how it was built';

# --without-stream_map_module leaves map in http alone, and the other way round.

for my $case (
    ['stream', 'map $pid $x { default 1; }', qr/"map" directive is not allowed here/],
    ['http',   'map $uri $x { default 1; }', undef],
    ['http',   'geo $x { default 1; }', qr/"geo" directive is not allowed here/],
    ['stream', 'geo $x { default 1; }', undef],
) {
    my ($layer, $text, $refused) = @$case;
    $w->conf("$layer { $text }\n");
    my ($exit, undef, $err) = $w->command('-t');
    is $exit, $refused ? 1 : 0, "$layer: $text" or diag $err;
    like $err, $refused // qr/test is successful/, 'and why';
}
$w->expect(qr/directive is not allowed here/);

my $file = join '', map { chr(97 + $_ * 7 % 26) . "$_" } 0 .. 60000;
mkdir $w->path('html');
$w->write('html/file', $file);
$w->greeter('one', 'two', 'three');
$w->start(<<'CONF');
http {
    access_log off;
    upstream group { first; server %{none} max_fails=0; server %{http}; server %{two}; }
    server {
        listen %{http};
        location /group { proxy_pass http://group/text; }
        root html;
        location /raw { alias html; }
        location /on { alias html; shout on; add_trailer X-Said all; }
        location /slow { alias html; shout slow; }
        location /broken { alias html; shout broken; }
        location /text { shout slow; return 200 "hear, hear"; }
        location /proxied { shout slow; proxy_pass http://%{http}/raw; }
        location /cut { shout broken; proxy_pass http://%{http}/raw; }
    }
}
stream {
    upstream group { first; server %{one}; server %{two}; server %{three} backup; }
    server { listen %{group}; proxy_pass group; }
    stamp outer;
    server { listen %{outer}; return $stamp; }
    server { listen %{inner}; stamp "$remote_addr $server_port"; return $stamp; }
    server { listen %{empty}; stamp ""; return "[$stamp]"; }
    server { listen %{required}; stamp_required on; return ok; }
    server { listen %{refused}; stamp_required on; stamp ""; return ok; }
}
CONF
is $w->ask('outer'), 'outer', 'its directive and its variable work';
is $w->ask('inner'), '127.0.0.1 ' . $w->port('inner'), 'a value with variables';
is $w->ask('empty'), '[]', 'an empty value';
is $w->ask('required'), 'ok', 'its phase hook lets a session pass';
is $w->ask('refused'), '', 'and refuses another one';

# A balancer of both layers.

is join(' ', map { $w->ask('group') } 1 .. 4), 'one one one one', 'the first server is picked';
$w->{backend}{one}->kill;
is join(' ', map { $w->ask('group') } 1 .. 4), 'two two two two', 'then the next';
$w->{backend}{two}->kill;
is $w->ask('group'), 'three', 'and the backup';
like $w->ask('http', "GET /group HTTP/1.0\r\nHost: a\r\n\r\n"), qr/HEAR, HEAR/, 'at layer 7, too';

# A filter of bodies: reads files in pieces, waits, fails.

sub body {
    my ($uri, $range) = @_;
    my $said = $w->ask('http', "GET $uri HTTP/1.0\r\nHost: a\r\n"
        . (defined $range ? "Range: bytes=$range\r\n" : '') . "\r\n");
    return $said =~ /^(HTTP.*?)\r\n\r\n(.*)/s ? ($2, $1) : ('', '');
}

for my $way ('on', 'slow', 'proxied') {
    is +(body("/$way/file"))[0], uc $file, "a file through a filter: $way";
    is +(body("/$way/file", '100000-100009'))[0], substr(uc $file, 100000, 10), 'a part of it';
}
is +(body('/text'))[0], 'HEAR, HEAR', 'a text through it';
for my $way ('broken', 'cut') {
    my ($got, $head) = body("/$way/file");
    like $head, qr/Content-Length: @{[length $file]}/, "the reply is begun: $way";
    ok length $got < length $file && index(uc $file, $got) == 0, 'and is cut where a filter fails';
}
$w->expect(qr/the voice is gone/);

$w->conf("stream {\n    stamp_required maybe;\n}\n");
($code, undef, $said) = $w->command('-t');
isnt $code, 0, 'a wrong value is an error';
like $said, qr/invalid value "maybe" in "stamp_required" directive.* in \S+weir\.conf:2/,
    'with file and line';

$w->expect(qr/"maybe"/);
$w->finish;
done_testing;
