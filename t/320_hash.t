#!/usr/bin/perl

# hash and ip_hash place each key on the server on which nginx places it: 10,000 keys for each kind
# of group, at both layers, asked of both programs with the same configuration. So is the server
# that is next when one fails, or has failed before.
#
# Most of the servers do not exist: the reply of a failed try names the address that was tried. Not
# marked for chaos: a hundred thousand requests would take minutes, and chaos does not touch keys.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;
use Weir::Network;
use Weir::Process;

my $nginx = Weir::program('nginx') // plan skip_all => 'nginx is not installed';
Weir->needs_programs(qw(unshare ip mount));
Weir->in_private_network;
system(qw(ip link set lo up)) == 0 or die "ip failed\n";
my $w = Weir->new;
my ($stream) = grep { -e } '/usr/lib/nginx/modules/ngx_stream_module.so',
    '/usr/lib64/nginx/modules/ngx_stream_module.so';
my $has_stream = $stream || qx($nginx -V 2>&1) =~ /--with-stream(?:\s|$)/;
my $KEYS = 10_000;
my %few = (equal => 1, twice => 1, many => 1);    # variants of others: a tenth of the keys

Weir::Network->cover('/etc/hosts', $w->write('hosts',
    "127.0.0.1 localhost\n127.0.1.1 two.test\n127.0.1.2 two.test\n"));
$w->backend("live$_", serve => Weir::HttpServer::serve(
    Weir::HttpServer::reply(200, "live$_\n"))) for 1 .. 3;

# ---- groups; no server of them exists, but those named live

my $BAD = 'max_fails=0';
my %GROUP = (
    equal => join('', map { "server 127.0.0.$_:1 $BAD;" } 1 .. 10),
    weights => join('', map { "server 127.0.0.$_->[0]:1 $BAD weight=$_->[1];" }
        [1, 3], [2, 1], [3, 5], [4, 30], [5, 2]),
    down => "server 127.0.0.1:1 $BAD; server 127.0.0.2:1 down; server 127.0.0.3:1 $BAD weight=2;"
        . 'server 127.0.0.4:1 down weight=3;',
    unix => "server unix:%{dir}/no1 $BAD; server unix:%{dir}/no2 $BAD weight=2;"
        . "server [::1]:1 $BAD; server 127.0.0.9:01 $BAD;",
    names => "server two.test:1 $BAD; server 127.0.0.3:1 $BAD; server localhost:2 $BAD weight=2;"
        . "server LOCALHOST:3 $BAD;",
    twice => "server 127.0.0.1:1 $BAD; server 127.0.0.1:1 $BAD weight=2; server 127.0.0.2:1 $BAD;",
    many => join('', map { 'server 127.0.' . int($_ / 250) . '.' . ($_ % 250 + 1) . ":1 $BAD;" }
        0 .. 1099),
    failed => 'server %{nobody1} fail_timeout=1h; server %{live1}; server %{live2} weight=2;'
        . 'server %{nobody2} fail_timeout=1h weight=2; server %{live3};',
);
my %METHOD = (plain => 'hash $arg_k;', consistent => 'hash $arg_k consistent;',
    ip => 'ip_hash;');
my %LAYER4 = (plain => 'hash $proxy_protocol_addr;',
    consistent => 'hash $proxy_protocol_addr consistent;');

sub names_of { my ($method) = @_; return map { "${method}_$_" } sort keys %GROUP }

sub http_conf {
    my ($who, $own) = @_;
    my ($groups, $places) = ('', '');

    for my $method (sort keys %METHOD) {
        for my $name (sort keys %GROUP) {
            $groups .= "upstream ${method}_$name { $METHOD{$method} $GROUP{$name} }\n";
            my $next = $name eq 'failed' ? 'error' : 'off';
            $places .= "location /${method}_$name { proxy_next_upstream $next;"
                . " proxy_pass http://${method}_$name; }\n"
                . "location /all/${method}_$name { proxy_pass http://${method}_$name; }\n";
        }
        $groups .= "upstream ${method}_turn { $METHOD{$method} $GROUP{weights} }\n";
        $places .= "location /${method}_turn { proxy_next_upstream off;"
            . " proxy_pass http://${method}_turn; }\n";
    }
    return <<"CONF";
http {
    access_log off;
    $own
    keepalive_requests 1000000;
    set_real_ip_from 0.0.0.0/0;
    set_real_ip_from unix:;
    real_ip_header X-From;
    $groups
    server {
        listen %{$who};
        listen unix:%{dir}/$who.sock;
        error_page 502 = \@tried;
        location \@tried { return 200 "<\$upstream_addr>\\n"; }
        $places
    }
}
CONF
}

