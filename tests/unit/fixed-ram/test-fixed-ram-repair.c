/*
 * fixed-ram: unit tests of pages of a mapping that cannot be read
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/thread.h"
#include "migration/fixed-ram/engine/repair.h"
#include "migration/fixed-ram/format/sums.h"
#include "blocks.h"
#include "rig-sums.h"

/*
 * The memory is a mapping of a file that is cut, so that an access raises
 * SIGBUS.  The repair is told another file, whose reads fail as the test wants.
 * There is one repair in a process, so all of this is one test.
 */

#define PAGES           24              /* a cluster, and a half */
#define LENGTH          (PAGES * PAGE)

static bool readable;           /* atomic: reads of the file succeed */
static bool cut;                /* atomic: the file has become shorter */
static QemuSemaphore failed, repaired;
static char *reason;            /* of the last failed() */
/* What the copy's file holds; the test changes it while no thread reads it. */
static Disk copy;

/*
 * Files
 */

static ssize_t broken_read(FixedRamSource *source, void *buf, size_t length,
                           uint64_t offset)
{
    return qatomic_read(&readable) ? length : -EIO;
}

static ssize_t good_read(FixedRamSource *source, void *buf, size_t length,
                         uint64_t offset)
{
    memcpy(buf, copy.bytes + offset, length);
    return length;
}

static uint64_t broken_measure(FixedRamSource *source)
{
    return qatomic_read(&cut) ? LENGTH / 2 : LENGTH;
}

static void no_close(FixedRamSource *source)
{
}

static const FixedRamSourceOps broken_ops = {
    .read = broken_read, .measure = broken_measure, .close = no_close,
};

static const FixedRamSourceOps good_ops = {
    .read = good_read, .close = no_close,
};

/*
 * What the repair tells
 */

static void on_failed(Error *err)
{
    g_free(reason);
    reason = g_strdup(error_get_pretty(err));
    error_free(err);
    qemu_sem_post(&failed);
}

static void on_repaired(void)
{
    qemu_sem_post(&repaired);
}

static void on_waiting(void)
{
}

static const FixedRamRepairOps ops = {
    .failed = on_failed, .repaired = on_repaired, .waiting = on_waiting,
};

/*
 * A thread that touches a page
 */

typedef struct Touch {
    QemuThread thread;
    const uint8_t *page;
    uint8_t value;              /* that it has read */
} Touch;

static void *touch_thread(void *opaque)
{
    Touch *touch = opaque;

    fixed_ram_repair_this_thread();
    touch->value = qatomic_read(touch->page);
    return NULL;
}

static void touch_begin(Touch *touch, const uint8_t *page)
{
    touch->page = page;
    qemu_thread_create(&touch->thread, "touch", touch_thread, touch,
                       QEMU_THREAD_JOINABLE);
}

static uint8_t touch_end(Touch *touch)
{
    qemu_thread_join(&touch->thread);
    return touch->value;
}

/* Returns memory whose pages cannot be read; @fd is of its file. */
static uint8_t *map_nothing(int *fd)
{
    g_autofree char *path = NULL;
    uint8_t *host;

    *fd = g_file_open_tmp("fixed-ram-repair-XXXXXX", &path, NULL);
    g_assert_cmpint(*fd, >=, 0);
    unlink(path);
    host = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE, MAP_PRIVATE, *fd, 0);
    g_assert_true(host != MAP_FAILED);
    return host;
}

static FixedRamSumTable *write_copy(FixedRamMap *map)
{
    uint64_t table;

    copy.size = LENGTH;
    table = rig_sums_reserve(&copy, map);
    copy.bytes = g_malloc0(copy.size);
    for (unsigned i = 0; i < PAGES; i++) {
        memset(copy.bytes + i * PAGE, i + 1, PAGE);
    }
    return rig_sums_write(&copy, map, table);
}

static void start(FixedRamSource *broken, uint8_t *host)
{
    FixedRamMap *map = fixed_ram_map_new();
    FixedRamBlock *block = block_new("ram", PAGES, PAGE);
    g_autoptr(FixedRamSumTable) sums = NULL;

    block->host = host;
    bitmap_set(block->data, 0, PAGES - 1);
    fixed_ram_map_add(map, block);
    sums = write_copy(map);
    qemu_sem_init(&failed, 0);
    qemu_sem_init(&repaired, 0);
    g_assert_true(fixed_ram_repair_start(broken, map, sums, &ops));
}

