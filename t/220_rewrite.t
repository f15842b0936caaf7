#!/usr/bin/perl
# chaos: yes

# The rewrite program: set, if, rewrite, return, break in servers, locations and ifs, how each of
# them changes URI and arguments, and try_files. Each row is a location of its own; where nginx is
# the model, the expected replies are those that nginx gave.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;

my $w = Weir->new;

mkdir $w->path($_) for qw(html html/dir html/alias);
$w->write('html/file.html', 'a file');
$w->write('html/alias/in.txt', 'in alias');

# ---- what is in the location (L is its path), what is asked behind its path, what comes

my $echo = 'return 200 "$uri|$args";';
my @rows = (
    # return
    ['return 200;',                       '',         '200 '],
    ['return 204;',                       '',         '204 '],
    ['return 200 "text $arg_a";',         '?a=1',     '200 text 1'],
    ['return 404 "own";',                 '',         '404 own'],
    ['return 404;',                       '',         qr/^404 <html>.*<h1>404 Not Found/s],
    ['return 306 x;',                     '',         '306 x'],
    ['return 301 /a;',                    '',         '301 -> %{own}/a'],
    ['return 302 http://b/$uri;',         '',         '302 -> http://b/L'],
    ['return 307 "$arg_a";',              '?a=x',     '307 -> x'],
    ['return http://b/;',                 '',         '302 -> http://b/'],
    ['return $scheme://b/;',              '',         '302 -> http://b/'],

    # set
    ['set $a 1; set $b $a$a; return 200 $b;',          '', '200 11'],
    ['set $a x; set $a "$a-$a"; return 200 $a;',       '', '200 x-x'],
    ['set $args new=1; return 200 "$args|$arg_new";',  '?old=1', '200 new=1|1'],
    ['set $limit_rate 100k; return 200 $limit_rate;',  '', '200 102400'],
    ['set $limit_rate abc; return 200 $limit_rate;',   '', '200 0'],

    # if
    ['if ($arg_a) { return 200 yes; } return 200 no;',             '?a=1', '200 yes'],
    ['if ($arg_a) { return 200 yes; } return 200 no;',             '?a=0', '200 no'],
    ['if ($arg_a) { return 200 yes; } return 200 no;',             '?a=',  '200 no'],
    ['if ($arg_a) { return 200 yes; } return 200 no;',             '',     '200 no'],
    ['if ($arg_a) { return 200 yes; } return 200 no;',             '?a=00', '200 yes'],
    ['if ($arg_a = b) { return 200 yes; } return 200 no;',         '?a=b', '200 yes'],
    ['if ($arg_a = b) { return 200 yes; } return 200 no;',         '?a=B', '200 no'],
    ['if ($arg_a = $arg_b) { return 200 yes; } return 200 no;',    '?a=1&b=1', '200 yes'],
    ['if ( $arg_a != b ) { return 200 yes; } return 200 no;',      '?a=c', '200 yes'],
    ['if ($arg_a = "") { return 200 yes; } return 200 no;',        '',     '200 yes'],
    ['if ($arg_a ~ ^b(.)) { return 200 "yes $1"; } return 200 no;', '?a=bx', '200 yes x'],
    ['if ($arg_a ~ B) { return 200 yes; } return 200 no;',         '?a=b', '200 no'],
    ['if ($arg_a ~* B) { return 200 yes; } return 200 no;',        '?a=b', '200 yes'],
    ['if ($arg_a !~ b) { return 200 yes; } return 200 no;',        '?a=b', '200 no'],
    ['if ($arg_a !~* B) { return 200 yes; } return 200 no;',       '?a=c', '200 yes'],
    ['if ($arg_a ~ "^(?<named>.)") { } return 200 $named;',        '?a=xy', '200 x'],
    ['if ($arg_a ~ ".(.)") { } if ($arg_a ~ no) { } return 200 "[$1]";', '?a=xy', '200 []'],
    ['if (-f %{dir}/html/file.html) { return 200 yes; } return 200 no;',  '', '200 yes'],
    ['if (-f %{dir}/html/dir) { return 200 yes; } return 200 no;',        '', '200 no'],
    ['if (-d %{dir}/html/$arg_d) { return 200 yes; } return 200 no;', '?d=dir', '200 yes'],
    ['if (-e %{dir}/html/none) { return 200 yes; } return 200 no;',       '', '200 no'],
    ['if (!-e %{dir}/html/none) { return 200 yes; } return 200 no;',      '', '200 yes'],
    ['if (-x %{dir}/html/dir) { return 200 yes; } return 200 no;',        '', '200 yes'],
    ['if (!-x %{dir}/html/file.html) { return 200 yes; } return 200 no;', '', '200 yes'],
    ['set $a 0; if ($arg_x) { set $a 1; } if ($arg_y) { set $a "${a}2"; } return 200 $a;',
        '?x=1&y=1', '200 12'],
    ['if ($arg_a) { break; } return 200 "not stopped";', '', '200 not stopped'],
    ['if ($arg_a) { break; } return 200 "not stopped";', '?a=1', qr/^404 /],

    # the scope of the last if that holds is what counts
    ['add_header X o; if ($arg_a) { add_header X a; } if ($arg_b) { add_header X b; }'
        . ' return 200 -;',         '',         '200 - X=o'],
    ['add_header X o; if ($arg_a) { add_header X a; } if ($arg_b) { add_header X b; }'
        . ' return 200 -;',         '?a=1',     '200 - X=a'],
    ['add_header X o; if ($arg_a) { add_header X a; } if ($arg_b) { add_header X b; }'
        . ' return 200 -;',         '?a=1&b=1', '200 - X=b'],
    ['proxy_pass http://%{back}/base; if ($arg_a) { set $z 1; }', '/x?a=1', '200 GET /base/x?a=1'],
    ['proxy_pass http://%{back}/base; if ($arg_a) { proxy_pass http://%{back}; }', '/x?a=1',
        '200 GET L/x?a=1'],

    # rewrite
    ['rewrite ^ /echo last;',                    '?o=1',  '200 /echo|o=1'],
    ['rewrite ^ /echo?n=1 last;',                '?o=1',  '200 /echo|n=1&o=1'],
    ['rewrite ^ /echo? last;',                   '?o=1',  '200 /echo|'],
    ['rewrite ^ /echo?n=1? last;',               '?o=1',  '200 /echo|n=1'],
    ['rewrite ^L/(.*)$ /echo/$1 last;',          '/a/b',  '200 /echo/a/b|'],
    ['rewrite ^L/(?<rest>.*)$ /echo/$rest;',     '/a/b',  '200 /echo/a/b|'],
    ['rewrite ^L(.*) /echo?a=$1&u=$uri last;',   '/x%20+%26', '200 /echo|a=/x%20%2B%26&u=L/x +&'],
    ['rewrite ^L(.*) /echo?a=$1 last;',          '/x&y',  '200 /echo|a=/x&y'],
    ['rewrite ^L(.*) /echo$1 last;',             '/%3Fx', '200 /echo/?x|'],
    ['rewrite ^ /echo$arg_q last;',              '?q=?x', '200 /echo?x|q=?x'],
    ["rewrite no /nowhere last; $echo",          '',      '200 L|'],
    ['rewrite ^ /one; rewrite ^/one$ /echo;',    '',      '200 /echo|'],
    ["rewrite ^ /echo; $echo",                   '',      '200 /echo|'],
    ['rewrite ^ /file.html break;',              '',      '200 a file'],
    ['rewrite ^ /nowhere; rewrite ^ /echo last;', '',     '200 /echo|'],
    ["rewrite ^ /file.html break; $echo",        '',      '200 a file'],
    ['rewrite ^ /file.html; break;',             '',      '200 a file'],
    ['if ($arg_a) { rewrite ^ /echo; } return 200 "$uri";',      '?a=1', '200 /echo'],
    ['if ($arg_a) { rewrite ^ /echo last; } return 200 "$uri";', '?a=1', '200 /echo|a=1'],
    ['rewrite ^ $arg_none last;',                '',      qr/^500 /],
    ['rewrite ^ L last;',                        '',      qr/^500 /],
    ['rewrite ^ /hidden last;',                  '',      '200 hidden'],
    ['rewrite ^ http://b/;',                     '?o=1',  '302 -> http://b/?o=1'],
    ['rewrite ^ http://b/ permanent;',           '',      '301 -> http://b/'],
    ['rewrite ^ /b redirect;',                   '',      '302 -> %{own}/b'],
    ['rewrite ^ $scheme://b/?n=1;',              '?o=1',  '302 -> http://b/?n=1&o=1'],
    ['rewrite ^ http://b/?n=1?;',                '?o=1',  '302 -> http://b/?n=1'],
    ['rewrite ^L(.*) http://b$1;',               '/x%20y', '302 -> http://b/x%20y'],
    ['rewrite ^ http://b/$arg_u?;',              '?u=a%2Fb%0d%0ac', '302 -> http://b/a/b%0d%0ac'],

    # what a backend is asked: the uri of proxy_pass counts only for uris of the location
    ['proxy_pass http://%{back}/p;',             '/a',    '200 GET /p/a'],
    ['rewrite ^ L/n break; proxy_pass http://%{back}/p;', '/a%41', '200 GET L/n'],
    ['rewrite ^ /n; break; proxy_pass http://%{back}/p;', '/a', '200 GET /n'],
    ['break; proxy_pass http://%{back}/p;',      '/a',    '200 GET /p/a'],
    ['rewrite ^ /n%20x break; proxy_pass http://%{back};', '', '200 GET /n%2520x'],
    ['set $x 1; proxy_pass http://%{back};',     '/%41?',  '200 GET L/%41?'],
    ['set $args a=2; proxy_pass http://%{back};', '/?q',   '200 GET L/?a=2'],

    # try_files
    ['try_files /file.html =404;',               '',      '200 a file'],
    ['try_files /none /file.html =404;',         '',      '200 a file'],
    ['try_files /file.html/ =405;',              '',      qr/^405 /],
    ['try_files /dir =405;',                     '',      qr/^405 /],
    ['try_files /dir/ =405;',                    '',      '301 -> %{own}/dir/'],
    ['try_files /none /echo?n=1;',               '?o=1',  '200 /echo|n=1'],
    ['try_files /none /echo$is_args$args;',      '?o=1',  '200 /echo|o=1'],
    ['try_files /none @named;',                  '/x?o=1', '200 named L/x|o=1'],
    ['try_files /none @nowhere;',                '',      qr/^500 /],
    ['try_files /none L;',                       '',      qr/^500 /],
    ['try_files /../weir.conf$arg_none =404;',   '',      qr/^404 /],
    ['try_files /file.html =404; add_header X $uri;', '', '200 a file X=/file.html'],
    ['alias %{dir}/html/alias; try_files $uri =404;', '/in.txt', '200 in alias'],
);

