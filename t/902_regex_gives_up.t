#!/usr/bin/perl
# chaos: yes

# A regex that gives up on what a client sent (the match limit) gives no result: the request gets
# 500, a session of layer 4 ends, a handshake is refused; only a log continues, with an empty value
# and a line in the error log. Input that is hard to match does not get past a rule that blocks.

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
my $w = Weir->new;
my $HARD = 'a' x 60 . '! evil';
my $HARD_NAME = 'a' x 60 . '-.evil';

Weir::Tls::certificate($w, 'one');
$w->backend('b', serve => Weir::HttpServer::serve(Weir::HttpServer::reply(200, 'from b',
    'Location' => "http://$HARD/"), record => $w->path('b.requests')));
mkdir $w->path('html') or die "mkdir: $!\n";
$w->write('html/file', 'a file');

$w->start(<<"CONF");
worker_processes 1;
http {
    map \$http_x \$seen { default no; "~(\\w+\\s?)*evil" yes; }
    map \$http_x \$blocked { default 0; "~(\\w+\\s?)*evil" 1; }
    map \$http_x \$to { default b; "~(\\w+\\s?)*evil" nowhere; }
    log_format seen '\$uri [\$seen] \$status';
    upstream b { server %{b}; }
    access_log %{dir}/access.log seen;
    server {
        listen %{web};
        root html;
        location /if { if (\$blocked) { return 403; } return 200 passed; }
        location /text { return 200 "[\$seen]"; }
        location /header { add_header X-Seen \$seen always; }
        location /header/b { add_header X-Seen \$seen always; proxy_pass http://b; }
        location /file { add_header X-Seen \$seen; }
        location /sent { proxy_pass http://b; proxy_set_header X-Seen \$seen; }
        location /chosen { proxy_pass http://\$to; }
        location /redirect { proxy_pass http://b; proxy_redirect ~^http://(\\w+\\s?)*evil \$1; }
        location /logged { return 200 logged; }
        location /condition { access_log %{dir}/condition.log seen if=\$blocked; return 200 logged; }
        location /again { error_page 500 = \@again; if (\$blocked) { return 403; } return 200 passed; }
        location \@again { if (\$blocked) { return 403; } return 200 passed; }
        location /page { error_page 500 /page.html; return 200 "[\$seen]"; }
        location = /page.html { add_header X-Seen \$seen always; return 200 page; }
        location /named { error_page 500 /\$seen.html; recursive_error_pages on; return 200 "[\$seen]"; }
    }
    server { listen %{names} default_server; return 200 first; }
    server { listen %{names}; server_name ~^(\\w+\\.?)*evil\$; return 200 second; }
    server { listen %{tls} ssl default_server; ssl_certificate one.crt; ssl_certificate_key one.key;
        return 200 first; }
    server { listen %{tls} ssl; server_name ~^(\\w+\\.?)*evil\$; return 200 second; }
    server { listen %{file} ssl; ssl_certificate \$file; ssl_certificate_key \$file;
        return 200 first; }
    map \$ssl_server_name \$file { default ''; "~^(\\w+\\.?)*evil\$" one; }
}
stream {
    map \$ssl_preread_server_name \$where { default %{echo}; "~^(\\w+\\.?)*evil\$" %{b}; }
    log_format seen '\$server_port \$status';
    access_log %{dir}/stream.log seen;
    server { listen %{preread}; ssl_preread on; proxy_pass \$where; }
    server { listen %{pass} default_server; ssl_preread on; proxy_pass %{tls}; }
    server { listen %{pass}; server_name ~^(\\w+\\.?)*evil\$; proxy_pass %{b}; }
    server { listen %{tls4} ssl default_server; ssl_certificate one.crt; ssl_certificate_key one.key;
        return first; }
    server { listen %{tls4} ssl; server_name ~^(\\w+\\.?)*evil\$; return second; }
}
CONF

sub ask {
    my ($where, @fields) = @_;
    my $r = Weir::Http::ask($w, 'web', "GET /$where", @fields);
    return "$r->{status} $r->{wrong}" . ($r->{status} == 500 ? '' : $r->{body});
}

sub failures { my @lines = $w->error_log =~ /\[error\].*regex .*failed on/g; return scalar @lines }

is ask('if', X => 'good'), '200 passed', 'no match';
is ask('if', X => 'evil'), '403 ' . (Weir::Http::ask($w, 'web', 'GET /if', X => 'evil')->{body}), 'a match';
is failures(), 0, 'so far no regex gave up';
for my $where (qw(if text header header/b file sent chosen again page)) {
    my $r = Weir::Http::ask($w, 'web', "GET /$where", X => $HARD);
    is $r->{status} . $r->{wrong}, 500, "$where: 500";
    unlike $r->{body}, qr/passed|file|from b|\[/, "$where: and none of the answer";
}
is Weir::Http::ask($w, 'web', 'GET /page', X => $HARD)->{body}, 'page', 'a page whose field is lost';
is ask('named', X => $HARD), '404 ' . Weir::Http::ask($w, 'web', 'GET /nothing')->{body},
    'no loop when the name of the error page is lost';
is ask('redirect'), '500 ', 'a regex about a field of a server, too';
is scalar(grep { /^GET \/sent/ } Weir::HttpServer::recorded($w->path('b.requests'))), 0,
    'no server got the request whose field was lost';
is ask('sent', X => 'good'), '200 from b', 'it gets the request when the regex matches';

my $before = failures();
is ask('logged', X => $HARD), '200 logged', 'a log does not fail the request';
becomes { failures() > $before } 'but says so';
is ask('condition', X => $HARD), '200 logged', 'neither does a condition of a log';
becomes { Weir::slurp($w->path('condition.log')) =~ /^\/condition \[-\] 200$/m } 'which is written';
like Weir::slurp($w->path('access.log')), qr/^\/logged \[-\] 200$/m, 'the value is empty';

is Weir::Http::ask($w, 'names', 'GET /', Host => 'x.evil')->{body}, 'second', 'a name';
is Weir::Http::ask($w, 'names', 'GET /', Host => $HARD_NAME)->{status}, 500, 'one that is too hard';

sub shown {
    my ($where, $name) = @_;
    my $c = Weir::Tls->new($w, $where, name => $name);
    my $why = $c->{why} || 'a handshake';
    $c->close;
    return $why;
}
is shown($_, 'other'), 'a handshake', "$_: no match" for qw(tls tls4 pass);
isnt shown($_, $HARD_NAME), 'a handshake', "$_: no handshake" for qw(tls tls4 pass preread file);
becomes { 3 == (() = Weir::slurp($w->path('stream.log')) =~ /^\d+ 500$/mg) } 'sessions ended with 500';
unlike $w->error_log, qr/\[alert\]/, 'never an alert';

$w->finish;
done_testing;
