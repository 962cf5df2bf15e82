/*
 * QTest testcases for fixed-ram: each byte of a snapshot changed, and cuts
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * A small machine whose CPU does not run, so that a load takes milliseconds.
 * "other" is a copy of its snapshot and is spoiled in one way after the other.
 * What pre-flight finds is refused by the same QEMU again and again; whatever
 * gets further needs a new one next time.
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/host-utils.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

#define OPTIONS         "-machine pc -nodefaults -vga none -m 2M -rtc clock=vm"
#define LOW_MEMORY      (640 * 1024)
#define HIGH_MEMORY     (1024 * 1024)
#define MEMORY_END      (2 * 1024 * 1024)
#define WAIT_SECONDS    240

typedef enum Outcome {
    REFUSED,                    /* in migrate-incoming */
    FAILED,                     /* later, but before the guest started */
    LOADED,
    OUTCOMES,
} Outcome;

static const char *const outcome_names[] = { "refused", "failed", "loaded" };

typedef struct Hostile {
    QTestState *to;             /* NULL: it has to be started */
    char *uri;                  /* of "other" */
    int fd;                     /* the same, to be spoiled */
    Snapshot *good;
    unsigned load;              /* how the next one goes */
    unsigned tried;
    unsigned count[OUTCOMES];
    unsigned wrong;             /* outcomes that should have been others */
} Hostile;

/*
 * The machines
 */

static QTestState *start_machine(const char *more)
{
    return qtest_initf(OPTIONS " %s %s", more,
                       getenv("QTEST_LOG") ? "" : "2>/dev/null");
}

/* Some pages are data, each with a content of its own, and some are zero. */
static void fill_memory(QTestState *who)
{
    for (uint64_t at = 0; at < MEMORY_END; at += SNAPSHOT_PAGE_SIZE) {
        uint64_t page = at / SNAPSHOT_PAGE_SIZE;

        if ((at < LOW_MEMORY || at >= HIGH_MEMORY) && page % 5 &&
            page / 32 != 10) {
            qtest_memset(who, at, 1 + page % 255, SNAPSHOT_PAGE_SIZE);
        }
    }
}

static void save_machine(void)
{
    g_autofree char *uri = fixed_ram_file_uri(FILE_TEST_FILENAME);
    QTestState *from = start_machine("");

    fill_memory(from);
    fixed_ram_set_mode(from, FR_FIXED);
    migrate_ensure_converge(from);
    migrate_qmp(from, NULL, uri, NULL, "{}");
    fixed_ram_wait_status(from, "completed");
    qtest_quit(from);
}

static void hostile_start(Hostile *h)
{
    g_autofree char *path = fixed_ram_path(FILE_TEST_FILENAME);
    g_autofree char *other = fixed_ram_path("other");

    qtest_add_abrt_handler(fixed_ram_remove_files, h);
    save_machine();
    fixed_ram_copy_file(FILE_TEST_FILENAME, "other");
    h->good = snapshot_open(path, 0);
    h->uri = fixed_ram_file_uri("other");
    h->fd = open(other, O_RDWR);
    g_assert_cmpint(h->fd, >=, 0);
    h->load = FR_FIXED;
}

static void hostile_end(Hostile *h)
{
    g_test_message("%u tried: %u refused, %u failed before the guest ran, "
                   "%u loaded and right", h->tried, h->count[REFUSED],
                   h->count[FAILED], h->count[LOADED]);
    if (h->to) {
        qtest_quit(h->to);
    }
    qtest_remove_abrt_handler(h);
    snapshot_close(h->good);
    close(h->fd);
    fixed_ram_remove_files(NULL);
    g_free(h->uri);
    g_assert_cmpuint(h->wrong, ==, 0);
}

/*
 * A load
 */

/* Eager and on demand in turn. */
static void next_mode(Hostile *h)
{
    bool demand = !(h->load & FR_POSTCOPY) && migration_get_env()->has_uffd;

    h->load = demand ? FR_DEMAND : FR_FIXED;
    if (h->to) {
        migrate_set_capability(h->to, "postcopy-ram", demand);
    } else {
        h->to = start_machine("-incoming defer");
        fixed_ram_set_mode(h->to, h->load);
    }
}

