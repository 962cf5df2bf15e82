/*
 * fixed-ram: huge pages for extents that faults have split
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/timer.h"
#include "collapse.h"
#include "map.h"
#include "../trace.h"
#include "../util/thread.h"

/* Since Linux 6.1; not yet in the headers of all C libraries. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE   25
#endif

size_t fixed_ram_collapse(const GPtrArray *extents)
{
    size_t done = 0;

    for (size_t i = 0; i < extents->len; i++) {
        int64_t start = get_clock();
        int ret = madvise(g_ptr_array_index(extents, i),
                          FIXED_RAM_EXTENT_BYTES, MADV_COLLAPSE);

        done += !ret;
        /* Leave the CPU to the guest for as long as this took. */
        g_usleep((get_clock() - start) / SCALE_US);
    }
    trace_fixed_ram_collapse(done, extents->len);
    return done;
}

static void *collapse_thread(void *opaque)
{
    g_autoptr(GPtrArray) extents = opaque;

    fixed_ram_collapse(extents);
    return NULL;
}

void fixed_ram_collapse_start(GPtrArray *extents)
{
    QemuThread thread;

    if (!fixed_ram_thread_create(&thread, "fixed-ram/huge", collapse_thread,
                                 extents, QEMU_THREAD_DETACHED, NULL)) {
        trace_fixed_ram_collapse(0, extents->len);
        g_ptr_array_unref(extents);
    }
}
