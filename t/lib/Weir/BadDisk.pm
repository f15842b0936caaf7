package Weir::BadDisk;

# A disk that fails as a test wants: calls of weir for files below a folder return an error. A
# library in front of the C library does it (t/lib/faults.c), so it needs neither root nor a file
# system of its own, only a C compiler.
#
#     my $disk = Weir::BadDisk->new($w, $w->path('cache'));
#     $w->start($conf, before => $disk->before);
#     $disk->fail('write', ENOSPC);   # from now on
#     $disk->failed('write');         # how many calls have failed
#     $disk->heal;

use strict;
use warnings;

use Errno ();
use Fcntl qw(SEEK_SET);
use Weir::Process;

# As in faults.c. body: reading far behind the beginning of a file, or sending it.
my @KINDS = qw(open read body write link rename unlink mkdir stat);
my %NUMBER = map { $KINDS[$_] => $_ } 0 .. $#KINDS;
my $LOADED = 15;

sub new {
    my ($class, $w, $folder) = @_;
    my $d = bless { folder => $folder, library => $w->path('faults.so'), file => $w->path('faults') },
        $class;

    Weir->needs_programs('cc');
    my $said = qx(cc -shared -fPIC -O1 -o '$d->{library}' '@{[Weir::top()]}/t/lib/faults.c' -ldl 2>&1);
    die $said if $? != 0;
    open $d->{fh}, '+>', $d->{file} or die "$d->{file}: $!\n";
    syswrite $d->{fh}, "\0" x 4096;
    return $d;
}

# For Weir::start: what is to be done in the new process. ASan wants to be the first library.
sub before {
    my ($d) = @_;
    return sub {
        $ENV{LD_PRELOAD} = $d->{library};
        $ENV{FAULTS} = $d->{file};
        $ENV{FAULTS_FOLDER} = $d->{folder};
        $ENV{ASAN_OPTIONS} .= ':verify_asan_link_order=0';
    };
}

# True: weir runs with it. A static program has its own C library.
sub works { return $_[0]->word($LOADED, 4) != 0 }

sub word {
    my ($d, $number, $at, $value) = @_;
    sysseek $d->{fh}, 8 * $number + $at, SEEK_SET;
    if (defined $value) {
        syswrite $d->{fh}, pack 'l', $value;
        return;
    }
    sysread $d->{fh}, my $word, 4;
    return unpack 'l', $word;
}

sub fail {
    my ($d, $kind, $errno) = @_;
    $d->word($NUMBER{$kind}, 0, $errno // Errno::EIO());
}

sub heal {
    my ($d) = @_;
    $d->word($_, 0, 0) for values %NUMBER;
}

sub failed {
    my ($d, $kind) = @_;
    return $d->word($NUMBER{$kind}, 4);
}

1;
