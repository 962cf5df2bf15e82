/*
 * fixed-ram: giving up pages that cannot be read
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "internal.h"
#include "load.h"
#include "state.h"
#include "threads.h"
#include "../format/sums.h"
#include "../trace.h"

/* Ten seconds: no claim of a stalled load lasts as long. */
#define CLAIM_STEP_US   100
#define CLAIM_TRIES     100000

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

/* The page that is to be given up is not missing: say in which way. */
static void set_not_missing(const FixedRamBlock *block, uint64_t unit,
                            Error **errp)
{
    error_setg(errp, "block '%s' offset 0x%" PRIx64 ": cannot give up the "
               "page: %s", block->name, unit * block->unit,
               fixed_ram_map_received(block, unit)
               ? "it has been loaded, or has been zero from the start"
               : "it is being read, or placed");
}

/*
 * Claim @unit, unless it is received.  During a stall workers return their
 * claims soon, and fixed_ram_threads_retire() returns those of reads that hang.
 */
static bool claim_unit(FixedRamLoad *load, FixedRamBlock *block,
                       uint64_t unit, FixedRamClaim *claim, Error **errp)
{
    for (unsigned i = 0; !fixed_ram_map_claim_around(block, unit, 1, claim);
         i++) {
        if (fixed_ram_map_received(block, unit) || i == CLAIM_TRIES ||
            !qatomic_read(&load->stalled)) {
            set_not_missing(block, unit, errp);
            return false;
        }
        if (!fixed_ram_threads_retire(load, errp)) {
            return false;
        }
        g_usleep(CLAIM_STEP_US);
    }
    return true;
}

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
                         ": cannot give up the page", block->name,
                         run->offset);
        return false;
    }
    qatomic_add(&load->stats.lost_bytes, run->length);
    fixed_ram_map_receive(load->map, block, run, run->length);
    return true;
}

static bool give_up_unit(FixedRamLoad *load, FixedRamBlock *block,
                         uint64_t unit, Error **errp)
{
    FixedRamRun run = { .offset = unit * block->unit, .length = block->unit };
    FixedRamClaim claim;

    return claim_unit(load, block, unit, &claim, errp) &&
           poison_claim(load, &claim, &run, errp);
}

/*
 * How many units are given up together: all of a cluster if there are
 * checksums.  Without the lost page the cluster's other pages cannot be
 * verified.
 */
static uint64_t give_up_span(const FixedRamLoad *load,
                             const FixedRamBlock *block)
{
    return load->config.sums ? MAX(FIXED_RAM_CLUSTER_BYTES / block->unit, 1)
                             : 1;
}

bool fixed_ram_load_give_up(FixedRamLoad *load, const char *name,
                            uint64_t offset, Error **errp)
{
    FixedRamBlock *block = find_block(load, name);
    uint64_t wanted, first, end;

    if (!block || offset >= block->length) {
        error_setg(errp, "cannot give up the page: there is no offset 0x%"
                   PRIx64 " in a RAM block '%s'", offset, name);
        return false;
    }
    wanted = offset / block->unit;
    if (!give_up_unit(load, block, wanted, errp)) {
        return false;
    }
    first = ROUND_DOWN(wanted, give_up_span(load, block));
    end = MIN(first + give_up_span(load, block), block->units);
    for (uint64_t unit = first; unit < end; unit++) {
        if (!fixed_ram_map_received(block, unit) &&
            !give_up_unit(load, block, unit, errp)) {
            return false;
        }
    }
    return true;
}
