package Weir::SlowFs;

# A disk as slow as a test wants: a file system (FUSE, without a library) whose reads wait while the
# test holds them. Root only; see works().
#
#     my $fs = Weir::SlowFs->new(at => $w->path('slow'), files => { a => 'text' });
#     $fs->hold;           # from now on, reads and lookups of names with "late" in them wait
#     $fs->held;           # the names of the files that are waited for
#     $fs->release;        # answers the waiting requests, and later ones at once

use strict;
use warnings;

use Fcntl qw(F_SETFD O_RDWR);
use IO::Select;
use POSIX ();
use Weir::Process qw(spawn end_process wait_for);

my %OPCODE = (1 => 'lookup', 2 => 'none', 3 => 'getattr', 14 => 'open', 15 => 'read',
    17 => 'statfs', 18 => 'ok', 25 => 'ok', 26 => 'init', 27 => 'open', 29 => 'ok', 36 => 'none',
    38 => 'ok', 42 => 'none');
my $ROOT = 1;

sub works { return $> == 0 && -w '/dev/fuse' && -d '/sys/fs/fuse' }

# at: an empty folder; files: name => text.
sub new {
    my ($class, %how) = @_;
    my $f = bless { %how, names => [sort keys %{ $how{files} }], waiting => [] }, $class;

    mkdir $f->{at};
    sysopen my $dev, '/dev/fuse', O_RDWR or die "/dev/fuse: $!\n";
    fcntl $dev, F_SETFD, 0;    # mount(8) passes it to the kernel
    my $options = 'rootmode=40000,user_id=0,group_id=0,allow_other,fd=' . fileno $dev;
    system('mount', '-i', '-t', 'fuse', '-o', $options, 'weir-test', $f->{at}) == 0
        or die "cannot mount a file system\n";
    $f->{pid} = spawn(sub { $f->run($dev) });
    return $f;
}

sub hold { return $_[0]->mark('hold', 1) }

sub release { return $_[0]->mark('hold', 0) }

sub mark {
    my ($f, $what, $on) = @_;
    my $file = "$f->{at}.$what";
    return $on ? open(my $fh, '>', $file) : unlink $file;
}

sub held { return split ' ', Weir::Process::slurp("$_[0]{at}.held") // '' }

sub kill {
    my ($f) = @_;
    my $pid = delete $f->{pid} // return;
    $f->release;
    system 'umount', '-l', $f->{at};
    end_process($pid, 'KILL');
    rmdir $f->{at};
}

# ---- the server

sub run {
    my ($f, $dev) = @_;
    my $test = getppid;
    my $ready = IO::Select->new($dev);

    while (getppid == $test) {
        if ($ready->can_read(0.02)) {
            sysread $dev, my $request, 1 << 18 or last;
            $f->serve($dev, $request);
        }
        if (!-e "$f->{at}.hold") {
            $f->reply($dev, @$_) for splice @{ $f->{waiting} };
        }
        $f->tell(join ' ', map { $_->[3] } @{ $f->{waiting} });
    }
}

sub tell {
    my ($f, $names) = @_;
    return if $names eq ($f->{told} // '');
    open my $fh, '>', "$f->{at}.held.new" or return;
    print $fh $f->{told} = $names;
    close $fh;
    rename "$f->{at}.held.new", "$f->{at}.held";
}

sub serve {
    my ($f, $dev, $request) = @_;
    my (undef, $opcode, $unique, $node) = unpack 'LLQQ', $request;
    my $what = $OPCODE{$opcode} // return $f->reply($dev, $unique, POSIX::ENOSYS);
    my $body = substr $request, 40;

    return if $what eq 'none';
    return $f->reply($dev, $unique, 0, '') if $what eq 'ok';
    my $answer = $f->can($what)->($f, $node, $body);
    my $name = $what eq 'read' ? $f->{names}[$node - 2]
        : $what eq 'lookup' && $body =~ /^(.*late.*?)\0/ ? $1 : undef;
    my @reply = defined $answer ? ($unique, 0, $answer) : ($unique, POSIX::ENOENT, '');
    if (defined $name && -e "$f->{at}.hold") {
        push @{ $f->{waiting} }, [@reply, $name];
    } else {
        $f->reply($dev, @reply);
    }
}

sub reply {
    my ($f, $dev, $unique, $error, $body) = @_;
    $body //= '';
    syswrite $dev, pack('LlQ', 16 + length $body, -$error, $unique) . $body;
}

# FUSE_ASYNC_READ: a process that waits for a page can be killed. FUSE_PARALLEL_DIROPS: lookups do
# not wait for one another.
sub init {
    return pack 'LLLLSSLLSSLL7', 7, 31, 65536, 1 | 1 << 18, 16, 12, 65536, 1, 0, 0, 0, (0) x 7;
}

sub attr {
    my ($f, $node) = @_;
    my $name = $f->{names}[$node - 2];
    my $size = $node == $ROOT ? 0 : length $f->{files}{$name};
    my $mode = $node == $ROOT ? 040755 : 0100644;
    my $then = 1_700_000_000;
    return pack 'Q6L10', $node, $size, $size >> 9, ($then) x 3, 0, 0, 0, $mode, 1, 0, 0, 0, 4096, 0;
}

sub lookup {
    my ($f, undef, $name) = @_;
    $name =~ s/\0.*//s;
    for my $i (0 .. $#{ $f->{names} }) {
        return pack('QQQQLL', $i + 2, 0, 3600, 3600, 0, 0) . $f->attr($i + 2)
            if $f->{names}[$i] eq $name;
    }
    return;
}

sub getattr {
    my ($f, $node) = @_;
    return pack('QLL', 3600, 0, 0) . $f->attr($node);
}

sub open { return pack 'QLL', 0, 0, 0 }

sub read {
    my ($f, $node, $body) = @_;
    my (undef, $at, $n) = unpack 'QQL', $body;
    my $text = $f->{files}{ $f->{names}[$node - 2] };
    return $at >= length $text ? '' : substr $text, $at, $n;
}

sub statfs { return pack 'Q5L4L6', (0) x 5, 4096, 255, 4096, 0, (0) x 6 }

1;
