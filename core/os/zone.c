/* zone: a segment of shared memory in parts. The master only measures and places them.
 *
 * A part's place follows from the sizes of those before it, by the same function that measures: no
 * offset stands in the shared memory. */
#include "os/os.h"

#define LINE 64

void *wr_zone_part(struct wr_zone *z, size_t n)
{
    size_t at = z->n;

    z->n += (n + LINE - 1) & ~(size_t)(LINE - 1);
    return z->p != NULL ? z->p + at : NULL;
}
