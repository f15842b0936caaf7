#!/usr/bin/perl

# The memory of workers and keeper, which has keys in it: no other process of their user can read
# it, unless the configuration asks for core files or a debugger. No core file contains sessions,
# keys of tickets, private keys (from files, in the text of the configuration, or as a variable's
# value), passwords, ticket keys or secrets of cookies from files.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use POSIX ();
use Test::More;
use Weir;
use Weir::Http;
use Weir::Tls;

Weir::Tls::needs();
my $w = Weir->new;
Weir::Tls::certificate($w, 'one');
Weir::Tls::openssl($w, qw(req -x509 -nodes -newkey rsa:2048 -keyout rsa.key -out rsa.crt -days 30),
    qw(-subj /CN=rsa));
chmod 0644, $w->path('rsa.key');

# One line of the text of each other key, by where the key comes from.
my $PASSWORD = 'a password that stands in a file';
my @NEW = qw(req -x509 -newkey rsa:2048 -days 30);
for my $name (qw(data map made front)) {
    Weir::Tls::openssl($w, @NEW, '-nodes', '-keyout', "$name.key", '-out', "$name.crt", '-subj', "/CN=$name");
}
Weir::Tls::openssl($w, @NEW, '-passout', "pass:$PASSWORD", qw(-keyout locked.key -out locked.crt -subj /CN=locked));
chmod 0644, $w->path('locked.key');
$w->write('passwords', "$PASSWORD\n");
my $TICKET = join '', map { chr 33 + ($_ * 37 + 11) % 90 } 1 .. 80;
$w->write('ticket.key', $TICKET);

my $SECRET = 'a secret that signs the cookies of a group';
$w->write('secrets', "$SECRET\n");

sub key { return slurp($w->path("$_[0].key")) }

my %secret = (
    (map { $_ => (split /\n/, key($_))[7] } qw(data map made front)),
    password => $PASSWORD,
    ticket => substr($TICKET, 20, 40),
    secret => $SECRET,
);

