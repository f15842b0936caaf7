package Weir;

# The harness of t/*.t. It starts weir in a folder of its own with the configuration a test
# gives, talks to it as users do (TCP, the command line, signals, files), and checks in finish()
# that weir ended cleanly and left nothing behind. Servers behind weir are Weir::Backend, HTTP
# servers Weir::HttpServer, servers that count Weir::Turnstile, connections to it Weir::Client,
# requests and replies Weir::Http, running load Weir::Load, a name server Weir::Dns, disks that fail
# or are slow Weir::BadDisk and Weir::SlowFs.
# Weir::Ports::has_ipv6() is true if [::1] can be used.
#
#     my $w = Weir->new;
#     $w->greeter('one', 'two');
#     $w->start(<<'CONF');
#     stream {
#         upstream u { server %{one}; server %{two}; }
#         server { listen %{web}; proxy_pass u; }
#     }
#     CONF
#     is $w->ask('web'), 'one';
#     $w->finish;
#
# In a configuration, and in the addresses that methods take, %{web} is 127.0.0.1 with a free port
# that belongs to that name, %{web.port} the port alone, %{unix:web} a unix socket, %{dir} the
# folder of the test.
#
# Environment: WEIR_BIN the binary under test; WEIR_PRELUDE text put before each configuration;
# WEIR_KEEP=1 keeps the folder; WEIR_WHOLE=1 lets some tests do more, as in make test-all;
# WEIR_SKIPS a file to which skipped tests are added; WR_CHAOS=seed is for weir itself, and lets
# tests transfer less.

use strict;
use warnings;

use Cwd qw(abs_path);
use Exporter 'import';
use File::Basename qw(dirname);
use File::Copy qw(copy);
use File::Temp qw(tempdir);
use File::Path qw(remove_tree);
use List::Util qw(first);
use POSIX ();
use Scalar::Util qw(weaken);
use Socket qw(:DEFAULT INADDR_LOOPBACK SOL_SOCKET SO_REUSEADDR);
use Test::More;

use Weir::Backend;
use Weir::Client;
use Weir::Dns;
use Weir::Load;
use Weir::Network;
use Weir::Ports;
use Weir::Process qw(wait_for patience alive status_of title children rss end_process spawn);
use Weir::Surroundings;
use Weir::Turnstile;

our @EXPORT = qw(wait_for becomes alive status_of title rss chaos is_root slurp);

my $top = abs_path(dirname(__FILE__) . '/../..');
my $owner = $$;
my @all;    # every Weir of this test, for the end of a test that died

$ENV{ASAN_OPTIONS} //=
    'halt_on_error=1:exitcode=99:strict_string_checks=1:allocator_may_return_null=1';
$ENV{UBSAN_OPTIONS} //= 'halt_on_error=1:exitcode=99:print_stacktrace=1';
$SIG{$_} = sub { exit 1 } for qw(INT TERM HUP);
$SIG{PIPE} = 'IGNORE';

sub is_root { return $> == 0 }

sub chaos { return defined $ENV{WR_CHAOS} }

