#!/usr/bin/perl

# Variables of layer 4: each of the stream core and of its upstreams, set, map with every kind of
# key, return and proxy_pass with variables; and access logs: formats, escapes, buffers,
# compression, conditions, file names made of variables, and syslog.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::IP;
use IO::Uncompress::Gunzip qw(gunzip);
use Socket qw(SOCK_DGRAM);
use Sys::Hostname;
use Test::More;
use Weir;

my $w = Weir->new;

# ---- map: source, what stands in the block, result

$w->write('map.inc', "included from_file;\n");
my @maps = (
    ['a',                'a 1; b 2; default 3;',                          '1', 'an exact key'],
    ['B',                'a 1; b 2; default 3;',                          '2', 'keys know no case'],
    ['c',                'a 1; b 2; default 3;',                          '3', 'default'],
    ['c',                'a 1;',                                          '',  'no default: empty'],
    ['',                 '"" nothing; default some;',                     'nothing', 'empty source'],
    ['two words',        '"two words" ok;',                               'ok', 'a quoted key'],
    ['default',          '\default escaped; default plain;',              'escaped', 'an escaped key'],
    ['abc',              '~^a(.)c$ <$1>;',                                '<b>', 'a capture'],
    ['abc',              '~^A exact; ~*^A any;',                          'any', '~* knows no case'],
    ['x-42',             '~^(?<letter>\w)-(?<number>\d+)$ $number$letter;', '42x', 'named captures'],
    ['abc',              '~a first; ~b second; abc exact;',               'exact', 'exact before regex'],
    ['abb',              '~a first; ~b second;',                          'first', 'the first regex'],
    ['abc',              '"~b{1,2}c$" braces;',                           'braces', 'a quoted regex'],
    ['included',         'include map.inc;',                              'from_file', 'include'],
    ['a',                'a $server_port;',            $w->port('maps'), 'a result with a variable'],
    ['a',                'a "port $server_port!";', 'port ' . $w->port('maps') . '!', 'and text'],
    ['www.example.com',  'hostnames; .example.com dot;',                  'dot', '.NAME'],
    ['example.com',      'hostnames; .example.com dot;',                  'dot', '.NAME itself'],
    ['a.b.example.com',  'hostnames; *.example.com star;',                'star', '*.NAME'],
    ['example.com',      'hostnames; *.example.com star; default none;',  'none', '*.NAME itself not'],
    ['www.example.org',  'hostnames; www.example.* tail;',                'tail', 'NAME.*'],
    ['WWW.Example.com',  'hostnames; www.example.com exact; *.example.com star;', 'exact',
        'exact before *.NAME'],
    ['www.example.com',  'hostnames; www.example.* tail; *.example.com star;', 'star',
        '*.NAME before NAME.*'],
    ['a.b.example.com',  'hostnames; *.example.com short; *.b.example.com long;', 'long',
        'the longest *.NAME'],
);
my $maps = join '', map { "    map \"$maps[$_][0]\" \$m$_ { $maps[$_][1] }\n" } 0 .. $#maps;
my $all_maps = join '|', map { "\${m$_}" } 0 .. $#maps;

# ---- variables: name, value; a session echoed 5 bytes to give those of an upstream their values

my $number = qr/^\d+$/;
my $seconds = qr/^\d+\.\d{3}$/;
my $address = $w->address('proxy');
my $server = $w->address('echo');
my @variables = (
    [remote_addr         => qr/^127\.0\.0\.9$/],
    [remote_port         => $number],
    [server_addr         => qr/^127\.0\.0\.1$/],
    [server_port         => qr/^@{[ $w->port('proxy') ]}$/],
    [binary_remote_addr  => qr/^\\x7F\\x00\\x00\\x09$/],
    [protocol            => qr/^TCP$/],
    [bytes_sent          => qr/^5$/],
    [bytes_received      => qr/^5$/],
    [session_time        => $seconds],
    [status              => qr/^200$/],
    [connection          => $number],
    [hostname            => qr/^\Q@{[ hostname() ]}\E$/i],
    [pid                 => $number],
    [msec                => $seconds],
    [time_local          => qr{^\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}$}],
    [time_iso8601        => qr/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d$/],
    [nginx_version       => qr/^\d+\.\d+\.\d+$/],
    [proxy_protocol_addr => qr/^-$/],
    [upstream_addr            => qr/^\Q$server\E$/],
    [upstream_bytes_sent      => qr/^5$/],
    [upstream_bytes_received  => qr/^5$/],
    [upstream_connect_time    => $seconds],
    [upstream_first_byte_time => $seconds],
    [upstream_session_time    => $seconds],
);
my $format = join ' ', map { "'$_->[0]={\$$_->[0]} '" } @variables;

