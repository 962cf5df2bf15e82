/*
 * QTest testcases for fixed-ram: each byte of a snapshot changed, and cuts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/host-utils.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-hostile.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

/* One flip a byte: most of these snapshots load, which takes longer. */
static void try_bitmap(Hostile *h, const SnapshotBlock *block)
{
    uint64_t pages = block->length / SNAPSHOT_PAGE_SIZE;

    for (uint64_t page = 0; page < ROUND_UP(pages, 64); page += 8) {
        uint64_t at = block->bitmap_offset + page / 8;
        uint8_t mask = at / 2 % 2 ? hostile_one_bit(at) : 0xff;
        bool beyond = page + (31 - clz32(mask)) >= pages;

        hostile_try_flip(h, at, mask, beyond, !beyond);
    }
}

static void test_flips(void)
{
    Hostile h = { };
    uint64_t at = 0;

    hostile_start(&h, FR_MAPPED);
    hostile_try_range(&h, 0, 8, true);
    hostile_try_range(&h, 8, h.good->total_offset, false);
    at = h.good->total_offset;
    for (size_t i = 0; i < h.good->blocks->len; i++) {
        const SnapshotBlock *block = &g_array_index(h.good->blocks,
                                                    SnapshotBlock, i);

        hostile_try_range(&h, at, block->bitmap_offset, true);
        try_bitmap(&h, block);
        at = block->pages_offset + block->length;
    }
    hostile_try_range(&h, h.good->ram_end, h.good->ram_end + 8, true);
    hostile_try_range(&h, h.good->ram_end + 8, h.good->devices, false);
    hostile_load_good_after(&h, hostile_spoil_total, hostile_spoil_total);
    hostile_end(&h);
}

/*
 * Cuts
 */

static gint descending(gconstpointer a, gconstpointer b)
{
    const uint64_t *x = a, *y = b;

    return *x > *y ? -1 : *x < *y;
}

static void add_border(GArray *cuts, uint64_t at)
{
    for (int i = -1; i <= 1; i++) {
        uint64_t cut = at + i;

        if (at || i >= 0) {
            g_array_append_val(cuts, cut);
        }
    }
}

/* At each page, and at or beside each place where something begins. */
static GArray *all_cuts(const Snapshot *s)
{
    GArray *cuts = g_array_new(false, false, sizeof(uint64_t));

    for (uint64_t at = 0; at < s->size; at += SNAPSHOT_PAGE_SIZE) {
        g_array_append_val(cuts, at);
    }
    add_border(cuts, 0);
    add_border(cuts, 4);
    add_border(cuts, 8);
    add_border(cuts, s->total_offset);
    for (size_t i = 0; i < s->blocks->len; i++) {
        const SnapshotBlock *block = &g_array_index(s->blocks, SnapshotBlock,
                                                    i);

        add_border(cuts, block->header_offset);
        add_border(cuts, block->header_offset + 1 + strlen(block->name));
        add_border(cuts, block->bitmap_offset);
        add_border(cuts, block->bitmap_offset + block->length /
                         SNAPSHOT_PAGE_SIZE / 8);
        add_border(cuts, block->pages_offset);
        add_border(cuts, block->pages_offset + block->length);
    }
    for (uint64_t at = s->ram_end; at < s->devices; at++) {
        g_array_append_val(cuts, at);
    }
    add_border(cuts, s->devices);
    g_array_sort(cuts, descending);
    return cuts;
}

/* Begin at the end, so that nothing has to be restored. */
static void try_cuts(Hostile *h)
{
    g_autoptr(GArray) cuts = all_cuts(h->good);
    uint64_t before = h->good->size;

    for (size_t i = 0; i < cuts->len; i++) {
        uint64_t at = g_array_index(cuts, uint64_t, i);
        HostileOutcome outcome;

        if (at == before) {
            continue;
        }
        g_assert_cmpint(ftruncate(h->fd, at), ==, 0);
        outcome = hostile_try(h, h->good);
        /* With an index, any incomplete file is refused. */
        if ((at <= h->good->ram_end || h->save & FR_FIXED) &&
            outcome != REFUSED) {
            hostile_wrong(h, "cut off", at, outcome);
        }
        before = at;
    }
}

