#!/usr/bin/perl

# The article's second configuration, byte for byte, in a private network: it starts while none of
# its names is known (502, and a line in the error log), and as soon as they stand in /etc/hosts
# each path goes to its servers, in turn, with the header fields the configuration asks for. When a
# server is killed under load and comes back no request fails.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;
use Weir::Article;
use Weir::Http;
use Weir::HttpLoad;

my %PORT = (api => 8080, media => 9000, auth => 8081);
my @KINDS = sort keys %PORT;
my $n = 10;
my %ADDRESS = map { ("$_.example.com" => '10.77.0.' . $n++) } map { ("${_}1", "${_}2") } @KINDS;

my $article = Weir::Article->new(file => 'article-l7.conf', names => \%ADDRESS);
my $w = $article->{w};

for my $kind (@KINDS) {
    $article->web_server("$kind$_.example.com", $PORT{$kind}) for 1, 2;
}

sub get {
    my ($line, @fields) = @_;
    return Weir::Http::ask($w, '127.0.0.1:80', $line, Host => 'example.com', @fields);
}

# The names do not resolve yet.

$article->start;
for my $kind (@KINDS) {
    is get("GET /$kind/a")->{status}, 502, "/$kind/: 502 while its names are unknown";
    becomes {
        $w->error_log =~ m{\[error\].*request: "GET /$kind/a HTTP/1\.1".*host: "example\.com"}
    }
        'with a line in the error log';
}
$article->names_failed_once;

# The names are written into /etc/hosts.

my $master = $w->master;
my @workers = $w->workers;
$article->names_known;
for my $kind (@KINDS) {
    becomes { get("GET /$kind/")->{status} == 200 } "/$kind/: traffic as soon as they are known";
    becomes { my %seen = map { get("GET /$kind/")->{body} => 1 } 1 .. 2; keys %seen == 2 }
        'from both servers';
    like join('', map { get("GET /$kind/")->{body} =~ /^$kind(\d)/ } 1 .. 6),
        qr/^(?:121212|212121)$/, 'in turn';
}
is_deeply [$w->master, $w->workers], [$master, @workers], 'without a reload';

# Requests as they arrive at a server.

for my $kind (@KINDS) {
    $article->arrived("$kind$_.example.com") for 1, 2;
    for my $target ("/$kind/", "/$kind/v1/users?id=7&name=%C3%A4", "/$kind/a%20b//c/../d") {
        my $said = get("GET $target", 'X-Real-IP' => 'forged', 'X-Own' => 'kept')->{body};
        my ($name) = $said =~ /^(\S+)$/;
        my ($raw) = $article->arrived($name);
        is $raw, "GET $target HTTP/1.1\r\nHost: example.com\r\nX-Real-IP: 127.0.0.1\r\n"
            . "X-Own: kept\r\n\r\n", "$target arrives at $name as it was, with our two fields";
    }
    my $r = get("POST /$kind/form", 'Content-Type' => 'text/plain', body => 'a=b');
    my ($raw) = $article->arrived($r->{body} =~ /^(\S+)$/);
    is $raw, "POST /$kind/form HTTP/1.1\r\nHost: example.com\r\nX-Real-IP: 127.0.0.1\r\n"
        . "Content-Length: 3\r\nContent-Type: text/plain\r\n\r\na=b", 'and so does a body';
    is get("GET /$kind?x=1")->field('Location'), "http://example.com/$kind/?x=1",
        "/$kind alone is redirected";
}
is get('GET /')->{status}, 404, 'another path is in no location: 404';

# One server of each group is killed and comes back.

my @one = map { "${_}1.example.com" } @KINDS;
my @load = map {
    Weir::HttpLoad->new(where => ['127.0.0.1:80'], request => "GET /$_/load",
        fields => [Host => 'example.com'], good => qr/^$_\d\.example\.com$/)
} @KINDS;
my $rounds = sub { my ($n) = @_; $_->rounds($n) for @load };

$rounds->(10);
$w->{backend}{$_}->kill for @one;
$rounds->(20);
$article->arrived($_) for @one;
$w->{backend}{$_}->start for @one;
for my $one (@one) {
    becomes { $rounds->(1); $article->arrived($one) } "$one comes back and is used again", 60;
}
for my $i (0 .. 2) {
    my ($good, @wrong) = $load[$i]->end;
    is_deeply \@wrong, [], "$one[$i] killed and revived: none of $good requests failed";
}

$w->finish;
done_testing;