my $syslog = IO::Socket::IP->new(LocalHost => '127.0.0.1', LocalPort => $w->port('syslog'),
    Type => SOCK_DGRAM);
$w->echo('echo');
$w->greeter('one', 'two', 'unix:local');
$w->start(<<"CONF" . <<'CONF');
worker_processes 1;
stream {
    log_format variables $format;
$maps
    server { listen %{maps}; return "$all_maps"; }
CONF
    log_format short   '$remote_addr $upstream_addr $status';
    log_format escaped '[$nasty] [$empty]';
    log_format json    escape=json '{"v":"$nasty","e":"$empty"}';
    log_format raw     escape=none '[$nasty] [$empty]';
    log_format tries   '$upstream_addr|$upstream_bytes_sent|$upstream_connect_time|$status';
    log_format port    '$server_port';

    upstream group { server %{one}; }
    upstream retry { server %{nobody} max_fails=0; server %{echo}; }

    map $remote_addr $local { 127.0.0.2 1; 127.0.0.3 0; default ""; }
    map $v $cached { a 1; b 2; }
    map $v $fresh { volatile; a 1; b 2; }
    map $remote_addr $where { 127.0.0.2 %{two}; 127.0.0.3 group; 127.0.0.4 %{unix:local};
        127.0.0.5 name.invalid:1; 127.0.0.6 127.0.0.1; default %{one}; }

    server { listen %{proxy}; proxy_pass %{echo}; access_log %{dir}/variables.log variables; }

    server { listen %{text}; return "plain $server_port ${server_port}1 end\n"; }
    server { listen %{none}; return ""; }
    server { listen %{chain}; set $a 1; set $b "$a 2"; set $a 3; return "$a|$b|${b}c"; }
    server { listen %{cached}; set $v a; set $x $cached$fresh; set $v b; return "$x $cached$fresh"; }
    server { listen %{where}; proxy_pass $where; access_log %{dir}/where.log short; }
    server { listen %{mixed}; set $port %{two.port}; proxy_pass 127.0.0.1:$port; }

    server {
        listen %{escape};
        set $nasty 'a"b\c	d';
        set $empty "";
        access_log %{dir}/escaped.log escaped;
        access_log %{dir}/json.log json;
        access_log %{dir}/raw.log raw;
        return x;
    }
    server { listen %{tries}; proxy_pass retry; access_log %{dir}/tries.log tries; }
    server { listen %{dead}; proxy_pass %{nobody2}; access_log %{dir}/tries.log tries; }
    server { listen %{if}; access_log %{dir}/if.log short if=$local; return x; }
    server { listen %{path}; access_log %{dir}/logs/port-$server_port.log port; return x; }
    server { listen %{buffer}; access_log %{dir}/buffer.log short buffer=64k; return x; }
    server { listen %{flush}; access_log %{dir}/flush.log short buffer=64k flush=1s; return x; }
    server { listen %{gzip}; access_log %{dir}/log.gz short gzip=9 flush=1s; return x; }
    server {
        listen %{tosyslog};
        access_log syslog:server=%{syslog},facility=local3,severity=warn,tag=weirtest short;
        return x;
    }

    access_log %{dir}/inherited.log port;
    server { listen %{inherits}; return x; }
    server { listen %{off}; access_log off; return x; }
}
CONF

# The lines of a log, once it has that many.
sub lines {
    my ($file, $count) = @_;
    wait_for { $count <= (() = slurp($w->path($file)) =~ /\n/g) };
    return split /\n/, slurp($w->path($file));
}

sub ask_from {
    my ($from, $where) = @_;
    my $c = $w->connect($where, from => $from);
    my $answer = $c->rest;
    $c->close;
    chomp $answer;
    return $answer;
}

my @results = split /\|/, $w->ask('maps'), -1;
is $results[$_], $maps[$_][2], "map: $maps[$_][3]" for 0 .. $#maps;

my $c = $w->connect('proxy', from => '127.0.0.9');
my $port = $c->socket->sockport;
$c->echoes('12345');
$c->close;
my ($line) = lines('variables.log', 1);
my %value = $line =~ /(\w+)=\{(.*?)\} ?/g;
like $value{ $_->[0] }, $_->[1], "\$$_->[0]" for @variables;
is $value{remote_port}, $port, '$remote_port is that of the client';
is_deeply [$value{pid}], [$w->workers], '$pid is that of the worker';
cmp_ok abs($value{msec} - time), '<', 60, '$msec is the time of day';