/* Everything that pre-flight says names the file, and where in it. */
static bool incoming(Hostile *h)
{
    QDict *rsp = qtest_qmp(h->to, "{ 'execute': 'migrate-incoming', "
                           "'arguments': { 'uri': %s, 'exit-on-error': false "
                           "} }", h->uri);
    bool ok = qdict_haskey(rsp, "return");

    if (!ok) {
        const char *text = qdict_get_str(qdict_get_qdict(rsp, "error"),
                                         "desc");

        if (!strstr(text, "other'") || !strstr(text, "offset 0x")) {
            g_error("file and offset are not in: %s", text);
        }
    }
    qobject_unref(rsp);
    return ok;
}

/* NULL as long as it goes on. */
static char *ending(QTestState *who)
{
    QDict *info = migrate_query(who);
    char *status = g_strdup(qdict_get_try_str(info, "status"));

    if (!g_strcmp0(status, "failed")) {
        g_assert_true(qdict_haskey(info, "error-desc"));
    } else if (g_strcmp0(status, "completed")) {
        g_clear_pointer(&status, g_free);
    }
    qobject_unref(info);
    return status;
}

static Outcome wait_for_end(Hostile *h)
{
    gint64 end = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;
    g_autofree char *status = NULL;

    while (!(status = ending(h->to))) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(500);
    }
    return g_str_equal(status, "completed") ? LOADED : FAILED;
}

static void check_loaded(Hostile *h, const Snapshot *want)
{
    g_autofree char *again = fixed_ram_path("again");
    g_autoptr(Snapshot) have = NULL;

    fixed_ram_save_again(h->to, h->load, "again");
    have = snapshot_open(again, 0);
    snapshot_assert_same_ram(want, have);
}

/*
 * Load "other"; if that succeeds, RAM must be as @want says, NULL: it must not
 * succeed.
 */
static Outcome try_load(Hostile *h, const Snapshot *want)
{
    Outcome outcome = REFUSED;

    next_mode(h);
    if (incoming(h)) {
        outcome = wait_for_end(h);
        if (outcome == LOADED && want) {
            check_loaded(h, want);
        } else if (outcome == FAILED) {
            g_assert_false(fixed_ram_running(h->to));
        }
        qtest_quit(h->to);
        h->to = NULL;
    }
    h->tried++;
    h->count[outcome]++;
    return outcome;
}

/* What was refused has left nothing behind. */
static void load_good_after(Hostile *h, void (*spoil)(Hostile *h),
                            void (*mend)(Hostile *h))
{
    for (int i = 0; i < 2; i++) {
        spoil(h);
        g_assert_cmpint(try_load(h, h->good), ==, REFUSED);
        mend(h);
        g_assert_cmpint(try_load(h, h->good), ==, LOADED);
    }
}

/*
 * Bytes
 */

static void flip(Hostile *h, uint64_t at, uint8_t mask)
{
    uint8_t byte;

    g_assert_cmpint(pread(h->fd, &byte, 1, at), ==, 1);
    byte ^= mask;
    g_assert_cmpint(pwrite(h->fd, &byte, 1, at), ==, 1);
}

/* What the format can tell must be refused before anything has changed. */
static void try_flip(Hostile *h, uint64_t at, uint8_t mask, bool must_refuse,
                     bool bitmap)
{
    g_autofree char *path = fixed_ram_path("other");
    g_autoptr(Snapshot) flipped = NULL;
    Outcome outcome;

    flip(h, at, mask);
    if (bitmap) {
        /* It cannot tell these: the pages are data now, or zero. */
        flipped = snapshot_open(path, 0);
    }
    outcome = try_load(h, must_refuse ? NULL : flipped ?: h->good);
    if ((must_refuse && outcome != REFUSED) ||
        (bitmap && outcome != LOADED)) {
        g_test_message("byte 0x%" PRIx64 ", 0x%02x flipped: %s", at, mask,
                       outcome_names[outcome]);
        h->wrong++;
    }
    flip(h, at, mask);
}

static uint8_t one_bit(uint64_t at)
{
    return 1 << at % 8;
}

/* Once with one bit flipped, once with all of them: a load of each mode. */
static void try_range(Hostile *h, uint64_t from, uint64_t to, bool must_refuse)
{
    for (uint64_t at = from; at < to; at++) {
        bool all_first = at / 8 % 2;

        try_flip(h, at, all_first ? 0xff : one_bit(at), must_refuse, false);
        try_flip(h, at, all_first ? one_bit(at) : 0xff, must_refuse, false);
    }
}

