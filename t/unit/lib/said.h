/* said: keeps the lines logged during a unit test instead of printing them, so that a test can
 * check them and a successful run prints no errors. Included by one test each. */
#ifndef SAID_H
#define SAID_H

#include "log/log.h"

static char said_text[8192];
static size_t said_n;

static void said_write(struct wr_sink *s, enum wr_level level, struct wr_str line)
{
    size_t n = wr_min(line.n, sizeof(said_text) - 1 - said_n);

    (void)s;
    (void)level;
    memcpy(said_text + said_n, line.p, n);
    said_n += n;
    said_text[said_n] = '\0';
}

static const struct wr_sink_ops said_ops = { NULL, said_write, NULL };
static struct wr_sink said_sink = { .ops = &said_ops };
static struct wr_log said_log = {
    .max = WR_LOG_INFO, .n = 1, .target = { { &said_sink, WR_LOG_INFO } },
};

static WR_UNUSED void said_keep(void)
{
    wr_log_default = &said_log;
    said_n = 0;
    said_text[0] = '\0';
}

static WR_UNUSED bool said(const char *what)
{
    return strstr(said_text, what) != NULL;
}

#endif
