/* rewrite_impl: shared by the files of the rewrite module. A server, a location or an `if` has a
 * program: its set, if, rewrite, return and break directives in the order of the file, each a
 * row. */
#ifndef WR_REWRITE_IMPL_H
#define WR_REWRITE_IMPL_H

#include "http/http.h"

struct wr_rewrite {            /* a program while it runs */
    struct wr_exchange *x;
    bool log;                  /* rewrite_log */
    enum wr_verdict verdict;   /* of the phase, when the program stops */
};
enum wr_rewrite_next { WR_REWRITE_ON, WR_REWRITE_STOP };
typedef enum wr_rewrite_next wr_rewrite_run(struct wr_rewrite *rw, const void *row);

struct wr_branch;
struct wr_program {
    WR_VEC(struct wr_operation {
        wr_rewrite_run *run;
        const void *row;       /* for run */
    }) rows;
    WR_VEC(struct wr_branch *) branches; /* its `if` blocks; setters inside look theirs up */
};
/* Append a row to the program of the directive's block. */
void wr_program_add(struct wr_cf *cf, void *conf, wr_rewrite_run *run, const void *row);
/* End the program and reply with this status. */
enum wr_rewrite_next wr_rewrite_reject(struct wr_rewrite *rw, unsigned status);
/* Match, set or clear $1 to $9, and log if rewrite_log is on. 1, 0, -1 as wr_regex_match. */
int wr_rewrite_match(struct wr_rewrite *rw, const struct wr_regex *re, struct wr_str subject)
    WR_CHECKED;

/* ---- rewrite_if.c ---- */
struct wr_condition;
struct wr_branch {
    const struct wr_condition *condition;
    const struct wr_scope *scope; /* of the block */
    bool enter;                   /* in a location: its scope becomes the exchange's */
    struct wr_program body;
};
/* From the arguments of `if`; NULL: an error was reported. */
const struct wr_condition *wr_condition_new(struct wr_cf *cf);
/* 1, 0, -1: the regex engine failed. */
int wr_condition_holds(struct wr_rewrite *rw, const struct wr_condition *c) WR_CHECKED;

/* ---- rewrite_rule.c, rewrite_return.c: setters ---- */
bool wr_set_rewrite(struct wr_cf *cf, void *conf);
bool wr_set_return(struct wr_cf *cf, void *conf);
/* True: text begins with "http://", "https://" or "$scheme". */
bool wr_rewrite_is_url(struct wr_str text);

/* ---- rewrite_unescape.c: pure ---- */
/* Write the target of a redirect: decode each %XX of the path whose character needs no escape;
 * leave the arguments as they are. */
void wr_rewrite_unescape(struct wr_text *out, struct wr_str text);

#endif
