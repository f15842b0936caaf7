#!/usr/bin/perl
# chaos: yes

# After a reload or an upgrade the keeper of the old configuration lives on as long as its workers
# do. Its limits hold no more: only the newest keeper removes files, also when the zone has another
# name or size. When an upgrade is undone, the old limits hold again.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Http;
use Weir::HttpServer;
use Weir::Process qw(wait_for alive children);

my $w = Weir->new;
my $slow = $w->path('slow');
my $held = 0;

sub touch { open my $fh, '>', $_[0] or die "$_[0]: $!" }

$w->backend('b', serve => Weir::HttpServer::serve(sub {
    my ($r) = @_;
    touch("$slow.$1") if $r->{target} =~ m{^/slow/(\d+)};
    for (1 .. 1200) { last if $r->{target} !~ /slow/ || !-e $slow; select undef, undef, undef, 0.05; }
    return Weir::HttpServer::reply(200, $r->{target} x 2000, 'Cache-Control' => 'max-age=600');
}));

sub configure {
    my ($max, $zone) = @_;
    return <<"CONF";
daemon on;
worker_processes 1;
http {
    proxy_cache_path cache keys_zone=$zone max_size=$max;
    upstream b { server %{b}; }
    server {
        listen %{web};
        proxy_cache_key \$request_uri;
        add_header X-Cache \$upstream_cache_status;
        location / { proxy_cache ${\($zone =~ s/:.*//r)}; proxy_pass http://b; }
        location /slow { proxy_pass http://b; }
    }
}
CONF
}

my @targets = map { sprintf '/object%02d', $_ } 1 .. 20;

sub hits {
    return scalar grep {
        (Weir::Http::field(Weir::Http::ask($w, 'web', "GET $_"), 'X-Cache') // '') eq 'HIT'
    } @targets;
}
sub files {
    my ($dir) = @_;
    return map { -d $_ ? files($_) : -f $_ && m{/[0-9a-f]{32}$} ? $_ : () } glob "$dir/*";
}
sub is_full { return wait_for { hits() == @targets } }

# An old keeper looks twice a second.
sub stays_full {
    my ($what) = @_;
    ok is_full(), "$what: filled";
    select undef, undef, undef, 1.6;
    return is scalar(files($w->path('cache'))), scalar @targets, "$what: the old limit is gone";
}

sub hold_workers {
    touch($slow);
    my $c = $w->connect('web');
    my $id = ++$held;
    $c->send(Weir::Http::request("GET /slow/$id"));
    wait_for { -e "$slow.$id" };
    return $c;
}

$w->start(configure('200k', 'z:1m'));
Weir::Http::ask($w, 'web', "GET $_") for @targets;
ok wait_for { files($w->path('cache')) < @targets }, 'the first limit holds';

my @held = hold_workers();
$w->reload(configure('100m', 'z:1m'));
stays_full('reload');
push @held, hold_workers();
$w->reload(configure('200k', 'z:1m'));
ok wait_for { files($w->path('cache')) < @targets }, 'a smaller limit holds at once';
push @held, hold_workers();
$w->reload(configure('100m', 'z:2m'));
stays_full('another size');
push @held, hold_workers();
$w->reload(configure('100m', 'renamed:2m'));
ok is_full(), 'another name';
unlink $slow;
is scalar(grep { Weir::Http::reply($_)->{status} == 200 } @held), scalar @held, 'old workers end';

$w->reload(configure('200k', 'z:1m'));
ok wait_for { files($w->path('cache')) < @targets }, 'the small limit again';
push @held, hold_workers();
$w->conf(configure('100m', 'z:1m'));
my ($old, $new) = $w->upgrade;
stays_full('upgrade');
$w->signal('QUIT', $new);
wait_for { !alive($new) };
$w->{master} = $old;
wait_for { ($w->pid // 0) == $old };
ok wait_for { files($w->path('cache')) < @targets }, 'undone: the old limit holds again';
unlink $slow;
is Weir::Http::reply($held[-1])->{status}, 200, 'its client was not disturbed';
$w->finish;
done_testing;
