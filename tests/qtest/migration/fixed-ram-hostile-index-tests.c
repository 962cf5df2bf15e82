/*
 * QTest testcases for fixed-ram: each byte of an indexed snapshot changed
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-hostile.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

/* What the superblock says; see docs/interop/fixed-ram.rst */
#define STREAM_END_AT   40
#define INDEX_AT        48
#define INDEX_LENGTH_AT 56

/* One flip in a while is enough where a checksum covers a lot. */
#define STREAM_STEP     61
#define TABLE_STEP      7

static const SnapshotBlock *first_block(const Hostile *h)
{
    return &g_array_index(h->good->blocks, SnapshotBlock, 0);
}

static uint64_t superblock_field(const Hostile *h, unsigned at)
{
    return ldq_le_p(h->good->data + first_block(h)->pages_offset -
                    SNAPSHOT_PAGE_SIZE + at);
}

static void try_each(Hostile *h, uint64_t from, uint64_t to, unsigned step)
{
    for (uint64_t at = from; at < to; at += step) {
        hostile_try_flip(h, at, hostile_one_bit(at), true, false);
    }
}

/* Pre-flight finds every change of headers and bitmaps. */
static void try_ram_section(Hostile *h)
{
    uint64_t at = 0;

    for (size_t i = 0; i < h->good->blocks->len; i++) {
        const SnapshotBlock *block = &g_array_index(h->good->blocks,
                                                    SnapshotBlock, i);
        uint64_t pages = block->length / SNAPSHOT_PAGE_SIZE;

        try_each(h, at, block->bitmap_offset + DIV_ROUND_UP(pages, 64) * 8,
                 1);
        at = block->pages_offset + block->length;
    }
    try_each(h, at, superblock_field(h, STREAM_END_AT), STREAM_STEP);
}

/*
 * The load reads the table of checksums when it needs it, and finds changes
 * then.
 */
static void try_table(Hostile *h)
{
    uint64_t end = superblock_field(h, INDEX_AT);

    for (uint64_t at = superblock_field(h, STREAM_END_AT); at < end;
         at += TABLE_STEP) {
        HostileOutcome outcome;

        if (h->good->data[at]) {
            hostile_flip(h, at, hostile_one_bit(at));
            outcome = hostile_try(h, NULL);
            if (outcome != FAILED && outcome != PAUSED) {
                hostile_wrong(h, "checksum flipped", at, outcome);
            }
            hostile_flip(h, at, hostile_one_bit(at));
        }
    }
}

static void test_flips_index(void)
{
    Hostile h = { };
    uint64_t superblock, index;

    hostile_start(&h, FR_FIXED);
    superblock = first_block(&h)->pages_offset - SNAPSHOT_PAGE_SIZE;
    index = superblock_field(&h, INDEX_AT);
    try_ram_section(&h);
    try_each(&h, superblock, superblock + SNAPSHOT_PAGE_SIZE, 1);
    try_each(&h, index, index + superblock_field(&h, INDEX_LENGTH_AT), 1);
    try_table(&h);
    hostile_load_good_after(&h, hostile_spoil_total, hostile_spoil_total);
    hostile_end(&h);
}

#define CLUSTER_PAGES   16

/* The first page from @page on that the file holds, in the same cluster. */
static bool cluster_data(const SnapshotBlock *block, uint64_t *page)
{
    uint64_t end = MIN(*page + CLUSTER_PAGES,
                       block->length / SNAPSHOT_PAGE_SIZE);

    for (; *page < end; (*page)++) {
        if (block->bitmap[*page / 64] >> (*page % 64) & 1) {
            return true;
        }
    }
    return false;
}

/* The error names the place and the expected checksum. */
static void assert_sums_differ(QTestState *qts)
{
    QDict *info = migrate_query(qts);
    const char *text = qdict_get_str(info, "error-desc");

    if (!strstr(text, "other'") || !strstr(text, "block '") ||
        !strstr(text, "offset 0x") || !strstr(text, "expected 0x")) {
        g_test_message("file, block, offset and checksums are not in: %s",
                       text);
        g_assert_not_reached();
    }
    qobject_unref(info);
}

/* Change the byte at @at of a page; put it back if the load is paused. */
static void try_page(Hostile *h, uint64_t at)
{
    HostileOutcome outcome;

    hostile_flip(h, at, hostile_one_bit(at));
    outcome = hostile_begin(h);
    if (outcome != FAILED && outcome != PAUSED) {
        hostile_wrong(h, "byte of a page flipped", at, outcome);
    } else {
        assert_sums_differ(h->to);
    }
    hostile_flip(h, at, hostile_one_bit(at));
    if (outcome == PAUSED) {
        qtest_qmp_assert_success(h->to, "{ 'execute': 'migrate-recover', "
                                 "'arguments': { 'uri': %s } }", h->uri);
        while ((outcome = hostile_ending(h)) == OUTCOMES) {
            g_usleep(500);
        }
        g_assert_cmpint(outcome, ==, LOADED);
        hostile_check_loaded(h, h->good);
    }
    hostile_finish(h, outcome);
}

/* A byte of each cluster in each mode. */
static void test_pages(void)
{
    Hostile h = { };

    hostile_start(&h, FR_FIXED);
    for (size_t i = 0; i < h.good->blocks->len; i++) {
        const SnapshotBlock *block = &g_array_index(h.good->blocks,
                                                    SnapshotBlock, i);
        uint64_t pages = block->length / SNAPSHOT_PAGE_SIZE;

        for (uint64_t first = 0; first < pages; first += CLUSTER_PAGES) {
            uint64_t page = first;

            if (cluster_data(block, &page)) {
                uint64_t at = block->pages_offset +
                              page * SNAPSHOT_PAGE_SIZE +
                              first * 257 % SNAPSHOT_PAGE_SIZE;

                try_page(&h, at);
                try_page(&h, at + 1);
            }
        }
    }
    hostile_end(&h);
}

static const FixedRamCase cases[] = {
    { "flips", test_flips_index, true },
    { "pages", test_pages, true },
};

void frt_add_hostile_index_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "hostile-index", cases, ARRAY_SIZE(cases));
}
