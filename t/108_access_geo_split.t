#!/usr/bin/perl

# The client's address: geo by networks and ranges, split_clients, allow and deny. Files of access
# logs: names with variables and open_log_file_cache, rotation, paths that are refused.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;

# ---- geo: what stands in the block, the address, the result

$w->write('geo.inc', "127.0.0.2 included;\n");
my @geo = (
    ['default none; 127.0.0.0/8 loop; 10.0.0.0/8 ten;',      '127.0.0.1', 'loop', 'a network'],
    ['default none; 127.0.0.0/8 loop;',                      '10.0.0.1',  'none', 'default'],
    ['10.0.0.0/8 ten;',                                      '127.0.0.1', '',     'no default'],
    ['0.0.0.0/0 all4; ::/0 all6;',                           '127.0.0.1', 'all4', 'everything'],
    ['0.0.0.0/0 all4; ::/0 all6;',                           '2001:db8::1', 'all6', 'IPv6'],
    ['default none; 2001:db8::/32 doc;',                     '2001:db8::1', 'doc', 'a network of IPv6'],
    ['default none; 127.0.0.0/8 v4;',                        '::ffff:127.0.0.1', 'v4', 'IPv4 in IPv6'],
    ['127.0.0.0/8 big; 127.0.0.1 small; 127.0.0.0/16 mid;',  '127.0.0.1', 'small', 'the smallest wins'],
    ['127.0.0.0/8 big; 127.0.0.1 small; 127.0.0.0/16 mid;',  '127.0.0.2', 'mid', 'then the next'],
    ['127.0.0.0/8 big; 127.0.0.1 small; 127.0.0.0/16 mid;',  '127.1.0.2', 'big', 'and the next'],
    ['default none; 127.0.0.1 a; delete 127.0.0.1;',         '127.0.0.1', 'none', 'delete'],
    ['127.0.0.0/8 big; 127.0.0.1 a; delete 127.0.0.1;',      '127.0.0.1', 'big', 'what is below'],
    ['127.0.0.1 a; delete 127.0.0.1; 127.0.0.1 b;',          '127.0.0.1', 'b', 'and again'],
    ['include geo.inc; default none;',                       '127.0.0.2', 'included', 'include'],
    ['127.0.0.1 "two words";',                               '127.0.0.1', 'two words', 'a quoted value'],
    ['default none; 255.255.255.255 bad;',                   'nonsense',  'bad', 'no address'],
    ['default none; 255.255.255.255 bad;',                   '',          'bad', 'nothing at all'],
    ['ranges; default none; 127.0.0.1-127.0.0.9 in;',        '127.0.0.9', 'in', 'a range'],
    ['ranges; default none; 127.0.0.1-127.0.0.9 in;',        '127.0.0.10', 'none', 'behind it'],
    ['ranges; 127.0.0.0-127.0.0.9 out; 127.0.0.1-127.0.0.2 in;', '127.0.0.1', 'in', 'a range in it'],
    ['ranges; 127.0.0.0-127.0.0.9 out; 127.0.0.1-127.0.0.2 in;', '127.0.0.3', 'out', 'behind that'],
    ['ranges; default none; 0.0.0.0-255.255.255.255 all;',   '255.255.255.255', 'all', 'all addresses'],
    ['ranges; default none; 0.0.0.0-255.255.255.255 all;',   '::1', 'none', 'ranges are IPv4'],
    ['ranges; default none; 127.0.0.0-127.0.0.9 a; delete 127.0.0.0-127.0.0.9;', '127.0.0.1', 'none',
        'delete a range'],
);
my $geo = join '', map {
    "map 0 \$a$_ { default '$geo[$_][1]'; } geo \$a$_ \$g$_ { $geo[$_][0] }\n" } 0 .. $#geo;
my $all = join '|', map { "\$g$_" } 0 .. $#geo;

