vcl 4.1;
backend default { .host = "127.0.0.1"; .port = "9001"; }
sub vcl_recv {
    unset req.http.Cookie;
    return (hash);
}
sub vcl_deliver {
    set resp.http.X-Cache = "HIT";
}
