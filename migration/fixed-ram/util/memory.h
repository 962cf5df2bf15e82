/*
 * fixed-ram: memory that the process may not be able to touch
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_UTIL_MEMORY_H
#define MIGRATION_FIXED_RAM_UTIL_MEMORY_H

/**
 * fixed_ram_memory_populate(): make sure that accesses to memory work
 *
 * An access ends the process by SIGBUS where the host has no page to give, as
 * on a full tmpfs or with an exhausted pool of huge pages, and a store by
 * SIGSEGV where the mapping is read-only.  This function fails instead.  Its
 * success holds until the memory is discarded.
 *
 * If the process's memory cgroup is full this waits as an access would.
 *
 * @write: for stores, else for loads only
 *
 * Before Linux 5.14 the kernel does not tell, and this returns true.
 *
 * Any thread; other threads must not write to the memory at the same time.
 */
bool fixed_ram_memory_populate(void *addr, size_t length, bool write,
                               Error **errp);

/**
 * fixed_ram_memory_readable(): how much of memory can be read from its begin on
 *
 * @addr, @length: whole pages
 *
 * Reads it, as an access would.  Returns @length if the kernel cannot tell.
 * Any thread.
 */
size_t fixed_ram_memory_readable(uint8_t *addr, size_t length);

/**
 * fixed_ram_memory_warm(): have pages entered into the page table, if possible
 *
 * For loads, before they happen.  Touches nothing, so any address will do, and
 * failures have no effect.  Any thread.
 */
void fixed_ram_memory_warm(void *addr, size_t length);

#endif
