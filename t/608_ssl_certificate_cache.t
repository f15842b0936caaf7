#!/usr/bin/perl
# chaos: yes

# ssl_certificate_cache and proxy_ssl_certificate_cache: certificates whose names have variables are
# kept between handshakes: at most so many, as long as they are used, and read again when the file
# has changed and `valid` has passed.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Copy qw(copy);
use Test::More;
use Weir;
use Weir::Http;
use Weir::Tls;

Weir::Tls::needs();
my $w = Weir->new;

Weir::Tls::certificate($w, $_) for qw(a b c other);
chmod 0644, map { $w->path("$_.key") } qw(a b c other);

$w->start(<<'CONF');
worker_processes 1;
http {
    ssl_certificate $ssl_server_name.crt;
    ssl_certificate_key $ssl_server_name.key;
    server { listen %{small} ssl; ssl_certificate_cache max=4 valid=1h inactive=1h; return 200 ok; }
    server { listen %{valid} ssl; ssl_certificate_cache max=10 valid=1s; return 200 ok; }
    server { listen %{used} ssl; ssl_certificate_cache max=10 valid=1h inactive=1s; return 200 ok; }
    server { listen %{none} ssl; ssl_certificate_cache off; return 200 ok; }
    server { listen %{seen} ssl; ssl_certificate a.crt; ssl_certificate_key a.key;
        ssl_verify_client optional_no_ca; return 200 $ssl_client_s_dn; }
    map $uri $who { ~^/(\w)$ $1; }
    server {
        listen %{web};
        proxy_ssl_certificate $who.crt; proxy_ssl_certificate_key $who.key;
        proxy_ssl_certificate_cache max=4 valid=1h;
        location / { proxy_pass https://%{seen}; }
    }
}
CONF

sub shown {
    my ($where, $name) = @_;
    my $c = Weir::Tls->new($w, $where, name => $name);
    my $subject = $c->{why} ? 'nobody' : $c->subject;
    $c->close;
    return $subject;
}

sub replace {    # a new file of that name, or none
    my ($name, $by) = @_;
    for my $kind (qw(crt key)) {
        my $path = $w->path("$name.$kind");
        unlink $path;
        next if !defined $by;
        copy($w->path("$by.$kind"), "$path.new") or die "copy: $!\n";
        chmod 0644, "$path.new";
        rename "$path.new", $path or die "rename: $!\n";
    }
    return;
}

is shown($_, 'a'), 'a', "$_: the first time" for qw(small valid used none);
is(Weir::Http::ask($w, 'web', 'GET /b')->{body}, 'CN=b', 'to a server, too');
replace('a', 'other');
replace('b', 'other');
is shown('none', 'a'), 'other', 'off: the file is read each time';
is shown('small', 'a'), 'a', 'kept';
is(Weir::Http::ask($w, 'web', 'GET /b')->{body}, 'CN=b', 'for a server, too');
is shown('small', 'c'), 'c', 'a second pair';
is shown('small', 'other'), 'other', 'a third, for which the first has to go';
is shown('small', 'a'), 'other', 'so it is read again';
becomes { shown('valid', 'a') eq 'other' } 'valid: a changed file is seen';
replace('a');
becomes { shown('valid', 'a') eq 'nobody' } 'and one that is gone';
is shown('small', 'a'), 'other', 'while another cache still has it';
becomes { select undef, undef, undef, 1.5; shown('used', 'a') eq 'nobody' }
    'inactive: a pair that is not used is dropped';

my %bad = (
    'ssl_certificate_cache;' => qr/invalid number of arguments/,
    'ssl_certificate_cache inactive=1s;' => qr/must have the "max" parameter/,
    'ssl_certificate_cache max=0;' => qr/invalid parameter "max=0"/,
    'ssl_certificate_cache max=1 valid=x;' => qr/invalid parameter "valid=x"/,
    'ssl_certificate_cache max=1 off;' => qr/invalid parameter "off"/,
);
$w->expect(qr/\[emerg\].*wrong\.conf:1/);
for (sort keys %bad) {
    my ($code, undef, $err) = $w->command('-t', '-c', $w->write('wrong.conf', "http { $_ }\n"));
    ok $code && $err =~ $bad{$_}, "refused: $_" or diag $err;
}

$w->finish;
done_testing;
