/*
 * fixed-ram: a load without a guest, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qemu/lockable.h"
#include "qemu/memfd.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "rig.h"

static const char *const names[RIG_BLOCKS] = { "pc.ram", "tiny", "vga.vram" };
static const unsigned units[RIG_BLOCKS] = { 210, 1, 129 };

/* --- sources that read from a Disk --- */

typedef struct DiskSource {
    FixedRamSource parent;
    Disk *disk;
    int64_t good;               /* reads before the first error; atomic */
    FixedRamSource *file;       /* the same bytes in a file, or NULL */
} DiskSource;

static void disk_wait(Disk *disk)
{
    QEMU_LOCK_GUARD(&disk->lock);
    disk->inside++;
    qemu_cond_broadcast(&disk->cond);
    while (disk->held) {
        qemu_cond_wait(&disk->cond, &disk->lock);
    }
    disk->inside--;
}

static ssize_t disk_read(FixedRamSource *source, void *buf, size_t length,
                         uint64_t offset)
{
    DiskSource *s = container_of(source, DiskSource, parent);
    Disk *disk = s->disk;

    g_assert_cmpuint(offset % RIG_PAGE, ==, 0);
    g_assert_cmpuint(length % RIG_PAGE, ==, 0);
    g_assert_cmpuint(offset + length, <=, disk->size);
    disk_wait(disk);
    if (qatomic_fetch_dec(&s->good) <= 0) {
        return -EIO;
    }
    for (uint64_t i = 0; i < length; i += RIG_PAGE) {
        qatomic_inc(&disk->times[(offset + i) / RIG_PAGE]);
    }
    if (s->file) {
        return s->file->ops->read_pages(s->file, buf, length, offset);
    }
    memcpy(buf, disk->bytes + offset, length);
    return length;
}

static void disk_close(FixedRamSource *source)
{
    DiskSource *s = container_of(source, DiskSource, parent);

    qatomic_inc(&s->disk->closed);
    fixed_ram_source_close(s->file);
    g_free(s);
}

static const FixedRamSourceOps disk_ops = {
    .read = disk_read,
    .close = disk_close,
};

static FixedRamSource *open_temp_file(const Disk *disk)
{
    g_autofree char *path = NULL;
    FixedRamSource *source;
    int fd = g_file_open_tmp("fixed-ram-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(qemu_write_full(fd, disk->bytes, disk->size), ==,
                    disk->size);
    close(fd);
    source = fixed_ram_source_open_file(path, false, &error_abort);
    g_assert_cmpint(unlink(path), ==, 0);
    return source;
}

FixedRamSource *rig_source(Rig *rig, int64_t good)
{
    DiskSource *s = g_new0(DiskSource, 1);

    rig->disk.opened++;
    s->parent.ops = &disk_ops;
    s->parent.name = g_strdup("snapshot.img");
    s->parent.size = rig->disk.size;
    s->disk = &rig->disk;
    s->good = good ?: INT64_MAX;
    s->file = rig->o.file ? open_temp_file(&rig->disk) : NULL;
    return &s->parent;
}

/* --- what the load calls --- */

static void rig_notify(void *opaque)
{
    Rig *rig = opaque;

    QEMU_LOCK_GUARD(&rig->lock);
    rig->notified++;
    qemu_cond_broadcast(&rig->cond);
}

static uint64_t rig_bandwidth(void *opaque)
{
    Rig *rig = opaque;

    return qatomic_read(&rig->bandwidth);
}

static void rig_wait_begin(void *opaque, uintptr_t addr, uint32_t thread_id)
{
    Rig *rig = opaque;
    FixedRamBlock *block = fixed_ram_map_find(rig->map, addr);

    g_assert_nonnull(block);
    g_assert_cmpuint((addr - (uintptr_t)block->host) % block->unit, ==, 0);
    qatomic_inc(&rig->begins);
}

static void rig_wait_end(void *opaque, uintptr_t addr)
{
    Rig *rig = opaque;
    FixedRamBlock *block = fixed_ram_map_find(rig->map, addr);

    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        if (rig_block(rig, i) == block) {
            uint64_t offset = addr - (uintptr_t)block->host;

            g_assert_cmpuint(offset % block->unit, ==, 0);
            qatomic_inc(&rig->ended[i][offset / block->unit]);
            return;
        }
    }
    g_assert_not_reached();
}

static const FixedRamLoadOps rig_ops = {
    .notify = rig_notify,
    .bandwidth = rig_bandwidth,
    .wait_begin = rig_wait_begin,
    .wait_end = rig_wait_end,
};

/* --- setting up --- */

static void *map_memory(const RigOptions *o, size_t size)
{
    int fd = o->shared ? qemu_memfd_create("fixed-ram-test", size, false, 0,
                                           0, &error_abort) : -1;
    void *mem = mmap(NULL, size, PROT_READ | PROT_WRITE,
                     o->shared ? MAP_SHARED : MAP_PRIVATE | MAP_ANONYMOUS,
                     fd, 0);

    g_assert_true(mem != MAP_FAILED);
    if (fd >= 0) {
        close(fd);
    }
    return mem;
}

