#!/usr/bin/perl

# `outlier` ejects a server whose tries fail too often, over all workers: a reply of 5xx counts even
# if it is passed on. After its time one try is a probe. Each change is one line. Never more than
# max_ejected of the servers are out. Both layers, over IPv4, IPv6 and unix sockets; a reload keeps
# what was learned, also with another size of the zone; so do the deaths of worker and keeper.
#
# Holds under chaos; not marked for it, as it waits half a minute for ejections to end.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;

# An HTTP server that answers with the status in a file.
sub http_server {
    my ($w, $name, %how) = @_;
    $w->write("$name.status", 200);
    return $w->backend($name, %how, serve => Weir::HttpServer::serve(sub {
        my $status = Weir::slurp($w->path("$name.status"));
        return Weir::HttpServer::reply($status, $name);
    }));
}

sub status_of_server { my ($w, $name, $status) = @_; return $w->write("$name.status", $status) }

# The number of lines of the error log that match.
sub said { my ($w, $what) = @_; return scalar grep { /$what/ } split /\n/, $w->error_log }

# The servers that answered n requests.
sub answers {
    my ($w, $where, $n) = @_;
    my %by;
    $by{ Weir::Http::ask($w, $where, 'GET /')->{body} }++ for 1 .. $n;
    return \%by;
}

my $v6 = Weir::Ports::has_ipv6() ? '[::1]:%{six.port}' : '127.0.0.1:%{six.port}';
my $w = Weir->new;
http_server($w, 'good');
http_server($w, 'six', at => $v6);
http_server($w, 'sock', at => 'unix:sock');

my $group = <<'CONF';
        upstream u {
            server %{good}; server SIX; server %{unix:sock};
            outlier errors=3 window=20s eject=1s max_ejected=40%;
            SIZE
        }
CONF
my $conf = sub {
    my ($size) = @_;
    my $text = "worker_processes 2;\nhttp {\n$group server { listen %{web}; location / { "
             . "proxy_pass http://u; proxy_next_upstream off; } }\n}\n";
    $text =~ s/SIX/$v6/;
    $text =~ s/SIZE/$size/;
    return $text;
};
$w->start($conf->(''));

# ---- a server that fails is out, and back when it works

status_of_server($w, 'six', 500);
my $six = quotemeta $w->address($v6);
becomes { answers($w, 'web', 6); said($w, qr/server $six is ejected/) } '5xx eject a server';
is said($w, qr/server $six is ejected for 1\.000 s: 3 of \d+ tries failed within 20 s/), 1,
    'one line says why';
ok !exists answers($w, 'web', 6)->{six} || said($w, qr/is ejected for 2\.000 s/),
    'it gets no requests';
becomes { answers($w, 'web', 3); said($w, qr/$six is ejected for 2\.000 s: its probe failed/) }
    'a probe that fails ejects it for longer';
status_of_server($w, 'six', 200);
becomes { answers($w, 'web', 3); said($w, qr/server $six returns: its probe succeeded/) == 1 }
    'a probe that succeeds brings it back';
ok answers($w, 'web', 9)->{six}, 'it gets requests again';

# ---- max_ejected

status_of_server($w, $_, 503) for qw(six sock);
becomes { answers($w, 'web', 6); said($w, qr/fails too often but stays: 1 of 3 servers/) }
    '40% of three servers is one';
is said($w, qr/fails too often but stays/), 1, 'that is one line';

# ---- a unix socket; kill -9; reloads

