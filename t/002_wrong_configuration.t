#!/usr/bin/perl

# Wrong configurations: each one is refused with nginx's reason and "in FILE:LINE"; the line is
# shown with a caret under the mistake and, where it can be known, what to write instead. One run
# reports several errors. Neither -t nor a failed start leaves a socket, pid file or process.
# Configurations that look odd but are right are accepted.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;
my $CONF = $w->path('weir.conf');

# Writes the configuration as it is, so that line numbers are those of the text, and tests it.
sub check {
    my ($text) = @_;
    $w->write('weir.conf', ($ENV{WEIR_PRELUDE} // '') . $text);
    return $w->bare('-t', '-p', $w->dir, '-c', 'weir.conf', '-e', $w->path('error.log'));
}

# A line of the configuration as $err shows it: its text and the caret's place in it.
sub shown {
    my ($err) = @_;
    return $err =~ /^([ \d|:>]*)(\S.*)\n([ |:]*)\^[~^]*/m ? ($2, length($3) - length $1) : ();
}

# Each row: a name, the text, with <> right before the place where the caret must stand, the
# reason, and what weir suggests (if anything). The line follows from the place.
my @wrong = (
    ['an unknown directive', <<'CONF', qr/unknown directive "wrker_processes"/,
<>wrker_processes 1;
CONF
        qr/did you mean "?worker_processes/],

    ['a misspelled directive inside a server', <<'CONF', qr/unknown directive "proxy_pas"/,
stream {
    server {
        listen 127.0.0.1:1;
        <>proxy_pas 127.0.0.1:2;
    }
}
CONF
        qr/did you mean "?proxy_pass/],

    ['a parameter as a directive', <<'CONF', qr/unknown directive "max_conns"/,
stream {
    upstream u {
        <>max_conns 10;
        server 127.0.0.1:1;
    }
}
CONF
        qr/it is a word of "server": weir --help server/],

    ['a group of the other layer', <<'CONF', qr/no port in upstream "u"/,
http {
    upstream u { server 127.0.0.1:1; }
}
stream {
    server { listen 127.0.0.1:1; proxy_pass <>u; }
}
CONF
        qr/the upstream of this name is in http \{\}/],

    ['a group that is not there', <<'CONF', qr/no port in upstream "app_servers"/,
stream {
    server { listen 127.0.0.1:1; proxy_pass <>app_servers; }
}
CONF
        qr/there is no upstream of this name; a host needs a port/],

    ['a match of the other layer', <<'CONF', qr/match "m" is not defined/,
http {
    server { listen 1; location / { proxy_pass http://127.0.0.1:2; health_check <>match=m; } }
}
stream {
    match m { expect x; }
}
CONF
        qr/it is in stream \{\}: http \{\} needs its own/],

    ['a check of another name', <<'CONF', qr/unknown type "postgresql" of health check/,
stream {
    server { listen 1; proxy_pass 127.0.0.1:2; health_check <>type=postgresql; }
}
CONF
        qr/write "type=pgsql"/],

    ['a service with a port', <<'CONF',
stream {
    upstream u { server <>app.test:80 service=http resolve; }
}
CONF
        qr/service requires a name without a port in upstream "app\.test:80"/],

    ['backups of a hash', <<'CONF', qr/balancing method does not support parameter "backup"/,
stream {
    upstream u { hash $remote_addr; server 127.0.0.1:1; server 127.0.0.1:2 <>backup; }
}
CONF
        qr/leave it out/],

    ['an unknown directive that resembles none', <<'CONF', qr/unknown directive "qqqzzz"/],
stream {
    <>qqqzzz on;
}
CONF

    ['a directive of nginx that this build lacks', <<'CONF', qr/perl_modules/,
stream {}
<>perl_modules lib;
CONF
        qr/known in nginx,? .*not in this build/],

    ['a directive in the wrong place', <<'CONF',
stream {
    <>proxy_pass 127.0.0.1:1;
}
CONF
        qr/"proxy_pass" directive is not allowed here/, qr/allowed in:? .*\bserver\b/],

    ['a block in the wrong place', <<'CONF', qr/"upstream" directive is not allowed here/,
<>upstream u {
    server 127.0.0.1:1;
}
CONF
        qr/allowed in:? .*\bstream\b/],

    ['too few words', <<'CONF', qr/invalid number of arguments in "listen" directive/],
stream {
    server {
        <>listen;
        return x;
    }
}
CONF

    ['too many words', <<'CONF', qr/invalid number of arguments in "worker_processes" directive/],
<>worker_processes 1 2;
CONF

    ['a forgotten semicolon', <<'CONF',
stream {
    server {
        <>proxy_pass 127.0.0.1:2
        proxy_timeout 3s;
    }
}
CONF
        qr/invalid number of arguments in "proxy_pass" directive/, qr/missing "?;/],

    ['a forgotten semicolon before a brace', <<'CONF', qr/unexpected "\}"/, qr/missing "?;/],
stream {
    server {
        listen 127.0.0.1:1;
        return x
    <>}
}
CONF

    ['a forgotten brace', <<'CONF', qr/unexpected end of file, expecting "\}"/],
stream {
    server {
        listen 127.0.0.1:1;
    }
<>
CONF

    ['a brace too many', <<'CONF', qr/unexpected "\}"/],
stream {
}
<>}
CONF

    ['a block without a brace', <<'CONF', qr/directive "stream" has no opening "\{"/],
<>stream;
CONF

    ['a brace where none belongs', <<'CONF', qr/directive "worker_processes" is not terminated by ";"/],
<>worker_processes 1 {
}
CONF

    ['a semicolon alone', <<'CONF', qr/unexpected ";"/],
stream {
    <>;
}
CONF

    ['an open quote', <<'CONF', qr/unexpected end of file, expecting ";" or "\}"/,
stream {
    server {
        listen 127.0.0.1:1;
        return "x;
    }
}
<>
CONF
        qr/quote.* line 4/],

    ['text right behind a quote', <<'CONF', qr/unexpected "y"/],
stream {
    server {
        listen 127.0.0.1:1;
        return "x"<>y;
    }
}
CONF

    ['a directive given twice', <<'CONF', qr/"worker_processes" directive is duplicate/],
worker_processes 1;
<>worker_processes 2;
CONF

    ['a directive given twice in a server', <<'CONF', qr/"proxy_pass" directive is duplicate/],
stream {
    server {
        listen 127.0.0.1:1;
        proxy_pass 127.0.0.1:2;
        <>proxy_pass 127.0.0.1:3;
    }
}
CONF

    ['an upstream given twice', <<'CONF', qr/duplicate upstream "u"/],
stream {
    upstream u { server 127.0.0.1:1; }
    upstream <>u { server 127.0.0.1:2; }
}
CONF

    ['an upstream without servers', <<'CONF', qr/no servers are inside upstream/],
stream {
    <>upstream u { }
}
CONF

    ['an upstream of backup servers', <<'CONF', qr/no servers in upstream "u"/, qr/backup/],
stream {
    upstream <>u { server 127.0.0.1:1 backup; server 127.0.0.1:2 backup; }
}
CONF

    ['proxy_redirect default without proxy_pass', <<'CONF',
http {
    proxy_redirect <>default;
}
CONF
        qr/"proxy_redirect default" should be placed after the "proxy_pass" directive/],

    ['proxy_redirect default before proxy_pass', <<'CONF',
http {
    server {
        listen 127.0.0.1:1;
        location / { proxy_redirect <>default; proxy_pass http://127.0.0.1:2; }
    }
}
CONF
        qr/"proxy_redirect default" should be placed after the "proxy_pass" directive/],

    ['an invalid value of a flag that has no effect', <<'CONF',
http {
    tcp_nopush <>yes;
}
CONF
        qr/invalid value "yes" in "tcp_nopush" directive, it must be "on" or "off"/],

    ['an address listened on twice', <<'CONF', qr/a duplicate listen 127\.0\.0\.1:1\b/],
stream {
    server {
        listen 127.0.0.1:1;
        listen <>127.0.0.1:1;
        return b;
    }
}
CONF

    ['an invalid number', <<'CONF', qr/invalid number/],
worker_rlimit_nofile <>many;
CONF

    ['an invalid number of worker processes', <<'CONF',
worker_processes <>some;
CONF
        qr/"worker_processes" directive invalid value/],

    ['an invalid flag', <<'CONF',
stream {
    tcp_nodelay <>yes;
}
CONF
        qr/invalid value "yes" in "tcp_nodelay" directive, it must be "on" or "off"/],

    ['an invalid time', <<'CONF', qr/"proxy_timeout" directive invalid value/],
stream {
    proxy_timeout <>1fortnight;
}
CONF

    ['an invalid size', <<'CONF', qr/"proxy_buffer_size" directive invalid value/],
stream {
    proxy_buffer_size <>16q;
}
CONF

    ['an invalid port', <<'CONF', qr/invalid port in "127\.0\.0\.1:99999"/],
stream {
    server { listen <>127.0.0.1:99999; return x; }
}
CONF

    ['a server without a port', <<'CONF', qr/no port in upstream "127\.0\.0\.1"/],
stream {
    server { listen 127.0.0.1:1; proxy_pass <>127.0.0.1; }
}
CONF

    ['status_zone of a resolver', <<'CONF',
stream {
    resolver 127.0.0.1 <>status_zone=z;
}
CONF
        qr/the "status_zone" parameter/, qr/commercial subscription/],

    ['a listen name that does not resolve', <<'CONF', qr/host not found in "no-such\.invalid:1"/],
stream {
    server { listen <>no-such.invalid:1; return x; }
}
CONF

    ['an unknown parameter', <<'CONF', qr/invalid parameter "wieght=3"/, qr/did you mean "?weight/],
stream {
    upstream u { server 127.0.0.1:1 <>wieght=3; }
}
CONF

    ['an unknown parameter of listen', <<'CONF',
stream {
    server { listen 127.0.0.1:1 <>reuse; return x; }
}
CONF
        qr/the invalid "reuse" parameter|invalid parameter "reuse"/],

    ['a weight of 0', <<'CONF', qr/invalid parameter "weight=0"/],
stream {
    upstream u { server 127.0.0.1:1 <>weight=0; }
}
CONF

    ['an unknown variable', <<'CONF',
stream {
    server {
        listen 127.0.0.1:1;
        return <>$remote_adr;
    }
}
CONF
        qr/unknown "remote_adr" variable/, qr/did you mean "?\$?remote_addr/],

    ['an unknown variable in a log format', <<'CONF', qr/unknown "no_such" variable/],
stream {
    log_format f '$remote_addr <>$no_such';
    access_log %{dir}/a.log f;
    server { listen 127.0.0.1:1; return x; }
}
CONF

    ['an unknown log format', <<'CONF', qr/unknown log format "fast"/],
stream {
    access_log %{dir}/a.log <>fast;
    server { listen 127.0.0.1:1; return x; }
}
CONF

    ['an access_log that lacks a log format', <<'CONF',
stream {
    access_log <>%{dir}/a.log;
    server { listen 127.0.0.1:1; return x; }
}
CONF
        qr/invalid number of arguments in "access_log"|log format/],

    ['a broken regular expression', <<'CONF', qr/pcre2?_compile\(\) failed|regex/],
stream {
    map $remote_addr $a { <>~^(10 x; }
    server { listen 127.0.0.1:1; return $a; }
}
CONF

    ['a map key given twice', <<'CONF', qr/conflicting parameter "k"/],
stream {
    map $remote_addr $a { k 1; <>k 2; }
    server { listen 127.0.0.1:1; return $a; }
}
CONF

    ['a variable that may not be set', <<'CONF', qr/duplicate "remote_addr" variable/],
stream {
    server { listen 127.0.0.1:1; set <>$remote_addr x; return x; }
}
CONF

    ['an include that is not there', <<'CONF', qr/open\(\) "\S*missing\.conf" failed \(2: No such file/],
include <>missing.conf;
CONF

    ['load_module of a module that is not built in', <<'CONF',
load_module <>modules/somebody_elses.so;
stream {}
CONF
        qr/load_module|module/, qr/built in|built-in|--add-module/],

    ['a server that does not listen', <<'CONF', qr/no "listen" is defined for server/],
stream {
    <>server { return x; }
}
CONF

    ['an unknown log level', <<'CONF', qr/invalid log level "loud"/],
error_log %{dir}/e.log <>loud;
CONF
);

for my $row (@wrong) {
    my ($name, $text, $reason, $suggests) = @$row;
    # Rows that wrap have the text of the configuration behind the reason.
    ($reason, $text) = ($text, $reason) if ref $text;
    $text = $w->expand($text) =~ s/^<>\n\z/<>/mr;
    my ($before) = $text =~ /^(.*?)<>/s or die "$name: no place";
    my $line = 1 + ($before =~ tr/\n//);
    my $column = length($before =~ s/.*\n//sr);
    $text =~ s/<>//;
    my $source = (split /\n/, $text, -1)[$line - 1];

    my ($code, $out, $err) = check($text);
    subtest $name => sub {
        ok $code =~ /^\d+$/ && $code > 0 && $code < 99, "exit code $code";
        like $err, qr/\[emerg\] .*(?:$reason).* in \Q$CONF\E:$line$/m, 'reason, file and line';
        like $err, $suggests, 'suggestion' if $suggests;
        if (length $source) {
            my ($shown, $at) = shown($err);
            my $lead = length($source =~ s/\S.*//r);
            is $shown, $source =~ s/^\s+//r, 'the line is shown';
            is +($at // -99) + $lead, $column, 'the caret is under the place';
        }
    } or diag $err;
}

# Several errors in one run, in included files too.

$w->write('part.conf', "# part\nserver {\n    lisen 127.0.0.1:1;\n}\n");
my ($code, $out, $err) = check(<<'CONF');
worker_proceses 1;
stream {
    include part.conf;
    server {
        listen 127.0.0.1:1 fast;
    }
}
daemom off;
CONF
isnt $code, 0, 'several errors: exit code';
my %place = map { $_ => 1 } $err =~ /\[emerg\].* in \Q@{[ $w->dir ]}\E\/(\S+:\d+)$/mg;
is join(' ', sort keys %place), 'part.conf:3 weir.conf:1 weir.conf:5 weir.conf:8',
    'each error has its file and line';
like $err, qr/configuration file \Q$CONF\E test failed/, 'and the verdict is printed';

# A name in proxy_pass that resembles an upstream.

$w->write('weir.conf', <<'CONF');
stream {
    upstream backends { server 127.0.0.1:1; }
    server { listen 127.0.0.1:1; proxy_pass backend; }
}
CONF
($code, $out, $err) = $w->bare('-t', '-p', $w->dir, '-c', 'weir.conf', '-e', $w->path('error.log'));
like $err, qr/did you mean .*"backends"/, 'the upstream that a name resembles is suggested';
like $err, qr/\Q$CONF\E:3/, 'and the line is named';

# Configurations that are odd but right.

$w->write('a.inc', 'listen 127.0.0.1:%{web.port};');
$w->write('b1.part', 'set $x "1";');
$w->write('b2.part', 'set $y \'2\';');
my @right = (
    ['nothing at all', ''],
    ['comments only', "# nothing\n\n   # more"],
    ['no events block', 'stream { server { listen 127.0.0.1:%{web.port}; return x; } }'],
    ['an empty events block', 'events {} stream {}'],
    ['CRLF line ends', "stream {\r\n  server { listen 127.0.0.1:%{web.port};\r\n return x; }\r\n}\r\n"],
    ['no newline at the end', "worker_processes 1;"],
    ['includes with globs', 'stream { server { include a.inc; include b*.part; return $x$y; } }'],
    ['a glob that matches nothing', 'stream { include nothing*.conf; }'],
    ['quotes, escapes and braces in a word',
        'stream { server { listen 127.0.0.1:%{web.port}; return "a\"b{c};${remote_addr}\n"; } }'],
    ['names that do not resolve yet', 'stream { upstream u { server no-such.invalid:1; }
        server { listen 127.0.0.1:%{web.port}; proxy_pass u; } }'],
    ['preread and hash directives where nothing uses them', 'stream { preread_buffer_size 4k;
        preread_timeout 5s; variables_hash_max_size 2048; variables_hash_bucket_size 128;
        map_hash_max_size 4096; map_hash_bucket_size 64; }'],
    ['directives that may be given twice', 'http { ssl_protocols TLSv1.2; ssl_protocols TLSv1.3;
        ssl_session_cache off; ssl_session_cache shared:a:1m;
        proxy_ssl_protocols TLSv1.2; proxy_ssl_protocols TLSv1.3;
        proxy_next_upstream error; proxy_next_upstream timeout;
        proxy_ignore_headers Expires; proxy_ignore_headers Vary;
        keepalive_disable safari; keepalive_disable msie6; }
        stream { ssl_protocols TLSv1.2; ssl_protocols TLSv1.3; ssl_session_cache off;
        ssl_session_cache none; proxy_ssl_protocols TLSv1.2; proxy_ssl_protocols TLSv1.3; }'],
    ['sizes of hashes', 'stream { server_names_hash_max_size 512;
        server_names_hash_bucket_size 64; }'],
    ['a group whose servers are down', 'stream { upstream u { server 127.0.0.1:1 down; } }'],
    ['proxy_redirect default after proxy_pass', 'http { server { listen 127.0.0.1:%{web.port};
        location / { proxy_pass http://127.0.0.1:1; proxy_redirect default; } } }'],
    ['a built-in module loaded', 'load_module modules/ngx_stream_module.so; stream {}'],
);
for my $row (@right) {
    ($code, $out, $err) = check($row->[1]);
    ok $code eq 0, $row->[0] or diag $err;
    like $err, qr/no-such\.invalid/, 'with a warning' if $row->[1] =~ /no-such/;
}

# A wrong configuration keeps weir from starting, and nothing is left of the attempt.

($code, $err) = $w->start(<<'CONF', fails => 1);
stream {
    server { listen %{web}; listen %{unix:web}; retrun x; }
}
CONF
isnt $code, 0, 'weir does not start';
like $err, qr/unknown directive "retrun" in \Q$CONF\E:2/, 'and says why';
is $w->connect('web'), undef, 'nobody listens';
ok !-e $w->path('weir.pid'), 'no pid file';

$w->expect(qr/\[emerg\]/);
$w->finish;
done_testing;