sub stream_conf {
    my ($who) = @_;
    my $conf = '';

    for my $method (sort keys %LAYER4) {
        for my $name (sort keys %GROUP) {
            $conf .= "upstream ${method}_$name { $LAYER4{$method} $GROUP{$name} }\n"
                . "server { listen unix:%{dir}/${who}_${method}_$name.sock proxy_protocol;"
                . " proxy_pass ${method}_$name; proxy_next_upstream off;"
                . " access_log %{dir}/${who}_${method}_$name.log tried; }\n";
        }
    }
    return "stream {\nlog_format tried '\$proxy_protocol_addr \$upstream_addr';\n$conf}\n";
}

# ---- the two programs

my $temp = join ' ', map { "${_}_temp_path %{dir}/nginx_$_;" }
    qw(client_body proxy fastcgi uwsgi scgi);
$w->write('nginx.conf', ($stream ? "load_module $stream;\n" : '') . "pid %{dir}/nginx.pid;\n"
    . "events { worker_connections 4096; }\n" . http_conf('nginx', $temp)
    . ($has_stream ? stream_conf('nginx') : ''));
my $running = Weir::Process::spawn(sub {
    $w->redirect($w->path('nginx.out'), $w->path('nginx.err'));
    exec $nginx, '-p', $w->dir, '-c', $w->path('nginx.conf'),
        '-g', 'daemon off; master_process off; error_log nginx-error crit;';
});
push @{ $w->{helpers} }, bless { pid => $running }, 'Weir::Network';
$w->start("worker_processes 1;\nerror_log %{dir}/error.log crit;\n" . http_conf('weir', '')
    . stream_conf('weir'));
my $listens = wait_for { my $c = $w->connect('nginx'); $c && $c->close; $c };
plan skip_all => 'nginx does not start here: ' . slurp($w->path('nginx.err')) if !$listens;