my $long = 'x' x 5000;
(my $conf = <<"CONF" . <<'CONF') =~ s/%\{long_text\}/$long/;
stream {
    map_hash_max_size 4096;
    map_hash_bucket_size 128;
    $geo
    server { listen %{geo}; return "$all"; }
CONF
    geo $who { default other; 127.0.0.3 three; 255.255.255.255 nobody; }
    server { listen %{client}; return $who; }
    server { listen %{unix:client}; return $who; }

    split_clients $remote_addr $half { 50% a; * b; }
    split_clients $remote_addr $shares { 0.5% z; 10% a; 20.25% b; 30% c; * d; }
    split_clients $remote_addr $whole { 100% a; }
    split_clients $remote_addr $rare { 0.01% a; }
    server { listen %{split}; return "$half$shares"; }
    server { listen %{whole}; return "$whole|$rare"; }

    server { listen %{allowed}; allow 127.0.0.2; allow 127.0.1.0/24; deny all; return in;
        access_log %{dir}/access.log status; }
    server { listen %{denied}; deny 127.0.0.2; return in; }
    server { listen %{inherits}; return in; }
    server { listen %{unix:inner}; allow unix:; deny all; return in; }
    server { listen %{unix}; proxy_pass %{unix:inner}; allow all; }
    deny 127.0.0.40;
    allow all;

    log_format status '$remote_addr $status';
    server { listen %{cached}; return x; access_log %{dir}/logs/c-$remote_addr.log status;
        open_log_file_cache max=2 valid=1s; }
    server { listen %{packed}; return x; access_log %{dir}/full/$remote_addr.log status;
        open_log_file_cache max=2 valid=1h; }
    server { listen %{plain}; return x; access_log %{dir}/logs/p-$remote_addr.log status; }
    server { listen %{climbs}; set $up ../..; return x; access_log logs/$up/climb.log status; }
    server { listen %{nowhere}; return x; access_log %{dir}/no/such/$remote_addr.log status; }
    server { listen %{rotated}; return x; access_log %{dir}/logs/rotated.log status; }
    map 0 $long { default %{long_text}; }
    log_format long '<$long$long$long$long$long$long$long$long$long$long$long$long$long$long>';
    server { listen %{long}; return x; access_log %{dir}/logs/long.log long; }
    log_format numbered '$connection $remote_addr $remote_addr $remote_addr $remote_addr';
    server { listen %{small}; return x; access_log %{dir}/logs/small.log numbered buffer=150; }
    server { listen %{tiny}; return x; access_log %{dir}/logs/tiny.log numbered buffer=5; }
    server { listen %{full}; return x; access_log /dev/full numbered; }
    server { listen %{silent}; return x; access_log off; access_log %{dir}/silent.log status; }
}
CONF
$w->start($conf);

sub ask_from {
    my ($from, $where) = @_;
    my $c = $w->connect($where, from => $from);
    my $answer = $c->rest;
    $c->close;
    return $answer;
}

sub lines {
    my ($file, $count) = @_;
    wait_for { $count <= (() = slurp($w->path($file)) =~ /\n/g) };
    return split /\n/, slurp($w->path($file));
}

my @results = split /\|/, $w->ask('geo'), -1;
is $results[$_], $geo[$_][2], "geo: $geo[$_][3]" for 0 .. $#geo;
is ask_from("127.0.0.$_", 'client'), $_ == 3 ? 'three' : 'other', "geo: 127.0.0.$_" for 1, 3;
is $w->ask('unix:client'), 'nobody', 'geo: a unix client is 255.255.255.255';

# The shares of 127.0.0.1 to 20, as nginx gives them.

is join(' ', map { ask_from("127.0.0.$_", 'split') } 1 .. 20),
    'bd ab ab ab ab ab bd bd bc bd bc bd bd bd bd bd aa bd bd ab', 'split_clients';
is $w->ask('whole'), 'a|', 'split_clients: 100 %, and a share that no client gets';

