package Weir::Http;

# Requests and replies of HTTP/1 for tests: a request is sent as a test writes it, right or wrong,
# and a reply is parsed strictly, so that a malformed reply fails the test.
#
#     my $r = Weir::Http::ask($w, 'web', 'GET /a', Range => 'bytes=0-1');
#     is $r->{status}, 206;
#     is $r->field('Content-Range'), 'bytes 0-1/20';
#     is $r->{body}, 'ab';

use strict;
use warnings;

use Weir::Process qw(patience);

# The text of a request: 'METHOD TARGET' or 'METHOD TARGET HTTP/1.0', then fields in order. Host is
# added unless it is among them, and Content-Length if there is a body (body => TEXT).
sub request {
    my ($line, @fields) = @_;
    my ($body, $out, %seen) = ('');

    $line .= ' HTTP/1.1' if $line !~ m{ HTTP/\S+$};
    while (my ($name, $value) = splice @fields, 0, 2) {
        if ($name eq 'body') {
            $body = $value;
        } elsif (defined $value) {
            $out .= "$name: $value\r\n";
            $seen{ lc $name } = 1;
        }
    }
    $out = "Host: test\r\n" . ($out // '') if !$seen{host};
    $out .= 'Content-Length: ' . length($body) . "\r\n"
        if length $body && !$seen{'content-length'} && !$seen{'transfer-encoding'};
    return "$line\r\n$out\r\n$body";
}

# One request on a connection of its own, and its reply.
sub ask {
    my ($w, $where, $line, @fields) = @_;
    my $c = $w->connect($where) or return failed("connect: $!");

    $c->send(request($line, @fields, Connection => 'close'));
    my $r = reply($c, $line =~ /^HEAD /);
    $r->{ending} = $c->ending;
    $c->close;
    return $r;
}

# The next reply on a connection (Weir::Client).
sub reply {
    my ($c, $no_body) = @_;
    my $r = bless { fields => [], body => '', trailers => [], wrong => '', status => 0 },
        __PACKAGE__;
    my $line = $c->line // return failed('no reply: ' . $c->ending(0));

    return failed("no status line: $line") if $line !~ m{^HTTP/1\.1 (\d\d\d) ?(.*)$};
    @$r{qw(status reason)} = ($1, $2);
    $r->read_fields($c, $r->{fields});
    $r->{head} = join "\n", $line, map { "$_->[0]: $_->[1]" } @{ $r->{fields} };
    return $r if $no_body || $r->{status} < 200 || $r->{status} =~ /^(204|304)$/;
    $r->read_body($c);
    return $r;
}

# A chunked body that comes without a head.
sub chunked {
    my ($c) = @_;
    my $r = bless { body => '', trailers => [], wrong => '' }, __PACKAGE__;
    $r->read_chunks($c);
    return $r;
}

sub failed {
    return bless { fields => [], body => '', trailers => [], status => 0, wrong => $_[0],
        head => $_[0] }, __PACKAGE__;
}

sub read_fields {
    my ($r, $c, $into) = @_;

    while (defined(my $line = $c->line)) {
        return if $line eq '';
        if ($line =~ /^([!#\$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*$/) {
            push @$into, [$1, $2];
        } else {
            $r->{wrong} .= "bad field line: $line\n";
        }
    }
    $r->{wrong} .= "the head has no end\n";
}

sub read_body {
    my ($r, $c) = @_;
    my @length = $r->all('Content-Length');
    my $chunked = lc($r->field('Transfer-Encoding') // '') eq 'chunked';

    $r->{wrong} .= "several lengths\n" if @length + $chunked > 1;
    if ($chunked) {
        $r->read_chunks($c);
    } elsif (@length) {
        $r->{body} = $c->recv($length[0]);
        $r->{wrong} .= "the body is short\n" if length $r->{body} < $length[0];
    } else {
        $r->{body} = $c->rest;
    }
}

sub read_chunks {
    my ($r, $c) = @_;

    while (1) {
        my $line = $c->line // '';
        if ($line !~ /^([0-9a-f]+)$/i) {
            $r->{wrong} .= "bad chunk size: $line\n";
            return;
        }
        my $n = hex $1;
        last if $n == 0;
        $r->{body} .= $c->recv($n);
        $r->{wrong} .= "a chunk has no end\n" if $c->recv(2) ne "\r\n";
    }
    $r->read_fields($c, $r->{trailers});
}

# All values of a field, in their order.
sub all {
    my ($r, $name) = @_;
    return map { $_->[1] } grep { lc $_->[0] eq lc $name } @{ $r->{fields} };
}

# Several values are joined by ' | '; undef when there is none.
sub field {
    my ($r, $name) = @_;
    my @all = $r->all($name);
    return @all ? join ' | ', @all : undef;
}

sub trailer {
    my ($r, $name) = @_;
    my @all = map { $_->[1] } grep { lc $_->[0] eq lc $name } @{ $r->{trailers} };
    return @all ? join ' | ', @all : undef;
}

1;