static void add_block(Rig *rig, unsigned i, GRand *rand)
{
    FixedRamBlock *block = g_new0(FixedRamBlock, 1);
    uint64_t pages;

    g_strlcpy(block->name, names[i], sizeof(block->name));
    block->page_size = RIG_PAGE;
    block->unit = rig->o.unit ?: MAX(RIG_PAGE, qemu_real_host_page_size());
    block->length = units[i] * block->unit;
    block->pages_offset = ROUND_UP(rig->disk.size + 1, MiB);
    pages = block->length / RIG_PAGE;
    block->data = bitmap_new(pages);
    for (uint64_t page = 0; page < pages && !rig->o.empty; page++) {
        /* Stretches of whole units without data too. */
        if (page / (block->unit / RIG_PAGE) % 32 != 13 &&
            (page == 0 || g_rand_int_range(rand, 0, 4))) {
            set_bit(page, block->data);
        }
    }
    block->host = map_memory(&rig->o, block->length);
    rig->disk.size = block->pages_offset + block->length;
    fixed_ram_map_add(rig->map, block);
    rig->ended[i] = g_new0(unsigned, block->units);
}

static void fill_disk(Disk *disk)
{
    uint64_t state = 88172645463325252ULL;

    disk->bytes = g_malloc(disk->size);
    disk->times = g_new0(unsigned, disk->size / RIG_PAGE);
    for (size_t i = 0; i < disk->size / 8; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        ((uint64_t *)disk->bytes)[i] = state | 0x0101010101010101ULL;
    }
}

/* Leave in the memory what the machine's start may have left there. */
static void soil_memory(Rig *rig)
{
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        FixedRamBlock *block = rig_block(rig, i);

        for (uint64_t unit = 0; unit < block->units; unit++) {
            if (rig->o.on_demand || !fixed_ram_map_received(block, unit)) {
                memset(block->host + unit * block->unit, 0xa6, block->unit);
            }
        }
    }
}

static bool register_memory(Rig *rig)
{
    int advice = rig->o.shared ? MADV_REMOVE : MADV_DONTNEED;
    Error *err = NULL;

    if (!fixed_ram_load_register(rig->load, &err)) {
        g_test_skip(error_get_pretty(err));
        error_free(err);
        return false;
    }
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        FixedRamBlock *block = rig_block(rig, i);

        g_assert_cmpint(madvise(block->host, block->length, advice), ==, 0);
    }
    return true;
}

Rig *rig_new(const RigOptions *o)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    Rig *rig = g_new0(Rig, 1);
    FixedRamLoadConfig config = {
        .on_demand = o->on_demand, .loaders = o->loaders,
        .ops = &rig_ops, .opaque = rig,
    };

    rig->o = *o;
    rig->map = fixed_ram_map_new();
    qemu_mutex_init(&rig->lock);
    qemu_cond_init(&rig->cond);
    qemu_mutex_init(&rig->disk.lock);
    qemu_cond_init(&rig->disk.cond);
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        add_block(rig, i, rand);
    }
    fill_disk(&rig->disk);
    soil_memory(rig);
    rig->load = fixed_ram_load_new(rig->map, rig_source(rig, o->good_reads),
                                   &config);
    if (o->on_demand && !register_memory(rig)) {
        rig_free(rig);
        return NULL;
    }
    return rig;
}

void rig_start(Rig *rig)
{
    fixed_ram_load_start(rig->load);
}

void rig_stop(Rig *rig)
{
    fixed_ram_load_free(rig->load);
    rig->load = NULL;
    /* The load owned its sources. */
    g_assert_cmpuint(qatomic_read(&rig->disk.closed), ==, rig->disk.opened);
}

void rig_free(Rig *rig)
{
    if (rig->load) {
        rig_stop(rig);
    }
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        FixedRamBlock *block = rig_block(rig, i);

        munmap(block->host, block->length);
        g_free(rig->ended[i]);
    }
    fixed_ram_map_free(rig->map);
    g_free(rig->disk.bytes);
    g_free(rig->disk.times);
    qemu_cond_destroy(&rig->disk.cond);
    qemu_mutex_destroy(&rig->disk.lock);
    qemu_cond_destroy(&rig->cond);
    qemu_mutex_destroy(&rig->lock);
    g_free(rig);
}

/* --- looking at it --- */

FixedRamBlock *rig_block(Rig *rig, unsigned i)
{
    return fixed_ram_map_block(rig->map, i);
}

uint64_t rig_data_page(const FixedRamBlock *block, uint64_t n)
{
    uint64_t pages = block->length / RIG_PAGE;
    uint64_t page = find_first_bit(block->data, pages);

    while (n--) {
        page = find_next_bit(block->data, pages, page + 1);
    }
    g_assert_cmpuint(page, <, pages);
    return page;
}

unsigned rig_notified(Rig *rig)
{
    QEMU_LOCK_GUARD(&rig->lock);
    return rig->notified;
}

