/*
 * fixed-ram: the NUMA policy of memory whose pages are moved
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include "qemu/bitmap.h"
#include "qemu/madvise.h"
#include "numa.h"

/* More nodes than any kernel is built for. */
#define NODES_MAX   4096

typedef struct Policy {
    int mode;
    DECLARE_BITMAP(nodes, NODES_MAX);
} Policy;

static bool get_policy(Policy *policy, const void *addr)
{
    *policy = (Policy) { };
    return !syscall(SYS_get_mempolicy, &policy->mode, policy->nodes,
                    NODES_MAX, addr, MPOL_F_ADDR);
}

bool fixed_ram_numa_follow(void *buf, size_t size, const void *like)
{
    Policy wanted, now;

    if (!get_policy(&wanted, like) || !get_policy(&now, buf)) {
        /* There is no NUMA, or a sandbox forbids policies. */
        return true;
    }
    if (!memcmp(&wanted, &now, sizeof(now))) {
        return true;
    }
    qemu_madvise(buf, size, QEMU_MADV_DONTNEED);
    return !syscall(SYS_mbind, buf, size, wanted.mode, wanted.nodes,
                    NODES_MAX + 1, 0);
}
