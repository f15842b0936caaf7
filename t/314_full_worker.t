#!/usr/bin/perl

# A worker that has no connection left for clients: its neighbours accept them, on every kind of
# listener; if none has room they are refused at once, and the log counts them. Connections to
# servers then come from the part reserved for them. Also a proxy_pass to itself, and a worker that
# has no descriptors left.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;
use Weir::Tls;

Weir::Tls::needs();

# A client that is in the midst of a head, so that it is not idle, and the worker that has it.
sub busy {
    my ($w) = @_;
    my $c = $w->connect('web') or return;
    $c->send(Weir::Http::request('GET /'));
    my $pid = Weir::Http::reply($c)->{body};
    $c->send('G');
    return ($c, $pid);
}

# Has weir read all that its clients have sent? A client whose next byte is still unread counts as
# idle, and gives its place to a new one.
sub is_read {
    my ($w) = @_;
    my $port = sprintf '%04X', $w->port('web');
    return Weir::slurp('/proc/net/tcp') !~ /^\s*\d+: \w+:$port \w+:\w+ 01 \w+:(?!00000000)/m;
}

# ---- one of four is full

my $w = Weir->new;
my $more = Weir::Ports::has_ipv6() ? 'listen [::1]:%{web.port};' : '';
my $conf = <<"CONF";
worker_processes 4;
events { worker_connections 20; }
http {
    server { listen %{web}; listen %{unix:web}; listen %{tls} ssl; $more
             ssl_certificate server.crt; ssl_certificate_key server.key;
             return 200 \$pid; }
}
CONF
Weir::Tls::certificate($w, 'server', cn => 'test');
$w->start($conf);
becomes { 4 == $w->workers } 'four workers';

my @full;

# Makes that worker full of clients: a tenth of the connections is for servers.
sub fill {
    my ($target) = @_;
    @full = ();
    for (1 .. 1000) {
        last if @full == 18;
        my ($c, $pid) = busy($w);
        if ($pid eq $target) {
            push @full, $c;
        } else {
            $c->close;
        }
    }
    return scalar @full;
}

# Which workers answer, in 40 requests on connections of their own; '' where none did.
sub answering {
    my ($where) = @_;
    my %pid;
    for (1 .. 40) {
        my $r = $where eq 'tls' ? Weir::Tls::ask($w, 'tls', {}, 'GET /')
                                : Weir::Http::ask($w, $where, 'GET /');
        $r->{client}->close if $r->{client};
        $pid{ $r->{status} == 200 ? $r->{body} : '' }++;
    }
    return \%pid;
}

my ($target) = $w->workers;
is fill($target), 18, 'a worker has as many clients as it takes';
for my $where ('web', 'unix:web', 'tls', $more ? '[::1]:%{web.port}' : ()) {
    my $pids = answering($where);
    is $pids->{''}, undef, "$where: every client is served";
    is $pids->{$target}, undef, "$where: by the others";
}
like $w->error_log, qr/\[warn\].*no room for more clients, other workers accept them/,
    'the log says that others take over';
unlike $w->error_log, qr/were refused|\[error\]/, 'nobody was refused';
$_->close for splice @full, 0, 6;
becomes { exists answering('web')->{$target} } 'with room it takes part again';

# ---- after a reload, and after a full worker is killed

$_->close for @full;
is fill($target), 18, 'it is full again';
is +($w->reload)[0], 0, 'a reload';
is answering('web')->{''}, undef, 'the new workers serve everybody';
$full[0]->send("ET / HTTP/1.1\r\nHost: a\r\n\r\n");
is Weir::Http::reply($full[0])->{body}, $target, 'the clients of the full one stay where they are';
$_->close for @full;

($target) = $w->workers;
is fill($target), 18, 'one of the new ones is full';
$w->expect(qr/exited on signal 9/);
$w->signal('KILL', $target);
becomes { 4 == grep { $_ != $target } $w->workers } 'it is killed and replaced';
is answering('web')->{''}, undef, 'everybody is served';
my %all;
becomes { %all = (%all, %{ answering('web') }); 4 == keys %all } 'the new one takes part';

# ---- an upgrade while one is full, taken back, and again

$_->close for @full;
($target) = $w->workers;
is fill($target), 18, 'a worker is full again';
my ($old, $new) = $w->upgrade;
is answering('web')->{''}, undef, 'both binaries serve: nobody waits for the full one';
$w->signal('QUIT', $new);
becomes { !alive($new) } 'the new one is taken back';
$w->{master} = $old;
my $pids = answering('web');
is $pids->{''}, undef, 'the old one serves everybody';
is $pids->{$target}, undef, 'but not with its full worker';
($old, $new) = $w->upgrade;
$w->signal('QUIT', $old);
becomes { !grep { title($_) =~ /: worker process$/ } Weir::Process::children($old) }
    'upgraded: the old workers leave';
is answering('web')->{''}, undef, 'the new ones serve everybody';
$full[0]->send("ET / HTTP/1.1\r\nHost: a\r\n\r\n");
is Weir::Http::reply($full[0])->{body}, $target, 'the clients of the full one are served to their end';
$_->close for @full;
is $w->ended($old), 0, 'then the old binary ends';

# ---- all of them are full

