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
#include "migration/fixed-ram/engine/load.h"
#include "migration/fixed-ram/engine/uffd.h"
#include "migration/fixed-ram/format/snapshot.h"
#include "check.h"
#include "check-pages.h"
#include "check-set.h"
#include "fuzz.h"
#include "layers.h"
#include "machine.h"

const char fuzz_name[] = "fuzz-load";
FuzzCounts fuzz_counts;

/* A file, as it is when the load begins. */
typedef struct Opened {
    FixedRamSource *source;
    FixedRamSnapshot *snapshot;
    FixedRamMap *map;
    FixedRamWorkingSet *set;    /* NULL: none is to come first */
} Opened;

typedef struct Run {
    const Input *in;
    const FixedRamSnapshot *snapshot;
    const Decoded *d;
    FixedRamSumTable *sums;     /* NULL: nothing is verified */
    BadClusters *bad;           /* which then must not be taken */
    FixedRamMap *map;
    const FixedRamWorkingSet *set;
    FixedRamLoad *load;
    bool on_demand;
    bool guest_runs;            /* errors do not fail the load */
    unsigned sources;           /* bad ones so far */
    unsigned faults;            /* that they had; atomic */
    bool paused;                /* by us */
    bool given_up;              /* the guest runs, but for nothing; atomic */
    bool touched;               /* the guest has touched all; atomic */
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

/* Until then loaders load nothing.  Does nothing if there is no record. */
static void end_record(Run *run)
{
    g_autoptr(FixedRamWorkingSet) set = fixed_ram_load_end_record(run->load);

    for (size_t i = 0; set && i < set->runs->len; i++) {
        const FixedRamSetRun *r = fixed_ram_working_set_run(set, i);
        const FixedRamBlock *block = fixed_ram_map_block(run->map, r->block);

        g_assert_cmpuint((r->first + r->pages) * INPUT_PAGE, <=,
                         ROUND_UP(block->length, block->unit));
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
        if (qatomic_read(&run->touched)) {
            end_record(run);
        }
        wait_notified(run, seen);
    }
}

/* Takes @own.  NULL: it is a delta's, and what must be read first cannot be. */
static FixedRamSource *with_layers(const Run *run, FixedRamSource *own,
                                   unsigned *faults)
{
    FixedRamSnapshot s = *run->snapshot;
    Error *err = NULL;

    s.source = own;
    s.layers = NULL;
    if (!fixed_ram_layers_open(&s, layers_config(run->in, faults), &err)) {
        g_assert(faults && qatomic_read(faults));
        check_error(err);
        fixed_ram_source_unref(own);
        return NULL;
    }
    return s.source;
}

static FixedRamSource *next_source(Run *run)
{
    FixedRamSource *source = NULL;

    while (!source) {
        bool bad = run->sources++ < run->in->bad_sources % 4;
        unsigned *faults = bad ? &run->faults : NULL;

        source = with_layers(run, input_bad_source(run->in, faults), faults);
    }
    return source;
}

/*
 * What memory holds
 */

/* A page may come from the packed copy, too. */
static bool page_is_packed(const Run *run, size_t i, uint64_t page,
                           const uint8_t *mem)
{
    uint8_t want[INPUT_PAGE];

    return run->set &&
           packed_page(run->set, run->d, i, page, run->sums, want) &&
           !memcmp(mem, want, sizeof(want));
}

/*
 * Does the page hold what the file says?  If it is verified that counts only
 * where it is what was saved.
 */
static bool page_is_right(const Run *run, size_t i, uint64_t page)
{
    const FixedRamBlock *block = fixed_ram_map_block(run->map, i);
    const uint8_t *mem = block->host + page * INPUT_PAGE;
    bool data = test_bit(page, block->data);
    uint8_t want[INPUT_PAGE];

    if (!data || !bad_clusters_have(run->bad, i, page)) {
        decoded_page(run->d, decoded_block(run->d, i), page, want);
        if (!memcmp(mem, want, sizeof(want))) {
            return true;
        }
    }
    return data && page_is_packed(run, i, page, mem);
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

/*
 * Zeros may be there for data only if the load was marked failed before, or we
 * have ended it since nothing would come any more.
 */
static void touch_page(const Run *run, size_t i, uint64_t page)
{
    const FixedRamBlock *block = fixed_ram_map_block(run->map, i);
    const uint8_t *mem = block->host + page * INPUT_PAGE;

    if (page_is_right(run, i, page)) {
        return;
    }
    g_assert(buffer_is_zero(mem, INPUT_PAGE));
    if (qatomic_read(&run->given_up)) {
        return;
    }
    g_assert_cmpint(fixed_ram_load_state(run->load), ==,
                    FIXED_RAM_LOAD_FAILED);
}

/* A prime, and more than any block has. */
#define STRIDES 641

/* Does the guest look at everything?  It must, if no loader loads it. */
static uint64_t pages_wanted(const Input *in)
{
    return in->order & 0x80 && in->loaders % 4 ? in->order & 0x3f : STRIDES;
}

/* The guest: looks at each page once, in an order that the input chooses. */
static void *guest_thread(void *opaque)
{
    static const unsigned strides[] = { 1, 7, 13, 29, 320, 640 };
    Run *run = opaque;
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
    qatomic_set(&run->touched, true);
    run_notify(run);
    return NULL;
}

/*
 * A load
 */

/* Returns whether another source may help. */
static bool check_stalled(Run *run)
{
    Error *err = fixed_ram_load_error(run->load);
    const char *text = error_get_pretty(err);
    bool bad;

    if (strstr(text, "paused by")) {
        g_assert(run->paused);
        error_free(err);
        return true;
    }
    bad = strstr(text, ": checksum 0x") &&
          bad_clusters_named(run->bad, run->d, text);
    g_assert(bad || qatomic_read(&run->faults));
    g_assert(strstr(text, "block '"));
    check_error(err);
    return !bad;
}

/*
 * Until all is there, or nothing will come any more: what is bad in the file
 * is so in all sources.
 */
static FixedRamLoadState run_to_end(Run *run)
{
    FixedRamLoadState state;

    while ((state = wait_for_change(run)) == FIXED_RAM_LOAD_STALLED) {
        g_assert(run->guest_runs);
        if (!check_stalled(run)) {
            qatomic_set(&run->given_up, true);
            break;
        }
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

    error_setg(&err, "paused by the fuzzer");
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

    if (state != FIXED_RAM_LOAD_COMPLETE) {
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
        .sums = run->sums,
        .record = on_demand && run->in->flags & INPUT_RECORD,
        .set = run->set,
        .ops = &run_ops,
        .opaque = run,
    };
    unsigned open = input_sources_open();
    FixedRamLoadState state;
    QemuThread guest;

    run->load = fixed_ram_load_new(run->map, next_source(run), &config,
                                   &error_abort);
    run_prepare(run);
    fixed_ram_load_start(run->load, &error_abort);
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
    if (on_demand && !run->given_up) {
        qemu_thread_join(&guest);
    }
    check_end(run, state);
    fixed_ram_load_free(run->load);
    if (run->given_up) {
        qemu_thread_join(&guest);       /* nothing has it wait any more */
    }
    /* A recovery does not wait for reads that began before the pause. */
    while (input_sources_open() > open) {
        g_usleep(10);
    }
}

static bool runs_on_demand(const Input *in)
{
    return have_uffd && in->flags & INPUT_ON_DEMAND;
}

/* Have pages verified, if that is wanted and the snapshot has sums. */
static void run_verify(Run *run, const FixedRamIndex *index)
{
    if (index && !(run->in->flags & INPUT_UNVERIFIED)) {
        run->sums = fixed_ram_sumtable_new(index);
    }
    run->bad = run->sums ? bad_clusters(index, run->d)
                         : g_array_new(false, false, 1);
    for (size_t i = 0; run->sums && i < run->map->blocks->len; i++) {
        fixed_ram_map_block(run->map, i)->first_cluster =
            fixed_ram_index_block(index, i)->first_cluster;
    }
}

static void load_snapshot(Input *in, const Opened *o)
{
    g_autoptr(Decoded) d = decode(in);
    FixedRamMap *map = o->map;
    Run run = {
        .in = in, .snapshot = o->snapshot, .d = d, .map = map, .set = o->set,
        .on_demand = runs_on_demand(in),
    };

    check_snapshot(o->snapshot->ram, d);
    if (o->snapshot->layers) {
        layers_decode(d);
    }
    run_verify(&run, o->snapshot->index);
    in->verified = run.sums;
    for (size_t i = 0; i < map->blocks->len; i++) {
        check_bitmap(fixed_ram_map_block(map, i)->data, d, i);
    }
    qemu_mutex_init(&run.lock);
    qemu_cond_init(&run.cond);
    run_load(&run);
    qemu_cond_destroy(&run.cond);
    qemu_mutex_destroy(&run.lock);
    fuzz_counts.faults += run.faults;
    fixed_ram_sumtable_unref(run.sums);
    g_array_unref(run.bad);
}

/*
 * Before the load, as migration/fixed-ram/preflight.c does it
 */

static bool verify(const Opened *o, const Input *in, Error **errp)
{
    const FixedRamIndex *index = o->snapshot->index;

    return !index || in->flags & INPUT_UNVERIFIED ||
           fixed_ram_index_verify_stream(index, o->snapshot->source, errp);
}

/* Damage to the set costs the load nothing else. */
static void read_set(Opened *o, const Input *in)
{
    const FixedRamIndex *index = o->snapshot->index;
    Error *err = NULL;

    if (!o->map || !index || !index->has_set || !runs_on_demand(in) ||
        in->flags & INPUT_RECORD) {
        return;
    }
    o->set = fixed_ram_working_set_read(index, o->snapshot->source, &err);
    if (!o->set) {
        check_error(err);
    }
}

/* False: refused. */
static bool preflight(Opened *o, const Input *in)
{
    uint64_t unit = runs_on_demand(in) && in->flags & INPUT_UNITS
                    ? 4 * INPUT_PAGE : INPUT_PAGE;
    Error *err = NULL;

    o->source = input_source(in);
    o->snapshot = fixed_ram_snapshot_open(o->source, in->start, INPUT_PAGE,
                                          &err);
    if (o->snapshot && !machine_match(o->snapshot->ram, &err)) {
        error_free(err);
        return false;
    }
    if (o->snapshot &&
        fixed_ram_layers_open(o->snapshot, layers_config(in, NULL), &err) &&
        verify(o, in, &err) &&
        fixed_ram_snapshot_identify(o->snapshot, &err)) {
        o->map = machine_map(&machine, o->snapshot->ram, o->snapshot->source,
                             unit, &err);
    }
    if (err) {
        check_error(err);
    } else {
        read_set(o, in);
    }
    return o->map;
}

static void opened_close(Opened *o)
{
    fixed_ram_working_set_free(o->set);
    fixed_ram_map_free(o->map);
    fixed_ram_snapshot_free(o->snapshot);
    fixed_ram_source_unref(o->source);
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
    Opened opened = { };
    Input in;

    if (!machine.host[0]) {
        fuzz_init();
    }
    if (!input_parse(&in, data, size)) {
        return 0;
    }
    if (preflight(&opened, &in)) {
        load_snapshot(&in, &opened);
    } else {
        fuzz_counts.refused++;
    }
    opened_close(&opened);
    return 0;
}
