/*
 * fixed-ram: fuzz a whole load of a small machine
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/lockable.h"
#include "qemu/thread.h"
#include "qapi/error.h"
#include "migration/fixed-ram/load.h"
#include "migration/fixed-ram/uffd.h"
#include "check.h"
#include "fuzz.h"
#include "machine.h"

const char fuzz_name[] = "fuzz-load";
FuzzCounts fuzz_counts;

typedef struct Run {
    const Input *in;
    const Decoded *d;
    FixedRamMap *map;
    FixedRamLoad *load;
    bool on_demand;
    bool guest_runs;            /* errors do not fail the load */
    unsigned sources;           /* bad ones so far */
    unsigned faults;            /* that they had; atomic */
    bool paused;                /* by us */
    QemuMutex lock;
    QemuCond cond;
    unsigned notified;          /* under @lock */
} Run;

/* Once for the whole process. */
static Machine machine;
static bool have_uffd;

static void run_notify(void *opaque)
{
    Run *run = opaque;

    QEMU_LOCK_GUARD(&run->lock);
    run->notified++;
    qemu_cond_signal(&run->cond);
}

static const FixedRamLoadOps run_ops = { .notify = run_notify };

static unsigned run_notified(Run *run)
{
    QEMU_LOCK_GUARD(&run->lock);
    return run->notified;
}

static void wait_notified(Run *run, unsigned seen)
{
    QEMU_LOCK_GUARD(&run->lock);
    while (run->notified == seen) {
        qemu_cond_wait(&run->cond, &run->lock);
    }
}

static FixedRamLoadState wait_for_change(Run *run)
{
    while (true) {
        unsigned seen = run_notified(run);
        FixedRamLoadState state = fixed_ram_load_state(run->load);

        if (state != FIXED_RAM_LOAD_ACTIVE) {
            return state;
        }
        wait_notified(run, seen);
    }
}

static FixedRamSource *next_source(Run *run)
{
    return run->sources++ < run->in->bad_sources % 4
           ? input_bad_source(run->in, &run->faults) : input_source(run->in);
}

/*
 * What memory holds
 */

/* Does the page of @block hold what the file says? */
static bool page_is_right(const Run *run, size_t i, uint64_t page)
{
    const FixedRamBlock *block = fixed_ram_map_block(run->map, i);
    const uint8_t *mem = block->host + page * INPUT_PAGE;
    uint8_t want[INPUT_PAGE];

    decoded_page(run->d, decoded_block(run->d, i), page, want);
    return !memcmp(mem, want, sizeof(want));
}

static void check_memory(const Run *run)
{
    for (size_t i = 0; i < run->map->blocks->len; i++) {
        const FixedRamBlock *block = fixed_ram_map_block(run->map, i);

        for (uint64_t page = 0; page < block->length / INPUT_PAGE; page++) {
            if (!page_is_right(run, i, page)) {
                g_error("block '%s' page %" PRIu64 " is wrong", block->name,
                        page);
            }
        }
    }
}

/* Zeros may be there for data only if the load was marked failed before. */
static void touch_page(const Run *run, size_t i, uint64_t page)
{
    const FixedRamBlock *block = fixed_ram_map_block(run->map, i);
    const uint8_t *mem = block->host + page * INPUT_PAGE;

    if (page_is_right(run, i, page)) {
        return;
    }
    g_assert(buffer_is_zero(mem, INPUT_PAGE));
    g_assert_cmpint(fixed_ram_load_state(run->load), ==,
                    FIXED_RAM_LOAD_FAILED);
}

/* A prime, and more than any block has. */
#define STRIDES 641

/* Does the guest look at everything?  It must, if nobody else brings it. */
static uint64_t pages_wanted(const Input *in)
{
    return in->order & 0x80 && in->loaders % 4 ? in->order & 0x3f : STRIDES;
}

/* The guest: looks at each page once, in an order that the input chooses. */
static void *guest_thread(void *opaque)
{
    static const unsigned strides[] = { 1, 7, 13, 29, 320, 640 };
    const Run *run = opaque;
    uint8_t order = run->in->order;
    unsigned stride = strides[order % ARRAY_SIZE(strides)];

    for (size_t n = 0; n < run->map->blocks->len; n++) {
        size_t i = (n + order) % run->map->blocks->len;
        uint64_t pages = fixed_ram_map_block(run->map, i)->length / INPUT_PAGE;

        for (uint64_t k = 0; k < pages_wanted(run->in); k++) {
            uint64_t page = (k * stride + order) % STRIDES;

            if (page < pages) {
                touch_page(run, i, page);
            }
        }
    }
    return NULL;
}

/*
 * A load
 */

static void check_stalled(Run *run)
{
    Error *err = fixed_ram_load_error(run->load);

    if (strstr(error_get_pretty(err), "paused by")) {
        g_assert(run->paused);
        error_free(err);
        return;
    }
    g_assert(qatomic_read(&run->faults));
    g_assert(strstr(error_get_pretty(err), "block '"));
    check_error(err);
}

