#!/usr/bin/perl
# chaos: yes

# TLS sessions live through reloads and upgrades: those that are open continue to their end, a
# transfer in the middle is not cut, new ones are served at any moment, with the new configuration's
# certificate. A worker that shuts down lets its sessions end, and a worker that is killed ends no
# others than its own.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA qw(sha256_hex);
use POSIX ();
use Test::More;
use Weir;
use Weir::Bulk qw(digest_of);
use Weir::Http;
use Weir::Process qw(spawn end_process);
use Weir::Tls;

Weir::Tls::needs();
my $w = Weir->new;
my $LARGE = chaos() ? 1024 * 1024 : 8 * 1024 * 1024;
Weir::Tls::certificate($w, $_) for 'first', 'second';
$w->echo('echo');
$w->backend('bulk', serve => \&Weir::Bulk::serve);
mkdir $w->path('html');
open my $file, '>:raw', $w->path('html/large') or die;
print $file Weir::Bulk::block($_, $LARGE - $_ * 65536) for 0 .. ($LARGE - 1) / 65536;
close $file;

sub conf {
    my ($certificate, $workers) = @_;
    return <<"CONF";
worker_processes $workers;
http {
    ssl_certificate $certificate.crt; ssl_certificate_key $certificate.key;
    ssl_session_cache shared:all:1m;
    root html;
    server {
        listen %{http} ssl;
        location = /pid { return 200 "\$pid\\n"; }
    }
}
stream {
    ssl_certificate $certificate.crt; ssl_certificate_key $certificate.key;
    ssl_session_cache shared:all:1m;
    server { listen %{stream} ssl; proxy_pass %{echo}; }
    server { listen %{bulk_tls} ssl; proxy_pass %{bulk}; }
}
CONF
}

sub tls { return Weir::Tls->new($w, @_) }

# Sessions at both layers, one after the other, some of which resume the one before, until told
# to stop. Returns the process.
sub load {
    my ($stop, $result) = map { $w->path($_) } 'stop', 'result';
    unlink $stop, $result;
    return spawn(sub {
        my ($good, @wrong, %session) = 0;
        until (-e $stop) {
            for my $layer ('http', 'stream') {
                my $c = tls($layer, session => $session{$layer}, max => $good % 4 < 2 ? 0x0303 : 0);
                my $what = $c->{why};
                my $ok = $c->{up} && ($layer eq 'stream' ? $c->echoes("hello $good")
                    : $c->send(Weir::Http::request('GET /pid', Connection => 'close'))
                        && Weir::Http::reply($c)->{status} == 200);
                $session{$layer} = $ok && $good % 3 ? $c->session : undef;
                $c->close;
                $ok ? $good++ : push @wrong, "$layer: $what $c->{end}";
            }
        }
        open my $fh, '>', $result or POSIX::_exit(1);
        print $fh "$good\n", map { "$_\n" } @wrong;
        close $fh;
        POSIX::_exit(0);
    });
}

# The number of good sessions, and a list of the failed ones.
sub end_load {
    my ($pid) = @_;
    $w->write('stop', '');
    $w->ended($pid) // end_process($pid, 'KILL');
    return split /\n/, slurp($w->path('result'));
}

# Sessions that are open: kept, or in the middle of something.
sub open_some {
    my %c = map { my $layer = $_; map { ("$layer $_" => tls($layer, max => $_)) } 0x0303, 0 }
        'http', 'stream';
    for (values %c) {
        $_->{up} or diag $_->{why};
    }
    $c{$_}->echoes('hello') for grep { /stream/ } keys %c;
    ask_pid($c{$_}) for grep { /http/ } keys %c;
    $c{half} = tls('http');
    $c{half}->send('GET /pid HT');
    $c{down} = tls('bulk_tls', rcvbuf => 16384);
    $c{down}->send("give $LARGE\n");
    $c{down}->recv(1000);
    $c{file} = tls('http', rcvbuf => 16384);
    $c{file}->send(Weir::Http::request('GET /large', Connection => 'close'));
    $c{up} = tls('bulk_tls');
    $c{up}->send("take $LARGE\n" . Weir::Bulk::block(0, 65536));
    return \%c;
}