my ($locations, @asked);
for my $i (0 .. $#rows) {
    my $path = sprintf '/t%d', $i;
    my ($inside, $behind, $want) = @{ $rows[$i] };

    $inside =~ s/\bL\b/$path/g;
    $want =~ s/\bL\b/$path/g if !ref $want;
    $want =~ s{%\{own\}}{'http://test:' . $w->port('web')}ge if !ref $want;
    # Names of the rows must not meet: each variable is its row's own.
    $inside =~ s/\$([abxz])\b/\$$1_$i/g;
    $inside =~ s/\$\{([abxz])\}/\${$1_$i}/g;
    $locations .= "        location $path { $inside }\n";
    push @asked, ["$path$behind", $want, "$rows[$i][0] $behind"];
}

$w->start(<<"CONF");
http {
    root %{dir}/html;
    default_type text/plain;
    types { text/html html; }
    rewrite_log on;
    access_log off;
    server {
        listen %{web};
$locations
        location /echo { return 200 "\$uri|\$args"; }
        location /hidden { internal; return 200 hidden; }
        location \@named { return 200 "named \$uri|\$args"; }
        location /limited {
            limit_except GET { deny all; }
            if (\$uri) { set \$limited 1; }
            if (\$request_method = POST) { return 200 "not limited"; }
            proxy_pass http://%{back};
        }
        location ~ ^/alias-re/(.*) { alias %{dir}/html/alias; try_files /\$1 =404; }
    }
    server { listen %{back}; location / { return 200 "\$request_method \$request_uri"; } }
    server {
        listen %{whole};
        rewrite ^/old/(.*)\$ /new/\$1;
        rewrite ^/stay /new/stay break;
        rewrite ^/two /three;
        if (\$arg_a = server) { return 200 "server if"; }
        if (\$arg_b) { rewrite ^ /new/b last; }
        set \$from_server s;
        location /new { return 200 "new \$uri \$from_server"; }
        location /inner { rewrite ^ /old/inner; }
        location /three { set \$from_server t; return 200 "three \$from_server"; }
        location /page { error_page 404 /old/page; return 404; }
    }
    server { listen %{closed}; return 403; error_page 403 /page; location /page { return 200 page; } }
    server { listen %{silent}; return 444; }
    server {
        listen %{slash};
        error_page 301 =200 /page;
        rewrite ^/a\$ /b;
        if (\$uri = /page) { break; }
        location /b/ { proxy_pass http://%{back}; }
        location /page { proxy_pass http://%{back}/other; }
    }
    server {
        listen %{unset};
        location /warned { if (\$arg_no) { set \$never_set 1; } return 200 "[\$never_set]"; }
        location /quiet {
            uninitialized_variable_warn off;
            if (\$arg_no) { set \$never_seen 1; }
            return 200 "[\$never_seen]";
        }
    }
}
CONF

sub summary {
    my ($r) = @_;
    my $text = "$r->{status} ";

    return "wrong: $r->{wrong}" if $r->{wrong};
    return $text . '-> ' . ($r->field('Location') // '') if defined $r->field('Location');
    $text .= $r->{body};
    $text .= ' X=' . $r->field('X') if defined $r->field('X');
    return $text;
}

sub gives {
    my ($where, $target, $want, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $got = summary(Weir::Http::ask($w, $where, "GET $target"));

    return ref $want ? like($got, $want, $name) : is($got, $want, $name);
}

subtest 'one location each' => sub {
    gives('web', @$_) for @asked;
    gives('web', '/alias-re/in.txt', '200 in alias', 'try_files under an alias for all of the uri');
};

subtest 'limit_except' => sub {
    gives('web', '/limited', '200 GET /limited', 'a method it leaves alone');
    like summary(Weir::Http::ask($w, 'web', 'POST /limited')), qr/^403 /, 'an if does not undo it';
};

subtest 'servers' => sub {
    gives('whole', '/old/a',      '200 new /new/a s',     'rewrite in a server');
    gives('whole', '/old/a?a=server', '200 server if',    'if in a server');
    gives('whole', '/x?b=1',      '200 new /new/b ',      'rewrite in an if of a server');
    gives('whole', '/stay',       '200 new /new/stay ',   'break ends the program of the server');
    gives('whole', '/two',        '200 three t',          'both programs run');
    gives('whole', '/inner',      qr/^404 /,  'rewrite in a location does not run the server again');
    gives('whole', '/page',       '404 new /new/page s',  'an internal redirect does');
    gives('closed', '/page',      qr/^403 <html>/,        'return in a server holds for its page too');
};

subtest 'a page for the missing slash of a rewritten uri' => sub {
    my $r = Weir::Http::ask($w, 'slash', 'GET /a');
    is $r->{status}, 200, 'its status';
    is $r->{body}, 'GET /other',
        'the break of the page does not keep the URI that was rewritten before it';
};

subtest 'return 444' => sub {
    my $r = Weir::Http::ask($w, 'silent', 'GET /');
    is $r->{status}, 0, 'no answer';
    like $r->{wrong}, qr/no reply/, 'the connection is closed';
};

subtest 'uninitialized variables' => sub {
    gives('unset', '/warned', '200 []', 'empty');
    gives('unset', '/quiet', '200 []', 'empty');
    becomes { $w->error_log =~ /\[warn\] .* using uninitialized "never_set" variable/ } 'warned of';
    unlike $w->error_log, qr/never_seen/, 'unless that is off';
};

subtest 'rewrite_log' => sub {
    my $log = $w->error_log;
    like $log, qr{\[notice\] .*"no" does not match "/t\d+", client: 127\.0\.0\.1}, 'no match';
    like $log, qr{"\^/t\d+/\(\.\*\)\$" matches "/t\d+/a/b"}, 'a match';
    like $log, qr{rewritten data: "/echo", args: "n=1&o=1"}, 'data';
    like $log, qr{rewritten redirect: "http://b/\?n=1&o=1"}, 'a redirect';
    like $log, qr{\[error\] .*the rewritten URI has a zero length}, 'no uri at all';
    like $log, qr{\[error\] .*rewrite or internal redirection cycle while processing "/t\d+"},
        'a cycle of rewrites';
    like $log, qr{cycle while internally redirecting to "/t\d+"}, 'a cycle of redirects';
    like $log, qr{could not find named location "\@nowhere"}, 'no such named location';
    like $log, qr{\[error\] .*invalid \$limit_rate "abc"}, 'an invalid rate';
};

$w->finish;
done_testing;
