#!/usr/bin/perl
# chaos: yes

# Clients stay with their server: by a cookie that weir sets, plain or signed, and by a route in the
# request. The server may be draining, down, a backup, full, failed, or it may have failed just
# now; values that no server has count as none. Two workers, connections that are kept, IPv6 and unix
# sockets; a reload and an upgrade. What a wrong directive is told.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::MD5 qw(md5_hex);
use Digest::SHA qw(hmac_sha256_hex);
use IO::Select;
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;

my $w = Weir->new;
my $v6 = Weir::Ports::has_ipv6() ? 'server [::1]:%{six.port};' : '';

# Tells that a request is here, and waits until its client has left.
sub hold {
    my ($fh) = @_;
    $w->write('held', '');
    sysread $fh, my $more, 1;
    return;
}

# A server says its name. /no/NAME: that one says 404; /hold: it never answers.
sub server {
    my ($name, %how) = @_;
    return $w->backend($name, serve => Weir::HttpServer::serve(sub {
        my ($request, $fh) = @_;
        return hold($fh) if $request->{target} =~ m{/hold};
        return Weir::HttpServer::reply(404, "$name\n") if $request->{target} =~ m{/no/\Q$name\E$};
        return Weir::HttpServer::reply(200, '', 'X-Accel-Redirect' => '/moved')
            if $request->{target} =~ m{/accel};
        return Weir::HttpServer::reply(200, "$name\n", 'Set-Cookie' => 'own=1; path=/x');
    }), %how);
}

server($_) for qw(a b c);
server('u', at => 'unix:u');
server('six', at => '[::1]:%{six.port}') if $v6;

my $KEY = 'a secret of this test, long enough';
my $OLD = 'an older secret, that still counts';
$w->write('secrets', "$KEY\n$OLD\n");
$w->write('old.secrets', "$OLD\n");

my @groups = (
    cookie => 'server %{a}; server %{b}; server %{unix:u}; V6 sticky cookie sid;',
    kept => 'server %{a}; server %{b}; sticky cookie sid; keepalive 4;',
    all => 'server %{a}; sticky cookie sid expires=1h domain=.$host path=/p secure httponly
            samesite=$arg_site;',
    max => 'server %{a}; sticky cookie sid expires=max samesite=lax;',
    drain => 'server %{a} drain; server %{b}; sticky cookie sid;',
    down => 'server %{a} down; server %{b}; sticky cookie sid;',
    backup => 'server %{a}; server %{b} backup; server %{c} backup; sticky cookie sid;',
    spare => 'server %{none}; server %{b} backup; server %{c} backup; sticky cookie sid;',
    full => 'server %{a} max_conns=1; server %{b}; sticky cookie sid;',
    queued => 'server %{a} max_conns=1; queue 4 timeout=60s; sticky cookie sid;',
    failed => 'server %{none} fail_timeout=1h; server %{b}; sticky cookie sid;',
    named => 'server %{a} route=one; server %{b} route=two; sticky cookie sid;',
    signed => 'server %{a}; server %{b} route=two; sticky cookie sid secret_file=secrets;',
    former => 'server %{a}; server %{b} route=two; sticky cookie sid secret_file=old.secrets;',
    route => 'server %{a} route=one; server %{b} route=two; server %{c};
              sticky route $cookie_r $arg_r;',
    same => 'server %{none} route=r; server %{a} route=r; server %{b};
             server %{c} route=r; sticky route $arg_r;',
);

