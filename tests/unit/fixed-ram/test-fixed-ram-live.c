/*
 * fixed-ram: unit tests of saving memory as it was at one moment
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/thread.h"
#include "migration/fixed-ram/util/pagemap.h"
#include "bulk-rig.h"
#include "thp.h"

#define POOL        (2 * MiB)
#define WRITERS     3
/* How long writers wait for room in the pool; milliseconds */
#define PATIENT     (600 * 1000)
#define IMPATIENT   50
/* Writers wait for the moment, or for the end. */
#define BATCH       64

typedef struct Writer {
    struct Rig *rig;
    QemuThread thread;
    unsigned seed;
} Writer;

typedef struct Rig {
    BulkRig bulk;
    FixedRamLive *live;
    uint8_t *moment[NKINDS];    /* what the memory held at the freeze */
    Writer writers[WRITERS];
    pthread_rwlock_t stopped;   /* held for reading by those that write */
    bool frozen;                /* atomic, as the following ones */
    bool discards;              /* writers also discard memory */
    bool ended;
    uint64_t writes;
} Rig;

static uint8_t *get_page(const Rig *r, BulkKind kind, size_t page)
{
    return (uint8_t *)r->bulk.blocks[kind].mem.host + page * PAGE;
}

/* Before the freeze a page that is zero stays zero: the rig expects that. */
static bool may_write(const Rig *r, BulkKind kind, size_t page)
{
    return test_bit(page, r->bulk.wanted[kind]) &&
           (qatomic_read(&r->frozen) ||
            (kind != UNTOUCHED && get_page(r, kind, page)[PAGE - 1]));
}

static void discard(Rig *r, BulkKind kind, size_t page)
{
    uint8_t *mem = get_page(r, kind, page);
    int advice = r->bulk.blocks[kind].mem.shared ? MADV_REMOVE : MADV_DONTNEED;

    fixed_ram_live_keep(r->live, mem, PAGE);
    g_assert_cmpint(madvise(mem, PAGE, advice), ==, 0);
}

static void write_something(Rig *r, unsigned *seed)
{
    BulkKind kind = rand_r(seed) % NKINDS;
    size_t page = rand_r(seed) % (bulk_lengths[kind] / PAGE);

    if (!may_write(r, kind, page)) {
        return;
    }
    if (qatomic_read(&r->frozen) && qatomic_read(&r->discards) &&
        rand_r(seed) % 4 == 0) {
        discard(r, kind, page);
    } else {
        /* Not the last byte, see may_write(). */
        get_page(r, kind, page)[rand_r(seed) % (PAGE - 1)] = rand_r(seed);
    }
    qatomic_inc(&r->writes);
}

static void *writer(void *opaque)
{
    Writer *w = opaque;
    Rig *r = w->rig;

    while (!qatomic_read(&r->ended)) {
        pthread_rwlock_rdlock(&r->stopped);
        for (int i = 0; i < BATCH; i++) {
            write_something(r, &w->seed);
        }
        pthread_rwlock_unlock(&r->stopped);
    }
    return NULL;
}

static void make_live(Rig *r, unsigned patience_ms)
{
    FixedRamLiveBlock blocks[NKINDS];

    for (BulkKind kind = 0; kind < NKINDS; kind++) {
        blocks[kind] = (FixedRamLiveBlock) {
            .name = r->bulk.blocks[kind].name,
            .mem = r->bulk.blocks[kind].mem,
            .host_page = PAGE,
        };
    }
    fixed_ram_live_check(blocks, NKINDS, PAGE, &error_abort);
    r->live = fixed_ram_live_new(blocks, NKINDS, PAGE, POOL, patience_ms,
                                 &error_abort);
}

static bool have_userfaultfd(void)
{
    FixedRamLive *live = fixed_ram_live_new(NULL, 0, PAGE, POOL, 0, NULL);

    fixed_ram_live_free(live);
    return live;
}