void rig_wait_notified(Rig *rig, unsigned n)
{
    QEMU_LOCK_GUARD(&rig->lock);
    while (rig->notified <= n) {
        qemu_cond_wait(&rig->cond, &rig->lock);
    }
}

FixedRamLoadState rig_wait_either(Rig *rig, FixedRamLoadState a,
                                  FixedRamLoadState b)
{
    while (true) {
        unsigned seen = rig_notified(rig);
        FixedRamLoadState state = fixed_ram_load_state(rig->load);

        if (state == a || state == b) {
            return state;
        }
        rig_wait_notified(rig, seen);
    }
}

void rig_wait(Rig *rig, FixedRamLoadState state)
{
    rig_wait_either(rig, state, state);
}

void rig_hold(Rig *rig, bool held)
{
    QEMU_LOCK_GUARD(&rig->disk.lock);
    rig->disk.held = held;
    qemu_cond_broadcast(&rig->disk.cond);
}

void rig_wait_inside(Rig *rig, unsigned n)
{
    QEMU_LOCK_GUARD(&rig->disk.lock);
    while (rig->disk.inside < n) {
        qemu_cond_wait(&rig->disk.cond, &rig->disk.lock);
    }
}

static bool page_is_right(Rig *rig, const FixedRamBlock *block, uint64_t page,
                          bool *zero)
{
    const uint8_t *mem = block->host + page * RIG_PAGE;
    uint64_t at = block->pages_offset + page * RIG_PAGE;

    *zero = buffer_is_zero(mem, RIG_PAGE);
    return test_bit(page, block->data)
           ? !memcmp(mem, rig->disk.bytes + at, RIG_PAGE) : *zero;
}

void rig_check_page(Rig *rig, const FixedRamBlock *block, uint64_t page)
{
    bool zero;

    if (!page_is_right(rig, block, page, &zero)) {
        g_error("block %s page %" PRIu64 " is wrong%s (data bit %d)",
                block->name, page, zero ? ", all zeros" : "",
                test_bit(page, block->data));
    }
}

void rig_check_all(Rig *rig)
{
    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        FixedRamBlock *block = rig_block(rig, i);

        for (uint64_t page = 0; page < block->length / RIG_PAGE; page++) {
            rig_check_page(rig, block, page);
        }
    }
}

void rig_check_reads(Rig *rig)
{
    uint64_t all = 0, counted = 0;

    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        FixedRamBlock *block = rig_block(rig, i);

        for (uint64_t page = 0; page < block->length / RIG_PAGE; page++) {
            uint64_t at = block->pages_offset + page * RIG_PAGE;
            unsigned times = qatomic_read(&rig->disk.times[at / RIG_PAGE]);

            g_assert_cmpuint(times, ==, !!test_bit(page, block->data));
            counted += times;
        }
    }
    for (uint64_t i = 0; i < rig->disk.size / RIG_PAGE; i++) {
        all += qatomic_read(&rig->disk.times[i]);
    }
    g_assert_cmpuint(all, ==, counted);
}

/* --- touching it --- */

static void touch_page(Toucher *t, const FixedRamBlock *block, uint64_t page)
{
    bool zero;

    if (t->may_fail && !page_is_right(t->rig, block, page, &zero)) {
        /* Zeros in place of data: the load was marked failed before that. */
        g_assert_true(zero);
        g_assert_cmpint(fixed_ram_load_state(t->rig->load), ==,
                        FIXED_RAM_LOAD_FAILED);
    } else {
        rig_check_page(t->rig, block, page);
    }
}

static void touch_all(Toucher *t)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(t->seed);
    uint64_t first[RIG_BLOCKS + 1] = { };
    g_autofree uint32_t *order = NULL;

    for (unsigned i = 0; i < RIG_BLOCKS; i++) {
        first[i + 1] = first[i] + rig_block(t->rig, i)->length / RIG_PAGE;
    }
    order = g_new(uint32_t, first[RIG_BLOCKS]);
    for (uint32_t i = 0; i < first[RIG_BLOCKS]; i++) {
        uint32_t j = g_rand_int_range(rand, 0, i + 1);

        order[i] = order[j];
        order[j] = i;
    }
    for (uint32_t i = 0; i < first[RIG_BLOCKS]; i++) {
        unsigned block = order[i] < first[1] ? 0 : order[i] < first[2] ? 1 : 2;

        touch_page(t, rig_block(t->rig, block), order[i] - first[block]);
    }
}

static void *toucher_thread(void *opaque)
{
    Toucher *t = opaque;

    if (t->block) {
        touch_page(t, t->block, t->page);
    } else {
        touch_all(t);
    }
    qatomic_set(&t->done, true);
    return NULL;
}

void rig_touch(Rig *rig, Toucher *t, FixedRamBlock *block, uint64_t page)
{
    t->rig = rig;
    t->block = block;
    t->page = page;
    qatomic_set(&t->done, false);
    qemu_thread_create(&t->thread, "touch", toucher_thread, t,
                       QEMU_THREAD_JOINABLE);
}

void rig_join(Toucher *t)
{
    qemu_thread_join(&t->thread);
    g_assert_true(qatomic_read(&t->done));
}