sub conf {
    my ($more) = @_;
    my ($groups, $locations) = ('', '');
    my @all = (@groups, @{ $more // [] });
    while (my ($name, $text) = splice @all, 0, 2) {
        $text =~ s/V6/$v6/;
        $groups .= "upstream $name { $text }\n";
        $locations .= "location /$name { proxy_pass http://$name; }\n";
    }
    return "worker_processes 2;\nhttp {\n$groups" . <<"CONF";
    server {
        listen %{web};
        $locations
        location /cookie/no { proxy_pass http://cookie; proxy_next_upstream http_404; }
        location /cookie/hidden {
            proxy_pass http://cookie;
            proxy_hide_header Set-Cookie;
            proxy_cookie_path / /y;
        }
        location /cookie/paged/ {
            proxy_pass http://cookie/;
            proxy_intercept_errors on;
            error_page 404 /page;
        }
        location = /page { return 200 "page\\n"; }
        location = /moved { return 200 "moved\\n"; }
        location /names { set \$group \$arg_g; proxy_pass http://\$group; }
    }
}
CONF
}
$w->start(conf());

# Returns the server's name and the cookie that weir has set.
sub get {
    my ($path, @cookies) = @_;
    my $r = Weir::Http::ask($w, 'web', "GET /$path", map { (Cookie => $_) } @cookies);
    my ($set) = grep { /^sid=/ } $r->all('Set-Cookie');
    my $said = $r->{body} =~ s/\n.*//sr;
    $said = $r->{status} if $said =~ /^</;
    return wantarray ? ($said, $set) : $said;
}

# All names that $n requests get, each once.
sub names {
    my ($n, $path, @cookies) = @_;
    my %seen = map { scalar(get($path, @cookies)) => 1 } 1 .. $n;
    return join ' ', sort keys %seen;
}

sub md5_of { return md5_hex($w->address($_[0])) }
sub signed { return substr hmac_sha256_hex($_[1], $_[0]), 0, 32 }
my %value = map { $_ => md5_of($_) } qw(a b c none);
$value{u} = md5_of('unix:u');
$value{six} = md5_of('[::1]:%{six.port}');

# ---- the cookie

my $all = $v6 ? 'a b six u' : 'a b u';
is names(16, 'cookie'), $all, 'without a cookie the balancer picks';
for my $name (split / /, $all) {
    my ($said, $set);
    becomes { ($said, $set) = get('cookie'); $said eq $name } "a reply of $name";
    is $set, "sid=$value{$name}", "$name: the cookie is MD5 of its address";
    is names(8, 'cookie', "x=1; sid=$value{$name}; y"), $name, "$name: it leads there, always";
}
is +(get('cookie', "sid=$value{a}"))[1], "sid=$value{a}", 'the cookie is set in each reply';
is names(6, 'kept', "sid=$value{b}"), 'b', 'connections that are kept change nothing';
is names(4, 'names?g=cookie', "sid=$value{b}"), 'b', 'nor does a group named by a variable';

is names(16, 'cookie', 'sid='), $all, 'an empty value counts as none';
is names(16, 'cookie', "sid=$value{c}"), $all, 'nor does one of a server of another group count';
is names(16, 'cookie', 'sid=' . 'a' x 5000), $all, 'a long one';
is names(16, 'cookie', "sid=\xff\x80\xfe"), $all, 'bytes';
is names(16, 'cookie', 'sid=' . uc $value{b}), $all, 'another case' if $value{b} =~ /[a-f]/;
is names(16, 'cookie', "sid=$value{b}0"), $all, 'more than the value';
is names(16, 'cookie', 'sid=' . substr $value{b}, 0, 31), $all, 'less than the value';
is names(6, 'cookie', "sid=nobody; sid=$value{b}; sid=$value{a}"), 'b',
    'several cookies: the first that is right counts';
is names(6, 'cookie', 'sid=nobody', "other=1; SID = $value{b} ;x"), 'b', 'in several fields, too';
is names(16, 'cookie', join('; ', ('sid=x') x 100) . "; sid=$value{b}"), $all,
    'but not behind a hundred wrong ones';

# ---- its attributes

my (undef, $set) = get('all?site=none');
like $set, qr/^sid=\w{32};\ expires=\w{3},\ \d\d-\w{3}-\d\d\ \d\d:\d\d:\d\d\ GMT;\ domain=\.test;
    \ path=\/p;\ secure;\ httponly;\ samesite=none$/x, 'all attributes';
like +(get('all?site=Lax'))[1], qr/; samesite=lax$/, 'samesite from a variable';
like +(get('all?site=x'))[1], qr/; samesite=strict$/, 'whose other values mean strict';
like +(get('all'))[1], qr/; httponly$/, 'and the empty one none';
is +(get('max'))[1], "sid=$value{a}; expires=Thu, 31-Dec-37 23:55:55 GMT; samesite=lax", 'max';

# ---- where the reply is changed

my $r = Weir::Http::ask($w, 'web', 'GET /cookie/hidden', Cookie => "sid=$value{b}");
is $r->field('Set-Cookie'), "sid=$value{b}", 'proxy_hide_header and proxy_cookie_path pass it by';
is_deeply [get('cookie/accel', "sid=$value{b}")], ['moved', "sid=$value{b}"], 'X-Accel-Redirect';
is_deeply [get('cookie/paged/no/b', "sid=$value{b}")], ['page', "sid=$value{b}"], 'error_page';
$r = Weir::Http::ask($w, 'web', 'HEAD /cookie', Cookie => "sid=$value{b}");
is $r->field('Set-Cookie'), "own=1; path=/x | sid=$value{b}", 'HEAD, and a cookie of the server';

# ---- another server than the bound one

my ($said, $cookie) = get('cookie/no/b', "sid=$value{b}");
isnt $said, 'b', 'a status of proxy_next_upstream: another server';
is $cookie, "sid=$value{$said}", 'and its cookie';

is names(6, 'drain'), 'b', 'a draining server gets no new clients';
is names(6, 'drain', 'sid=x'), 'b', 'nor those with another cookie';
is_deeply [get('drain', "sid=$value{a}")], ['a', "sid=$value{a}"], 'the bound ones stay';

is_deeply [get('down', "sid=$value{a}")], ['b', "sid=$value{b}"], 'down: bound anew';

is_deeply [get('backup', "sid=$value{c}")], ['a', "sid=$value{a}"],
    'a backup is not asked while a main server lives';
is_deeply [get('spare', "sid=$value{c}")], ['c', "sid=$value{c}"], 'then it is, by its cookie';
is names(6, 'spare'), 'b c', 'without a cookie each of them';

is_deeply [get('failed', "sid=$value{none}")], ['b', "sid=$value{b}"], 'refused: bound anew';
is_deeply [get('failed', "sid=$value{none}")], ['b', "sid=$value{b}"], 'set aside: the same';

my $holder = $w->connect('web');
$holder->send(Weir::Http::request('GET /full/hold', Cookie => "sid=$value{a}"));
becomes { -e $w->path('held') } 'a server is full';
is_deeply [get('full', "sid=$value{a}")], ['b', "sid=$value{a}"], 'but the client stays bound';
$holder->close;
becomes { get('full', "sid=$value{a}") eq 'a' } 'and comes back';

unlink $w->path('held');
$holder = $w->connect('web');
$holder->send(Weir::Http::request('GET /queued/hold'));
becomes { -e $w->path('held') } 'a group is full';
my $waiter = $w->connect('web');
$waiter->send(Weir::Http::request('GET /queued', Cookie => "sid=$value{a}", Connection => 'close'));
ok !IO::Select->new($waiter->socket)->can_read(0.3), 'a bound client waits in the queue';
$holder->close;
my $served = Weir::Http::reply($waiter);
is $served->{body}, "a\n", 'and is served in its turn';
is +($served->all('Set-Cookie'))[-1], "sid=$value{a}", 'with its cookie';

# ---- routes

is_deeply [get('named', 'sid=two')], ['b', 'sid=two'], 'route= is the value of the cookie';
is names(8, 'named', "sid=$value{b}"), 'a b', 'and its MD5 is not';
is names(6, 'route', 'r=two'), 'b', 'sticky route: a cookie';
is names(6, 'route?r=one'), 'a', 'an argument';
is names(6, 'route?r=one', 'r=two'), 'b', 'the first that is not empty';
is names(6, 'route?r=one', 'r='), 'a', 'an empty cookie is passed over';
is names(6, "route?r=$value{c}"), 'c', 'without route= it is MD5 of the address';
is names(9, 'route?r=nobody'), 'a b c', 'no such route: the balancer';
is names(9, 'route'), 'a b c', 'none at all';
is names(40, 'same?r=r'), 'a c', 'several servers of one route, of which one is dead';

# ---- signed

my $one = signed($KEY, 'server ' . $w->address('a'));
my $two = signed($KEY, 'route two');
is_deeply [get('signed', "sid=$one")], ['a', "sid=$one"], 'signed, by the address';
is_deeply [get('signed', "sid=$two")], ['b', "sid=$two"], 'by the route';
my %cookies = map { (get('signed'))[1] => 1 } 1 .. 8;
is_deeply [sort keys %cookies], [sort "sid=$one", "sid=$two"], 'these are set';
is names(8, 'signed', "sid=$_"), 'a b', "forged: $_"
    for $value{a}, 'two', signed('another key', 'route two'), "${two}0", substr($two, 0, 31),
        $two =~ s/^(.)/$1 eq '0' ? '1' : '0'/er;
my $before = (get('former'))[1];
$before = (get('former'))[1] while $before eq 'sid=' . signed($OLD, 'route two');
is_deeply [get('signed', $before)], ['a', "sid=$one"],
    'an older key counts still; the cookie is signed again by the new one';
is names(8, 'former', "sid=$one"), 'a b', 'the new key does not count where it is not known';

# ---- reload, upgrade

$w->write('secrets', "$OLD\n");
is +($w->reload(conf([new => 'server %{c}; server %{a}; sticky cookie sid;'])))[0], 0, 'reload';
is names(6, 'cookie', "sid=$value{b}"), 'b', 'the cookies are valid still';
is names(6, 'signed', $before), 'a', 'and the signed ones, by the keys there are now';
is names(8, 'signed', "sid=$two"), 'a b', 'but not by one that has left the file';
my ($old, $new) = $w->upgrade;
$w->signal('QUIT', $old);
$w->ended($old);
is names(6, 'cookie', "sid=$value{b}"), 'b', 'after an upgrade, too';
is names(6, 'signed', $before), 'a', 'signed ones as well';
my ($victim) = $w->workers;
$w->signal('KILL', $victim);
becomes { my @now = $w->workers; @now == 2 && !grep { $_ == $victim } @now } 'a worker dies';
is names(6, 'cookie', "sid=$value{b}"), 'b', 'and nothing changes';

# ---- the directive

my (undef, $out, $err) = $w->command('-T');
like $out, qr/secret_file=secrets/, '-T shows the name of the file';
unlike $_, qr/\Q$OLD\E|\Q$KEY\E/, 'no secret in what weir writes'
    for $out, $err, $w->error_log, slurp($w->path('stderr'));

$w->expect(qr/\[alert\] .* worker process $victim exited on signal 9/);
$w->finish;

my $t = Weir->new;
$t->expect(qr/\[emerg\]/);
$t->write('short', "0123456789\n");
$t->write('empty', "\n");

sub says {
    my ($text, $want, $name) = @_;
    $t->conf("http { upstream u { server 127.0.0.1:1; $text } }");
    my ($code, undef, $said) = $t->command('-t');
    like $said, $want, $name // $text =~ s/\n.*//sr;
    is $code, $want =~ /emerg/ ? 1 : 0, '  and -t says so';
}

says($_->[0], qr/\[emerg\] $_->[1]/) for (
    ['sticky;', 'invalid number of arguments in "sticky" directive'],
    ['sticky cookie;', 'no name of a cookie'],
    ['sticky route;', 'no variable'],
    ['sticky learn;', '"sticky learn" must have the "create=" parameter'],
    ['sticky coocie sid;', 'invalid parameter "coocie"'],
    ['sticky cookie sid; sticky cookie sid;', '"sticky" directive is duplicate'],
    ['sticky cookie sid secure secure;', 'duplicate parameter "secure"'],
    ['sticky cookie "a b";', 'invalid cookie name "a b"'],
    ['sticky cookie a=b;', 'invalid cookie name "a=b"'],
    ['sticky cookie sid expires=soon;', 'invalid parameter "expires=soon"'],
    ['sticky cookie sid "domain=a;b";', 'invalid parameter "domain=a;b"'],
    ['sticky cookie sid "path=/a b";', 'invalid parameter "path=/a b"'],
    ['sticky cookie sid samesite=often;', 'invalid parameter "samesite=often"'],
    ['sticky cookie sid secret_file=nothing;', 'cannot read ".*/nothing" \(2: '],
    ['sticky cookie sid secret_file=short;', '".*/short" has a secret of less than 16 bytes'],
    ['sticky cookie sid secret_file=empty;', '".*/empty" has no secret'],
    ['sticky cookie sid timeout=1h;', 'invalid parameter "timeout=1h"'],
    ['server 127.0.0.1:2 "route=a;b"; sticky cookie sid;',
        '"route=a;b" cannot be the value of a cookie'],
    ['server 127.0.0.1:2 route=' . 'r' x 64 . ';', 'invalid parameter "route=r{64}"'],
    ['server 127.0.0.1:2 route=;', 'invalid parameter "route="'],
    ['sticky route r;', 'invalid variable name "r"'],
    ['sticky route $no_such;', 'unknown "no_such" variable'],
    ['sticky learn create=$cookie_a lookup=$cookie_a;',
        '"sticky learn" must have the "zone=" parameter'],
    ['sticky learn create=$cookie_a zone=z:1m;',
        '"sticky learn" must have the "lookup=" parameter'],
    ['sticky learn lookup=$cookie_a zone=z:1m;',
        '"sticky learn" must have the "create=" parameter'],
    ['sticky learn create=a lookup=$cookie_a zone=z:1m;', 'invalid variable name "a"'],
    ['sticky learn create=$cookie_a lookup=$cookie_a zone=z;', 'invalid zone size "zone=z"'],
    ['sticky learn create=$cookie_a lookup=$cookie_a zone=:1m;', 'invalid parameter "zone=:1m"'],
    ['sticky learn create=$cookie_a lookup=$cookie_a zone=z:8k;', 'zone "z" is too small'],
    ['sticky learn create=$cookie_a lookup=$cookie_a zone=z:1m timeout=0;',
        'invalid parameter "timeout=0"'],
    ['sticky learn create=$cookie_a lookup=$cookie_a zone=z:1m sync;',
        'the "sync" parameter is known in nginx, not in this build'],
    ['sticky learn create=$cookie_a lookup=$cookie_a zone=z:1m; }
        upstream v { server 127.0.0.1:1; sticky learn create=$cookie_a lookup=$cookie_a zone=z:2m;',
        'the size 2097152 of shared memory zone "z" conflicts with already declared size 1048576'],
);
says('sticky cookie sid exires=1h;', qr/\[emerg\].*did you mean "expires=/s, 'a hint');
$t->write('secret', "0123456789abcdef\n");
chmod 0644, $t->path('secret');
says('sticky cookie sid secret_file=secret;',
    qr/\[warn\] the secret in ".*\/secret" can be read by other users: chmod o= /);
chmod 0640, $t->path('secret');
says('sticky cookie sid secret_file=secret;', qr/^(?!.*warn).*syntax is ok/s, 'a closed file');
says('sticky cookie sid; least_conn;', qr/\[warn\] load balancing method "least_conn" should be/);
says('least_conn; sticky cookie sid;', qr/^(?!.*warn).*syntax is ok/s);
says('sticky cookie sid samesite=none;', qr/\[warn\] browsers drop cookies/);
says('sticky cookie sid secure samesite=none httponly;', qr/syntax is ok/);
$t->conf('stream { upstream u { server 127.0.0.1:1; sticky cookie sid; } }');
like +($t->command('-t'))[2], qr/\[emerg\] "sticky" directive is not allowed here/, 'not in stream';
$t->finish;
done_testing;
