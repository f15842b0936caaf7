# Names that the lint lets pass, each with the reason. One that needs no excuse any more is reported.

my $tested = 'a part that unit tests or fuzzers call by itself';
my $outside = 'for modules: those outside of the tree in t/modules and those to come';

my $cache = 'a pure part of the response cache, which is tested before the cache calls it';

{
    # Symbols of a header that no other file than their own uses.
    symbols => {
        (map { $_ => $tested } qw(
            wr_affinity_parse wr_backoff_ms wr_base64_decode wr_block_sized
            wr_hosts_add wr_hosts_new wr_hosts_use wr_ledger_judge wr_module_file_word wr_open_fits
            wr_pool_used wr_share_owner wr_slot_claim wr_speaker_choose wr_split_percent
            wr_split_scale wr_threads_started)),
        (map { $_ => $outside } qw(
            wr_conn_write_q wr_endpoint_collect wr_exchange_detach wr_flush_cancel
            wr_loop_flush_later wr_session_nobody wr_subrequest_new
            WR_TYPE_NONE WR_CONTENT_LISTING)),
        (map { $_ => 'the place of a filter to come in the order of all' } qw(
            WR_FR_ADDITION WR_FR_GUNZIP WR_FR_GZIP WR_FR_SSI WR_FR_USERID)),
        (map { $_ => $cache } qw(
            WR_STALE_403 WR_STALE_404 WR_STALE_429 wr_cache_control_add
            wr_cache_control_request wr_freshness_age wr_freshness_ttl wr_store_judge
            wr_store_reason wr_use_after_failure wr_use_judge WR_VARY_NAMES_MAX WR_SLICE_TEXT_MAX
            wr_vary_names wr_vary_variant wr_vary_equal wr_stored_trim wr_stored_merge
            wr_invalidates wr_invalidation_target wr_slices_of wr_slices_clip wr_slice_text
            wr_content_range_parse wr_slice_wrong wr_cache_tags_add wr_cache_status_write)),
        (map { $_ => 'what is neither of the others' } qw(WR_SYMLINKS_ON WR_SINCE_EXACT)),
        (map { $_ => 'defined below where it is used' } qw(
            wr_step_body wr_step_head)),
    },
    fields => {
        (map { $_ => $cache } qw(rfc9111 authorization valid use_stale bypass
            fwd fwd_status collapsed has_ttl)),
        charset => 'for the charset filter, whose rank is kept; t/unit reads it',
        nfiles => 'read as it is counted up',
        of_speaker => 'a speaker\'s own: t/modules/mux',
    },
    # Functions over 80 lines.
    functions => {},
    # Public headers over 450 lines that are being split.
    headers => {},
}