/* The thread that stops the writers comes before them. */
static void init_stopped(Rig *r)
{
    pthread_rwlockattr_t attr;

    pthread_rwlockattr_init(&attr);
    pthread_rwlockattr_setkind_np(&attr,
                                  PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&r->stopped, &attr);
    pthread_rwlockattr_destroy(&attr);
}

static bool rig_setup_with(Rig *r, BulkWay way, unsigned patience_ms)
{
    memset(r, 0, sizeof(*r));
    if (!have_userfaultfd()) {
        g_test_skip("no write protection by userfaultfd here");
        return false;
    }
    if (!bulk_rig_setup(&r->bulk, way)) {
        return false;
    }
    init_stopped(r);
    make_live(r, patience_ms);
    return true;
}

static bool rig_setup(Rig *r, BulkWay way)
{
    return rig_setup_with(r, way, PATIENT);
}

static void start_writers(Rig *r)
{
    for (int i = 0; i < WRITERS; i++) {
        r->writers[i] = (Writer) { .rig = r, .seed = i };
        qemu_thread_create(&r->writers[i].thread, "writer", writer,
                           &r->writers[i], QEMU_THREAD_JOINABLE);
    }
}

/* All writers have made another round. */
static void wait_for_writes(const Rig *r, uint64_t count)
{
    uint64_t before = qatomic_read(&r->writes);

    while (qatomic_read(&r->writes) < before + count) {
        g_usleep(100);
    }
}

static void stop_writers(Rig *r)
{
    qatomic_set(&r->ended, true);
    for (int i = 0; i < WRITERS; i++) {
        qemu_thread_join(&r->writers[i].thread);
    }
}

/* Keep what the memory holds, without a touch of what is absent. */
static void keep_moment(Rig *r)
{
    for (BulkKind kind = 0; kind < NKINDS; kind++) {
        r->moment[kind] = g_malloc0(bulk_lengths[kind]);
        for (size_t page = 0; page < bulk_lengths[kind] / PAGE; page++) {
            if (kind != UNTOUCHED && test_bit(page, r->bulk.wanted[kind])) {
                memcpy(r->moment[kind] + page * PAGE, get_page(r, kind, page),
                       PAGE);
            }
        }
    }
}

static void freeze(Rig *r)
{
    unsigned long *todo[NKINDS];

    pthread_rwlock_wrlock(&r->stopped);
    keep_moment(r);
    for (BulkKind kind = 0; kind < NKINDS; kind++) {
        todo[kind] = r->bulk.blocks[kind].todo;
    }
    fixed_ram_live_freeze(r->live, todo, &error_abort);
    r->bulk.config.live = r->live;
    qatomic_set(&r->frozen, true);
    pthread_rwlock_unlock(&r->stopped);
}

static void save(Rig *r)
{
    bulk_rig_start(&r->bulk, 0);
    bulk_rig_wait(&r->bulk);
    g_assert_true(fixed_ram_bulk_finish(r->bulk.bulk, &error_abort));
}

/* The file has what the memory held at the freeze. */
static void check_file(Rig *r)
{
    const uint8_t *now[NKINDS];

    for (BulkKind kind = 0; kind < NKINDS; kind++) {
        now[kind] = r->bulk.blocks[kind].mem.host;
        r->bulk.blocks[kind].mem.host = r->moment[kind];
    }
    bulk_rig_check_file(&r->bulk);
    for (BulkKind kind = 0; kind < NKINDS; kind++) {
        r->bulk.blocks[kind].mem.host = now[kind];
    }
}

static void rig_teardown(Rig *r)
{
    /* Savers use it. */
    fixed_ram_bulk_free(g_steal_pointer(&r->bulk.bulk));
    fixed_ram_live_free(r->live);
    for (BulkKind kind = 0; kind < NKINDS; kind++) {
        g_free(r->moment[kind]);
    }
    pthread_rwlock_destroy(&r->stopped);
    bulk_rig_teardown(&r->bulk);
}

