package Weir::HttpServer;

# HTTP/1 servers behind weir for tests: they split a request without judging it, record it byte for
# byte, and answer with the text a test gives, right or wrong.
#
#     $w->backend('b', serve => Weir::HttpServer::serve(sub {
#         my ($request) = @_;
#         return Weir::HttpServer::reply(200, "I got $request->{line}\n");
#     }, record => $w->path('b.requests')));

use strict;
use warnings;

use Weir::Process;

# Code for Weir::Backend. answer: the text of all answers, or code that gets the request and the
# socket and returns the text, or undef to end the connection. A connection also ends after an
# answer with "Connection: close". record: a file to which the requests are added.
sub serve {
    my ($answer, %how) = @_;
    return sub {
        my ($fh, $session) = @_;
        my $in = { fh => $fh, text => '' };
        for (my $number = 1; ; $number++) {
            my $request = take($in) or return;
            @$request{qw(session number)} = ($session, $number);
            record($how{record}, $request->{raw}) if $how{record};
            my $text = ref $answer ? $answer->($request, $fh) : $answer;
            return if !defined $text;
            give($fh, $text) or return;
            return if $text =~ /\A(?:(?!\r\n\r\n).)*^Connection: close\r$/ims;
        }
    };
}

# A whole reply. Fields in order; Content-Length is added.
sub reply {
    my ($status, $body, @fields) = @_;
    my $text = "HTTP/1.1 $status Because\r\n";

    while (my ($name, $value) = splice @fields, 0, 2) {
        $text .= "$name: $value\r\n";
    }
    return $text . 'Content-Length: ' . length($body) . "\r\n\r\n$body";
}

sub give {
    my ($fh, $text) = @_;
    for (my $at = 0; $at < length $text;) {
        $at += syswrite($fh, $text, length($text) - $at, $at) // return 0;
    }
    return 1;
}

sub more {
    my ($in) = @_;
    return sysread $in->{fh}, $in->{text}, 65536, length $in->{text};
}

# The next request: line, method, target, fields (a list of pairs), body, raw; complete is false
# if the sender ended in the middle. Nothing if it ended before.
sub take {
    my ($in) = @_;
    my %r = (raw => '', body => '', complete => 1, fields => []);

    until ($in->{text} =~ /\r\n\r\n/) {
        more($in) and next;
        return if !length $in->{text};
        return { %r, raw => $in->{text}, line => '', method => '', target => '', complete => 0 };
    }
    $in->{text} =~ s/\A(.*?\r\n\r\n)//s;
    $r{raw} = $r{head} = $1;
    my ($line, @lines) = split /\r\n/, $r{head};
    $r{line} = $line;
    @r{qw(method target version)} = split / /, $line;
    $r{fields} = [map { /^([^:]*):\s*(.*)/ ? [$1, $2] : ['', $_] } @lines];
    my $request = bless \%r, 'Weir::HttpServer::Request';
    my $length = $request->field('Content-Length');
    $request->{complete} = ($request->field('Transfer-Encoding') // '') =~ /chunked/i
        ? chunks($in, $request) : defined $length ? bytes($in, $request, $length) : 1;
    return $request;
}

sub bytes {
    my ($in, $r, $n) = @_;
    while (length $in->{text} < $n) {
        more($in) or return 0;
    }
    my $bytes = substr $in->{text}, 0, $n, '';
    $r->{raw} .= $bytes;
    $r->{body} .= $bytes;
    return 1;
}

sub chunks {
    my ($in, $r) = @_;
    while (1) {
        until ($in->{text} =~ /\n/) {
            more($in) or return 0;
        }
        $in->{text} =~ s/\A([0-9a-fA-F]*)(.*?\n)//;
        my $n = hex $1;
        $r->{raw} .= "$1$2";
        last if $n == 0;
        bytes($in, $r, $n) or return 0;
        until (length $in->{text} >= 2) {
            more($in) or return 0;
        }
        $r->{raw} .= substr $in->{text}, 0, 2, '';
    }
    while (1) {
        until ($in->{text} =~ /\n/) {
            more($in) or return 0;
        }
        $in->{text} =~ s/\A(.*?\n)//;
        $r->{raw} .= $1;
        return 1 if $1 =~ /\A\r?\n/;
        $r->{trailers} .= $1;
    }
}

# In the file the length of each request stands in front of it.
sub record {
    my ($file, $raw) = @_;
    open my $fh, '>>', $file or die "$file: $!\n";
    syswrite $fh, length($raw) . "\n$raw\n";
}

# The raw requests in such a file, which is removed.
sub recorded {
    my ($file) = @_;
    my $text = Weir::Process::slurp($file) // '';
    my @raw;

    unlink $file;
    while ($text =~ s/\A(\d+)\n//) {
        push @raw, substr $text, 0, $1, '';
        substr $text, 0, 1, '';
    }
    return @raw;
}

package Weir::HttpServer::Request;

# Several values are joined by ' | '; undef when there is none.
sub field {
    my ($r, $name) = @_;
    my @all = map { $_->[1] } grep { lc $_->[0] eq lc $name } @{ $r->{fields} };
    return @all ? join ' | ', @all : undef;
}

1;
