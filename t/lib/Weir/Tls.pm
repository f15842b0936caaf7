package Weir::Tls;

# TLS for tests: certificates made by the openssl program, and a client (Weir::Client) that speaks
# TLS by OpenSSL between two buffers of ours, so that a test decides which bytes go over the wire:
# in pieces, cut short, followed by garbage, or ended without close_notify.
#
#     Weir::Tls::authority($w, 'ca');
#     Weir::Tls::certificate($w, 'one', by => 'ca');       # one.crt, one.key in the test's folder
#     my $c = Weir::Tls->new($w, 'web', name => 'one');
#     is $c->subject, 'one';
#     $c->send("GET / HTTP/1.0\r\n\r\n");

use strict;
use warnings;

use parent -norequire, 'Weir::Client';

use Errno qw(EAGAIN EINTR);
use IO::Select;
use Test::More ();
use Time::HiRes qw(time);
use Weir::Client;
use Weir::Http;
use Weir::Process qw(patience);

# Skips the test where the client does not work.
sub needs {
    Test::More::plan(skip_all => 'Net::SSLeay is not installed')
        if !eval { require Net::SSLeay; Net::SSLeay->VERSION(1.88); 1 };
    Weir->needs_programs('openssl');
    Net::SSLeay::initialize();
}

# ---- certificates

sub openssl {
    my ($w, @words) = @_;
    my $out = $w->path('openssl.out');
    my $line = join ' ', map { "'$_'" } @words;

    system("cd '$w->{dir}' && openssl $line >'$out' 2>&1 </dev/null") == 0
        or die "openssl $line:\n" . Weir::Process::slurp($out);
    return;
}

# Makes NAME.crt and NAME.key. Options: by (an authority), cn, kind (ec, rsa), days, chain (adds
# this authority's certificate to the file), is_ca.
sub certificate {
    my ($w, $name, %how) = @_;
    my $kind = $how{kind} // 'ec';
    my @key = $kind eq 'rsa' ? qw(-newkey rsa:2048) : qw(-newkey ec -pkeyopt
        ec_paramgen_curve:prime256v1);

    openssl($w, qw(req -x509 -nodes), @key, '-keyout', "$name.key", '-out', "$name.crt",
        '-days', $how{days} // 30, '-subj', $how{subject} // '/CN=' . ($how{cn} // $name),
        '-addext', 'basicConstraints=critical,CA:' . ($how{is_ca} ? 'TRUE' : 'FALSE'),
        $how{by} ? ('-CA', "$how{by}.crt", '-CAkey', "$how{by}.key") : ());
    $w->write("$name.crt", text($w, "$name.crt") . text($w, "$how{chain}.crt")) if $how{chain};
    return $name;
}

sub authority {
    my ($w, $name, %how) = @_;
    return certificate($w, $name, %how, is_ca => 1);
}

# A list of revoked certificates, signed by that authority.
sub revoked {
    my ($w, $file, $by, @names) = @_;
    my $how = "[ca]\ndefault_ca = us\n[us]\ndatabase = $file.index\ndefault_md = sha256\n"
        . "default_crl_days = 30\n";

    $w->write("$file.index", '');
    $w->write("$file.cnf", $how);
    my @by = ('-config', "$file.cnf", '-cert', "$by.crt", '-keyfile', "$by.key");
    openssl($w, 'ca', @by, '-revoke', "$_.crt") for @names;
    openssl($w, 'ca', @by, '-gencrl', '-out', $file);
    return $file;
}

sub text { return Weir::Process::slurp($_[0]->path($_[1])) }

# ---- the client

# Connects and shakes hands; {why} is the reason if that failed. Options, besides those of
# Weir::Client:
#     name                 for SNI
#     min, max             versions; 0x0303 is TLS 1.2
#     ciphers, suites      of TLS 1.2, of TLS 1.3
#     groups, alpn         lists
#     insecure             security level 0
#     certificate          the name of one made here
#     session              of another client, to resume
#     before               bytes to send first
#     slowly               sends the handshake in pieces of one byte
#     later                does not shake hands yet
#     deaf                 does not ask for tickets
#     watch                keeps the bytes received for records()
sub new {
    my ($class, $w, $where, %how) = @_;
    my $c = $w->connect($where, map { $_ => $how{$_} } grep { $how{$_} } qw(from rcvbuf))
        or return bless { why => "connect: $!", in => '', end => 'closed' }, $class;

    bless $c, $class;
    $c->Weir::Client::send($how{before}) if defined $how{before};
    $c->prepare($w, %how);
    @$c{qw(slowly watch)} = @how{qw(slowly watch)};
    $c->shake if !$how{later};
    return $c;
}

