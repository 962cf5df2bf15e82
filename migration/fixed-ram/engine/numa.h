/*
 * fixed-ram: the NUMA policy of memory whose pages are moved
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_NUMA_H
#define MIGRATION_FIXED_RAM_ENGINE_NUMA_H

/**
 * fixed_ram_numa_follow(): give a buffer the policy of other memory
 *
 * UFFDIO_MOVE gives the guest the buffer's own pages, so these must come from
 * the nodes that the block's backend asks for.  Pages that the buffer has are
 * released if its policy changes.
 *
 * @like: an address in memory that has the policy
 *
 * Returns false if the kernel refuses.  Any thread.
 */
bool fixed_ram_numa_follow(void *buf, size_t size, const void *like);

#endif
