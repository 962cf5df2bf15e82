/*
 * fixed-ram: the sums of what is being saved
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_PAGE_SUMS_H
#define MIGRATION_FIXED_RAM_SAVE_PAGE_SUMS_H

#include "../format/index.h"

/*
 * A page of a live guest is written again whenever it has changed, and the
 * pages of a cluster at different times.  So each page has a sum, that of the
 * bytes that were written last; when there will be no more of them, clusters'
 * sums are made of these.  8 bytes for each page that is written.
 */
typedef struct FixedRamSaveSums FixedRamSaveSums;

/**
 * fixed_ram_save_sums_new(): for a block of up to @max_length bytes
 *
 * Returns NULL if there is no memory for them.
 */
FixedRamSaveSums *fixed_ram_save_sums_new(uint64_t max_length,
                                          size_t page_size, Error **errp);
void fixed_ram_save_sums_free(FixedRamSaveSums *sums);

/** fixed_ram_save_sums_set(): page number @page has been written, with @sum */
void fixed_ram_save_sums_set(FixedRamSaveSums *sums, uint64_t page,
                             uint64_t sum);

/**
 * fixed_ram_save_sums_add(): the pages at @offset are written, now or before
 *
 * @mem: their @length bytes, whole pages
 *
 * Any thread; but for a page that comes again the earlier write must be over.
 * It is: a page comes again in a later round only, and between rounds multifd's
 * threads are waited for.
 */
void fixed_ram_save_sums_add(FixedRamSaveSums *sums, uint64_t offset,
                             const uint8_t *mem, size_t length);

/* How much fixed_ram_save_sums_copy() takes at once. */
#define FIXED_RAM_SAVE_COPY_BYTES   (512 * KiB)

/**
 * fixed_ram_save_sums_copy(): the same while the guest may write to @mem
 *
 * Returns what to write for the pages: a copy, so that what is summed is what
 * is written.  That a page is dirty when the guest has changed it, and comes
 * again, is not enough: the guest may call it free (a hint of its balloon), and
 * it does not come.
 *
 * The copy is the thread's, until its next one.
 */
uint8_t *fixed_ram_save_sums_copy(FixedRamSaveSums *sums, uint64_t offset,
                                  const uint8_t *mem, size_t length);

/**
 * fixed_ram_save_sums_close(): nothing more is written
 *
 * @data: the block's bitmap as it goes to the file, @length bytes of RAM.
 *        A page whose bit is clear counts as zeros, was it written or not.
 *
 * From here on @sums are those of clusters.
 */
void fixed_ram_save_sums_close(FixedRamSaveSums *sums,
                               const unsigned long *data, uint64_t length);

/** fixed_ram_save_sums_table(): a closed block's part of the sums' table */
const uint64_t *fixed_ram_save_sums_table(const FixedRamSaveSums *sums,
                                          uint64_t *clusters);

#endif