sub prepare {
    my ($c, $w, %how) = @_;
    my $ctx = Net::SSLeay::CTX_new_with_method(Net::SSLeay::TLS_client_method());

    @$c{qw(ctx why out)} = ($ctx, '', '');
    Net::SSLeay::CTX_set_min_proto_version($ctx, $how{min} // 0x0303);
    Net::SSLeay::CTX_set_max_proto_version($ctx, $how{max} // 0);
    Net::SSLeay::CTX_set_security_level($ctx, 0) if $how{insecure};
    Net::SSLeay::CTX_set_cipher_list($ctx, $how{ciphers}) if $how{ciphers};
    Net::SSLeay::CTX_set_ciphersuites($ctx, $how{suites}) if $how{suites};
    Net::SSLeay::CTX_set1_groups_list($ctx, $how{groups}) if $how{groups};
    Net::SSLeay::CTX_set_alpn_protos($ctx, $how{alpn}) if $how{alpn};
    Net::SSLeay::CTX_set_options($ctx, Net::SSLeay::OP_NO_TICKET()) if $how{deaf};
    if (defined $how{certificate}) {
        my $file = $w->path($how{certificate});
        Net::SSLeay::CTX_use_certificate_chain_file($ctx, "$file.crt");
        Net::SSLeay::CTX_use_PrivateKey_file($ctx, "$file.key", Net::SSLeay::FILETYPE_PEM());
    }
    my $ssl = $c->{ssl} = Net::SSLeay::new($ctx);
    @$c{qw(from to)} = map { Net::SSLeay::BIO_new(Net::SSLeay::BIO_s_mem()) } 1 .. 2;
    Net::SSLeay::set_bio($ssl, $c->{from}, $c->{to});
    Net::SSLeay::set_connect_state($ssl);
    Net::SSLeay::set_tlsext_host_name($ssl, $how{name}) if defined $how{name};
    Net::SSLeay::set_session($ssl, $how{session}) if $how{session};
}

sub DESTROY {
    my ($c) = @_;
    Net::SSLeay::free($c->{ssl}) if $c->{ssl};
    Net::SSLeay::CTX_free($c->{ctx}) if $c->{ctx};
}

# Continues the handshake until it is done; false if it failed.
sub shake {
    my ($c, $seconds) = @_;
    my $until = time + ($seconds // patience());

    while (!$c->{up} && !$c->{end}) {
        $c->step;
        $c->flush($until);
        $c->listen($until) or last if !$c->{up} && !$c->{end};
    }
    $c->{why} ||= $c->{end} || 'late' if !$c->{up};
    return $c->{up};
}

sub step {
    my ($c) = @_;

    Net::SSLeay::ERR_clear_error();
    my $r = Net::SSLeay::do_handshake($c->{ssl});
    $c->{up} = 1 if $r == 1;
    $c->fails($r) if $r != 1;
}

# Returns the ClientHello, for tests that send it themselves.
sub hello {
    my ($c) = @_;
    $c->step;
    return $c->outgoing;
}

sub fails {
    my ($c, $r) = @_;
    my $e = Net::SSLeay::get_error($c->{ssl}, $r);

    return if $e == Net::SSLeay::ERROR_WANT_READ() || $e == Net::SSLeay::ERROR_WANT_WRITE();
    if ($e == Net::SSLeay::ERROR_ZERO_RETURN()) {
        $c->{end} ||= 'eof';
    } else {
        $c->{why} = Net::SSLeay::ERR_error_string(Net::SSLeay::ERR_get_error());
        $c->{end} ||= 'alert';
    }
}

sub outgoing {
    my ($c) = @_;
    my $n = Net::SSLeay::BIO_pending($c->{to});
    return $n > 0 ? Net::SSLeay::BIO_read($c->{to}, $n) : '';
}

# Sends the bytes the library made. While the other side does not take them, reads what it sends, so
# that the two do not wait for each other.
sub flush {
    my ($c, $until) = @_;

    $c->{out} .= $c->outgoing;
    while (length $c->{out}) {
        my $piece = $c->{slowly} ? 1 : length $c->{out};
        my $n = syswrite $c->{fh}, $c->{out}, $piece;
        if (defined $n) {
            substr $c->{out}, 0, $n, '';
            next;
        }
        return 0 if !$!{EAGAIN} && !$!{EINTR};
        my ($in, $out) = ('', '');
        vec($out, fileno $c->{fh}, 1) = 1;
        $in = $out if !$c->{end};
        return 0 if time >= $until || select($in, $out, undef, $until - time) <= 0;
        $c->take if $c->{up} && vec($in, fileno $c->{fh}, 1);
    }
    return 1;
}

# True if all of it was taken. Each call makes records of its own.
sub send {
    my ($c, $bytes, $seconds) = @_;
    my $until = time + ($seconds // patience());

    local $SIG{PIPE} = 'IGNORE';
    return 0 if !$c->{up};
    for (my $at = 0; $at < length $bytes; $at += 16384) {
        Net::SSLeay::ERR_clear_error();
        my $r = Net::SSLeay::write($c->{ssl}, substr $bytes, $at, 16384);
        if ($r <= 0) {
            $c->fails($r);
            return 0;
        }
        $c->flush($until) or return 0;
    }
    return 1;
}

# Sends bytes as they are, without TLS.
sub send_raw {
    my ($c, $bytes) = @_;
    return $c->Weir::Client::send($bytes);
}

# Reads from the wire once; false at the deadline and after the end.
sub listen {
    my ($c, $until) = @_;
    my $wait = $until - time;

    return 0 if !IO::Select->new($c->{fh})->can_read($wait > 0 ? $wait : 0);
    my $n = sysread $c->{fh}, my $bytes, 65536;
    return 1 if !defined $n && ($!{EAGAIN} || $!{EINTR});
    if (!$n) {
        $c->{end} ||= defined $n ? 'cut' : 'reset';    # without close_notify
        return 0;
    }
    Net::SSLeay::BIO_write($c->{from}, $bytes);
    $c->{wire} .= $bytes if $c->{watch};
    return 1;
}

# Decrypts the bytes that have arrived, into {in}.
sub decrypt {
    my ($c) = @_;
    my $had = length $c->{in};

    while (1) {
        Net::SSLeay::ERR_clear_error();
        my ($bytes, $r) = Net::SSLeay::read($c->{ssl}, 65536);
        if (!defined $bytes || $r <= 0) {
            $c->fails($r // -1);
            last;
        }
        $c->{in} .= $bytes;
    }
    return length $c->{in} > $had;
}

sub take {
    my ($c) = @_;
    return $c->listen(time) && $c->decrypt;
}

sub fill {
    my ($c, $until) = @_;

    return 0 if $c->{end} || !$c->{up};
    return 1 if $c->decrypt;
    return 0 if $c->{end} || !$c->listen($until);
    $c->decrypt;
    $c->flush($until);
    return 1;
}

# The sizes of the received records on the wire.
sub records {
    my ($c) = @_;
    my ($wire, @sizes) = ($c->{wire});

    while (length $wire >= 5) {
        push @sizes, unpack 'x3 n', $wire;
        substr $wire, 0, 5 + $sizes[-1], '' if 5 + $sizes[-1] <= length $wire or last;
    }
    return @sizes;
}

# Sends close_notify; the TCP connection stays open.
sub notify {
    my ($c) = @_;
    Net::SSLeay::shutdown($c->{ssl});
    return $c->flush(time + patience());
}

sub fin {
    my ($c) = @_;
    $c->notify;
    return shutdown $c->{fh}, 1;
}

# Sends FIN without close_notify.
sub cut { return shutdown $_[0]{fh}, 1 }

# Sends close_notify if the socket takes it at once: without it the library would not resume the
# session.
sub close {
    my ($c) = @_;
    if ($c->{up} && $c->{end} ne 'alert' && defined fileno $c->{fh}) {
        local $SIG{PIPE} = 'IGNORE';
        Net::SSLeay::shutdown($c->{ssl});
        syswrite $c->{fh}, $c->{out} . $c->outgoing;
    }
    $c->SUPER::close;
}

# A test: the other side ended by close_notify.
sub ends_well {
    my ($c, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return Test::More::is($c->ending, 'eof', $name);
}

# ---- what was agreed on

sub subject {
    my ($c) = @_;
    my $x = Net::SSLeay::get_peer_certificate($c->{ssl}) or return '';
    my $name = Net::SSLeay::X509_NAME_oneline(Net::SSLeay::X509_get_subject_name($x));

    Net::SSLeay::X509_free($x);
    return $name =~ s{^/CN=}{}r;
}

sub version { return Net::SSLeay::get_version($_[0]{ssl}) }

sub cipher { return Net::SSLeay::get_cipher($_[0]{ssl}) }

sub alpn { return Net::SSLeay::P_alpn_selected($_[0]{ssl}) // '' }

sub reused { return Net::SSLeay::session_reused($_[0]{ssl}) ? 1 : 0 }

# To resume in another client. In TLS 1.3 it arrives with the first bytes that are read.
sub session { return Net::SSLeay::get1_session($_[0]{ssl}) }

# ---- HTTP

# As Weir::Http::ask, with the options of a client; keep => 1 leaves {client} open.
sub ask {
    my ($w, $where, $how, $line, @fields) = @_;
    my $c = Weir::Tls->new($w, $where, %$how);

    return Weir::Http::failed($c->{why}) if !$c->{up};
    $c->send(Weir::Http::request($line, @fields, $how->{keep} ? () : (Connection => 'close')));
    my $r = Weir::Http::reply($c, $line =~ /^HEAD /);
    $r->{client} = $c if $how->{keep};
    $r->{subject} = $c->subject;
    return $r;
}

1;
