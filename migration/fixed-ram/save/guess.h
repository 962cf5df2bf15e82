/*
 * fixed-ram: a working set that is guessed while a running guest is saved
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_GUESS_H
#define MIGRATION_FIXED_RAM_SAVE_GUESS_H

#include "../format/working-set.h"

/*
 * The pages that the guest changed last before it was stopped are likely to be
 * those that it touches first after a load.  A live save knows them: it saves a
 * page again when the guest has changed it since.
 *
 * A *round* is the time from one reading of the dirty log to the next.  The set
 * has the pages that were saved again in the last round, in which the guest was
 * stopped, and behind them those of the round before.  Rounds without any such
 * page do not count.
 *
 * Memory is taken for at most FIXED_RAM_GUESS_RUNS_MAX runs a round, and for a
 * bitmap of one block when that block is closed.
 *
 * Only the migration thread uses this, without a lock.
 */
typedef struct FixedRamGuess FixedRamGuess;

/*
 * A round with more runs is given up: the guest writes all over its memory.
 * Each run costs a read when it is brought, and so many have a list of 2 MiB.
 */
#define FIXED_RAM_GUESS_RUNS_MAX    (1u << 17)

/*
 * A set may have this part of the pages with data.  The loader treats a larger
 * one as hardly better than all pages in any order.
 */
#define FIXED_RAM_GUESS_PART        4

/** fixed_ram_guess_new(): nothing is saved yet; the caller frees the result */
FixedRamGuess *fixed_ram_guess_new(void);

/** fixed_ram_guess_free(): free @guess; NULL is fine */
void fixed_ram_guess_free(FixedRamGuess *guess);

/**
 * fixed_ram_guess_add_block(): the next block, in the order of the index
 *
 * @id: stands for the block, is not used otherwise
 */
void fixed_ram_guess_add_block(FixedRamGuess *guess, const void *id);

/**
 * fixed_ram_guess_round(): the dirty log has been read
 *
 * @live: does the guest run?  There is a guess only if it did once.
 */
void fixed_ram_guess_round(FixedRamGuess *guess, bool live);

/**
 * fixed_ram_guess_visit(): page number @page is being saved
 *
 * The pages of a block are saved for the first time in ascending order, so a
 * page that lies before another one that was saved is saved again.  Pages of an
 * unknown block are ignored.
 */
void fixed_ram_guess_visit(FixedRamGuess *guess, const void *id, uint64_t page);

/**
 * fixed_ram_guess_close(): no page of block number @block is saved any more
 *
 * @data: bitmap of the pages with data, @pages bits
 */
void fixed_ram_guess_close(FixedRamGuess *guess, uint32_t block,
                           const unsigned long *data, uint64_t pages);

/**
 * fixed_ram_guess_end(): the set, once all blocks are closed
 *
 * @data_pages: pages with data in all blocks
 *
 * Each of its runs has the right @data.  Returns NULL if there is no guess: the
 * guest did not run, changed nothing, or changed so much that a set would not
 * help.  The caller frees the result.
 */
FixedRamWorkingSet *fixed_ram_guess_end(FixedRamGuess *guess,
                                        uint64_t data_pages);

#endif
