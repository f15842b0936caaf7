#!/usr/bin/perl

# Messages about wrong configurations, beyond one mistake and its line (t/002): several mistakes in
# one run, each reported once; missing and surplus braces; names and parameters of nginx and of
# other projects; the word that the caret marks.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;
my $CONF = $w->path('weir.conf');

sub check {
    my ($text) = @_;
    $w->write('weir.conf', $text);
    my ($code, $out, $err) = $w->bare('-t', '-p', $w->dir, '-c', 'weir.conf', '-e', $w->path('e.log'));
    return $code eq 0 ? '' : $err;
}

# "LINE text [word under the caret] (hint; hint)" of each error, in the order in which they are
# shown.
sub findings {
    my ($err) = @_;
    my @found;
    while ($err =~ /^weir: \[emerg\] (.*?) in \S+?:(\d+)(, \d+ more)?\n ([ \d]*\| )(.*)\n([ |]*)(\^+)\n((?: += .*\n)*)/mg) {
        my ($text, $line, $more, $lead, $source, $before, $carets, $hints)
            = ($1, $2, $3 // '', $4, $5, $6, $7, $8);
        my $word = substr $source, length($before) - 1 - length $lead, length $carets;
        push @found, "$line $text$more [$word]"
            . ($hints ne '' ? ' (' . join('; ', map { s/^ +=? ?//r } split /\n/, $hints) . ')' : '');
    }
    return @found;
}

# ---- one or several mistakes: the text, and the errors that are found ----

my @rows = (
    ['each unknown directive once, with all its places', <<'CONF',
http {
    fastcgi_param A b;
    server {
        listen 127.0.0.1:1;
        fastcgi_param A b; fastcgi_param C d;
        location / { fastcgi_param A b; fastcgi_index x; }
    }
}
CONF
        '2 unknown directive "fastcgi_param": known in nginx, not in this build, 3 more [fastcgi_param]'
        . ' (nginx has it in module ngx_http_fastcgi_module, for: http, server, location; 3 more: 5, 6)',
        '6 unknown directive "fastcgi_index": known in nginx, not in this build [fastcgi_index]'
        . ' (nginx has it in module ngx_http_fastcgi_module, for: http, server, location)'],
    ['unknown variables, also beside other errors, unless a wrong line may define them', <<'CONF',
http {
    log_format f '$remote_addr "$request" $secure_link ${gzip_ratio}';
    auth_jwt_claim_set $who sub;
    server {
        listen 127.0.0.1:1;
        add_header X $who$nosuch;
        foo;
        return 200 $connections_active;
    }
}
stream {
    server { listen 127.0.0.1:2; return "$uri $remote_adr"; }
}
CONF
        '2 unknown "secure_link" variable: known in nginx, not in this build'
        . ' [$secure_link] (nginx has it in module ngx_http_secure_link_module)',
        '2 unknown "gzip_ratio" variable: known in nginx, not in this build [${gzip_ratio}]'
        . ' (nginx has it in module ngx_http_gzip_module)',
        '3 unknown directive "auth_jwt_claim_set": known in nginx, not in this build'
        . ' [auth_jwt_claim_set] (part of nginx\'s commercial subscription (module ngx_http_auth_jwt_module))',
        '6 unknown "nosuch" variable [$nosuch]',
        '7 unknown directive "foo" [foo]',
        '8 unknown "connections_active" variable: known in nginx, not in this build'
        . ' [$connections_active] (nginx has it in module ngx_http_stub_status_module)',
        '12 unknown "uri" variable [$uri] (nginx has it in http {})',
        '12 unknown "remote_adr" variable [$remote_adr] (did you mean "$remote_addr"?)'],
    ['a certificate that is there is not reported missing', <<'CONF',
http {
    server { listen 127.0.0.1:1; location / { add_header X $nosuch; } }
    server { listen 127.0.0.1:2 ssl; ssl_certificate c.pem; ssl_certificate_key k.pem; }
}
CONF
        '2 unknown "nosuch" variable [$nosuch]'],
    ['a Lua block', <<'CONF',
http {
    server {
        listen 127.0.0.1:1;
        location / {
            content_by_lua_block {
                ngx.say('a', 1) -- not the end: }
                local x = { [1] = "}", y = [[ } ]] }
            }
            access_by_lua_block { ngx.exit(403) }
        }
        foo;
    }
}
CONF
        '5 unknown directive "content_by_lua_block": of a third-party module, not in this build'
        . ' [content_by_lua_block] (it is a directive of lua-nginx-module)',
        '9 unknown directive "access_by_lua_block": of a third-party module, not in this build'
        . ' [access_by_lua_block] (it is a directive of lua-nginx-module)',
        '11 unknown directive "foo" [foo]'],
    ['modules of others', <<'CONF',
http {
    brotli on;
    vhost_traffic_status_zone;
    more_set_headers "X: y";
}
CONF
        map { sprintf '%d unknown directive "%s": of a third-party module, not in this build [%s]'
            . ' (it is a directive of %s)', $_->[0], $_->[1], $_->[1], $_->[2] }
        [2, 'brotli', 'ngx_brotli'], [3, 'vhost_traffic_status_zone', 'nginx-module-vts'],
        [4, 'more_set_headers', 'headers-more-nginx-module']],
    ['directives that are gone, and what clients speak without them', <<'CONF',
http {
    ssl on;
    server { listen 127.0.0.1:1 ssl http2 defualt_server; }
    server { listen 127.0.0.1:2 quic; listen 127.0.0.1:3 udp; listen 127.0.0.1:4 http2; }
}
CONF
        '2 unknown directive "ssl": removed in nginx 1.25.1 [ssl] (write "listen 443 ssl")',
        '3 the "http2" parameter is known in nginx, not in this build, 1 more [http2]'
        . ' (leave it out: clients speak HTTP/1.1 then; 1 more: 4)',
        '3 invalid parameter "defualt_server" [defualt_server] (did you mean "default_server"?)',
        '4 the "quic" parameter is known in nginx, not in this build [quic]'
        . ' (leave the line out: clients speak HTTP/1.1 over TCP then)',
        '4 invalid parameter "udp" [udp] (datagrams are served in stream {})'],
    ['parameters of servers', <<'CONF',
stream {
    upstream u {
        server 127.0.0.1:1 weight=abc slow_start=soon route=a drain;
        server 127.0.0.1:2 bakcup weight backup=1;
        server http://127.0.0.1:3;
    }
    server { listen 127.0.0.1:1; proxy_pass https://127.0.0.1:4; }
}
CONF
        '3 invalid parameter "weight=abc" [weight=abc] (it takes a number, 1 or more)',
        '3 invalid parameter "slow_start=soon" [slow_start=soon] (it takes a time)',
        '3 the "route" parameter is not known in stream: only http has sticky sessions [route=a]',
        '4 invalid parameter "bakcup" [bakcup] (did you mean "backup"?)',
        '4 invalid parameter "weight" [weight] (write "weight=" and a value)',
        '4 invalid parameter "backup=1" [backup=1] (write "backup": it takes no value)',
        '5 invalid host in upstream "http://127.0.0.1:3" [http://127.0.0.1:3]'
        . ' (layer 4 and servers of a group have no "http://": write HOST:PORT)',
        '7 invalid host in upstream "https://127.0.0.1:4" [https://127.0.0.1:4]'
        . ' (layer 4 and servers of a group have no "https://": write HOST:PORT, and "proxy_ssl on;")'],
    ['nothing is suggested that is not allowed there', <<'CONF',
http {
    server { listen 127.0.0.1:1; location / { proxy_xyz x; } }
    proxy_pas x;
}
CONF
        '2 unknown directive "proxy_xyz" [proxy_xyz]', '3 unknown directive "proxy_pas" [proxy_pas]'],
    ['a bracket that is missing inside a text', <<'CONF',
http {
    server { listen 127.0.0.1:1; return 200 "a ${host b"; }
}
CONF
        '2 the closing bracket in "host" variable is missing [${host]'],
    ['more than twenty errors', join('', map { "foo$_ x;\n" } 1 .. 30),
        map { sprintf '%d unknown directive "foo%d" [foo%d]', $_, $_, $_ } 1 .. 30],
);
for my $row (@rows) {
    my ($name, $text, @expected) = @$row;
    my $err = check($text);
    is_deeply [findings($err)], \@expected, $name or diag $err;
}

# ---- braces: right configurations with one mistake each, compared with nginx ----

my @lines = split /^/, <<'CONF';
events {
}
http {
    server {
        listen 127.0.0.1:1;
        location / {
            return 200 a;
        }
        location /b {
            if ($uri) {
                return 200 b;
            }
        }
    }
    upstream u {
        server 127.0.0.1:2;
    }
    server {
        listen 127.0.0.1:3;
        location / {
            proxy_pass http://u;
        }
    }
}
CONF

my $nginx = Weir::program('nginx');
my $temp = join '', map { "${_}_temp_path " . $w->path("temp_$_") . ';' }
    qw(client_body proxy fastcgi uwsgi scgi);

# The line that nginx reports; 0 if it finds no mistake.
sub nginx_line {
    my ($text) = @_;
    $w->write('nginx.conf', $text =~ s/^http \{/http { access_log off; $temp/mr);
    my ($code, $out, $err) = $w->bare({ bin => $nginx }, '-t', '-p', $w->dir, '-e', $w->path('n.log'),
        '-c', $w->path('nginx.conf'), '-g', 'pid ' . $w->path('n.pid') . ';');
    return $err =~ /\[emerg\].* in \S+:(\d+)$/m ? $1 : 0;
}

# Each line with a brace, without it, or with one more: the kind, the line, the text, and the line
# on which the mistake is to be reported.
my @mutants;
for my $i (0 .. $#lines) {
    my @m = @lines;
    if ($lines[$i] =~ /\{$/) {
        $m[$i] =~ s/ \{$//;
        push @mutants, ['no {', $i + 1, join('', @m), $i + 1 + ($lines[$i + 1] =~ /^\}/ ? 1 : 0)];
    }
    elsif ($lines[$i] =~ /^\s*\}$/) {
        $m[$i] = "\n";
        # The next line shows it; after the last one that is the end of the file.
        push @mutants, ['no }', $i + 1, join('', @m), $i + 2];
        $m[$i] = $lines[$i] x 2;
        push @mutants, ['} twice', $i + 1, join('', @m), $i + 2];
    }
}
cmp_ok @mutants, '>', 25, 'there are mistakes to make';

# An ordinary user may not listen on the ports it names.
is check(join('', @lines) =~ s/listen \K127\.0\.0\.1:(\d)/%{port$1}/gr), '',
    'the configuration itself is right';
for my $m (@mutants) {
    my ($kind, $line, $text, $expected) = @$m;
    my $name = "$kind on line $line";
    my @found = map { /^(\d+)/ } findings(my $err = check($text));
    is "@found", $expected, "$name: where" or diag "$text\n$err";

    # Mistakes before and after it are still found.
    my @more = split /^/, $text;
    my ($first) = grep { $more[$_] =~ /127\.0\.0\.1:1/ } 0 .. $#more;
    my ($last) = grep { $more[$_] =~ /proxy_pass/ } 0 .. $#more;
    $more[$last] =~ s/;/; bar y;/;
    $more[$first] =~ s/;/; foo x;/;
    like check(join '', @more), qr/"foo".*"bar"/s, "$name: with other mistakes";

    SKIP: {
        skip 'nginx is not installed', 2 if !$nginx;
        my $nginx_line = nginx_line($text);
        cmp_ok $found[0] // 99, '<=', $nginx_line, "$name: reported no later than by nginx";
        my $flat = $text =~ s/^ +//mgr;
        @found = map { /^(\d+)/ } findings($err = check($flat));
        ok $found[0] >= $line && $found[0] <= nginx_line($flat),
            "$name: nor without indentation" or diag "$flat\n$err";
    }
}

# One that is not indented, one that is closed too early, and a template that was not filled in.
my @shapes = (
    ['too early', "http {\n    server {\n        listen 127.0.0.1:1;\n    }\n        location / {\n"
        . "            return 200;\n        }\n    }\n}\n", '5 "location" directive is not allowed here',
        '8 unexpected "}"'],
    ['two mistakes', "http {\n    server\n        listen 127.0.0.1:1;\n    }\n    server {\n"
        . "        listen 127.0.0.1:2;\n    server {\n        listen 127.0.0.1:3;\n    }\n}\n",
        '2 directive "server" has no opening "{"', '7 unexpected "server", expecting "}"'],
    ['a template', "http {\n    index {HTTP_INDEX_FILE};\n    foo;\n    server {\n"
        . "        listen 127.0.0.1:{PORT};\n    }\n}\n",
        '2 directive "index" is not terminated by ";"', '3 unknown directive "foo"',
        '5 directive "listen" is not terminated by ";"'],
);
for my $shape (@shapes) {
    my ($name, $text, @expected) = @$shape;
    my $err = check($text);
    is_deeply [map { s/,? \d+ more| \[.*//gr } findings($err)], \@expected, $name or diag $err;
}

# ---- names that are not known yet: after the syntax, each where it stands, in the order of the file ----

$w->write('weir.conf', <<'CONF');
http {
    server {
        listen 127.0.0.1:%{web.port};
        location /a { proxy_pass http://one.invalid; }
        location /b { proxy_pass http://two; }
    }
    upstream two { server two.invalid:1; }
}
stream {
    server {
        listen 127.0.0.1:%{other.port};
        proxy_pass three.invalid:1;
    }
}
CONF
my ($code, $out, $err) = $w->bare('-t', '-p', $w->dir, '-c', 'weir.conf', '-e', $w->path('e.log'));
is $code, 0, 'unknown names are no error';
my @names = $err =~ /^weir: \[warn\] host not found in upstream "(\S+)" \(.*\) in \Q$CONF\E:(\d+)$/mg;
is "@names", 'one.invalid 4 two.invalid:1 7 three.invalid:1 12', 'all are named, in order'
    or diag $err;
like $err, qr/^    7 \|     upstream two \{ server two\.invalid:1; \}\n      \| +\^{13}\n/m,
    'with the line and the place';
like $err, qr/syntax is ok.*two\.invalid.*successful/s, 'after the syntax';

# ---- a key that does not fit: the key is marked ----

SKIP: {
    skip 'no openssl program', 1 if !Weir::program('openssl');
    for my $name ('a', 'b') {
        system "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 1 -subj /CN=x"
            . " -keyout \Q@{[ $w->path($name) ]}\E.key -out \Q@{[ $w->path($name) ]}\E.pem 2>/dev/null";
    }
    is_deeply [map { s/: SSL.*(?= \[)//r } findings(check(<<"CONF"))],
http {
    server { listen 127.0.0.1:1 ssl; ssl_certificate a.pem;
        ssl_certificate_key b.key; }
}
CONF
        ['3 cannot load certificate key "' . $w->path('b.key') . '" [b.key]'], 'a key that does not fit';
}

$w->expect(qr/\[emerg\]|host not found/);
$w->finish;
done_testing;
