/* The name of this machine. */
#include "os/os.h"

#include "lib/unit.h"

#include <sys/utsname.h>

START_TEST(is_that_of_uname)
{
    char buf[WR_HOSTNAME_SIZE];
    struct utsname u;

    ck_assert_int_eq(uname(&u), 0);
    ck_view(wr_hostname(buf), u.nodename);
    ck_assert_str_eq(buf, u.nodename);
}
END_TEST

UNIT_MAIN("os/host", is_that_of_uname)
