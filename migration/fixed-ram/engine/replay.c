/*
 * fixed-ram: bringing the pages of a working set first
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qemu/timer.h"
#include "claim.h"
#include "marks.h"
#include "place.h"
#include "read.h"
#include "remake.h"
#include "replay.h"
#include "state.h"
#include "../trace.h"
#include "worker.h"

/* What is read around a page at its place. */
#define PLACES_BYTES    (64 * KiB)
/* A portion ends after so many pieces: most of them may be zero pages. */
#define PIECES_MAX      4096
/* A set with more than this part of all data is brought by extents. */
#define COARSE_PART     4
/* Faults that come later say little about a set. */
#define FAULTS_NS       (10 * NANOSECONDS_PER_SECOND)

/* A part of the set that one loader brings. */
typedef struct Portion {
    FixedRamOrder from;
    FixedRamOrder to;
    bool packed;                /* from the packed copy */
    bool zeros;                 /* place zero pages */
} Portion;

/* Is each unit of @map one page, as packed pages need it? */
static bool units_are_pages(const FixedRamMap *map)
{
    for (size_t i = 0; i < map->blocks->len; i++) {
        const FixedRamBlock *block = fixed_ram_map_block(map, i);

        if (block->unit != block->page_size) {
            return false;
        }
    }
    return true;
}

static bool is_large(const FixedRamWorkingSet *set, const FixedRamMap *map)
{
    uint64_t size = map->blocks->len ? fixed_ram_map_block(map, 0)->page_size
                                     : 1;

    return set->data_pages > map->wanted / COARSE_PART / size;
}

/*
 * Have loaders complete the extents of the set when its pages are there.  The
 * guest is at work in them, and only huge pages let it be at full speed.
 */
static void ask_loaders(FixedRamLoad *load, const FixedRamBlock *block,
                        const FixedRamRun *pages)
{
    uint64_t last = pages->offset + pages->length - 1;
    size_t first_extent = fixed_ram_map_extent(block,
                                               pages->offset / block->unit);

    bitmap_set(load->asked, first_extent,
               fixed_ram_map_extent(block, last / block->unit) -
               first_extent + 1);
}

static void mark_set(FixedRamLoad *load)
{
    const FixedRamReplay *replay = &load->replay;

    fixed_ram_marks_init(load->map);
    for (size_t i = 0; i < replay->set->runs->len; i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(replay->set, i);
        FixedRamBlock *block = fixed_ram_map_block(load->map, run->block);
        FixedRamRun pages = {
            .offset = run->first * block->page_size,
            .length = run->pages * block->page_size,
        };

        fixed_ram_marks_set_run(block, &pages);
        if (run->data && !replay->coarse) {
            ask_loaders(load, block, &pages);
        }
    }
}

void fixed_ram_replay_init(FixedRamLoad *load)
{
    const FixedRamWorkingSet *set = load->config.set;
    FixedRamReplay *replay = &load->replay;

    qemu_mutex_init(&replay->lock);
    if (!set || !load->config.on_demand) {
        return;
    }
    replay->set = set;
    replay->coarse = is_large(set, load->map);
    replay->packed = set->pack_offset && units_are_pages(load->map);
    replay->begin_ns = get_clock();
    mark_set(load);
    trace_fixed_ram_replay(set->pages, set->data_pages, replay->coarse,
                           replay->packed);
}

void fixed_ram_replay_destroy(FixedRamLoad *load)
{
    qemu_mutex_destroy(&load->replay.lock);
}

void fixed_ram_replay_fault(FixedRamLoad *load, const FixedRamBlock *block,
                            uint64_t unit, int64_t now)
{
    const FixedRamReplay *replay = &load->replay;

    if (replay->set && now - replay->begin_ns < FAULTS_NS &&
        !fixed_ram_marks_get(block, unit)) {
        qatomic_inc(&load->stats.faults_outside);
    }
}

static bool same_place(const FixedRamOrder *a, const FixedRamOrder *b)
{
    return a->run == b->run && a->page == b->page;
}

/* The piece of @p at @at, which moves on. */
static bool next_piece(const FixedRamLoad *load, const Portion *p,
                       FixedRamOrder *at, FixedRamOrderPiece *piece)
{
    return !same_place(at, &p->to) &&
           fixed_ram_order_next(load->replay.set, load->map, at,
                                p->to.packed - at->packed, piece);
}

/*
 * Called under @lock.  From the packed copy a portion consists of whole pieces
 * that have a checksum each; only the last portion may be shorter.
 */
static void extend_portion(FixedRamLoad *load, Portion *p)
{
    FixedRamReplay *replay = &load->replay;
    uint64_t most = p->packed ? FIXED_RAM_BATCH_BYTES : PLACES_BYTES;
    FixedRamOrderPiece piece;
    unsigned pieces = 0;
    uint64_t have;

    do {
        have = replay->next.packed - p->from.packed;
    } while (have < most &&
             (pieces++ < PIECES_MAX || have % FIXED_RAM_PACK_CHUNK_BYTES) &&
             fixed_ram_order_next(replay->set, load->map, &replay->next,
                                  most - have, &piece));
}

