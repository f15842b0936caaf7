#!/usr/bin/perl

# The article's third configuration, byte for byte, in a private network: one instance serves
# HTTP at layer 7 and PostgreSQL at layer 4. It starts while none of its names is known, and as
# soon as they stand in /etc/hosts both work; a web server that is killed under load and comes back
# costs no request.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Article;
use Weir::Http;
use Weir::HttpLoad;

my @WEB = qw(web1.example.com web2.example.com);
my @DB = qw(db1.example.com db2.example.com);
my %ADDRESS = ($WEB[0] => '10.77.0.11', $WEB[1] => '10.77.0.12',
    $DB[0] => '10.77.0.21', $DB[1] => '10.77.0.22');

my $article = Weir::Article->new(file => 'article-hybrid.conf', names => \%ADDRESS);
my $w = $article->{w};

$article->web_server($_, 8080) for @WEB;

sub get {
    my ($line, $host) = @_;
    return Weir::Http::ask($w, '127.0.0.1:80', $line, Host => $host // 'example.com');
}

# The names do not resolve yet.

$article->start;
is get('GET /')->{status}, 502, 'HTTP: 502 while the names are unknown';
is $w->ask('127.0.0.1:5432'), '', 'PostgreSQL: the session is closed cleanly';
becomes { $w->error_log =~ /\[error\].*request: "GET \/ HTTP\/1\.1"/ } 'with a line in the log';
$article->names_failed_once;

# The names are written into /etc/hosts.

$article->names_known;
becomes { get('GET /')->{status} == 200 } 'traffic as soon as they are known';
becomes { my %seen = map { get('GET /')->{body} => 1 } 1 .. 2; keys %seen == 2 } 'to both servers';
like join('', map { get('GET /')->{body} =~ /^web(\d)/ } 1 .. 6), qr/^(?:121212|212121)$/,
    'in turn';
$article->arrived($_) for @WEB;
for my $target ('/', '/index.html?q=1', '/a%2Fb/%7Euser') {
    my ($raw) = $article->arrived(get("GET $target")->{body} =~ /^(\S+)$/);
    is $raw, "GET $target HTTP/1.1\r\nHost: example.com\r\n\r\n", "$target arrives as it was";
}
is get('GET /', 'other.example')->{status}, 200, 'the only server is also the default one';

# A web server is killed and comes back; layer 4 does not notice.

my $load = $w->{load} = Weir::HttpLoad->new(where => ['127.0.0.1:80'], request => 'GET /load',
    fields => [Host => 'example.com'], good => qr/^web\d\.example\.com$/);
$load->rounds(10);
$w->{backend}{ $WEB[1] }->kill;
$load->rounds(20);
$article->postgresql(@DB);
$article->arrived($WEB[1]);
$w->{backend}{ $WEB[1] }->start;
becomes { $load->rounds(1); $article->arrived($WEB[1]) } 'it comes back and is used again', 60;
my ($good, @wrong) = $load->end;
is_deeply \@wrong, [], "killed and revived: none of $good requests failed";

$w->finish;
done_testing;