my @clients;
for (1 .. 80) {
    my ($c, $pid) = busy($w);
    last if !$c || $pid !~ /^\d+$/;
    push @clients, $c;
}
is @clients, 72, 'every place of every worker is taken';
becomes { is_read($w) } 'by clients that are not idle';
for my $where ('web', 'unix:web', 'tls') {
    my $refused = $w->connect($where);
    like $refused->ending, qr/^(eof|reset)$/, "$where: one more is refused";
    $refused->close;
}
like $w->error_log, qr/\[error\].*: 20 worker_connections are not enough$/m, 'the log says why';
becomes {
    $w->connect('web')->ending;
    $w->error_log =~ /\[error\].*: 20 worker_connections are not enough, [1-9]\d* clients and 0 connections to servers were refused$/m;
} 'and how many';
is Weir::Http::reply($_)->{status}, 200, 'clients that were accepted are served on'
    for grep { $_->send("ET / HTTP/1.1\r\nHost: a\r\n\r\n") } @clients[0, 71];
$_->close for @clients;
becomes { !exists answering('web')->{''} } 'and others after they have left';
$w->finish;

# ---- the part that is reserved for servers

$w = Weir->new;
$w->backend('server', serve => Weir::HttpServer::serve(Weir::HttpServer::reply(200, 'ok')));
$w->start(<<'CONF');
worker_processes 1;
events { worker_connections 20; }
http {
    server { listen %{web}; location / { return 200 $pid; }
             location /s { proxy_pass http://%{server}; proxy_http_version 1.0; } }
}
CONF
@clients = map { (busy($w))[0] } 1 .. 18;
becomes { is_read($w) } 'eighteen clients';
like $w->connect('web')->ending, qr/eof|reset/, 'clients leave a tenth of the connections';
$clients[0]->send("ET /s HTTP/1.1\r\nHost: a\r\n\r\n");
is Weir::Http::reply($clients[0])->{body}, 'ok', 'the reserved part is there for servers';
$_->close for @clients;
$w->finish;

# ---- a connection to the server cannot be had

$w = Weir->new;
$w->backend('server', serve => Weir::HttpServer::serve(Weir::HttpServer::reply(200, 'ok')));
$w->echo('echo');
$w->start(<<'CONF');
worker_processes 1;
events { worker_connections 4; }
http {
    upstream two { server %{server} max_fails=1 fail_timeout=1h;
                   server %{server} max_fails=1 fail_timeout=1h; }
    server { listen %{web}; location / { return 200 $pid; }
             location /s { proxy_pass http://two; } }
}
stream { server { listen %{l4}; proxy_pass %{echo}; } }
CONF
@clients = map { (busy($w))[0] } 1 .. 4;
$clients[0]->send("ET /s HTTP/1.1\r\nHost: a\r\n\r\n");
is Weir::Http::reply($clients[0])->{status}, 502, 'a request without a connection to its server';
$clients[0]->send('G');
$clients[3]->close;
my $session = $w->connect('l4');
like $session->ending, qr/eof|reset/, 'a session without one';
becomes { Weir::Http::ask($w, 'web', 'GET /')->{status} == 200 } 'its place is free';
like $w->error_log, qr/\[error\].*: 4 worker_connections are not enough$/m, 'the log says why';
$_->close for @clients;
is Weir::Http::ask($w, 'web', 'GET /s')->{status}, 200,
    "that does not count as a failure of the server" for 1 .. 4;
$w->finish;

# ---- a proxy_pass to itself

$w = Weir->new;
$w->start(<<'CONF');
worker_processes 1;
events { worker_connections 64; }
http {
    server { listen %{loop}; location / { proxy_pass http://%{loop}; } }
    server { listen %{web}; return 200 $pid; }
}
stream { server { listen %{l4}; proxy_pass %{l4}; } }
CONF
my $loop = $w->connect('loop');
$loop->send(Weir::Http::request('GET /'));
becomes { Weir::Http::ask($w, 'web', 'GET /')->{status} == 200 } 'others are served beside a loop';
is Weir::Http::reply($loop)->{status}, 502, 'the client of the loop gets 502';
like $w->error_log, qr/\[error\].*: 64 worker_connections are not enough/, 'and the log';
$loop->close;
$session = $w->connect('l4');
like $session->ending, qr/eof|reset/, 'a loop of layer 4 ends, too';
becomes { Weir::Http::ask($w, 'web', 'GET /')->{status} == 200 } 'and leaves room';
$w->finish;

# ---- the default

$w = Weir->new;
$w->echo('echo');
$w->start('stream { server { listen %{l4}; proxy_pass %{echo}; } }');
@clients = map { $w->connect('l4') } 1 .. 256;
is scalar(grep { $_->echoes('x') } @clients), 256, 'by default there is room for 256 sessions';
like $w->connect('l4')->ending, qr/eof|reset/, 'the next one is refused';
like $w->error_log, qr/\[error\].*: 512 worker_connections are not enough$/m, 'and the log says so';
$_->close for @clients;
$w->finish;

# ---- descriptors

$w = Weir->new;
$w->start(<<'CONF');
worker_processes 1;
worker_rlimit_nofile 40;
events { worker_connections 1000; }
http { server { listen %{web}; return 200 $pid; } }
CONF
@clients = ();
for (1 .. 50) {
    my ($c, $pid) = busy($w);
    last if !$c || $pid !~ /^\d+$/;
    push @clients, $c;
}
cmp_ok scalar(@clients), '>', 10, 'clients take the descriptors there are';
like $w->connect('web')->ending, qr/eof|reset/, 'the next one is refused';
like $w->error_log, qr/\[error\].*: open files are not enough \(24:/, 'and the log says so';
$clients[0]->close;
becomes { Weir::Http::ask($w, 'web', 'GET /')->{status} == 200 } 'one that leaves makes room';
$_->close for @clients;
$w->finish;
done_testing;