/*
 * Called under @lock: from now on read pages from their places, beginning with
 * the first one: the packed copy's last reads have failed.
 */
static void use_places(FixedRamReplay *replay)
{
    replay->packed = false;
    replay->again = true;
    replay->next = (FixedRamOrder) { };
}

/* Returns false if nothing of the set is left. */
static bool take_portion(FixedRamLoad *load, Portion *p)
{
    FixedRamReplay *replay = &load->replay;

    QEMU_LOCK_GUARD(&replay->lock);
    if (replay->number != qatomic_read(&load->source_number)) {
        /* Another file may have another packed copy, or none. */
        replay->number = qatomic_read(&load->source_number);
        use_places(replay);
    }
    *p = (Portion) {
        .from = replay->next, .packed = replay->packed,
        .zeros = !replay->again,
    };
    extend_portion(load, p);
    p->to = replay->next;
    return !same_place(&p->from, &p->to);
}

/* Before the last page is received: the figures are final then. */
static void count_bytes(FixedRamLoad *load, uint64_t bytes)
{
    qatomic_add(&load->stats.replay_bytes, bytes);
}

/*
 * Errors are left to the fault that comes for a page that could not be placed,
 * and pages that are there already were touched before.  Pages of an extent
 * that is being remade are missing only for now, and not zero.
 */
static void place_zeros(FixedRamLoad *load, const FixedRamOrderPiece *piece)
{
    const FixedRamBlock *block = piece->block;
    uint64_t unit = piece->run.offset / block->unit;

    if (block->unit != block->page_size) {
        return;
    }
    QEMU_LOCK_GUARD(&load->remake_lock);
    if (!fixed_ram_remake_under_way(load, block, unit)) {
        count_bytes(load, fixed_ram_uffd_zero_range(
            &load->uffd, block->host + piece->run.offset, piece->run.length,
            block->unit));
    }
}

/*
 * From the packed copy
 */

/* Claim what is missing of @p: a claim for each piece that is packed. */
static bool claim_portion(FixedRamWorker *w, const Portion *p)
{
    FixedRamLoad *load = w->load;
    FixedRamOrder at = p->from;
    FixedRamOrderPiece piece;
    bool any = false;

    w->nbatch = 0;
    while (next_piece(load, p, &at, &piece)) {
        if (piece.packed) {
            any |= fixed_ram_map_claim_run(piece.block, &piece.run,
                                           &w->batch[w->nbatch++]);
        } else if (!piece.data && p->zeros) {
            place_zeros(load, &piece);
        }
    }
    if (!any) {
        w->nbatch = 0;
    }
    return any;
}

/* Fails without an error if nothing more may be read from @source. */
static bool read_packed(FixedRamWorker *w, const Portion *p, Error **errp)
{
    FixedRamLoad *load = w->load;
    uint64_t length = p->to.packed - p->from.packed;
    FixedRamSource *source;
    Error *err = NULL;
    unsigned number;

    source = fixed_ram_state_source(load, &number);
    if (number || !fixed_ram_worker_read_begin(w, source, number)) {
        return false;
    }
    fixed_ram_source_read_pages(source, w->buf.mem, length,
                                load->replay.set->pack_offset +
                                p->from.packed, &err);
    fixed_ram_worker_read_end(w, err);
    if (err) {
        error_propagate(errp, err);
        return false;
    }
    return (!load->config.sums ||
            fixed_ram_working_set_check_pack(load->replay.set, p->from.packed,
                                             length, w->buf.mem, errp)) &&
           fixed_ram_state_read_valid(load, number);
}

/* Place a claim of the batch; @from holds the bytes of @run. */
static bool place_claim(FixedRamWorker *w, const FixedRamRun *run,
                        const uint8_t *from)
{
    const FixedRamBlock *block = w->claim.block;
    uint64_t bytes = fixed_ram_claim_bytes(&w->claim);
    FixedRamRun part;

    count_bytes(w->load, bytes);
    while (fixed_ram_claim_next(&w->claim, 0, 0, &part)) {
        if (!fixed_ram_place_bytes(w, &part,
                                   from + (part.offset - run->offset))) {
            return false;
        }
    }
    if (bytes) {
        fixed_ram_place_wake(w, block, run);
    }
    return true;
}

/*
 * Returns the number of the first claim of the batch that is still claimed: a
 * claim that cannot be placed has been returned.
 */
static unsigned place_portion(FixedRamWorker *w, const Portion *p)
{
    FixedRamOrder at = p->from;
    FixedRamOrderPiece piece;
    unsigned i = 0;

    while (next_piece(w->load, p, &at, &piece)) {
        if (piece.packed) {
            uint64_t end = at.packed - p->from.packed;

            w->claim = w->batch[i++];
            if (!place_claim(w, &piece.run,
                             w->buf.mem + end - piece.run.length)) {
                break;
            }
        }
    }
    return i;
}