/* A copy that was spoiled does not help, and the message says where. */
static void check_spoiled(const uint8_t *host)
{
    Touch touch;

    if (!fixed_ram_sums_built()) {
        g_test_message("no checksums: QEMU was built without libxxhash");
        return;
    }
    copy.bytes[18 * PAGE + 7] ^= 1;
    touch_begin(&touch, host + 17 * PAGE);
    qemu_sem_wait(&failed);
    g_assert_nonnull(strstr(reason, "block 'ram' offset 0x11000: "));
    g_assert_nonnull(strstr(reason, "'good': block 'ram' offset 0x10000"));
    g_assert_nonnull(strstr(reason, "not what was saved"));
    copy.bytes[18 * PAGE + 7] ^= 1;
    fixed_ram_repair_retry(NULL);
    qemu_sem_wait(&repaired);
    g_assert_cmpint(touch_end(&touch), ==, 18);
}

/* What a system call says of a page becomes a wait for it. */
static void *system_call_thread(void *opaque)
{
    fixed_ram_repair_this_thread();
    g_assert_true(fixed_ram_repair_wait_for_bad());
    return NULL;
}

static void check_system_call(const uint8_t *host)
{
    QemuThread thread;

    /* The first bad page is one that was not mended before. */
    qemu_thread_create(&thread, "call", system_call_thread, NULL,
                       QEMU_THREAD_JOINABLE);
    qemu_thread_join(&thread);
    g_assert_cmpint(host[0], ==, 1);
}

static void test_repair(void)
{
    /* The repair thread uses them until the process ends. */
    static FixedRamSource broken = {
        .ops = &broken_ops, .name = (char *)"broken", .size = LENGTH, .refs = 1,
    };
    static FixedRamSource good = {
        .ops = &good_ops, .name = (char *)"good", .size = LENGTH, .refs = 1,
    };
    Touch first, second;
    uint8_t *host;
    int fd;

    host = map_nothing(&fd);
    start(&broken, host);
    g_assert_false(fixed_ram_repair_waiting());

    /* Threads wait; another attempt without a copy does not help. */
    touch_begin(&first, host + 2 * PAGE + 5);
    qemu_sem_wait(&failed);
    g_assert_nonnull(strstr(reason, "block 'ram' offset 0x2000: "));
    touch_begin(&second, host + 5 * PAGE);
    qemu_sem_wait(&failed);
    g_assert_true(fixed_ram_repair_waiting());
    fixed_ram_repair_retry(NULL);
    qemu_sem_wait(&failed);

    /* A copy does, for these and for later ones, and they can be written. */
    fixed_ram_repair_retry(&good);
    qemu_sem_wait(&repaired);
    g_assert_cmpint(touch_end(&first), ==, 3);
    g_assert_cmpint(touch_end(&second), ==, 6);
    g_assert_false(fixed_ram_repair_waiting());
    touch_begin(&first, host + PAGE);
    g_assert_cmpint(touch_end(&first), ==, 2);
    host[PAGE] = 77;
    g_assert_cmpint(host[PAGE], ==, 77);

    check_spoiled(host);
    check_system_call(host);
    /* The last page is zero, whatever the copy holds there. */
    touch_begin(&first, host + (PAGES - 1) * PAGE);
    g_assert_cmpint(touch_end(&first), ==, 0);

    /* Nothing helps if the file was cut, not even once it is whole again. */
    qatomic_set(&cut, true);
    touch_begin(&first, host + 7 * PAGE);
    qemu_sem_wait(&failed);
    g_assert_nonnull(strstr(reason, "was cut"));
    qatomic_set(&cut, false);
    fixed_ram_repair_retry(&good);
    qemu_sem_wait(&failed);
    g_assert_nonnull(strstr(reason, "was cut"));
    g_assert_true(fixed_ram_repair_waiting());
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/repair/all", test_repair);
    return g_test_run();
}