/* One or the other: most of these are loaded, which takes longer. */
static void try_bitmap(Hostile *h, const SnapshotBlock *block)
{
    uint64_t pages = block->length / SNAPSHOT_PAGE_SIZE;

    for (uint64_t page = 0; page < ROUND_UP(pages, 64); page += 8) {
        uint64_t at = block->bitmap_offset + page / 8;
        uint8_t mask = at / 2 % 2 ? one_bit(at) : 0xff;
        bool beyond = page + (31 - clz32(mask)) >= pages;

        try_flip(h, at, mask, beyond, !beyond);
    }
}

static void spoil_total(Hostile *h)
{
    flip(h, h->good->total_offset, 0x80);
}

static void test_flips(void)
{
    Hostile h = { };
    uint64_t at = 0;

    hostile_start(&h);
    try_range(&h, 0, 8, true);
    try_range(&h, 8, h.good->total_offset, false);
    at = h.good->total_offset;
    for (size_t i = 0; i < h.good->blocks->len; i++) {
        const SnapshotBlock *block = &g_array_index(h.good->blocks,
                                                    SnapshotBlock, i);

        try_range(&h, at, block->bitmap_offset, true);
        try_bitmap(&h, block);
        at = block->pages_offset + block->length;
    }
    try_range(&h, h.good->ram_end, h.good->ram_end + 8, true);
    try_range(&h, h.good->ram_end + 8, h.good->devices, false);
    load_good_after(&h, spoil_total, spoil_total);
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

/* From the end on, so that what goes need not come back. */
static void try_cuts(Hostile *h)
{
    g_autoptr(GArray) cuts = all_cuts(h->good);
    uint64_t before = h->good->size;

    for (size_t i = 0; i < cuts->len; i++) {
        uint64_t at = g_array_index(cuts, uint64_t, i);
        Outcome outcome;

        if (at == before) {
            continue;
        }
        g_assert_cmpint(ftruncate(h->fd, at), ==, 0);
        outcome = try_load(h, h->good);
        if (at <= h->good->ram_end && outcome != REFUSED) {
            g_test_message("cut off at 0x%" PRIx64 ": %s", at,
                           outcome_names[outcome]);
            h->wrong++;
        }
        before = at;
    }
}

static void spoil_size(Hostile *h)
{
    g_assert_cmpint(ftruncate(h->fd, h->good->ram_end), ==, 0);
}

/* The same file: it is open. */
static void mend_size(Hostile *h)
{
    int fd = h->fd;

    fixed_ram_copy_file(FILE_TEST_FILENAME, "other");
    g_assert_cmpint(lseek(fd, 0, SEEK_END), ==, h->good->size);
}

static void test_cuts(void)
{
    Hostile h = { };

    hostile_start(&h);
    try_cuts(&h);
    mend_size(&h);
    load_good_after(&h, spoil_size, mend_size);
    hostile_end(&h);
}

/*
 * Commands: a snapshot has at most one, but a stream can have any anywhere
 */

#define COMMANDS        16
#define COMMAND_TYPE    8
#define FOOTER_BYTES    5

static void write_at(Hostile *h, const void *data, size_t size, uint64_t at)
{
    g_assert_cmpint(pwrite(h->fd, data, size, at), ==, size);
}

/* Insert one with @length bytes of zeros at @at; all offsets are before it. */
static void try_command(Hostile *h, uint64_t at, uint8_t command,
                        uint8_t length)
{
    const Snapshot *s = h->good;
    uint8_t bytes[5 + UINT8_MAX] = { COMMAND_TYPE, 0, command, 0, length };

    write_at(h, bytes, 5 + length, at);
    write_at(h, s->data + at, s->size - at, at + 5 + length);
    try_load(h, s);
    write_at(h, s->data + at, s->size - at, at);
    g_assert_cmpint(ftruncate(h->fd, s->size), ==, 0);
}

/* Each ends the load, or changes nothing. */
static void test_commands(void)
{
    static const uint8_t lengths[] = { 0, 4, 16 };
    Hostile h = { };

    hostile_start(&h);
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
    { "hostile/flips", test_flips, true },
    { "hostile/cuts", test_cuts, true },
    { "hostile/commands", test_commands, true },
};

void fixed_ram_add_hostile_tests(const MigrationTestEnv *env)
{
    fixed_ram_add_cases(env, cases, ARRAY_SIZE(cases));
}
