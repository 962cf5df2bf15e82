/*
 * fixed-ram: pages that can never be had
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "trace.h"
#include "worker.h"

static FixedRamBlock *find_block(FixedRamLoad *load, const char *name)
{
    for (size_t i = 0; i < load->map->blocks->len; i++) {
        FixedRamBlock *block = fixed_ram_map_block(load->map, i);

        if (!strcmp(block->name, name)) {
            return block;
        }
    }
    return NULL;
}

/* Nobody else has a say in the unit of @claim now. */
static bool poison_claim(FixedRamLoad *load, const FixedRamClaim *claim,
                         const FixedRamRun *run, Error **errp)
{
    FixedRamBlock *block = claim->block;
    int ret = fixed_ram_uffd_poison(&load->uffd, block->host + run->offset,
                                    run->length);

    trace_fixed_ram_give_up(block->name, run->offset, run->length, ret);
    if (ret < 0) {
        fixed_ram_map_return(claim);
        error_setg_errno(errp, -ret, "block '%s' offset 0x%" PRIx64
                         ": the page cannot be given up", block->name,
                         run->offset);
        return false;
    }
    qatomic_add(&load->stats.lost_bytes, run->length);
    fixed_ram_map_receive(load->map, block, run);
    return true;
}

bool fixed_ram_load_give_up(FixedRamLoad *load, const char *name,
                            uint64_t offset, Error **errp)
{
    FixedRamBlock *block = find_block(load, name);
    FixedRamClaim claim;
    FixedRamRun run;

    if (!block || offset >= block->length) {
        error_setg(errp, "there is no offset 0x%" PRIx64 " in a RAM block "
                   "'%s'", offset, name);
        return false;
    }
    run.offset = ROUND_DOWN(offset, block->unit);
    run.length = block->unit;
    if (!fixed_ram_map_claim_around(block, run.offset / block->unit, 1,
                                    &claim)) {
        error_setg(errp, "block '%s' offset 0x%" PRIx64 ": the page is there, "
                   "or is being read", name, run.offset);
        return false;
    }
    return poison_claim(load, &claim, &run, errp);
}