sub conf {
    my ($more) = @_;
    my %key = map { $_ => key($_) } qw(data map made front);
    return <<"CONF";
worker_processes 2;
$more
stream {
    map \$ssl_server_name \$whole { default "data:$key{map}"; }
    map \$ssl_server_name \$part { default "$key{made}"; }
    map \$ssl_server_name \$locked { default locked; }
    server { listen %{data} ssl; ssl_certificate data.crt; ssl_certificate_key "data:$key{data}";
        return data; }
    server { listen %{map} ssl; ssl_certificate map.crt; ssl_certificate_key \$whole;
        return map; }
    server { listen %{made} ssl; ssl_certificate made.crt; ssl_certificate_key data:\$part;
        return made; }
    server { listen %{locked} ssl; ssl_certificate locked.crt; ssl_password_file passwords;
        ssl_certificate_key %{dir}/\$locked.key; return locked; }
    server { listen %{ticket} ssl; ssl_certificate one.crt; ssl_certificate_key one.key;
        ssl_session_ticket_key ticket.key; return ticket; }
    server { listen %{front}; proxy_pass %{data}; proxy_ssl on; proxy_ssl_certificate front.crt;
        proxy_ssl_certificate_key "data:$key{front}"; }
    server { listen %{tls} ssl; ssl_certificate one.crt; ssl_certificate_key one.key;
        ssl_session_cache shared:all:1m; return hello; }
    server { listen %{rsa} ssl; ssl_certificate rsa.crt; ssl_certificate_key rsa.key;
        return hello; }
}
http {
    upstream bound { server %{said}; server %{said}; sticky cookie sid secret_file=secrets; }
    server { listen %{said}; return 200 said; }
    server { listen %{bound}; location / { proxy_pass http://bound; } }
}
CONF
}

# True if a process of the workers' user can read the memory of that process.
sub is_open {
    my ($pid) = @_;
    my $child = fork // die "fork: $!\n";
    if (!$child) {
        Weir::become('nobody') if Weir::is_root();
        POSIX::_exit(open(my $fh, '+<', "/proc/$pid/mem") ? 0 : 1);
    }
    waitpid $child, 0;
    return $? == 0;
}

# The flags of each mapping with that name.
sub flags_of {
    my ($pid, $name) = @_;
    my ($of, @found);
    for (split /\n/, slurp("/proc/$pid/smaps")) {
        $of = $1 // '' if /^[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+\s*(.*)?$/;
        push @found, $_ if /^VmFlags:/ && $of =~ /\Q$name\E\b/;
    }
    return @found;
}

# Part of a prime of the RSA key, as it is written and as numbers lie in memory.
sub prime {
    my $text = qx(openssl rsa -in \Q@{[$w->path('rsa.key')]}\E -noout -text 2>/dev/null);
    my ($hex) = $text =~ /^prime1:\n((?:\s+[0-9a-f:]+\n)+)/m or die "no prime\n";
    my $bytes = pack 'H*', $hex =~ s/[^0-9a-f]//gr;
    $bytes = substr $bytes, -64;    # the last 64 are those of the lowest words
    return $bytes, scalar reverse $bytes;
}

# In how many mappings of a process one of these texts is: in, those that a core file has, and out,
# the others. undef: its memory cannot be read.
sub found_in {
    my ($pid, @what) = @_;
    my ($map, %n) = (undef, in => 0, out => 0);
    no warnings 'portable';
    open my $mem, '<:raw', "/proc/$pid/mem" or return;
    for (split /\n/, slurp("/proc/$pid/smaps")) {
        $map = [map { hex } $1, $2] if /^([0-9a-f]+)-([0-9a-f]+) r/;
        next if !/^VmFlags:(.*)/ || !$map;
        my ($flags, $bytes) = ($1, '');
        sysseek $mem, $map->[0], 0;
        sysread $mem, $bytes, $map->[1] - $map->[0];
        $n{ $flags =~ /\bdd\b/ ? 'out' : 'in' }++ if grep { index($bytes, $_) >= 0 } @what;
        $map = undef;
    }
    return \%n;
}

$w->start(conf(''));
my @pids = ($w->workers, $w->keeper);
is scalar(@pids), 3, 'two workers and a keeper';
ok !is_open($_), 'memory of a process is closed' for @pids;
is +Weir::Tls->new($w, "tls")->rest, 'hello', 'and the worker serves';

for my $more ('debug_points abort;', 'worker_rlimit_core 1m;') {
    $w->reload(conf($more));
    becomes { my @new = $w->workers; @new == 2 && !grep { !is_open($_) } @new } "open by: $more";
    for my $pid ($w->workers) {
        is scalar(grep { /\bdd\b/ } flags_of($pid, 'memfd:weir-')), 2,
            'sessions and keys of tickets are in no core file';
    }
    is(Weir::Tls->new($w, 'rsa')->rest, 'hello', 'the RSA key is used') for 1 .. 8;
    for my $where (qw(data map made locked ticket)) {
        is(Weir::Tls->new($w, $where)->rest, $where, "a key of: $where") for 1 .. 4;
    }
    is $w->ask('front'), 'data', 'and one for a server' for 1 .. 4;
    like +Weir::Http::ask($w, 'bound', 'GET /')->field('Set-Cookie'), qr/^sid=\w{32}$/,
        'and the secret of a cookie' for 1 .. 4;
    SKIP: {
        skip 'built with ASan, whose memory keys are in', 4 if slurp($w->{bin}) =~ /__asan_init/;
        for my $pid ($w->workers) {
            my $n = found_in($pid, prime()) or skip "/proc/PID/mem cannot be read: $!", 2;
            cmp_ok $n->{out}, '>', 0, 'the key is in memory of the worker';
            is $n->{in}, 0, 'and in none that a core file has';
        }
        for my $pid ($w->master, $w->workers, $w->keeper) {
            my ($who) = title($pid) =~ /: (\w+)/;
            for my $name (sort keys %secret) {
                my $n = found_in($pid, $secret{$name}) or skip "/proc/PID/mem cannot be read: $!", 2;
                cmp_ok $n->{out}, '>', 0, "$name is in memory of the $who";
                is $n->{in}, 0, 'and in none that a core file has';
            }
        }
    }
}
$w->reload(conf(''));
becomes { my @new = $w->workers; @new == 2 && !grep { is_open($_) } @new } 'and closed again';

$w->finish;
done_testing;
