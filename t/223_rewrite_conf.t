#!/usr/bin/perl

# Wrong uses of rewrite, if, return, set, try_files and error_page are refused in nginx's words.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;

my @wrong = (
    ['if $a = b { }',                       'invalid condition "$a"'],
    ['if ( { }',                            'invalid condition "("'],
    ['if () { }',                           'invalid condition "()"'],
    ['if ($remote_addr { }',                'invalid condition "$remote_addr"'],
    ['if ($remote_addr = ) { }',            'invalid condition "$remote_addr"'],
    ['if ($remote_addr b) { }',             'invalid condition "$remote_addr"'],
    ['if ($remote_addr = b c) { }',         'invalid condition "$remote_addr"'],
    ['if ($remote_addr == b) { }',          'unexpected "==" in condition'],
    ['if ($remote_addr foo bar) { }',       'unexpected "foo" in condition'],
    ['if (b = c) { }',                      'invalid condition "b"'],
    ['if (-f) { }',                         'invalid condition "-f"'],
    ['if (-q /x) { }',                      'invalid condition "-q"'],
    ['if (!-f /x y) { }',                   'invalid condition "!-f"'],
    ['if (!$remote_addr) { }',              'invalid condition "!$remote_addr"'],
    ['if ($remote_addr ~ [) { }',           'pcre2_compile() failed: missing terminating ]'],
    ['if ($nobody) { }',                    'unknown "nobody" variable'],
    ['if ($remote_addr) { listen 1; }',     '"listen" directive is not allowed here'],
    ['if ($uri) { if ($uri) { } }',         '"if" directive is not allowed here'],
    ['rewrite a;',                          'invalid number of arguments in "rewrite" directive'],
    ['rewrite a b c;',                      'invalid parameter "c"'],
    ['rewrite [ b;',                        'pcre2_compile() failed: missing terminating ]'],
    ['rewrite ^ /x$nobody;',                'unknown "nobody" variable'],
    ['rewrite ^ /x last x;',                'invalid number of arguments in "rewrite" directive'],
    ['return;',                             'invalid number of arguments in "return" directive'],
    ['return abc;',                         'invalid return code "abc"'],
    ['return 1000;',                        'invalid return code "1000"'],
    ['return -1;',                          'invalid return code "-1"'],
    ['return /x;',                          'invalid return code "/x"'],
    ['return 200 a b;',                     'invalid number of arguments in "return" directive'],
    ['break x;',                            'invalid number of arguments in "break" directive'],
    ['set a b;',                            'invalid variable name "a"'],
    ['set $ b;',                            'invalid variable name "$"'],
    ['set $a;',                             'invalid number of arguments in "set" directive'],
    ['set $remote_addr b;',                 'the duplicate "remote_addr" variable'],
    ['set $uri b;',                         'the duplicate "uri" variable'],
    ['error_page 404;',                     'invalid number of arguments in "error_page" directive'],
    ['error_page 299 /x;',                  'value "299" must be between 300 and 599'],
    ['error_page 600 /x;',                  'value "600" must be between 300 and 599'],
    ['error_page 499 /x;',                  'invalid value "499"'],
    ['error_page abc /x;',                  'invalid value "abc"'],
    ['error_page 404 =abc /x;',             'invalid value "=abc"'],
    ['error_page =200 /x;',                 'invalid value "=200"'],
    ['error_page 404 = 405 /x;',            'invalid value "="'],
    ['error_page 404 /x$nobody;',           'unknown "nobody" variable'],
    ['try_files a;',                        'invalid number of arguments in "try_files" directive'],
    ['try_files a =abc;',                   'invalid code "=abc"'],
    ['try_files a =1000;',                  'invalid code "=1000"'],
    ['try_files a =1; try_files b =2;',     '"try_files" directive is duplicate'],
);

my @right = (
    'if ( -f /x ) { } if ( $remote_addr ) { } if (!-e "/x y") { } if ($uri = "") { }',
    'if ($uri ~ "(a b){1,2}") { set $x $1; }',
    'rewrite ^ $scheme://x permanent; rewrite "^/a{2}$" /b? break; rewrite ^ /x last;',
    'return 301; return 200 ""; return http://x; return 999 x;',
    'location / { if ($uri) { root /x; add_header A b; error_page 404 /x; proxy_pass http://127.0.0.1; } }',
    'location / { if ($uri) { } try_files $uri @x; location /a { try_files /a $uri /b =404; } }',
    'set $args a; set $limit_rate 1k; set $http_x y; set $x y; set $x z; rewrite_log on;',
    'error_page 404 = @x; error_page 500 502 =200 /x?a; error_page 404 http://x$uri;',
);

sub check {
    my ($text) = @_;

    $w->write('weir.conf', "events { }\nhttp { server { listen 127.0.0.1:%{web.port}; $text } }\n");
    return $w->bare('-t', '-p', $w->dir, '-c', 'weir.conf', '-e', $w->path('error.log'));
}

for (@wrong) {
    my ($text, $reason) = @$_;
    my ($code, $out, $err) = check($text);

    isnt $code, 0, "refused: $text";
    like $err, qr/\[emerg\] .*\Q$reason\E.* in \S+weir\.conf:2$/m, 'the reason';
}
for my $text (@right) {
    my ($code, $out, $err) = check($text);

    is $code, 0, "taken: $text" or diag $err;
}
done_testing;
