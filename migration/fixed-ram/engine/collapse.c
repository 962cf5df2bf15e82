/*
 * fixed-ram: huge pages for what faults have broken up
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "collapse.h"
#include "map.h"
#include "../trace.h"

/* Since Linux 6.1; not in all C libraries' headers yet. */
#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE   25
#endif

/* After each extent, a pause this many times as long as that took. */
#define PAUSE           1

size_t fixed_ram_collapse(const GPtrArray *extents)
{
    size_t done = 0;

    for (size_t i = 0; i < extents->len; i++) {
        int64_t start = get_clock();
        int ret = madvise(g_ptr_array_index(extents, i),
                          FIXED_RAM_EXTENT_BYTES, MADV_COLLAPSE);

        done += !ret;
        g_usleep((get_clock() - start) * PAUSE / SCALE_US);
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

    qemu_thread_create(&thread, "fixed-ram/huge", collapse_thread, extents,
                       QEMU_THREAD_DETACHED);
}
