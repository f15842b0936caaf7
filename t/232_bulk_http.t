#!/usr/bin/perl
# chaos: yes

# Bodies arrive byte for byte, in both directions: 1 GiB of a reply (under chaos 16 MiB), uploads
# by way of a temp file and streamed, of known length and in chunks, at sizes around the limits at
# which weir changes how it moves them, with clients or servers that are slower than the other side,
# with buffers, with temp files and with neither.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::SHA;
use Test::More;
use Time::HiRes qw(sleep);
use Weir;
use Weir::Bulk qw(digest_of);
use Weir::Process qw(rss);

my $KIB = 1024;
my $MIB = 1024 * $KIB;
my $LARGE = chaos() ? 16 * $MIB : 1024 * $MIB;
my $UPLOAD = chaos() ? 2 * $MIB : 64 * $MIB;
my $MEDIUM = chaos() ? $MIB : 24 * $MIB;

# ---- HTTP over blocking sockets; heads are read byte by byte, so that the rest is the body

sub read_line {
    my ($fh) = @_;
    my $line = '';
    until ($line =~ /\n\z/) {
        sysread $fh, $line, 1, length $line or return;
    }
    return $line =~ s/\r?\n\z//r;
}

sub read_head {
    my ($fh) = @_;
    my @lines;
    while (1) {
        my $line = read_line($fh) // return;
        return join "\n", @lines, '' if $line eq '';
        push @lines, $line;
    }
}

