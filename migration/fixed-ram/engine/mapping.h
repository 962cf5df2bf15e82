/*
 * fixed-ram: guest memory that is a private mapping of the snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_MAPPING_H
#define MIGRATION_FIXED_RAM_ENGINE_MAPPING_H

#include "map.h"
#include "types.h"
#include "../format/source.h"

/*
 * The kernel reads a page when a thread touches it, and copies it when a thread
 * writes to it.  So all guests that map one file share its pages in the host's
 * page cache until they write to them, and a write never reaches the file.
 *
 * The place of a page whose bit is clear may hold old bytes.  Such pages become
 * anonymous memory, called a cover here.  Long runs of zero pages are covered
 * whatever the file holds: anonymous memory needs no page cache, and the host
 * may back it by huge pages.
 *
 * One thread at a time calls these functions for a mapping.
 */

/** fixed_ram_mapping_limit(): how many covers this host allows */
size_t fixed_ram_mapping_limit(void);

/**
 * fixed_ram_mapping_new(): plan to map the blocks of @map
 *
 * @map: their memory need not be known yet; is not used later
 * @source: the snapshot's file, or files; the mapping takes a reference
 * @clean: the files are zero wherever a page's bit is clear
 * @limit: covers, and pieces of more than one file, at most
 *
 * Changes no memory.  Fails if the file cannot be mapped in this way: its pages
 * are not aligned, or so many of them need a cover.  The caller frees the
 * result.
 */
FixedRamMapping *fixed_ram_mapping_new(const FixedRamMap *map,
                                       FixedRamSource *source, bool clean,
                                       size_t limit, Error **errp);

/**
 * fixed_ram_mapping_apply(): replace the memory of block @i by the file's pages
 *
 * @i: number of the block in the map
 * @host: its memory, private and of pages as the host's smallest; other threads
 *        must not use it meanwhile
 * @reserve: whether the kernel accounts for memory that may be written
 *
 * If this fails the memory's content is undefined.
 */
bool fixed_ram_mapping_apply(FixedRamMapping *mapping, size_t i, void *host,
                             bool reserve, const FixedRamMappingAdvice *advice,
                             Error **errp);

/**
 * fixed_ram_mapping_expect(): how is the memory going to be read?
 *
 * @in_order: a thread is about to read all of it, so the kernel shall read
 *            ahead; false: at random, as a guest does.  That is so at first.
 */
void fixed_ram_mapping_expect(const FixedRamMapping *mapping, bool in_order);

/**
 * fixed_ram_mapping_has(): is any byte of the memory at @host mapped here?
 */
bool fixed_ram_mapping_has(const FixedRamMapping *mapping, const void *host,
                           size_t length);

/**
 * fixed_ram_mapping_discard(): make memory zero, and give it to the host
 *
 * @host, @length: whole pages of a block that was mapped
 *
 * For the kernel to discard a page of a private mapping means to show the
 * file's page again.  So the range becomes a cover.  If the kernel allows no
 * more mappings, it is zeroed and stays with the guest.
 *
 * Returns 0 or a negative errno.
 */
int fixed_ram_mapping_discard(FixedRamMapping *mapping, void *host,
                              size_t length);

/**
 * fixed_ram_mapping_replaced(): memory is no mapping of the file any more
 *
 * @host, @length: whole pages of the host, that another part of QEMU has put
 *                 other memory in the place of
 */
void fixed_ram_mapping_replaced(FixedRamMapping *mapping, const void *host,
                                size_t length);

/**
 * fixed_ram_mapping_length(): the length of block @name in bytes
 *
 * @host: where the block is, if it was mapped
 *
 * Returns 0 if no block at @host has this name.
 */
uint64_t fixed_ram_mapping_length(const FixedRamMapping *mapping,
                                  const char *name, const void *host);

/**
 * fixed_ram_mapping_unplugged(): the name of a block that was forgotten
 *
 * Returns NULL if there is none.
 */
const char *fixed_ram_mapping_unplugged(const FixedRamMapping *mapping);

/**
 * fixed_ram_mapping_forget(): the memory at @host is about to be unmapped
 *
 * Its address may be used for other memory then.
 */
void fixed_ram_mapping_forget(FixedRamMapping *mapping, const void *host);

/**
 * fixed_ram_mapping_free(): free what is known about a mapping; NULL is fine
 *
 * The memory stays as it is.
 */
void fixed_ram_mapping_free(FixedRamMapping *mapping);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamMapping, fixed_ram_mapping_free)

#endif
