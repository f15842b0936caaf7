/* host: the name of this machine. Variables, server_name and syslog call it; it owns nothing. */
#include "os/os.h"

#include <unistd.h>

struct wr_str wr_hostname(char buf[static WR_HOSTNAME_SIZE])
{
    /* A name that does not fit need not end in a zero. */
    if (gethostname(buf, WR_HOSTNAME_SIZE) != 0)
        buf[0] = '\0';
    buf[WR_HOSTNAME_SIZE - 1] = '\0';
    return wr_str_c(buf);
}