# The digest and the size of a body, framed as its head says.
sub take_body {
    my ($fh, $head) = @_;

    Weir::Bulk::blocking($fh);
    return (Weir::Bulk::take($fh, $1) // 'incomplete', $1) if $head =~ /^Content-Length: (\d+)$/mi;
    my ($sha, $n) = (Digest::SHA->new(256), 0);
    if ($head =~ /^Transfer-Encoding: chunked$/mi) {
        while (1) {
            my $left = hex(read_line($fh) // return ('incomplete', $n));
            last if $left == 0;
            while ($left > 0) {
                my $got = sysread $fh, my $bytes, $left or return ('incomplete', $n);
                $sha->add($bytes);
                $left -= $got;
                $n += $got;
            }
            read_line($fh);
        }
        read_line($fh);
        return ($sha->hexdigest, $n);
    }
    while (my $got = sysread $fh, my $bytes, 65536) {
        $sha->add($bytes);
        $n += $got;
    }
    return ($sha->hexdigest, $n);
}

# A body in chunks of odd sizes.
sub give_chunks {
    my ($fh, $n) = @_;
    my $at = 0;

    for (my $i = 0; $n > 0; $i++) {
        my $block = Weir::Bulk::block($i, $n);
        $n -= length $block;
        while (length $block) {
            my $piece = substr $block, 0, 1 + ($at++ * 7919) % 40_000, '';
            my $text = sprintf "%x\r\n%s\r\n", length $piece, $piece;
            for (my $done = 0; $done < length $text;) {
                $done += syswrite($fh, $text, length($text) - $done, $done) // return;
            }
        }
    }
    syswrite $fh, "0\r\n\r\n";
}

# The server: /give/N, /chunks/N and /end/N (without a length) send N bytes, /take answers with the
# digest of what came; /slow-take reads slowly at first.
sub serve {
    my ($fh) = @_;

    Weir::Bulk::blocking($fh);
    while (defined(my $head = read_head($fh))) {
        if ($head =~ m{^GET \S*/give/(\d+) }) {
            syswrite $fh, "HTTP/1.1 200 OK\r\nContent-Length: $1\r\n\r\n";
            Weir::Bulk::give($fh, $1) or return;
        } elsif ($head =~ m{^GET \S*/chunks/(\d+) }) {
            syswrite $fh, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
            give_chunks($fh, $1);
        } elsif ($head =~ m{^GET \S*/end/(\d+) }) {
            syswrite $fh, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n";
            Weir::Bulk::give($fh, $1);
            return;
        } else {
            sleep 1 if $head =~ m{/slow-take};
            my ($digest, $n) = take_body($fh, $head);
            my $said = "$digest $n\n";
            syswrite $fh, "HTTP/1.1 200 OK\r\nContent-Length: " . length($said) . "\r\n\r\n$said";
        }
    }
}

my $w = Weir->new;
$w->backend('behind', serve => \&serve);
$w->start(<<'CONF');
worker_processes 2;
http {
    client_max_body_size 0;
    access_log off;
    server {
        listen %{web};
        location / { proxy_pass http://%{behind}; }
        location /small/ {
            proxy_buffer_size 4k;
            proxy_buffers 4 4k;
            proxy_busy_buffers_size 8k;
            proxy_max_temp_file_size 1024m;
            proxy_pass http://%{behind};
        }
        location /no-file/ {
            proxy_buffer_size 4k;
            proxy_buffers 4 4k;
            proxy_busy_buffers_size 8k;
            proxy_max_temp_file_size 0;
            proxy_pass http://%{behind};
        }
        location /some-file/ {
            proxy_buffers 4 4k;
            proxy_busy_buffers_size 8k;
            proxy_max_temp_file_size 100k;
            proxy_pass http://%{behind};
        }
        location /streamed/ {
            proxy_buffering off;
            proxy_request_buffering off;
            proxy_pass http://%{behind};
        }
        location /limited/ { limit_rate 1m; limit_rate_after 1m; proxy_pass http://%{behind}; }
    }
}
CONF

sub request {
    my ($how, $line, @fields) = @_;
    my $c = $w->connect('web', %$how) or die "connect: $!\n";
    $c->socket->blocking(1);
    syswrite $c->socket, join "\r\n", "$line HTTP/1.1", 'Host: test', 'Connection: close', @fields,
        '', '';
    return $c;
}

# The digest and the size of what arrives at the client.
sub download {
    my ($path, $slow) = @_;
    my $c = request($slow ? { rcvbuf => 32768 } : {}, "GET $path");
    sleep $slow if $slow;
    my $head = read_head($c->socket) // return 'no reply';
    my @got = take_body($c->socket, $head);
    $c->close;
    return $head =~ m{^HTTP/1\.1 200 } ? "@got" : $head;
}

# The digest and the size of what arrived at the server.
sub upload {
    my ($path, $n, $chunked) = @_;
    my $c = request({}, "POST $path",
        $chunked ? 'Transfer-Encoding: chunked' : "Content-Length: $n");
    $chunked ? give_chunks($c->socket, $n) : Weir::Bulk::give($c->socket, $n);
    my $head = read_head($c->socket) // return 'no reply';
    $c->socket->blocking(0);
    my $said = $c->line // 'nothing';
    $c->close;
    return $said;
}

my @SIZES = (0, 1, 1000, 4095, 4096, 4097, 8 * $KIB - 1, 16 * $KIB, 64 * $KIB - 1, 64 * $KIB,
    64 * $KIB + 1, 200_001);
push @SIZES, 3 * $MIB + 7 if !chaos();

for my $path ('', '/small', '/no-file', '/streamed') {
    my @wrong = grep {
        my ($n, $expected) = ($_, digest_of($_) . " $_");
        download("$path/give/$n") ne $expected || download("$path/chunks/$n") ne $expected
            || download("$path/end/$n") ne $expected;
    } @SIZES;
    is_deeply \@wrong, [], "$path/: replies of all sizes, by length, in chunks, to the end";
    @wrong = grep {
        my ($n, $expected) = ($_, digest_of($_) . " $_");
        upload("$path/take", $n) ne $expected || upload("$path/take", $n, 1) ne $expected;
    } @SIZES;
    is_deeply \@wrong, [], "$path/: bodies of all sizes, by length and in chunks";
}

# Clients that begin to read when the server is long done.

for my $path ('', '/small', '/no-file', '/some-file', '/streamed') {
    for my $how ('give', 'chunks') {
        is download("$path/$how/$MEDIUM", 0.5), digest_of($MEDIUM) . " $MEDIUM",
            "$path/$how: a slow reader";
    }
}
is download('/limited/give/' . 2 * $MIB), digest_of(2 * $MIB) . ' ' . 2 * $MIB, 'limit_rate';

# Uploads; servers that read late.

for my $path ('', '/streamed') {
    is upload("$path/take", $UPLOAD), digest_of($UPLOAD) . " $UPLOAD", "$path/: upload";
    is upload("$path/take", $MEDIUM, 1), digest_of($MEDIUM) . " $MEDIUM",
        "$path/: upload in chunks";
    is upload("$path/slow-take", $MEDIUM), digest_of($MEDIUM) . " $MEDIUM",
        "$path/: upload to a slow server";
}

# Many at once.

{
    my ($count, $n) = (16, chaos() ? 100 * $KIB : 2 * $MIB);
    my $expected = digest_of($n) . " $n";
    my @pids = map {
        my $i = $_;
        my @ways = (sub { download("/give/$n") }, sub { download("/small/chunks/$n", 0.3) },
            sub { upload('/take', $n) }, sub { upload('/streamed/take', $n, 1) });
        Weir::Process::spawn(sub { POSIX::_exit($ways[$i % 4]->() eq $expected ? 0 : 1) });
    } 1 .. $count;
    is scalar(grep { ($w->ended($_) // 1) == 0 } @pids), $count, "$count transfers at once";
}

is download("/give/$LARGE"), digest_of($LARGE) . " $LARGE", "download of $LARGE bytes";
is scalar(grep { rss($_) > 600 * $MIB } $w->workers), 0, 'no worker has grown by it';

$w->finish;
done_testing;