# The answers to these requests ("/path?k=key", field), in order, with keep-alive and pipelining.
sub answers {
    my ($who, @requests) = @_;
    my $c = $w->connect($who =~ /^unix/ ? "unix:" . $w->path("$'.sock") : $who) or return;
    my @all;

    for (my $at = 0; $at < @requests; $at += 200) {
        my @some = @requests[$at .. ($at + 199 < $#requests ? $at + 199 : $#requests)];
        $c->send(join '', map { "GET $_->[0] HTTP/1.1\r\nHost: a\r\n"
            . (defined $_->[1] ? "X-From: $_->[1]\r\n" : '') . "\r\n" } @some);
        while (@all < $at + @some) {
            $c->fill(time + Weir::Process::patience()) or return @all;
            push @all, $1 while $c->{in} =~ m{\G.*?\r\n\r\n<?([^\n]*?)>?\n}gcs;
            substr $c->{in}, 0, pos $c->{in} // 0, '';
        }
    }
    $c->close;
    return @all;
}

# A test: both answer the same.
sub same {
    my ($what, @requests) = @_;
    my @nginx = answers('nginx', @requests);
    my @weir = answers('weir', @requests);
    my @differ = grep { ($nginx[$_] // '') ne ($weir[$_] // '') } 0 .. $#requests;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok @nginx == @requests && !@differ, "$what: " . @requests . ' keys'
        or diag join "\n", scalar(@differ) . ' differ', map {
            "$requests[$_][0]: nginx " . ($nginx[$_] // '-') . ', weir ' . ($weir[$_] // '-')
        } grep { defined } @differ[0 .. 4];
    my %at;
    $at{$_}++ for @nginx;
    return \%at;
}

my @keys = map { "key$_" } 1 .. $KEYS;
my @ips = map { my $n = $_ * 2654435761 % 2**32;
    $_ % 4 ? join('.', $n >> 24, $n >> 16 & 255, $n >> 8 & 255, $n & 255)
        : sprintf '2001:db8:%x:%x::%x', $n >> 16, $n & 65535, $_ } 1 .. $KEYS;

for my $name (sort keys %GROUP) {
    next if $name eq 'failed';
    my $last = $few{$name} ? $KEYS / 10 - 1 : $KEYS - 1;
    for my $method ('plain', 'consistent') {
        my $at = same("$method, $name", map { ["/${method}_$name?k=$_"] } @keys[0 .. $last]);
        cmp_ok keys %$at, '>=', 2, 'on several servers';
    }
    same("ip_hash, $name", map { ["/ip_$name", $_] } @ips[0 .. $last]);
}
same("$_, an empty key: in turn", map { ["/$_?k="] } 1 .. 82) for 'plain_turn', 'consistent_turn';
is_deeply [answers('unixweir', ['/ip_equal'])], [answers('unixnginx', ['/ip_equal'])],
    'ip_hash, a client on a unix socket';

# All servers fail: each request lists the order in which they are tried. (Of more than 20 that
# are passed over the rest is round robin's, whose turn it is.)

for my $name ('equal', 'weights', 'down', 'unix', 'names') {
    for my $method ('plain', 'ip') {
        my @requests = map { ["/all/${method}_$name?k=$keys[$_]", $ips[$_]] } 0 .. 499;
        my @nginx = answers('nginx', @requests);
        my @weir = answers('weir', @requests);
        my ($all, $first, $n) = (0, 0, 0);
        for (0 .. $#requests) {
            my ($a, $b) = ($nginx[$_] // '', $weir[$_] // '-');
            $all++ if $a eq $b;
            $first++ if join(',', (split /,/, $a)[0 .. 1]) eq join(',', (split /,/, $b)[0 .. 1]);
        }
        is $first, 500, "$method, $name: the next one";
        cmp_ok $all, '>=', 300, "$method, $name: all that are tried ($all of 500 the same)";
    }
}

# Servers that have failed are passed over for an hour.

for my $method ('plain', 'consistent', 'ip') {
    my @requests = map { ["/${method}_failed?k=$keys[$_]", $ips[$_]] } 0 .. 199;
    answers($_, @requests) for 'nginx', 'weir';
    my $at = same("$method: two have failed", map { ["/${method}_failed?k=$keys[$_]", $ips[$_]] }
        0 .. 999);
    is join(' ', sort keys %$at), 'live1 live2 live3', 'the others serve';
}

# ---- layer 4

SKIP: {
    skip 'this nginx has no stream', 1 if !$has_stream;
    for my $method (sort keys %LAYER4) {
        for my $name (sort keys %GROUP) {
            next if $name eq 'failed';
            my @some = @ips[0 .. ($few{$name} ? $KEYS / 10 - 1 : $KEYS - 1)];
            my %at;
            for my $who ('nginx', 'weir') {
                my $log = $w->path("${who}_${method}_$name.log");
                for my $ip (@some) {
                    my $c = $w->connect('unix:' . $w->path("${who}_${method}_$name.sock"))
                        or last;
                    my $family = $ip =~ /:/ ? '6' : '4';
                    $c->send("PROXY TCP$family $ip " . ($family == 6 ? '::1' : '127.0.0.1')
                        . " 1 2\r\n");
                    $c->rest;
                    $c->close;
                }
                wait_for { (my $n = () = slurp($log) =~ /\n/g) >= @some };
                $at{$who} = join '', map { "$_\n" } sort split /\n/, slurp($log);
            }
            ok $at{nginx} eq $at{weir} && $at{weir} =~ tr/\n// == @some,
                "layer 4, $method, $name: " . @some . ' keys'
                or diag substr $at{weir}, 0, 400;
        }
    }
}
Weir::Process::end_process($running);
unlink glob $w->path('nginx*.sock');
$w->finish;
done_testing;
