/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work without any locality: its pages are spread over everywhere, one in each
 * group of so many, and it reads them at random, one word of each.
 */

#include "guest.h"

#define MIN(a, b)       ((a) < (b) ? (a) : (b))

static uint64_t group;              /* pages, of which one is touched */

void random_begin(uint64_t detail)
{
    group = MIN(detail, work.pages);
}

bool random_unit(void)
{
    bool good = true;

    for (unsigned i = 0; i < UNIT_PAGES; i++) {
        uint64_t n = work_random(work.pages / group);

        good &= word_is_good(n * group + mix64(n) % group);
    }
    return good;
}
