/*
 * fixed-ram: pages of a mapping that the kernel cannot read
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/event_notifier.h"
#include "qemu/futex.h"
#include "qemu/lockable.h"
#include "qemu/memalign.h"
#include "qemu/thread.h"
#include "repair.h"
#include "verify.h"
#include "../trace.h"
#include "../util/memory.h"
#include "../util/thread.h"

#define WAITING_MS      100
/* Threads that may wait at once; more of them look for a free slot. */
#define SLOTS           64

/*
 * A slot belongs to the thread whose signal handler took it, except between
 * SLOT_WAITING, which the handler sets, and SLOT_DONE, which the repair thread
 * sets.  Then @page is the repair thread's to read.
 */
enum { SLOT_FREE, SLOT_TAKEN, SLOT_WAITING, SLOT_DONE };

typedef struct Slot {
    unsigned state;             /* atomic; a futex */
    uint8_t *page;
} Slot;

/* A block that is a mapping. */
typedef struct Range {
    const FixedRamBlock *block;
    uint8_t *host;              /* atomic; NULL: unplugged */
} Range;

static struct {
    /* Do not change after the start. */
    FixedRamSource *source;
    GArray *ranges;
    FixedRamSumTable *sums;     /* or NULL */
    const FixedRamRepairOps *ops;
    struct sigaction old;       /* what came before our handler */
    size_t page_size;

    EventNotifier wake;         /* a slot waits, or another attempt is wanted */
    Slot slots[SLOTS];

    QemuMutex lock;
    /* Guarded by @lock */
    FixedRamSource *copy;       /* or NULL */
    GArray *replaced;           /* addresses of pages from a copy; or NULL */

    /* The repair thread's. */
    bool failing;               /* see failed() */
    bool cut;                   /* the file was cut: nothing helps */
} repair;

static const Range *find_range(const uint8_t *addr)
{
    for (size_t i = 0; i < repair.ranges->len; i++) {
        const Range *range = &g_array_index(repair.ranges, Range, i);
        const uint8_t *host = qatomic_read(&range->host);

        if (host && addr >= host && addr < host + range->block->length) {
            return range;
        }
    }
    return NULL;
}

/*
 * The signal handler: no locks, no memory, nothing but system calls
 */

static Slot *take_slot(void)
{
    while (true) {
        for (size_t i = 0; i < SLOTS; i++) {
            if (qatomic_cmpxchg(&repair.slots[i].state, SLOT_FREE,
                                SLOT_TAKEN) == SLOT_FREE) {
                return &repair.slots[i];
            }
        }
        usleep(1000);
    }
}

static void wait_for_page(uint8_t *page)
{
    Slot *slot = take_slot();

    slot->page = page;
    qatomic_store_release(&slot->state, SLOT_WAITING);
    event_notifier_set(&repair.wake);
    while (qatomic_load_acquire(&slot->state) == SLOT_WAITING) {
        qemu_futex_wait(&slot->state, SLOT_WAITING);
    }
    qatomic_store_release(&slot->state, SLOT_FREE);
}

static void call_old_handler(int n, siginfo_t *info, void *context)
{
    if (repair.old.sa_flags & SA_SIGINFO) {
        repair.old.sa_sigaction(n, info, context);
    } else if (repair.old.sa_handler == SIG_DFL ||
               repair.old.sa_handler == SIG_IGN) {
        /* The access is repeated, and ends the process. */
        signal(SIGBUS, SIG_DFL);
    } else {
        repair.old.sa_handler(n);
    }
}

static void on_sigbus(int n, siginfo_t *info, void *context)
{
    uint8_t *addr = info->si_addr;
    int saved = errno;

    if (info->si_code == BUS_ADRERR && find_range(addr)) {
        wait_for_page(QEMU_ALIGN_PTR_DOWN(addr, repair.page_size));
    } else {
        call_old_handler(n, info, context);
    }
    errno = saved;
}

/*
 * The repair thread
 */

static FixedRamSource *get_copy(void)
{
    QEMU_LOCK_GUARD(&repair.lock);
    return repair.copy ? fixed_ram_source_ref(repair.copy) : NULL;
}

/*
 * One system call replaces the page, so no thread sees it half done.  Another
 * thread can have written to the page meanwhile only if the file could be read
 * again: then the caller has not come here.
 */