sub ask_pid {
    my ($c) = @_;
    $c->send(Weir::Http::request('GET /pid'));
    return Weir::Http::reply($c)->{body};
}

sub look_at {
    my ($c, $when) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;

    ok $c->{$_}->echoes('hello again'), "$when: $_ goes on" for grep { /^stream/ } sort keys %$c;
    $c->{half}->send(substr Weir::Http::request('GET /pid', Connection => 'close'), 11);
    like Weir::Http::reply($c->{half})->{body}, qr/^\d+$/, "$when: half a head becomes a whole one";
    is sha256_hex(substr(Weir::Bulk::block(0, 65536), 0, 1000) . $c->{down}->recv($LARGE - 1000)),
        digest_of($LARGE), "$when: a transfer down";
    is sha256_hex(Weir::Http::reply($c->{file})->{body}), digest_of($LARGE), "$when: a file";
    $c->{up}->send(Weir::Bulk::block($_, $LARGE - $_ * 65536)) for 1 .. ($LARGE - 1) / 65536;
    is $c->{up}->line, digest_of($LARGE), "$when: a transfer up";
    for (grep { /^http/ } sort keys %$c) {
        my $answer = ask_pid($c->{$_});
        my $end = $c->{$_}{end};
        like "$answer$end", qr/^(?:\d+\n|eof)/, "$when: $_ goes on or ended well";
    }
}

$w->start(conf('first', 2));
is tls($_)->subject, 'first', "$_: the first certificate" for 'http', 'stream';
my $load = load();
my $c = open_some();
is +($w->reload(conf('second', 3)))[0], 0, 'a reload';
is tls($_)->subject, 'second', "$_: the second certificate" for 'http', 'stream';
look_at($c, 'after a reload');
$_->close for values %$c;
becomes { !$w->processes('worker process is shutting down') } 'the old workers leave';
$w->reload(conf('second', $_)) for 1, 4, 2;
my ($good, @wrong) = end_load($load);
cmp_ok $good, '>', 10, 'sessions at both layers meanwhile';
is "@wrong", '', 'and none of them failed';

$load = load();
$c = open_some();
my ($old, $new) = $w->upgrade;
$w->signal('QUIT', $old);
look_at($c, 'after an upgrade');
$_->close for values %$c;
ok defined $w->ended($old), 'the old master ends';
($good, @wrong) = end_load($load);
cmp_ok $good, '>', 4, 'sessions at both layers meanwhile';
is "@wrong", '', 'and none of them failed';

# ---- a worker that is killed while it is busy with handshakes

{
    $w->expect(qr/exited on signal 9/);
    my $c = tls('http', max => 0x0303);
    my ($pid) = ask_pid($c) =~ /(\d+)/;
    my $session = $c->session;
    $load = load();
    my @others = map { tls('stream') } 1 .. 8;
    $_->echoes('hello') for @others;
    for (1 .. 3) {
        my ($victim) = $w->workers;
        $w->signal('KILL', $victim);
        wait_for { 2 == grep { $_ != $victim } $w->workers };
    }
    ($good) = end_load($load);
    cmp_ok $good, '>', 0, 'workers are killed while sessions begin';
    my $d = tls('http', max => 0x0303, session => $session);
    is $d->reused, 1, 'and the cache still has what it had';
    ok $d->{up} && ask_pid($d), 'new sessions are served';
    $_->close for @others, $c, $d;
}

# ---- what is open when weir ends

$c = tls('stream');
ok $c->echoes('hello'), 'a session';
my $h = tls('http');
ask_pid($h);
$w->signal('QUIT');
$h->ends_well('QUIT: an idle connection ends with close_notify');
ok $c->echoes('still there'), 'a session goes on';
$c->close;
my $master = $w->master;
is $w->ended($master), 0, 'then weir ends';
$w->has_ended;
$w->finish;
done_testing;