# return and set.

is $w->ask('text'), 'plain ' . $w->port('text') . ' ' . $w->port('text') . '1 end', 'return';
is $w->ask('none'), '', 'return ""';
is $w->ask('chain'), '3|1 2|1 2c', 'set works in order';
is $w->ask('cached'), '11 12', 'map values last for the session, unless volatile';

# proxy_pass with variables.

is ask_from('127.0.0.1', 'where'), 'one', 'proxy_pass: an address';
is ask_from('127.0.0.2', 'where'), 'two', 'another, by the client';
is ask_from('127.0.0.3', 'where'), 'one', 'the name of a group';
is ask_from('127.0.0.4', 'where'), 'unix:local', 'a unix socket';
is ask_from('127.0.0.5', 'where'), '', 'a name, without a resolver: the session ends';
becomes { $w->error_log =~ /no resolver defined to resolve name\.invalid/ } 'the log says why';
is ask_from('127.0.0.6', 'where'), '', 'no port: the session ends';
becomes { $w->error_log =~ /no port in upstream "127\.0\.0\.1"/ } 'the log says why';
is $w->ask('mixed'), 'two', 'text and a variable';
my @where = lines('where.log', 6);
is $where[0], '127.0.0.1 ' . $w->address('one') . ' 200', 'the log has the address';
is $where[3], '127.0.0.4 ' . $w->address('unix:local') . ' 200', 'and the unix socket';
like $where[4], qr/^127\.0\.0\.5 (?:-|name\.invalid:1) 500$/,
    'and a status if no address was found';
like $where[5], qr/^127\.0\.0\.6 - 500$/, 'also if the value is not an address';

# Retries.

$c = $w->connect('tries');
ok $c->echoes('hello'), 'the second server answers';
$c->close;
my ($dead, $alive, $dead2) = map { $w->address($_) } qw(nobody echo nobody2);
like +(lines('tries.log', 1))[0], qr/^\Q$dead, $alive|0, 5|\E-, \d\.\d{3}\|200$/,
    'both servers are in the log';
is $w->ask('dead'), '', 'no server answers';
is +(lines('tries.log', 2))[1], "$dead2|0|-|502", 'status 502';

# Logs.

$w->ask($_) for qw(escape inherits off path flush gzip buffer tosyslog);
is +(lines('escaped.log', 1))[0], '[a\x22b\x5Cc\x09d] []', 'escape=default';
is +(lines('json.log', 1))[0], '{"v":"a\"b\\\\c\td","e":""}', 'escape=json';
is +(lines('raw.log', 1))[0], "[a\"b\\c\td] []", 'escape=none';

my %inherited = map { $_ => 1 } lines('inherited.log', 7);
ok $inherited{ $w->port('inherits') }, 'a log of the outer block';
ok !$inherited{ $w->port($_) }, "not used where there is $_" for 'off', 'flush';
is ask_from("127.0.0.$_", 'if'), 'x', 'a session that may be logged' for 2, 3, 4, 2;
is join(', ', lines('if.log', 2)), '127.0.0.2 - 200, 127.0.0.2 - 200', 'if=';
is join(' ', lines('logs/port-' . $w->port('path') . '.log', 1)), $w->port('path'),
    'a file name made of variables';
is join(' ', lines('flush.log', 1)), '127.0.0.1 - 200', 'buffer= with flush=';

becomes { IO::Select->new($syslog)->can_read(0.1) } 'syslog: a packet comes';
$syslog->recv(my $packet, 2000);
like $packet,
    qr/^<156>[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \S+ weirtest: 127\.0\.0\.1 - 200$/,
    'syslog: facility, severity, tag and line';

# A buffer without flush= is written at the latest when the logs are opened again, or at the end.

$w->signal('USR1');
is join(' ', lines('buffer.log', 1)), '127.0.0.1 - 200', 'buffer= is written on reopen';
$w->ask('buffer') for 1 .. 3;
is_deeply [$w->stop], [], 'weir quits';
is scalar(() = slurp($w->path('buffer.log')) =~ /\n/g), 4, 'and at the end';
gunzip($w->path('log.gz') => \my $unpacked);
is $unpacked, "127.0.0.1 - 200\n", 'gzip';

$w->finish;
done_testing;