static bool put_in_place(void *page, void *bytes, Error **errp)
{
    if (mremap(bytes, repair.page_size, repair.page_size,
               MREMAP_MAYMOVE | MREMAP_FIXED, page) == MAP_FAILED) {
        error_setg_errno(errp, errno, "a page of the copy cannot be put in "
                         "place");
        return false;
    }
    return true;
}

static void *new_page(Error **errp)
{
    void *page = mmap(NULL, repair.page_size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page == MAP_FAILED) {
        error_setg_errno(errp, errno, "there is no memory for a page");
        return NULL;
    }
    return page;
}

/*
 * The copy was found to be the same snapshot when it was opened, but its pages
 * were not read.  A checksum is that of a cluster.
 */
static bool read_copy(FixedRamSource *copy, const FixedRamBlock *block,
                      uint64_t offset, void *page, Error **errp)
{
    uint64_t first = ROUND_DOWN(offset, FIXED_RAM_CLUSTER_BYTES);
    uint8_t *buf = qemu_memalign(FIXED_RAM_CLUSTER_BYTES,
                                 FIXED_RAM_CLUSTER_BYTES);
    bool ok;

    memset(buf, 0, FIXED_RAM_CLUSTER_BYTES);
    ok = fixed_ram_verify_read(block, first, copy, buf, errp) &&
         (!repair.sums || fixed_ram_verify_cluster(block, first, buf,
                                                   repair.sums, copy, errp));
    if (ok) {
        memcpy(page, buf + (offset - first), repair.page_size);
    }
    qemu_vfree(buf);
    return ok;
}

static void note_replaced(uint8_t *page)
{
    QEMU_LOCK_GUARD(&repair.lock);
    if (!repair.replaced) {
        repair.replaced = g_array_new(false, false, sizeof(page));
    }
    g_array_append_val(repair.replaced, page);
}

/* What the file does not give, for the reason in *@errp, the copy may. */
static bool take_from_copy(const FixedRamBlock *block, uint64_t offset,
                           uint8_t *page, Error **errp)
{
    g_autoptr(FixedRamSource) copy = get_copy();
    Error *err = NULL;
    void *bytes;
    bool ok;

    if (!copy) {
        return false;
    }
    bytes = new_page(&err);
    ok = bytes && read_copy(copy, block, offset, bytes, &err) &&
         put_in_place(page, bytes, &err);
    if (!ok) {
        error_free(*errp);
        *errp = err;
    }
    if (ok) {
        note_replaced(page);
    } else if (bytes) {
        munmap(bytes, repair.page_size);
    }
    return ok;
}

/*
 * When a file is cut the kernel drops the pages that were behind the new end,
 * those as well that the guest has written to: no copy of the file has these.
 */
static bool check_cut(Error **errp)
{
    repair.cut = repair.cut || fixed_ram_source_was_cut(repair.source);
    if (repair.cut) {
        error_setg(errp, "snapshot '%s' was cut while it was mapped: what the "
                   "guest has written there is lost", repair.source->name);
    }
    return !repair.cut;
}

static bool read_page(const FixedRamBlock *block, uint64_t offset,
                      uint8_t *page, Error **errp)
{
    ERRP_GUARD();
    g_autofree void *bytes = g_malloc(repair.page_size);
    bool ok = check_cut(errp) &&
              (fixed_ram_source_read(repair.source, bytes, repair.page_size,
                                     block->pages_offset + offset, errp) ||
               take_from_copy(block, offset, page, errp));

    trace_fixed_ram_repair(block->name, offset, ok);
    if (!ok) {
        error_prepend(errp, "block '%s' offset 0x%" PRIx64 ": ", block->name,
                      offset);
    }
    return ok;
}

/* Returns why the page cannot be read, or NULL if it can be, now. */
static Error *repair_page(uint8_t *page)
{
    const Range *range = find_range(page);
    const uint8_t *host = range ? qatomic_read(&range->host) : NULL;
    Error *err = NULL;

    if (host && !read_page(range->block, page - host, page, &err)) {
        return err;
    }
    error_free(err);
    return NULL;
}

static void finish_slot(Slot *slot)
{
    qatomic_store_release(&slot->state, SLOT_DONE);
    qemu_futex(&slot->state, FUTEX_WAKE, INT_MAX, NULL, NULL, 0);
}

/* Returns the last error, or NULL if no thread waits any longer. */
static Error *repair_all(void)
{
    Error *last = NULL;

    for (size_t i = 0; i < SLOTS; i++) {
        Slot *slot = &repair.slots[i];
        Error *err;

        if (qatomic_load_acquire(&slot->state) != SLOT_WAITING) {
            continue;
        }
        err = repair_page(slot->page);
        if (err) {
            error_free(last);
            last = err;
        } else {
            finish_slot(slot);
        }
    }
    return last;
}