is ask_from('127.0.0.2', 'allowed'), 'in', 'allow an address';
is ask_from('127.0.1.9', 'allowed'), 'in', 'allow a network';
is ask_from('127.0.0.1', 'allowed'), '', 'deny all';
becomes { $w->error_log =~ m/access forbidden by rule .*client: 127\.0\.0\.1/ } 'the log says so';
is ask_from('127.0.0.2', 'denied'), '', 'deny an address';
is ask_from('127.0.0.40', 'denied'), 'in', 'rules of the server replace those around it';
is ask_from('127.0.0.40', 'inherits'), '', 'rules around the server hold in it: denied';
is ask_from('127.0.0.1', 'inherits'), 'in', 'and allowed';
is $w->ask('unix'), 'in', 'allow unix:';
is join(', ', sort(lines('access.log', 3))), '127.0.0.1 403, 127.0.0.2 200, 127.0.1.9 200',
    '$status is 403';

# Names made of variables.

for my $log ('cached', 'plain') {
    my $letter = substr $log, 0, 1;

    ask_from("127.0.0.$_", $log) for 1 .. 4, 1;
    is scalar(lines("logs/$letter-127.0.0.1.log", 2)), 2, "$log: two lines";
    is +(lines("logs/$letter-127.0.0.$_.log", 1))[0], "127.0.0.$_ 200", "$log: 127.0.0.$_" for 2 .. 4;
}
rename $w->path('logs/c-127.0.0.1.log'), $w->path('logs/old');
becomes { ask_from('127.0.0.1', 'cached'); -e $w->path('logs/c-127.0.0.1.log') }
    'a file that was moved is let go after "valid"';
is ask_from('127.0.0.1', 'climbs'), 'x', 'a path that climbs: the session is served';
becomes { $w->error_log =~ m/access log path "logs.*climb\.log" refused/ } 'the line is refused';
is ask_from('127.0.0.1', 'nowhere'), 'x', 'a path that is not there: the session is served';
becomes { $w->error_log =~ m{open\(\) ".*/no/such/127\.0\.0\.1\.log" failed \(2: } } 'the log says so';

# Rotation.

# A file that cannot be opened displaces none from the cache.
mkdir $w->path('full');
chmod 0777, $w->path('full');
sub full { ask_from("127.0.0.$_[0]", 'packed') }
full($_) for 1, 2;
is scalar(lines('full/127.0.0.2.log', 1)), 1, 'two files are open';
rename $w->path('full'), $w->path('moved');
full($_) for 3, 4, 1, 2;
is scalar(lines("moved/127.0.0.$_.log", 2)), 2,
    'and stay open after others could not be opened' for 1, 2;

$w->ask('rotated');
is scalar(lines('logs/rotated.log', 1)), 1, 'a line';
rename $w->path('logs/rotated.log'), $w->path('logs/rotated.1');
$w->ask('rotated');
is scalar(lines('logs/rotated.1', 2)), 2, 'a file that was moved stays in use';
$w->signal('USR1');
becomes { $w->ask('rotated'); -s $w->path('logs/rotated.log') } 'USR1: a new file';
$w->ask('rotated');
rename $w->path('logs/rotated.log'), $w->path('logs/rotated.2');
$w->reload;
becomes { $w->ask('rotated'); -s $w->path('logs/rotated.log') } 'a reload: a new file too';

# Lines longer than a line may be, longer than the buffer, and with nowhere to go.

$w->ask('long');
is length((lines('logs/long.log', 1))[0]), 65535, 'a line of 64 KB is cut';
for my $log ('small', 'tiny') {
    $w->ask($log) for 1 .. 9;
    my @numbers = map { /^(\d+) 127.0.0.1 127.0.0.1 127.0.0.1 127.0.0.1$/ ? $1 : 'bad' }
        lines("logs/$log.log", $log eq 'small' ? 6 : 9);
    my @sorted = sort { $a <=> $b } @numbers;
    is "@numbers", "@sorted", "$log: whole lines in their order";
}
is $w->ask('full'), 'x', 'a full disk: the session is served' for 1 .. 3;
is scalar(() = $w->error_log =~ m{write\(\) to "/dev/full" failed \(28: }g), 1,
    'the log says so, once a second';
$w->ask('silent');
ok !-e $w->path('silent.log'), 'one "off" silences the block';

$w->finish;
done_testing;
