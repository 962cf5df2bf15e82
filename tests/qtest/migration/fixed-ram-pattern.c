/*
 * What fixed-ram's scenarios put into the guest's memory
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "migration/bootfile.h"
#include "migration/fixed-ram-index.h"
#include "migration/fixed-ram-scenario.h"

/*
 * The boot sector's guest makes all its pages alike.  So that a page in the
 * wrong place is noticed, each page of some memory that it does not use gets
 * a content of its own, with runs of zero pages of all kinds in between; and
 * some of its own pages get a number beside the byte that it counts up.
 */
#define PATTERN_PAGES           (PATTERN_BYTES / SNAPSHOT_PAGE_SIZE)
#define STAMP_EVERY             (13 * SNAPSHOT_PAGE_SIZE)
/* The part that becomes zero has no zero pages before. */
#define WIPE_FIRST_PAGE         (6 * MiB / SNAPSHOT_PAGE_SIZE)

static bool pattern_page_is_zero(unsigned page)
{
    switch (page * SNAPSHOT_PAGE_SIZE / MiB) {
    case 0:
        return page % 2;
    case 1:
        return page % 8 == 7;
    case 2:
        return page / 64 % 2;
    case 3:
        return page / 16 % 2;
    case 4:
        return page % 64 && page % 64 != 63;
    case 5:
        return page / 63 % 2;
    default:
        return false;
    }
}

static void pattern_page(uint64_t *buf, unsigned page)
{
    uint64_t x = page + 1;

    for (size_t i = 0; i < SNAPSHOT_PAGE_SIZE / sizeof(*buf); i++) {
        x = x * 6364136223846793005ULL + 1442695040888963407ULL;
        buf[i] = pattern_page_is_zero(page) ? 0 : x;
    }
}

/*
 * Both ends of the qtest protocol search a line for its end anew each time that
 * some more of it has arrived, so the line should be short.
 */
#define LINE_BYTES              (64 * KiB)

static void write_memory(QTestState *qts, uint64_t addr, const uint8_t *buf,
                         size_t length)
{
    for (size_t at = 0; at < length; at += LINE_BYTES) {
        qtest_bufwrite(qts, addr + at, buf + at, MIN(length - at, LINE_BYTES));
    }
}

void frt_read_memory(QTestState *qts, uint64_t addr, uint8_t *buf,
                     size_t length)
{
    for (size_t at = 0; at < length; at += LINE_BYTES) {
        qtest_bufread(qts, addr + at, buf + at, MIN(length - at, LINE_BYTES));
    }
}

void frt_write_pattern(QTestState *qts)
{
    g_autofree uint8_t *buf = g_malloc(PATTERN_BYTES);
    uint64_t addr;

    for (unsigned page = 0; page < PATTERN_PAGES; page++) {
        pattern_page((uint64_t *)(buf + page * SNAPSHOT_PAGE_SIZE), page);
    }
    write_memory(qts, PATTERN_START, buf, PATTERN_BYTES);
    for (addr = X86_TEST_MEM_START; addr < X86_TEST_MEM_END;
         addr += STAMP_EVERY) {
        qtest_writeq(qts, addr + 8, addr);
    }
}

void frt_wipe_pattern(QTestState *qts)
{
    qtest_memset(qts, PATTERN_START + WIPE_FIRST_PAGE * SNAPSHOT_PAGE_SIZE, 0,
                 PATTERN_BYTES - WIPE_FIRST_PAGE * SNAPSHOT_PAGE_SIZE);
}

void frt_change_memory(QTestState *qts)
{
    qtest_memset(qts, PATTERN_START, 0x55, MiB);
}

const SnapshotBlock *frt_pattern_block(FixedRamTest *t,
                                       const Snapshot *s)
{
    return t->pattern_block ? snapshot_block(s, t->pattern_block)
                            : snapshot_largest_block(s);
}

/* Check that the snapshot holds the pattern that the test wrote. */
void frt_check_pattern(FixedRamTest *t, const Snapshot *s)
{
    const SnapshotBlock *block = frt_pattern_block(t, s);
    uint64_t offset = t->pattern_block ? t->pattern_offset : PATTERN_START;
    uint64_t page[SNAPSHOT_PAGE_SIZE / sizeof(uint64_t)];

    g_assert_nonnull(block);
    for (unsigned i = 0; i < PATTERN_PAGES; i++) {
        pattern_page(page, i);
        if (t->wipe && i >= WIPE_FIRST_PAGE) {
            memset(page, 0, sizeof(page));
        }
        g_assert(!memcmp(page, snapshot_page(block, offset /
                                             SNAPSHOT_PAGE_SIZE + i),
                         SNAPSHOT_PAGE_SIZE));
    }
}

/* The snapshot of the block with the pattern, against the guest's memory. */
static void compare_with_source(FixedRamTest *t, const Snapshot *saved)
{
    const SnapshotBlock *block = frt_pattern_block(t, saved);
    uint64_t offset = t->pattern_block ? t->pattern_offset : PATTERN_START;
    uint64_t addr = PATTERN_START - offset;
    g_autofree char *path = frt_path("source");
    GMappedFile *map;

    qtest_qmp_assert_success(t->from, "{ 'execute': 'pmemsave', 'arguments': "
                             "{ 'val': %" PRIu64 ", 'size': %" PRIu64
                             ", 'filename': %s } }", addr, block->length,
                             path);
    map = g_mapped_file_new(path, false, NULL);
    g_assert(map);
    for (uint64_t pos = addr ? 0 : MiB; pos < block->length;
         pos += SNAPSHOT_PAGE_SIZE) {
        g_assert(!memcmp(g_mapped_file_get_contents(map) + pos,
                         snapshot_page(block, pos / SNAPSHOT_PAGE_SIZE),
                         SNAPSHOT_PAGE_SIZE));
    }
    g_mapped_file_unref(map);
}

static void check_file_head(const FixedRamTest *t, const Snapshot *s)
{
    for (uint64_t i = 0; i < t->offset; i++) {
        g_assert_cmphex(s->data[i], ==, FILE_TEST_MARKER);
    }
}

/* Check the snapshot: pattern, head, capabilities, index. */
void frt_check_saved(FixedRamTest *t)
{
    g_autoptr(Snapshot) saved = frt_open_snapshot(t);

    frt_check_pattern(t, saved);
    check_file_head(t, saved);
    g_assert_true(snapshot_has_capability(saved, "mapped-ram"));
    g_assert_false(snapshot_has_capability(saved, "fixed-ram"));
    if (t->save & FR_FIXED) {
        snapshot_check_index(saved, !t->no_sums);
    } else {
        snapshot_check_no_index(saved);
    }
    if (t->wipe) {
        g_assert_cmpuint(snapshot_stale_pages(saved), >, 0);
    }
    compare_with_source(t, saved);
}