/* Nothing writes: as a bulk save. */
static void test_quiet(const void *opaque)
{
    Rig r;

    if (!rig_setup(&r, GPOINTER_TO_INT(opaque) | MARKED)) {
        return;
    }
    fixed_ram_live_arm(r.live, &error_abort);
    freeze(&r);
    save(&r);
    check_file(&r);
    rig_teardown(&r);
}

static void run_writers(BulkWay way, bool discards)
{
    Rig r;

    if (!rig_setup(&r, way | MARKED)) {
        return;
    }
    r.discards = discards;
    start_writers(&r);
    wait_for_writes(&r, 1000);
    fixed_ram_live_arm(r.live, &error_abort);
    wait_for_writes(&r, 5000);
    freeze(&r);
    /* Some change memory that no saver has seen; the pool becomes full. */
    while (!fixed_ram_live_urgent(r.live, &(size_t) { 0 },
                                  &(uint64_t) { 0 })) {
        g_usleep(100);
    }
    save(&r);
    fixed_ram_live_end(r.live);
    wait_for_writes(&r, 1000);
    stop_writers(&r);
    check_file(&r);
    rig_teardown(&r);
}

static void test_writers(const void *opaque)
{
    run_writers(GPOINTER_TO_INT(opaque), false);
}

static void test_discards(const void *opaque)
{
    run_writers(GPOINTER_TO_INT(opaque), true);
}

/* The kernel does not tell which pages are absent, or not fast. */
static void test_blind(const void *opaque)
{
    g_setenv(opaque, "1", true);
    run_writers(0, false);
    g_unsetenv(opaque);
}

/* Writers that wait for room in the pool go on when the save is given up. */
static void test_end(void)
{
    Rig r;

    if (!rig_setup(&r, 0)) {
        return;
    }
    fixed_ram_live_arm(r.live, &error_abort);
    freeze(&r);
    start_writers(&r);
    while (!fixed_ram_live_urgent(r.live, &(size_t) { 0 },
                                  &(uint64_t) { 0 })) {
        g_usleep(100);
    }
    fixed_ram_live_end(r.live);
    wait_for_writes(&r, 10000);
    stop_writers(&r);
    rig_teardown(&r);
}

/* No saver takes a copy, as if all of them waited for the disk. */
static void test_lost(void)
{
    Rig r;

    if (!rig_setup_with(&r, 0, IMPATIENT)) {
        return;
    }
    fixed_ram_live_arm(r.live, &error_abort);
    freeze(&r);
    start_writers(&r);
    while (!fixed_ram_live_lost(r.live)) {
        g_usleep(100);
    }
    wait_for_writes(&r, 10000);
    fixed_ram_live_end(r.live);
    wait_for_writes(&r, 1000);
    stop_writers(&r);
    rig_teardown(&r);
}

/* The save is given up while savers work. */
static void test_abandon(void)
{
    for (int i = 0; i < 4; i++) {
        Rig r;

        if (!rig_setup(&r, 0)) {
            return;
        }
        start_writers(&r);
        fixed_ram_live_arm(r.live, &error_abort);
        freeze(&r);
        /* At one byte a second writers soon wait for the savers. */
        bulk_rig_start(&r.bulk, i % 2 ? 1 : 0);
        wait_for_writes(&r, i % 2 ? 0 : 500 * i);
        fixed_ram_live_end(r.live);
        fixed_ram_bulk_free(g_steal_pointer(&r.bulk.bulk));
        wait_for_writes(&r, 1000);
        stop_writers(&r);
        rig_teardown(&r);
    }
}

static void assert_says(const FixedRamLiveBlock *block, const char *why,
                        Error *err)
{
    g_assert_nonnull(strstr(error_get_pretty(err), block->name));
    g_assert_nonnull(strstr(error_get_pretty(err), why));
    error_free(err);
}

static void assert_refused(const FixedRamLiveBlock *block, const char *why)
{
    Error *err = NULL, *again = NULL;

    g_assert_false(fixed_ram_live_check(block, 1, PAGE, &err));
    assert_says(block, why, err);
    g_assert_null(fixed_ram_live_new(block, 1, PAGE, POOL, 0, &again));
    assert_says(block, why, again);
}

