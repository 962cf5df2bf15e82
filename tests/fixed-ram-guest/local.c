/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work with locality.  A unit of it reads some pages of a neighbourhood, one
 * word of each, and writes a page of an area of its own.  Now and then a unit
 * goes to a new neighbourhood, anywhere in the working set, and forgets an old
 * one.
 */

#include "guest.h"

#define HOOD_MIN        64UL        /* pages of a neighbourhood */
#define HOOD_MAX        256UL
#define HOODS           16UL        /* how many of them work stays in */

typedef struct Hood {
    uint64_t first;
    uint64_t pages;
} Hood;

static Hood hoods[HOODS];
static uint64_t locality;           /* one unit in so many goes elsewhere */

static void choose_hood(Hood *hood)
{
    hood->pages = HOOD_MIN + work_random(HOOD_MAX - HOOD_MIN + 1);
    hood->first = work_random(work.pages - hood->pages + 1);
}

void local_begin(uint64_t detail)
{
    locality = detail;
    for (unsigned i = 0; i < HOODS; i++) {
        choose_hood(&hoods[i]);
    }
}

/* All words of this page say how often it had its turn */
static bool write_own(uint64_t n)
{
    uint64_t *w = work.own + n % OWN_PAGES * PAGE_WORDS;
    uint64_t wrong = 0;

    for (unsigned i = 0; i < PAGE_WORDS; i++) {
        wrong |= w[i]++ ^ n / OWN_PAGES;
    }
    return wrong == 0;
}

/* Reads in one neighbourhood, in order or not; returns if all was as it must */
bool local_unit(void)
{
    Hood *hood = &hoods[work_random(HOODS)];
    bool in_order = work_random(2), good = true;
    uint64_t at;

    if (work_random(locality) == 0) {
        choose_hood(hood);
    }
    at = work_random(hood->pages);
    for (unsigned i = 0; i < UNIT_PAGES; i++) {
        good &= word_is_good(hood->first + at);
        at = in_order ? (at + 1) % hood->pages : work_random(hood->pages);
    }
    return good & write_own(work.units++);
}
