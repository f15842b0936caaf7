#!/usr/bin/perl
# chaos: yes

# health_check type=: what is wrong in a configuration, and what becomes of passwords: they are read
# by the master, and are in no log, in no dump and in no core file; files that others can read are
# warned about.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;
my $secret = 'hard2guess';

$w->write('secret', "$secret\nmore\n");
$w->write('open', "$secret\n");
$w->write('empty', "\n");
$w->write('zero', "a\0b\n");
$w->write('long', 'x' x 1200);
chmod 0600, map { $w->path($_) } qw(secret empty zero long);
chmod 0644, $w->path('open');

# Tests one health_check of layer 4.
sub check {
    my ($line) = @_;
    $w->conf("stream { upstream u { zone u 64k; server 127.0.0.1:1; }\n"
        . "server { listen %{s}; proxy_pass u; health_check $line; } }\n");
    my ($code, undef, $err) = $w->command('-t');
    return ($code, $err);
}

my $file = 'password_file=%{dir}/secret';
for my $line ('type=pgsql', "type=pgsql user=a $file role=primary", 'type=pgsql user=a role=any',
    'type=pgsql user=a database=b', 'type=redis role=replica', "type=redis $file", 'type=mysql', "type=mysql user=a $file",
    'type=smtp', 'type=ldap', "type=ldap user=cn=a $file") {
    my ($code, $err) = check($line);
    is $code, 0, $line or diag $err;
    unlike $err, qr/\[warn\]/, 'and no warning';
}

my @wrong = (
    'type=grpc' => qr/type=grpc comes with HTTP\/2/,
    'type=oracle' => qr/unknown type "oracle"/,
    'type=pgsql user=a role=king' => qr/unknown role "king".*any, primary, standby/,
    'type=redis role=primary' => qr/unknown role "primary".*any, master, replica/,
    'type=mysql user=a role=any' => qr/a check of type "mysql" has no parameter "role"/,
    'type=mysql database=a' => qr/a check of type "mysql" has no parameter "database"/,
    'type=smtp user=a' => qr/a check of type "smtp" has no parameter "user"/,
    'user=a' => qr/has no parameter "user"/,
    'type=pgsql role=primary' => qr/"role" needs "user"/,
    "type=pgsql $file" => qr/"password_file" needs "user"/,
    "type=mysql $file" => qr/"password_file" needs "user"/,
    "type=ldap $file" => qr/"password_file" needs "user"/,
    'type=pgsql user=' => qr/invalid value of "user"/,
    'type=pgsql user=a password_file=' => qr/invalid value of "password_file"/,
    'type=pgsql user=a password_file=%{dir}/none' => qr/cannot read ".*none" \(2: No such file/,
    'type=pgsql user=a password_file=%{dir}/empty' => qr/the first line of ".*empty" is empty/,
    'type=pgsql user=a password_file=%{dir}/zero' => qr/the password in ".*zero" has a zero byte/,
    'type=pgsql user=a password_file=%{dir}/long' => qr/the password in ".*long" is longer than/,
);
$w->expect(qr/\[emerg\] .* in .*weir\.conf:2$/);
while (my ($line, $why) = splice @wrong, 0, 2) {
    my ($code, $err) = check($line);
    is $code, 1, $line;
    like $err, $why, 'says why';
    unlike $err, qr/$secret/, 'without the password';
}

my ($code, $err) = check('type=pgsql user=a password_file=%{dir}/open');
is $code, 0, 'a file that others can read';
like $err, qr/\[warn\].*open" can be read by other users/, 'is a warning';

$w->conf("http { upstream u { zone u 64k; server 127.0.0.1:1; }\n"
    . "server { listen %{s}; location / { proxy_pass http://u; health_check type=pgsql; } } }\n");
($code, undef, $err) = $w->command('-t');
is $code, 1, 'not at layer 7';
like $err, qr/unknown type "pgsql"/, 'and says so';

# ---- a running one: the server asks for the password in the clear, which needs TLS

$w->backend('db', serve => sub {
    my ($client, $number) = @_;
    sysread $client, my $startup, 4096 or return;
    syswrite $client, "R\0\0\0\x08\0\0\0\3";
    my $n = sysread $client, my $password, 4096;
    open my $fh, '>>', $w->path('got');
    print $fh $n ? "$password\n" : "nothing\n";
    close $fh;
});
$w->start(<<'CONF');
debug_points abort;
stream {
    upstream u { zone u 64k; server %{db}; }
    server { listen %{web}; proxy_pass u;
             health_check type=pgsql user=a password_file=secret interval=100ms; }
}
CONF
becomes { slurp($w->path('got')) =~ /^nothing$/m } 'the server does not get the password';
becomes { $w->error_log =~ /is down: the server asks for the password itself, which is sent over TLS/m }
    'and why';

my ($t, $dump, $errors) = $w->command('-T');
is $t, 0, '-T works';
unlike $dump . $errors . $w->error_log, qr/$secret/, 'no password in the dump or in the log';

# Looks for the password in the mappings that a core file would have: those without "dd" (do not
# dump). Returns whether they could be read, how many have it, and how many of the others.
sub mappings_with_it {
    my ($pid) = @_;
    my ($dumped, $hidden, $from, $to) = (0, 0);
    no warnings 'portable';

    open my $mem, '<:raw', "/proc/$pid/mem" or return;
    for my $line (split /\n/, slurp("/proc/$pid/smaps")) {
        if ($line =~ /^([0-9a-f]+)-([0-9a-f]+) (.)\S* \S+ \S+ \S+ *(.*)/) {
            ($from, $to) = $3 eq 'r' && $4 !~ /^\[v/ ? (hex $1, hex $2) : ();
        }
        next if $line !~ /^VmFlags: (.*)/ || !defined $from;
        my $hides = $1 =~ /\bdd\b/;
        my $text = '';
        sysseek $mem, $from, 0;
        sysread $mem, $text, $to - $from;
        next if index($text // '', $secret) < 0;
        $hides ? $hidden++ : $dumped++;
    }
    return (1, $dumped, $hidden);
}

SKIP: {
    my ($keeper, $master) = ($w->keeper, $w->master);
    skip 'ASan has memory of its own', 4 if slurp("/proc/$master/maps") =~ /libasan/;
    my ($readable) = mappings_with_it($keeper) or skip 'memory cannot be read', 4;
    for my $pid ($keeper, $master) {
        my (undef, $dumped, $hidden) = mappings_with_it($pid);
        is $dumped, 0, 'a core file would not have the password';
        cmp_ok $hidden, '>', 0, 'which is in memory';
    }
}

$w->finish;
done_testing;