static void attempt(void)
{
    Error *err = repair_all();

    if (err) {
        repair.failing = true;
        repair.ops->failed(err);
    } else if (repair.failing) {
        repair.failing = false;
        repair.ops->repaired();
    }
}

static void *repair_thread(void *opaque)
{
    while (true) {
        GPollFD fd = {
            .fd = event_notifier_get_fd(&repair.wake), .events = G_IO_IN,
        };

        if (g_poll(&fd, 1, repair.failing ? WAITING_MS : -1) > 0) {
            event_notifier_test_and_clear(&repair.wake);
            attempt();
        } else if (repair.failing) {
            repair.ops->waiting();
        }
    }
    return NULL;
}

/*
 * System calls
 */

/* Returns NULL if all pages of the block can be read. */
static uint8_t *find_bad(const Range *range)
{
    uint8_t *host = qatomic_read(&range->host);
    uint64_t length = host ? range->block->length : 0;

    for (uint64_t at = 0; at < length; at += FIXED_RAM_EXTENT_BYTES) {
        uint64_t step = MIN(length - at, FIXED_RAM_EXTENT_BYTES);
        size_t good = fixed_ram_memory_readable(host + at, step);

        if (good < step) {
            return host + at + good;
        }
    }
    return NULL;
}

bool fixed_ram_repair_wait_for_bad(void)
{
    for (size_t i = 0; repair.source && i < repair.ranges->len; i++) {
        uint8_t *bad = find_bad(&g_array_index(repair.ranges, Range, i));

        if (bad) {
            qatomic_read(bad);
            return true;
        }
    }
    return false;
}

/*
 * For others
 */

void fixed_ram_repair_this_thread(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGBUS);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void install_handler(void)
{
    struct sigaction action = {
        .sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO,
    };

    sigaction(SIGBUS, &action, &repair.old);
    fixed_ram_repair_this_thread();
}

static GArray *ranges_of(const FixedRamMap *map)
{
    GArray *ranges = g_array_new(false, false, sizeof(Range));

    for (size_t i = 0; i < map->blocks->len; i++) {
        const FixedRamBlock *block = fixed_ram_map_block(map, i);
        Range range = { .block = block, .host = block->host };

        g_array_append_val(ranges, range);
    }
    return ranges;
}

bool fixed_ram_repair_start(FixedRamSource *source, const FixedRamMap *map,
                            FixedRamSumTable *sums,
                            const FixedRamRepairOps *ops)
{
    QemuThread thread;

    assert(!repair.source);
    qemu_mutex_init(&repair.lock);
    repair.page_size = qemu_real_host_page_size();
    repair.ranges = ranges_of(map);
    repair.sums = fixed_ram_sumtable_ref(sums);
    repair.ops = ops;
    if (event_notifier_init(&repair.wake, 0) < 0 ||
        !fixed_ram_thread_create(&thread, "fixed-ram/fix", repair_thread, NULL,
                                 QEMU_THREAD_DETACHED, NULL)) {
        return false;
    }
    repair.source = fixed_ram_source_ref(source);
    install_handler();
    return true;
}

void fixed_ram_repair_retry(FixedRamSource *copy)
{
    WITH_QEMU_LOCK_GUARD(&repair.lock) {
        if (copy) {
            fixed_ram_source_unref(repair.copy);
            repair.copy = fixed_ram_source_ref(copy);
        }
    }
    event_notifier_set(&repair.wake);
}

bool fixed_ram_repair_waiting(void)
{
    for (size_t i = 0; i < SLOTS; i++) {
        if (qatomic_read(&repair.slots[i].state) == SLOT_WAITING) {
            return true;
        }
    }
    return false;
}

GArray *fixed_ram_repair_take_replaced(void)
{
    if (!repair.source) {
        return NULL;
    }
    QEMU_LOCK_GUARD(&repair.lock);
    return g_steal_pointer(&repair.replaced);
}

void fixed_ram_repair_forget(const void *host)
{
    for (size_t i = 0; repair.source && i < repair.ranges->len; i++) {
        Range *range = &g_array_index(repair.ranges, Range, i);

        if (range->host == host) {
            qatomic_set(&range->host, NULL);
        }
    }
}