sub slurp { return Weir::Process::slurp($_[0]) // '' }

# A test: the condition is true now, or becomes true in time.
sub becomes(&$;$) {
    my ($condition, $name, $seconds) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ok(&wait_for($condition, $seconds), $name);
}

sub binary {
    my $bin = $ENV{WEIR_BIN} // first { -x } map { "$top/$_/weir" } 'objs-asan', 'objs';
    return abs_path($bin // die "no weir to test: make first, or set WEIR_BIN\n");
}

sub new {
    my ($class) = @_;
    my $bin = binary();
    my $dir = tempdir('weir-test-XXXXXX', TMPDIR => 1);
    my $w = bless { dir => $dir, bin => $bin, port => {}, backend => {}, expected => [],
        clients => [], helpers => [], g => '' }, $class;

    chmod 0755, $dir;
    mkdir "$dir/logs";
    chmod 0777, "$dir/logs";    # a worker of another user may open a log there
    push @all, $w;
    return $w;
}

# ---- paths and addresses

sub dir { return $_[0]{dir} }

sub path { return "$_[0]{dir}/$_[1]" }

sub top { return $top }

sub port {
    my ($w, $name, $count) = @_;
    return $w->{port}{$name} //= Weir::Ports::reserve($count // 1);
}

# Takes 'web', 'unix:web', or a literal HOST:PORT, where PORT may be %{web.port}.
sub address {
    my ($w, $name) = @_;
    return $name =~ /^\w+$/ ? "127.0.0.1:" . $w->port($name)
        : $name =~ /^unix:(\w+)$/ ? "unix:$w->{dir}/$1.sock"
        : $w->expand($name);
}

sub expand {
    my ($w, $text) = @_;
    $text =~ s/%\{dir\}/$w->{dir}/g;
    $text =~ s/%\{(\w+)\.port\}/$w->port($1)/ge;
    $text =~ s/%\{((?:unix:)?\w+)\}/$w->address($1)/ge;
    return $text;
}

# Writes a file of the test's folder; %{...} is expanded.
sub write {
    my ($w, $file, $text) = @_;
    open my $fh, '>', $w->path($file) or die $w->path($file) . ": $!\n";
    print $fh $w->expand($text);
    close $fh or die "$file: $!\n";
    return $w->path($file);
}

# Sets the configuration. Unless it has these directives, the harness gives them by -g: daemon off,
# and pid and error_log in the test's folder.
sub conf {
    my ($w, $text) = @_;
    my %own = (daemon => 'off', pid => $w->path('weir.pid'),
        error_log => $w->path('error.log') . ' info');

    $w->{g} = join ' ', map { "$_ $own{$_};" } grep { $text !~ /^$_\b/m } sort keys %own;
    $w->{pid_file} = $w->expand($text) =~ /^pid\s+(\S+);/m ? $1 : $own{pid};
    return $w->write('weir.conf', ($ENV{WEIR_PRELUDE} // '') . $text);
}

# ---- servers behind weir

# Starts a server of this name; see Weir::Backend for the options.
sub backend {
    my ($w, $name, %how) = @_;
    (my $file = $name) =~ tr/a-zA-Z0-9/_/c;
    return $w->{backend}{$name} = Weir::Backend->new(
        where => $w->address($how{at} // $name), tally => $w->path("$file.tally"), %how);
}

# A server that counts what it serves at a time; see Weir::Turnstile.
sub turnstile {
    my ($w, $name, %how) = @_;
    push @{ $w->{helpers} }, Weir::Turnstile->new(name => $name, where => $w->address($name),
        file => $w->path("$name.counts"), %how);
    return $w->{helpers}[-1];
}

# Servers that send their own name and end the session.
sub greeter {
    my ($w, @names) = @_;
    return (map { $w->backend($_, serve => 'greet', greet => "$_\n") } @names)[-1];
}

# Servers that echo.
sub echo {
    my ($w, @names) = @_;
    return (map { $w->backend($_) } @names)[-1];
}

# An address that never answers: its queue of connections is full, so the kernel drops every SYN.
sub hole {
    my ($w, $name) = @_;
    my $port = $w->port($name);
    my $address = sockaddr_in($port, INADDR_LOOPBACK);

    socket my $listener, PF_INET, SOCK_STREAM, 0;
    setsockopt $listener, SOL_SOCKET, SO_REUSEADDR, 1;
    bind $listener, $address and listen $listener, 0 or die "hole at port $port: $!\n";
    my @fill = map {
        socket my $fh, PF_INET, SOCK_STREAM, 0;
        $fh->blocking(0);
        connect $fh, $address;
        $fh;
    } 1 .. 4;
    return $w->{hole}{$name} = [$listener, @fill];
}

# A name server at that address; see Weir::Dns.
sub dns {
    my ($w, $name, @records) = @_;
    my $dns = Weir::Dns->new(where => $w->address($name), file => $w->path("$name.names"));
    $dns->records(@records);
    push @{ $w->{helpers} }, $dns;
    return $dns;
}

# A second machine; see Weir::Network.
sub machine {
    my ($w, %how) = @_;
    push @{ $w->{helpers} }, Weir::Network->new(%how);
    return $w->{helpers}[-1];
}

# ---- clients

# Options as in Weir::Client.
sub connect {
    my ($w, $where, %how) = @_;
    my $c = Weir::Client->new($w->address($where), %how) or return;
    push @{ $w->{clients} }, $c;
    weaken $w->{clients}[-1];
    return $c;
}

# One session: returns all that the server sends until it ends, without the last newline; how it
# ended, if it sent nothing and did not end by FIN.
sub ask {
    my ($w, $where, $say) = @_;
    my $c = $w->connect($where) or return "connect: $!";
    $c->send($say) if defined $say;
    my $answer = $c->rest;
    my $end = $c->ending(0);
    $c->close;
    chomp $answer;
    return length $answer || $end eq 'eof' ? $answer : $end;
}

sub load {
    my ($w, $where, %how) = @_;
    my @where = map { $w->address($_) } ref $where ? @$where : $where;
    return $w->{load} = Weir::Load->new(where => \@where, %how);
}

# ---- weir itself

# Runs the binary with only these words until it ends. Returns its exit code, its standard output
# and its standard error.
sub bare {
    my ($w, @words) = @_;
    my %run = ref $words[0] ? %{ shift @words } : ();
    my ($out, $err) = map { $w->path("command.$_") } 'out', 'err';

    my $pid = spawn(sub {
        $w->redirect($out, $err);
        $run{before}->() if $run{before};
        exec { $run{bin} // $w->{bin} } $run{bin} // $w->{bin}, @words or die "exec: $!\n";
    });
    wait_for { defined status_of($pid) } patience() * 2 or end_process($pid, 'KILL');
    my $status = status_of($pid);
    return ($status & 127 ? "signal " . ($status & 127) : $status >> 8, slurp($out), slurp($err));
}

# The same with this test's folder and configuration.
sub command {
    my ($w, @words) = @_;
    my @run = ref $words[0] ? shift @words : ();
    return $w->bare(@run, $w->words, @words);
}

# The words that name this test's folder and configuration on the command line.
sub words {
    my ($w) = @_;
    return ('-p', "$w->{dir}/", '-c', $w->path('weir.conf'), '-e', $w->path('error.log'),
        length $w->{g} ? ('-g', $w->{g}) : ());
}

# Starts weir; returns when it has written its pid file and has a worker. fails => 1: expects that
# it gives up, and returns its exit code and standard error. before: code for the new process.
sub start {
    my ($w, $conf, %how) = @_;

    $w->conf($conf) if defined $conf;
    my $pid = spawn(sub {
        $w->redirect($w->path('stdout'), $w->path('stderr'));
        $how{before}->() if $how{before};
        exec { $w->{bin} } $w->{bin}, $w->words or die "exec: $!\n";
    });
    my $daemon = $w->{g} !~ /\bdaemon off/ && slurp($w->path('weir.conf')) !~ /^daemon\s+off/m;
    my $ended = sub { my $s = status_of($pid); defined $s && ($s || !$daemon) };
    wait_for { $ended->() || $w->pid } patience() * 2;
    $w->{master} = $ended->() ? undef : $w->pid;
    if ($w->{master} && !$how{fails}) {
        wait_for { $w->workers } if slurp($w->path('weir.conf')) !~ /^master_process\s+off/m;
        return $w;
    }
    my @wrong = $w->stop;
    end_process($pid, 'KILL');
    my $status = status_of($pid);
    return ($status & 127 ? "signal $status" : $status >> 8, slurp($w->path('stderr')))
        if $how{fails};
    die join "\n", 'weir did not start:', slurp($w->path('stderr')), @wrong;
}

sub redirect {
    my ($w, $out, $err) = @_;
    open STDIN, '<', '/dev/null';
    open STDOUT, '>>', $out or die "$out: $!\n";
    open STDERR, '>>', $err or die "$err: $!\n";
    truncate $_, 0 for $out, $err;
}

sub error_log { return slurp($_[0]->path('error.log')) }

# The pid in the pid file.
sub pid {
    my ($w) = @_;
    return slurp($w->{pid_file}) =~ /^(\d+)\n/ ? $1 : undef;
}

sub master { return $_[0]{master} }

# The master's children with this title.
sub processes {
    my ($w, $title) = @_;
    return grep { title($_) =~ /: $title$/ } children($w->master);
}

sub workers { return $_[0]->processes('worker process') }

sub keeper { return ($_[0]->processes('keeper process'))[0] }

sub signal {
    my ($w, $name, @pids) = @_;
    return kill $name, @pids ? @pids : $w->master;
}

# `weir -s reload`; waits until the new workers run and the old ones no longer accept.
# Returns as bare() does.
sub reload {
    my ($w, $conf) = @_;
    my %old = map { $_ => 1 } $w->workers;

    $w->conf($conf) if defined $conf;
    my @verdict = $w->command('-s', 'reload');
    return @verdict if $verdict[0] ne 0;
    wait_for { my @now = $w->workers; @now && !grep { $old{$_} } @now };
    return @verdict;
}

# Sends USR2; returns the pids of the old and the new master, which are then both running.
sub upgrade {
    my ($w) = @_;
    my $old = $w->master;

    $w->signal('USR2');
    my $new = wait_for {
        my $pid = $w->pid;
        -e "$w->{pid_file}.oldbin" && $pid && $pid != $old && $pid;
    } or die "no new master came up\n";
    $w->{master} = $new;
    wait_for { $w->workers };
    return ($old, $new);
}

# Waits for the end of a process; returns the status as in $?, undef if it does not end.
sub ended {
    my ($w, $pid) = @_;
    wait_for { !alive($pid) } or return;
    return status_of($pid);
}

# Allows log lines that match: any other alert or emerg is a failure in finish().
sub expect {
    my ($w, @patterns) = @_;
    push @{ $w->{expected} }, @patterns;
}

# ---- the end

# A test: ends weir by QUIT and checks that it ended well and left nothing behind.
sub finish {
    my ($w) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @wrong = $w->{load} && $w->{load}{pid} ? 'the load still runs' : ();

    $_->close for grep { $_ } @{ $w->{clients} };
    push @wrong, $w->stop;
    push @wrong, $w->leftovers;
    $_->kill for values %{ $w->{backend} }, @{ $w->{helpers} };
    push @wrong, $w->bad_log_lines;
    ok(!@wrong, 'weir ended cleanly and left nothing behind') or diag join "\n", @wrong;
    $w->remove;
}

# Ends weir by QUIT; returns what was wrong with that.
sub stop {
    my ($w) = @_;
    my $pid = delete $w->{master} // return;
    my @wrong;

    kill 'QUIT', $pid;
    if (!wait_for { !alive($pid) } patience() * 2) {
        push @wrong, "master $pid did not quit: " . title($pid);
        end_process($pid, 'TERM');
    }
    my $status = status_of($pid);
    push @wrong, 'master ended with status ' . ($status // 'unknown') if $status // 1;
    return @wrong;
}

# Called by a test that has ended weir itself, or expects that it does not run: finish() then does
# not try to end it.
sub has_ended {
    my ($w) = @_;
    delete $w->{master};
}

sub leftovers {
    my ($w) = @_;
    my %ours = map { $_ => 1 } map { $_->running } @all;
    my @wrong;

    wait_for { !grep { !$ours{$_} } children($$) } 5;
    for my $pid (grep { !$ours{$_} } children($$)) {
        push @wrong, "process left: $pid " . title($pid);
        end_process($pid, 'KILL');
    }
    push @wrong, map { "file left: $_" }
        grep { -e } map { ($_, "$_.oldbin") } $w->{pid_file} // ();
    my %sockets = map { $_->{where} => 1 } values %{ $w->{backend} };
    push @wrong, map { "socket left: $_" }
        grep { -S && !$sockets{"unix:$_"} } glob "$w->{dir}/* $w->{dir}/logs/*";
    return @wrong;
}

# The processes that this test started and that run.
sub running {
    my ($w) = @_;
    my @helpers = (values %{ $w->{backend} }, @{ $w->{helpers} }, $w->{load} // ());
    return grep { defined } $w->{master}, map { $_->{pid} } @helpers;
}

sub bad_log_lines {
    my ($w) = @_;
    my @wrong;

    for my $file (grep { -f } map { glob "$w->{dir}/$_" } qw(stderr command.err *.log logs/*)) {
        for my $line (split /\n/, slurp($file)) {
            next if $line !~ /\[(?:alert|emerg)\]|Sanitizer|runtime error:|WR_ASSERT/;
            push @wrong, "$file: $line" if !first { $line =~ $_ } @{ $w->{expected} };
        }
    }
    return @wrong;
}

sub remove {
    my ($w) = @_;
    remove_tree($w->{dir}) if !$ENV{WEIR_KEEP};
    diag "kept: $w->{dir}" if $ENV{WEIR_KEEP};
    delete $w->{dir};
}

# Also a test that died ends what it started.
END {
    if ($$ == $owner) {
        local $?;
        for my $w (grep { $_->{dir} } @all) {
            end_process($_) for grep { defined } $w->{load} ? $w->{load}{pid} : ();
            $_->kill for values %{ $w->{backend} }, @{ $w->{helpers} };
            $_->close for grep { $_ } @{ $w->{clients} };
            $w->stop;
            $w->leftovers;
            $w->remove;
        }
        Weir::Ports::release();
        Weir::Surroundings::tell();
    }
}

# ---- surroundings

# Runs the rest of the test in network and mount namespaces of its own, as the same user with
# the rights of root inside them.
sub in_private_network {
    return if $ENV{WEIR_PRIVATE_NETWORK};
    my @unshare = ('unshare', is_root() ? () : qw(-U --map-current-user --keep-caps), '-n', '-m');
    plan skip_all => "namespaces: '@unshare' does not work here"
        if system("@unshare true 2>/dev/null") != 0;
    local $ENV{WEIR_PRIVATE_NETWORK} = 1;
    exec @unshare, $^X, $0, @ARGV;
}

# Changes the user of this process, in a test that runs as root.
sub become {
    my ($user) = @_;
    my (undef, undef, $uid, $gid) = getpwnam $user;
    $) = "$gid $gid";
    $( = $gid;
    POSIX::setuid($uid);
}

# Gives the test's folder to that user, who can then run weir there.
sub give_away {
    my ($w, $user) = @_;
    my (undef, undef, $uid, $gid) = getpwnam $user;
    $w->open_binary;
    chown $uid, $gid, $w->{dir}, glob "$w->{dir}/*";
}

# The binary may be in a folder that only root can read: other users then run a copy.
sub open_binary {
    my ($w) = @_;
    my $folder = $w->{bin};
    my $closed = 0;

    while ($folder =~ s{/[^/]*$}{}) {
        $closed ||= !((stat(length $folder ? $folder : '/'))[2] & 1);
    }
    return if !is_root() || !$closed;
    copy($w->{bin}, $w->path('weir')) or die $w->path('weir') . ": $!\n";
    $w->{bin} = $w->path('weir');
    chmod 0755, $w->{bin};
}

# Builds a weir with these options, and with these folders as modules (--add-module), in a copy of
# the tree and of its compiled objects, so that only the modules are compiled. Returns its path, in
# a list also the output of configure and make. It is removed with the test.
sub built_with {
    my ($w, @words) = @_;
    my $copy = $w->path('source');
    my $objs = binary() =~ m{/(objs-asan)/weir$} ? $1 : 'objs';
    my $options = join ' ', map({ /^--/ ? $_ : "--add-module=$_" } @words),
        $objs eq 'objs' ? "--with-cc-opt='-O0'" : ();
    my @parts = (qw(configure Makefile auto conf core modules t/modules objs/wr_auto.h),
        $objs eq 'objs' ? () : map { "$objs/$_" } qw(core modules flags));

    Weir->needs_programs('make', 'cc');
    mkdir "$copy$_" for '', '/t', '/objs', "/$objs";
    for my $part (grep { -e "$top/$_" } @parts) {
        system('cp', '-Rp', "$top/$part", "$copy/$part") == 0 or die "cannot copy $part\n";
    }
    local %ENV = map { $_ => $ENV{$_} // '' } grep { !/^WR_/ } keys %ENV;
    my $said = qx(cd '$copy' && (./configure $options; make -j2 OBJS=$objs $objs/weir) 2>&1 </dev/null);
    is $?, 0, 'configure and make' or die $said;
    note 'compiled: ', join ' ', $said =~ /^  CC +(\S+)$/mg;
    return wantarray ? ("$copy/$objs/weir", $said) : "$copy/$objs/weir";
}

# Skips the test unless these programs are installed.
sub needs_programs {
    my ($class, @programs) = @_;
    my @missing = grep { !defined program($_) } @programs;
    plan skip_all => "not installed: @missing" if @missing;
}

# The path of a program: on the PATH, or where Debian puts PostgreSQL's.
sub program {
    my ($name) = @_;
    my @folders = (split(/:/, $ENV{PATH}), '/usr/sbin', '/sbin', glob '/usr/lib/postgresql/*/bin');
    return first { -x } map { "$_/$name" } @folders;
}

1;
