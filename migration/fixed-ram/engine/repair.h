/*
 * fixed-ram: pages of a mapping that the kernel cannot read
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_REPAIR_H
#define MIGRATION_FIXED_RAM_ENGINE_REPAIR_H

#include "map.h"
#include "../format/source.h"
#include "../format/sumtable.h"

/*
 * A thread that touches such a page gets SIGBUS.  The signal's handler waits,
 * in that thread, until the repair thread has made the page readable.  That
 * thread reads the page from the mapped file once more, then from a copy, if
 * it was given one, and puts the copy's page in place.
 *
 * System calls that touch such a page fail with EFAULT instead.  So does
 * KVM_RUN: then the vCPU's thread touches the page itself, and waits.
 *
 * There is one repair in a process: a signal handler has no argument.
 */

/* Called by the repair thread. */
typedef struct FixedRamRepairOps {
    /*
     * A page cannot be read, and threads wait for it.  Called again after each
     * attempt that failed.  Takes @err.
     */
    void (*failed)(Error *err);
    /* No thread waits any longer, after failed(). */
    void (*repaired)(void);
    /* Called about ten times a second while threads wait after failed(). */
    void (*waiting)(void);
} FixedRamRepairOps;

/**
 * fixed_ram_repair_this_thread(): the calling thread can wait for bad pages
 *
 * QEMU blocks SIGBUS in its threads, and the kernel ends a process that gets a
 * blocked SIGBUS by an access.  So threads that do not call this function end
 * QEMU if they meet a bad page.
 */
void fixed_ram_repair_this_thread(void);

/**
 * fixed_ram_repair_start(): from now on threads wait for bad pages
 *
 * @source: the mapped file; the repair takes a reference
 * @map: the blocks that are mappings; exists as long as the process
 * @sums: pages of a copy are verified by them; NULL: they are not.  The repair
 *        takes a reference.
 *
 * Of other threads those wait that call fixed_ram_repair_this_thread(); the
 * calling thread has done so.  Returns false if the host refuses a thread; then
 * a bad page ends the process as before.
 */
bool fixed_ram_repair_start(FixedRamSource *source, const FixedRamMap *map,
                            FixedRamSumTable *sums,
                            const FixedRamRepairOps *ops);

/**
 * fixed_ram_repair_retry(): try again to read the pages that threads wait for
 *
 * @copy: read from here what the file does not give, from now on; NULL: leave
 *        that as it is.  The repair takes a reference.
 *
 * Does not wait.  Any thread.
 */
void fixed_ram_repair_retry(FixedRamSource *copy);

/**
 * fixed_ram_repair_wait_for_bad(): a system call has failed with EFAULT
 *
 * Looks for a page that cannot be read, and waits for it by touching it.  The
 * kernel does not tell which page it was, so this may read the whole file, and
 * wait for another page that is bad.
 *
 * Returns false if all pages can be read, or there is no repair: the call has
 * failed for another reason.  Any thread that called
 * fixed_ram_repair_this_thread().
 */
bool fixed_ram_repair_wait_for_bad(void);

/** fixed_ram_repair_waiting(): does a thread wait for a page?  Any thread. */
bool fixed_ram_repair_waiting(void);

/**
 * fixed_ram_repair_take_replaced(): pages that are a copy's, not the file's
 *
 * Returns an array of the addresses of those that were put in place since the
 * last call, which the caller frees, or NULL.  Any thread.
 */
GArray *fixed_ram_repair_take_replaced(void);

/**
 * fixed_ram_repair_forget(): the memory at @host is about to be unmapped
 *
 * Main thread.
 */
void fixed_ram_repair_forget(const void *host);

#endif
