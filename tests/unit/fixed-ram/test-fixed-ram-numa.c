/*
 * fixed-ram: unit tests of the NUMA policy of pages that are moved
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <linux/mempolicy.h>
#include <sys/syscall.h>
#include "migration/fixed-ram/engine/internal.h"
#include "migration/fixed-ram/engine/numa.h"
#include "rig.h"

#define NODES_MAX   4096

/* Node 0 exists everywhere. */
static bool set_policy(void *mem, size_t size, int mode)
{
    unsigned long nodes[NODES_MAX / BITS_PER_LONG] = { 1 };

    if (mode == MPOL_DEFAULT) {
        nodes[0] = 0;
    }
    return !syscall(SYS_mbind, mem, size, mode, nodes, NODES_MAX, 0);
}

static int policy(const void *mem)
{
    int mode;

    g_assert_cmpint(syscall(SYS_get_mempolicy, &mode, NULL, 0, mem,
                            MPOL_F_ADDR), ==, 0);
    return mode;
}

static void test_follow(void)
{
    static const int modes[] = {
        MPOL_BIND, MPOL_INTERLEAVE, MPOL_PREFERRED, MPOL_DEFAULT,
    };
    size_t size = 16 * qemu_real_host_page_size();
    uint8_t *mem = mmap(NULL, 2 * size, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    uint8_t *like = mem + size;

    g_assert_true(mem != MAP_FAILED);
    for (size_t i = 0; i < ARRAY_SIZE(modes); i++) {
        if (!set_policy(like, size, modes[i])) {
            g_test_skip("this host has no NUMA policies");
            break;
        }
        *mem = 1;
        g_assert_true(fixed_ram_numa_follow(mem, size, like));
        g_assert_cmpint(policy(mem), ==, modes[i]);
        g_assert_cmpint(policy(mem + size - 1), ==, modes[i]);
        /* No page from before the change is left. */
        g_assert_cmpuint(*mem, ==, 0);
        *mem = 2;
        g_assert_true(fixed_ram_numa_follow(mem, size, like));
        g_assert_cmpuint(*mem, ==, 2);
    }
    munmap(mem, 2 * size);
}

/* Extents are moved out of buffers that have the policy of the block. */
static void test_load(void)
{
    /* More moves than a buffer is used for. */
    RigOptions o = { .on_demand = true, .loaders = 1, .more = 40 };
    Rig *rig = rig_can_move(&o) ? rig_new(&o) : NULL;
    FixedRamBlock *block;
    FixedRamWorker *w;

    if (!rig) {
        g_test_skip("this kernel cannot move pages");
        return;
    }
    block = rig_block(rig, 0);
    if (set_policy(block->host, block->length, MPOL_BIND)) {
        rig_start(rig);
        rig_wait(rig, FIXED_RAM_LOAD_COMPLETE);
        rig_check_complete(rig);
        fixed_ram_load_end(rig->load);
        w = rig->load->workers[rig->load->nworkers - 1];
        g_assert_false(w->fault);
        if (rig_whole(rig, RIG_FULL)) {
            g_assert_cmpint(policy(w->buf.mem), ==, MPOL_BIND);
            g_assert_cmpint(policy(w->buf.mem + w->buf.size - 1), ==,
                            MPOL_BIND);
        }
    } else {
        g_test_skip("this host has no NUMA policies");
    }
    rig_free(rig);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/numa/follow", test_follow);
    g_test_add_func("/fixed-ram/numa/load", test_load);
    return g_test_run();
}