/* Until all is there, or nothing will come any more. */
static FixedRamLoadState run_to_end(Run *run)
{
    FixedRamLoadState state;

    while ((state = wait_for_change(run)) == FIXED_RAM_LOAD_STALLED) {
        g_assert(run->guest_runs);
        check_stalled(run);
        fixed_ram_load_recover(run->load, next_source(run), &error_abort);
    }
    if (state == FIXED_RAM_LOAD_FAILED) {
        g_assert(!run->guest_runs);
        check_stalled(run);
    }
    return state;
}

static void run_pause(Run *run)
{
    Error *err = NULL;

    error_setg(&err, "paused by somebody");
    run->paused = true;
    fixed_ram_load_stall(run->load, err);
}

static void run_prepare(Run *run)
{
    Error *err = NULL;

    machine_soil(run->map);
    if (!run->on_demand) {
        machine_zero(run->map);
        return;
    }
    if (!fixed_ram_load_register(run->load, &err)) {
        g_error("%s", error_get_pretty(err));
    }
    machine_empty(run->map);
    if (run->in->flags & INPUT_RUNS_EARLY) {
        run->guest_runs = fixed_ram_load_guest_runs(run->load);
        g_assert(run->guest_runs);
    }
}

static void check_end(const Run *run, FixedRamLoadState state)
{
    const FixedRamLoadStats *stats = fixed_ram_load_stats(run->load);

    if (state == FIXED_RAM_LOAD_FAILED) {
        fuzz_counts.failed++;
        return;
    }
    check_memory(run);
    g_assert_cmpuint(qatomic_read(&stats->fault_bytes) +
                     qatomic_read(&stats->loader_bytes), ==,
                     run->map->wanted);
    fuzz_counts.taken++;
}

static void run_load(Run *run)
{
    bool on_demand = run->on_demand;
    FixedRamLoadConfig config = {
        .on_demand = on_demand,
        .loaders = MAX(run->in->loaders % 4, !on_demand),
        .ops = &run_ops,
        .opaque = run,
    };
    unsigned open = input_sources_open();
    FixedRamLoadState state;
    QemuThread guest;

    run->load = fixed_ram_load_new(run->map, next_source(run), &config,
                                   &error_abort);
    run_prepare(run);
    fixed_ram_load_start(run->load);
    if (on_demand) {
        qemu_thread_create(&guest, "guest", guest_thread, run,
                           QEMU_THREAD_JOINABLE);
    }
    if (run->in->flags & INPUT_RUNS_LATE && on_demand && !run->guest_runs) {
        run->guest_runs = fixed_ram_load_guest_runs(run->load);
    }
    if (run->in->flags & INPUT_PAUSE) {
        run_pause(run);
    }
    state = run_to_end(run);
    if (on_demand) {
        qemu_thread_join(&guest);
    }
    check_end(run, state);
    fixed_ram_load_free(run->load);
    /* It does not wait for who read when it was paused. */
    while (input_sources_open() > open) {
        g_usleep(10);
    }
}

static bool runs_on_demand(const Input *in)
{
    return have_uffd && in->flags & INPUT_ON_DEMAND;
}

static void load_snapshot(const Input *in, const FixedRamSnapshot *s,
                          FixedRamMap *map)
{
    g_autoptr(Decoded) d = decode(in);
    Run run = {
        .in = in, .d = d, .map = map,
        .on_demand = runs_on_demand(in),
    };

    check_snapshot(s, d);
    for (size_t i = 0; i < map->blocks->len; i++) {
        check_bitmap(fixed_ram_map_block(map, i)->data, d, i);
    }
    qemu_mutex_init(&run.lock);
    qemu_cond_init(&run.cond);
    run_load(&run);
    qemu_cond_destroy(&run.cond);
    qemu_mutex_destroy(&run.lock);
    fuzz_counts.faults += run.faults;
}

/* NULL: refused. */
static FixedRamMap *preflight(const Input *in, FixedRamSource *source,
                              FixedRamSnapshot **s)
{
    uint64_t unit = runs_on_demand(in) && in->flags & INPUT_UNITS
                    ? 4 * INPUT_PAGE : INPUT_PAGE;
    Error *err = NULL;
    FixedRamMap *map;

    *s = fixed_ram_format_read(source, in->start, INPUT_PAGE, &err);
    if (!*s) {
        check_error(err);
        return NULL;
    }
    if (!machine_match(*s, &err)) {
        error_free(err);
        return NULL;
    }
    map = machine_map(&machine, *s, source, unit, &err);
    if (!map) {
        check_error(err);
    }
    return map;
}

static void fuzz_init(void)
{
    FixedRamUffd uffd;

    machine_init(&machine);
    have_uffd = fixed_ram_uffd_open(&uffd, NULL);
    if (have_uffd) {
        fixed_ram_uffd_close(&uffd);
    } else {
        printf("# no userfaultfd here: all loads are eager\n");
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    g_autoptr(FixedRamSnapshot) s = NULL;
    g_autoptr(FixedRamSource) source = NULL;
    g_autoptr(FixedRamMap) map = NULL;
    Input in;

    if (!machine.host[0]) {
        fuzz_init();
    }
    if (!input_parse(&in, data, size)) {
        return 0;
    }
    source = input_source(&in);
    map = preflight(&in, source, &s);
    if (map) {
        load_snapshot(&in, s, map);
    } else {
        fuzz_counts.refused++;
    }
    return 0;
}