status_of_server($w, $_, 200) for qw(six sock);
becomes { my $by = answers($w, 'web', 9); ($by->{six} // 0) * ($by->{sock} // 0) } 'all work';

sub ejects_anew {
    my ($why) = @_;
    my $before = said($w, qr/unix:\S+ is ejected/);
    status_of_server($w, 'sock', 500);
    becomes { answers($w, 'web', 6); said($w, qr/unix:\S+ is ejected/) > $before } $why;
    return;
}

sub is_out {
    my ($why) = @_;
    my $back = said($w, qr/unix:\S+ returns/);
    status_of_server($w, 'sock', 200);
    becomes { answers($w, 'web', 3); said($w, qr/unix:\S+ returns/) > $back } $why;
    return;
}

ejects_anew('a unix socket is ejected');
kill 'KILL', $_ for $w->workers;
becomes { $w->workers == 2 } 'new workers';
is_out('it was still out, and returns');

ejects_anew('again');
my $keeper = $w->keeper;
kill 'KILL', $keeper;
becomes { ($w->keeper // $keeper) != $keeper } 'a new keeper';
is_out('the death of the keeper changes nothing');

ejects_anew('again');
is(($w->reload($conf->('')))[0], 0, 'reload');
is_out('a reload keeps it out, and it returns');

ejects_anew('again');
is(($w->reload($conf->('zone u 1m;')))[0], 0, 'reload with another size');
is_out('a larger zone gets what was learned');

ejects_anew('again');
my ($old, $new) = $w->upgrade;
is_out('the next binary knows it');
ejects_anew('again');
$w->signal('QUIT', $new);
becomes { !alive($new) } 'the upgrade is undone';
$w->{master} = $old;
is_out('so does the old one');
$w->expect(qr/exited on signal 9/);
$w->finish;

# ---- layer 4: a refused connection counts, a session counts when it begins

$w = Weir->new;
$w->greeter('a', 'b');
$w->start(<<'CONF');
worker_processes 2;
stream {
    upstream u {
        server %{a} max_fails=0; server %{b} max_fails=0; server %{gone} max_fails=0;
        outlier errors=4 rate=50% window=20s eject=30s;
    }
    server { listen %{web}; proxy_pass u; }
}
CONF
my $gone = quotemeta $w->address('gone');
becomes { like $w->ask('web'), qr/^[ab]$/; said($w, qr/server $gone is ejected for 30/) }
    'layer 4: refused connections eject';
my $tried = said($w, qr/Connection refused/);
like $w->ask('web'), qr/^[ab]$/, 'a session' for 1 .. 9;
is said($w, qr/Connection refused/), $tried, 'it is tried no more';
is said($w, qr/is ejected/), 1, 'and nothing else is';
$w->finish;

# ---- one server alone is never ejected; errors of the configuration

$w = Weir->new;
http_server($w, 'only');
status_of_server($w, 'only', 500);
$w->start(<<'CONF');
http {
    upstream u { server %{only}; outlier errors=1; }
    server { listen %{web}; location / { proxy_pass http://u; } }
}
CONF
is(Weir::Http::ask($w, 'web', 'GET /')->{status}, 500, 'the only server stays') for 1 .. 5;
is said($w, qr/ejected/), 0, 'without a word';

for ([ 'outlier errors=0;', 'invalid parameter "errors=0"', 'it takes a number, 1 or more' ],
    [ 'outlier rate=0%;', 'invalid parameter "rate=0%"', 'it takes a share' ],
    [ 'outlier rate=30;', 'invalid parameter "rate=30"', 'it takes a share' ],
    [ 'outlier window=10ms;', 'invalid parameter "window=10ms"', 'between 1s and 1h' ],
    [ 'outlier eject=2h;', 'invalid parameter "eject=2h"', 'between 100ms and 1h' ],
    [ 'outlier max_ejected=101%;', 'invalid parameter "max_ejected=101%"', 'of the servers' ],
    [ 'outlier eror=5;', 'invalid parameter "eror=5"', 'errors=' ],
    [ 'outlier; outlier;', '"outlier" directive is duplicate', '' ]) {
    my ($text, $error, $hint) = @$_;
    $w->conf("http { upstream u { server 127.0.0.1:1; $text } }\nevents {}\n");
    my ($code, undef, $err) = $w->command('-t');
    is $code, 1, $text;
    like $err, qr/\Q$error\E/, "$text: $error";
    like $err, qr/\Q$hint\E/, "$text: the hint";
}
$w->expect(qr/invalid parameter|is duplicate/);
$w->finish;
done_testing;