static void spoil_size(Hostile *h)
{
    g_assert_cmpint(ftruncate(h->fd, h->good->ram_end), ==, 0);
}

/* Write to the same file, since it is open. */
static void mend_size(Hostile *h)
{
    int fd = h->fd;

    frt_copy_file(FILE_TEST_FILENAME, "other");
    g_assert_cmpint(lseek(fd, 0, SEEK_END), ==, h->good->size);
}

static void test_cuts(unsigned save)
{
    Hostile h = { };

    hostile_start(&h, save);
    try_cuts(&h);
    mend_size(&h);
    hostile_load_good_after(&h, spoil_size, mend_size);
    hostile_end(&h);
}

static void test_cuts_plain(void)
{
    test_cuts(FR_MAPPED);
}

static void test_cuts_index(void)
{
    test_cuts(FR_FIXED);
}

/*
 * Commands: a snapshot has at most one, but a stream can have any command at
 * any place
 */

#define COMMANDS        16
#define COMMAND_TYPE    8
#define OPEN_RETURN_PATH 1
#define POSTCOPY_ADVISE 3
#define SWITCHOVER_START 11
#define FOOTER_BYTES    5

static void write_at(Hostile *h, const void *data, size_t size, uint64_t at)
{
    g_assert_cmpint(pwrite(h->fd, data, size, at), ==, size);
}

/*
 * The load goes on only after these: a return path that nothing is sent on, the
 * start of the switchover, and the announcement of a postcopy migration to a
 * side that has not enabled it.
 */
static bool is_harmless(const Hostile *h, uint8_t command, uint8_t length)
{
    return !length && (command == OPEN_RETURN_PATH ||
                       command == SWITCHOVER_START ||
                       (command == POSTCOPY_ADVISE &&
                        !(h->load & FR_POSTCOPY)));
}

/* Insert one with @length bytes of zeros at @at; all offsets are before it. */
static void try_command(Hostile *h, uint64_t at, uint8_t command,
                        uint8_t length)
{
    const Snapshot *s = h->good;
    uint8_t bytes[5 + UINT8_MAX] = { COMMAND_TYPE, 0, command, 0, length };
    HostileOutcome outcome;

    write_at(h, bytes, 5 + length, at);
    write_at(h, s->data + at, s->size - at, at + 5 + length);
    outcome = hostile_try(h, s);
    if (outcome != (is_harmless(h, command, length) ? LOADED : FAILED)) {
        g_test_message("command %u of %u bytes, %s", command, length,
                       h->load & FR_POSTCOPY ? "on demand" : "eager");
        hostile_wrong(h, "command", at, outcome);
    }
    write_at(h, s->data + at, s->size - at, at);
    g_assert_cmpint(ftruncate(h->fd, s->size), ==, 0);
}

/* Each command ends the load, but for those that change nothing. */
static void test_commands(void)
{
    static const uint8_t lengths[] = { 0, 4, 16 };
    Hostile h = { };

    hostile_start(&h, FR_MAPPED);
    for (unsigned i = 0; i < COMMANDS * ARRAY_SIZE(lengths); i++) {
        uint8_t length = lengths[i / COMMANDS];
        uint64_t after_ram = h.good->ram_end + 8 + FOOTER_BYTES;

        for (int mode = 0; mode < 2; mode++) {
            try_command(&h, after_ram, i % COMMANDS, length);
        }
        for (int mode = 0; mode < 2; mode++) {
            try_command(&h, h.good->devices, i % COMMANDS, length);
        }
    }
    hostile_end(&h);
}

static const FixedRamCase cases[] = {
    { "flips", test_flips, true },
    { "cuts/plain", test_cuts_plain, true },
    { "cuts/index", test_cuts_index, true },
    { "commands", test_commands, true },
};

void frt_add_hostile_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "hostile", cases, ARRAY_SIZE(cases));
}