/* The packed copy is of no use: one loader says so, and all do without. */
static void packed_failed(FixedRamLoad *load, Error *err)
{
    FixedRamReplay *replay = &load->replay;
    bool first;

    WITH_QEMU_LOCK_GUARD(&replay->lock) {
        first = replay->packed;
        if (first) {
            use_places(replay);
        }
    }
    if (first && load->config.ops->pack_failed) {
        load->config.ops->pack_failed(load->config.opaque, err);
    } else {
        error_free(err);
    }
}

static void bring_packed(FixedRamWorker *w, const Portion *p)
{
    unsigned left = 0;
    Error *err = NULL;

    if (read_packed(w, p, &err)) {
        left = place_portion(w, p);
    }
    if (left < w->nbatch) {
        fixed_ram_worker_return_batch(w, left);
        if (err) {
            packed_failed(w->load, err);
        }
        fixed_ram_state_returned(w->load);
    }
    w->nbatch = 0;
}

/*
 * From their places
 */

/* Bytes of the worker's claim that belong to the set. */
static uint64_t marked_bytes(const FixedRamClaim *claim)
{
    const unsigned long *marks = claim->block->marks + claim->word;
    uint64_t units = 0;

    for (size_t i = 0; i < FIXED_RAM_EXTENT_WORDS; i++) {
        if (claim->mask[i]) {
            units += ctpopl(claim->mask[i] & marks[i]);
        }
    }
    return units * claim->block->unit;
}

/* Read and place the worker's claim. */
static bool bring_claim(FixedRamWorker *w)
{
    const FixedRamBlock *block = w->claim.block;
    uint64_t marked = marked_bytes(&w->claim);
    FixedRamRun all;

    fixed_ram_claim_next(&w->claim, 0, UINT64_MAX, &all);
    if (!fixed_ram_read_claim(w, false)) {
        return false;
    }
    count_bytes(w->load, marked);
    fixed_ram_place_rest(w);
    fixed_ram_place_wake(w, block, &all);
    return true;
}

/* The piece, with its neighbours as a fault would bring them. */
static bool bring_piece(FixedRamWorker *w, const FixedRamOrderPiece *piece,
                        uint64_t *bytes)
{
    FixedRamBlock *block = piece->block;
    uint64_t unit = piece->run.offset / block->unit;
    uint64_t end = DIV_ROUND_UP(piece->run.offset + piece->run.length,
                                block->unit);
    unsigned span = MIN(MAX(PLACES_BYTES / block->unit, 1), BITS_PER_LONG);

    for (; unit < end; unit++) {
        if (fixed_ram_map_claim_around(block, unit, span, &w->claim)) {
            *bytes += fixed_ram_claim_bytes(&w->claim);
            if (!bring_claim(w)) {
                return false;
            }
        }
    }
    return true;
}

static void bring_places(FixedRamWorker *w, const Portion *p, uint64_t *bytes)
{
    FixedRamOrder at = p->from;
    FixedRamOrderPiece piece;

    while (next_piece(w->load, p, &at, &piece)) {
        if (!piece.data) {
            if (p->zeros) {
                place_zeros(w->load, &piece);
            }
        } else if (!bring_piece(w, &piece, bytes)) {
            /* The load has stalled; after that the set comes once more. */
            break;
        }
    }
}

bool fixed_ram_replay_portion(FixedRamWorker *w, uint64_t *bytes)
{
    FixedRamLoad *load = w->load;
    Portion p;

    *bytes = 0;
    if (!load->replay.set || load->replay.coarse || !take_portion(load, &p)) {
        return false;
    }
    trace_fixed_ram_replay_portion(p.from.run, p.to.packed - p.from.packed,
                                   p.packed);
    if (!p.packed) {
        bring_places(w, &p, bytes);
    } else if (claim_portion(w, &p)) {
        *bytes = p.to.packed - p.from.packed;
        bring_packed(w, &p);
    }
    return true;
}

/*
 * Coarse
 */

/*
 * Called under @lock.  The replay stays at a piece while something of its
 * extent is missing: of a broken extent one claim is a part.
 */
static bool claim_extent(FixedRamWorker *w, bool all,
                         FixedRamOrderPiece *piece)
{
    FixedRamLoad *load = w->load;
    FixedRamReplay *replay = &load->replay;
    FixedRamOrder at = replay->next;

    while (fixed_ram_order_next(replay->set, load->map, &at, UINT64_MAX,
                                piece)) {
        size_t extent = fixed_ram_map_extent(
            piece->block, piece->run.offset / piece->block->unit);

        if (piece->data &&
            fixed_ram_map_claim_in(load->map, extent, all, &w->claim)) {
            return true;
        }
        replay->next = at;
        if (!piece->data) {
            return true;
        }
    }
    return false;
}

bool fixed_ram_replay_claim(FixedRamWorker *w, bool all)
{
    FixedRamReplay *replay = &w->load->replay;
    FixedRamOrderPiece piece;
    bool more = replay->set && replay->coarse;

    while (more) {
        WITH_QEMU_LOCK_GUARD(&replay->lock) {
            more = claim_extent(w, all, &piece);
        }
        if (more && piece.data) {
            return true;
        }
        if (more) {
            place_zeros(w->load, &piece);
        }
    }
    return false;
}
