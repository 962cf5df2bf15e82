/*
 * fixed-ram: a worker, and the read that it has under way
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_WORKER_H
#define MIGRATION_FIXED_RAM_ENGINE_WORKER_H

#include "internal.h"

/**
 * fixed_ram_worker_new(): a worker without a thread
 *
 * @fault: for a fault thread, else for a loader
 * @buf_size: bytes of the largest claim, a power of two
 */
FixedRamWorker *fixed_ram_worker_new(FixedRamLoad *load, bool fault,
                                     size_t buf_size, Error **errp);

/**
 * fixed_ram_worker_grow(): have a buffer for the claim of a whole extent
 *
 * Only for the worker's own thread, between claims.  Returns false if there is
 * no memory; then the buffer is as before.
 */
bool fixed_ram_worker_grow(FixedRamWorker *w);

/**
 * fixed_ram_worker_refill(): have memory in the buffer before it is needed
 *
 * After its pages were moved to the guest the kernel has to clear new ones.
 * While the worker has the turn to read, the disk would wait for that.  Only
 * for the worker's own thread, between claims.
 */
void fixed_ram_worker_refill(FixedRamWorker *w);

/** fixed_ram_worker_free(): free @w; its thread has ended or never began. */
void fixed_ram_worker_free(FixedRamWorker *w);

/**
 * fixed_ram_worker_at(): where in the buffer the byte at @offset of a block
 * goes
 */
static inline uint8_t *fixed_ram_worker_at(const FixedRamWorker *w,
                                           uint64_t offset)
{
    /* Claims lie in aligned ranges no larger than the buffer. */
    return w->buf.mem + (offset & (w->buf.size - 1));
}

/**
 * fixed_ram_worker_read_begin(): the calling worker is about to read for its
 * claim
 *
 * @source, @number: as from fixed_ram_state_source()
 *
 * Returns false if no more may be read from @source; it may have been closed.
 */
bool fixed_ram_worker_read_begin(FixedRamWorker *w, FixedRamSource *source,
                                 unsigned number);

/**
 * fixed_ram_worker_read_end(): the read has ended
 *
 * If the worker was retired meanwhile this function does not return: the
 * thread ends here, without unwinding, so its callers must not hold anything
 * that only they would free.
 *
 * @err: what only the caller would free: the read's error, or NULL
 */
void fixed_ram_worker_read_end(FixedRamWorker *w, Error *err);

/**
 * fixed_ram_worker_reads(): is a read of @w under way?
 *
 * Any thread.  The answer may be outdated when the caller gets it.
 */
bool fixed_ram_worker_reads(FixedRamWorker *w);

/**
 * fixed_ram_worker_return_batch(): the claims of the batch from number @first
 * on are missing again
 *
 * Only for the worker's own thread, or for the holder of its lock.
 */
void fixed_ram_worker_return_batch(FixedRamWorker *w, unsigned first);

/**
 * fixed_ram_worker_retire(): go on without the read that @w has under way
 *
 * The load is stalled, so what is read is not valid.  The claim of @w is
 * missing again.  From now on @w is its own thread's, which frees it and ends
 * when the read returns.
 *
 * Returns false, and changes nothing, if no read is under way.
 */
bool fixed_ram_worker_retire(FixedRamWorker *w);

#endif
