/*
 * fixed-ram: unit tests of the engine where the host refuses threads
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <dlfcn.h>
#include "qemu/atomic.h"
#include "qemu/host-utils.h"
#include "qapi/error.h"
#include "migration/fixed-ram/engine/collapse.h"
#include "migration/fixed-ram/engine/internal.h"
#include "rig.h"

/* Which of the next calls of pthread_create() fail: a bit for each; atomic. */
static unsigned long refuse;

/* Takes the place of the C library's function in this program. */
int pthread_create(pthread_t *thread, const pthread_attr_t *attr,
                   void *(*run)(void *), void *opaque)
{
    typedef int Create(pthread_t *, const pthread_attr_t *, void *(*)(void *),
                       void *);
    static Create *create;
    unsigned long next = qatomic_read(&refuse);

    if (!create) {
        create = (Create *)dlsym(RTLD_NEXT, "pthread_create");
        g_assert_nonnull(create);
    }
    qatomic_set(&refuse, next >> 1);
    return next & 1 ? EAGAIN : create(thread, attr, run, opaque);
}

/* On demand the first two threads are fault threads, the others loaders. */
typedef struct Refusal {
    const char *name;
    bool on_demand;
    unsigned loaders;
    unsigned long which;
    bool works;
} Refusal;

static const Refusal refusals[] = {
    { "one-of-each", true, 2, 0b1010, true },
    { "first-of-each", true, 2, 0b0101, true },
    { "all-faults", true, 2, 0b0011, false },
    { "all-loaders", true, 2, 0b1100, false },
    { "all", true, 2, 0b1111, false },
    { "all-without-loaders", true, 0, 0b11, false },
    { "eager", false, 2, 0b01, true },
    { "eager-all", false, 2, 0b11, false },
};

/* Threads of the load that run. */
static unsigned running(Rig *rig)
{
    unsigned n = 0;

    for (unsigned i = 0; i < rig->load->nworkers; i++) {
        n += rig->load->workers[i]->started;
    }
    return n;
}

/* A load starts with the threads that it gets, or says that it cannot. */
static void test_start(const void *opaque)
{
    const Refusal *r = opaque;
    RigOptions o = { .on_demand = r->on_demand, .loaders = r->loaders };
    Rig *rig = rig_new(&o);
    Error *err = NULL;
    bool ok;

    if (!rig) {
        return;
    }
    qatomic_set(&refuse, r->which);
    ok = fixed_ram_load_start(rig->load, &err);
    qatomic_set(&refuse, 0);
    g_assert_true(ok == r->works);
    if (ok) {
        g_assert_cmpuint(running(rig), ==,
                         rig->load->nworkers - ctpopl(r->which));
        rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
        rig_check_complete(rig);
    } else {
        g_assert_nonnull(strstr(error_get_pretty(err), "create the thread"));
        error_free(err);
    }
    rig_free(rig);
}

/*
 * The loader and a fault thread hang while the guest runs, and no thread can
 * take the place of theirs.  One fault thread is left, but no loader: the load
 * stays stalled until there are threads again.
 */
static void test_recover(void)
{
    RigOptions o = { .on_demand = true, .loaders = 1 };
    Rig *rig = rig_new(&o);
    FixedRamSource *source;
    Toucher t = { };
    Error *err = NULL;

    if (!rig) {
        return;
    }
    g_assert_true(fixed_ram_load_guest_runs(rig->load));
    disk_hang(&rig->disk);
    rig_start(rig);
    disk_wait_inside(&rig->disk, 1);
    rig_touch(rig, &t, rig_block(rig, 2), rig_data_page(rig_block(rig, 2), 0));
    disk_wait_inside(&rig->disk, 2);
    rig_pause(rig);

    source = rig_source(rig, DISK_GOOD);
    for (unsigned i = 0; i < 3; i++) {
        qatomic_set(&refuse, ~0UL);
        g_assert_false(fixed_ram_load_recover(rig->load, source, &err));
        qatomic_set(&refuse, 0);
        g_assert_nonnull(strstr(error_get_pretty(err), "create the thread"));
        error_free(g_steal_pointer(&err));
        g_assert_cmpint(fixed_ram_load_state(rig->load), ==,
                        FIXED_RAM_LOAD_STALLED);
    }
    fixed_ram_load_recover(rig->load, source, &error_abort);
    g_assert_cmpuint(running(rig), ==, rig->load->nworkers);
    rig_join(&t);
    rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
    rig_check_complete(rig);
    rig_leave(rig);
    disk_hold(&rig->disk, false);
    rig_free(rig);
}

/* Without a thread nothing is collapsed, and nothing else happens. */
static void test_collapse(void)
{
    qatomic_set(&refuse, 1);
    fixed_ram_collapse_start(g_ptr_array_new());
    g_assert_cmpuint(qatomic_read(&refuse), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (size_t i = 0; i < ARRAY_SIZE(refusals); i++) {
        g_autofree char *name = g_strdup_printf("/fixed-ram/threads/start/%s",
                                                refusals[i].name);

        g_test_add_data_func(name, &refusals[i], test_start);
    }
    g_test_add_func("/fixed-ram/threads/recover", test_recover);
    g_test_add_func("/fixed-ram/threads/collapse", test_collapse);
    return g_test_run();
}
