/* http_next: the bit of proxy_next_upstream for a reply's status. Pure; the step head calls it. */
#include "http/http.h"

uint32_t wr_next_of_status(unsigned status)
{
    switch (status) {
    case 403:
        return WR_NEXT_403;
    case 404:
        return WR_NEXT_404;
    case 429:
        return WR_NEXT_429;
    case 500:
        return WR_NEXT_500;
    case 502:
        return WR_NEXT_502;
    case 503:
        return WR_NEXT_503;
    case 504:
        return WR_NEXT_504;
    default:
        return 0;
    }
}
