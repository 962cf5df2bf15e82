/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Work that writes: it gives pages of the area new content.  What a page holds
 * follows from its number and its version, and each change is the next version,
 * so that "verify" goes on finding out what is not as it must be.
 */

#include <stdlib.h>
#include <sys/mman.h>

#include "guest.h"

/* A page's version; none before the first change, to touch no more memory */
static uint32_t *versions;

uint64_t page_version(uint64_t page)
{
    return versions ? versions[page] : 0;
}

void forget_versions(void)
{
    free(versions);
    versions = NULL;
}

static bool have_versions(void)
{
    if (!versions) {
        versions = calloc(area.pages, sizeof(*versions));
    }
    return versions;
}

/* Returns if the page was as it must be */
static bool change_page(uint64_t page)
{
    bool good = word_is_good(page);

    versions[page]++;
    write_page(page);
    return good;
}

void do_change(uint64_t count, uint64_t run, uint64_t seed)
{
    uint64_t runs = run ? area.pages / run : 0, bad = 0;

    if (is_working() || !runs || !have_versions()) {
        say("error change: the area is in use, too small, or memory is short");
        return;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t n = mix64(mix64(seed) + i / run * GOLDEN) % runs;

        bad += !change_page(n * run + i % run);
    }
    say("change %s pages=%llu", bad ? "BAD" : "ok", (unsigned long long)count);
}

void write_begin(uint64_t detail)
{
    (void)detail;
    have_versions();
}

/* Changes some pages, in no order */
bool write_unit(void)
{
    bool good = versions != NULL;

    for (unsigned i = 0; good && i < UNIT_PAGES; i++) {
        good = change_page(work_random(work.pages));
    }
    return good;
}
