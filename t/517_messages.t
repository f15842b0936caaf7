#!/usr/bin/perl

# What the master tells: about logs that cannot be opened again, and which folders it makes.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use Weir;

my $w = Weir->new;

# A log whose folder is gone.

mkdir $w->path('gone');
chmod 0777, $w->path('gone');
$w->start(<<'CONF');
stream {
    log_format f x;
    access_log %{dir}/gone/access.log f;
    server { listen %{web}; return hello; }
}
CONF
is $w->ask('web'), 'hello', 'it runs';
becomes { -s $w->path('gone/access.log') } 'and logs';
rename $w->path('gone'), $w->path('moved');
is +($w->command('-s', 'reopen'))[0], 0, '-s reopen';
my $log = $w->path('gone/access.log');
becomes { $w->error_log =~ /open\(\) "\Q$log\E" failed \(2: No such file or directory\)/ }
    'a log whose folder is gone is named as the file it is';
unlike $w->error_log, qr/buffer 0/, 'and nothing else';
is_deeply [$w->stop], [], 'it quits';

# Folders of temporary files.

sub folders {
    my (@lines) = @_;
    my $it = Weir->new;
    my $conf = join '', map { "    $_\n" } @lines;
    $it->start("http {\n$conf}\n");
    my @made = map { s{.*/}{}r } grep { -d } glob $it->path('*temp*');
    $it->finish;
    return "@made";
}
my $PASS = 'server { listen %{web}; location / { proxy_pass http://127.0.0.1:1; } }';
SKIP: {
    skip 'built without http', 5 if ($w->bare('-V'))[1] =~ /--without-http/;
    is folders('server { listen %{web}; return 200 x; }'), '', 'folders: nothing is sent on, none';
    is folders($PASS), 'client_body_temp proxy_temp', 'something is, both';
    is folders('client_body_temp_path my_temp;', $PASS), 'my_temp proxy_temp', 'another name';
    is folders('client_body_temp_path temp1;', 'proxy_temp_path temp2;', $PASS), 'temp1 temp2',
        'other names for both: the usual ones are not made';
    is folders('proxy_request_buffering off;', 'proxy_max_temp_file_size 0;', $PASS), '',
        'without buffering: none';
}

$w->expect(qr/open\(\) "\Q$log\E"/);
$w->finish;
done_testing;