/* Memory of a kind that cannot be protected is refused by its name. */
static void test_refused(void)
{
    FixedRamLiveBlock block = {
        .name = "mem0",
        .mem = { .length = PAGE, .fd = -1 },
        .host_page = PAGE,
    };
    g_autofree char *path = NULL;

    if (!have_userfaultfd()) {
        g_test_skip("no write protection by userfaultfd here");
        return;
    }
    block.mem.fd = g_file_open_tmp("fixed-ram-live-XXXXXX", &path, NULL);
    g_assert_cmpint(ftruncate(block.mem.fd, PAGE), ==, 0);
    block.mem.host = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE,
                          block.mem.fd, 0);
    g_assert(block.mem.host != MAP_FAILED);
    assert_refused(&block, "cannot write-protect");
    block.host_page = GiB;
    assert_refused(&block, "0x40000000");
    munmap((void *)block.mem.host, PAGE);
    close(block.mem.fd);
    unlink(path);
}

static void add(const char *name, BulkWay way, GTestDataFunc test)
{
    g_autofree char *path = g_strdup_printf("/fixed-ram/live/%s%s", name,
                                            way & DIRECT ? "/direct" : "");

    g_test_add_data_func(path, GINT_TO_POINTER(way), test);
}

/* A write breaks up one of four huge pages, and only that one is told. */
static void test_split(void)
{
    g_autofree unsigned long *todo = bitmap_new(4 * THP_SIZE / PAGE);
    g_autoptr(GPtrArray) split = NULL;
    uint8_t *mem;
    FixedRamLiveBlock block = { .name = "huge", .host_page = PAGE };
    FixedRamLive *live;

    if (!have_userfaultfd() || !thp_available()) {
        g_test_skip("no write protection by userfaultfd, or no huge pages");
        return;
    }
    mem = thp_map(4 * THP_SIZE);
    memset(mem, 1, 4 * THP_SIZE);
    bitmap_fill(todo, 4 * THP_SIZE / PAGE);
    block.mem = (FixedRamMemory) {
        .host = mem, .length = 4 * THP_SIZE, .fd = -1,
    };
    live = fixed_ram_live_new(&block, 1, PAGE, POOL, PATIENT, &error_abort);
    fixed_ram_live_arm(live, &error_abort);
    fixed_ram_live_freeze(live, &todo, &error_abort);
    mem[2 * THP_SIZE + 12345] = 2;
    fixed_ram_live_end(live);
    if (thp_bytes(mem, 4 * THP_SIZE) == 3 * THP_SIZE) {
        split = fixed_ram_live_split(live);
        g_assert_cmpuint(split->len, ==, 1);
        g_assert_true(g_ptr_array_index(split, 0) == mem + 2 * THP_SIZE);
    } else {
        g_test_skip("the host had no huge pages for all of the memory");
    }
    fixed_ram_live_free(live);
    thp_unmap(mem, 4 * THP_SIZE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (int way = 0; way <= DIRECT; way += DIRECT) {
        add("quiet", way, test_quiet);
        add("writers", way, test_writers);
        add("discards", way, test_discards);
    }
    add("writers/single", SINGLE, test_writers);
    g_test_add_data_func("/fixed-ram/live/no-pagemap", FIXED_RAM_NO_PAGEMAP,
                         test_blind);
    g_test_add_data_func("/fixed-ram/live/no-scan", FIXED_RAM_NO_PAGEMAP_SCAN,
                         test_blind);
    g_test_add_func("/fixed-ram/live/end", test_end);
    g_test_add_func("/fixed-ram/live/lost", test_lost);
    g_test_add_func("/fixed-ram/live/split", test_split);
    g_test_add_func("/fixed-ram/live/abandon", test_abandon);
    g_test_add_func("/fixed-ram/live/refused", test_refused);
    return g_test_run();
}
