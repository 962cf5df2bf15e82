/*
 * fixed-ram: pages of a mapping that the kernel cannot read
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_REPAIR_H
#define MIGRATION_FIXED_RAM_ENGINE_REPAIR_H

#include "../format/source.h"

/*
 * A thread that touches such a page gets SIGBUS.  The signal's handler waits,
 * in that thread, until the repair thread has made the page readable.  That
 * thread reads the page from the mapped file once more, then from a copy, if
 * it was given one, and puts the copy's page in place.
 *
 * System calls that touch such a page, the vCPUs of KVM among them, fail with
 * EFAULT instead.
 *
 * There is one repair in a process: a signal handler has no argument.
 */

/* A block of memory that is a mapping of the file. */
typedef struct FixedRamRepairRange {
    uint8_t *host;
    uint64_t length;            /* bytes */
    uint64_t pages_offset;      /* in the file */
    const char *name;           /* of the block, for messages */
} FixedRamRepairRange;

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
 * @ranges: of FixedRamRepairRange; the array, not the names, becomes the
 *          repair's
 *
 * Of other threads those wait that call fixed_ram_repair_this_thread(); the
 * calling thread has done so.  Returns false if the host refuses a thread; then
 * a bad page ends the process as before.
 */
bool fixed_ram_repair_start(FixedRamSource *source, GArray *ranges,
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

/** fixed_ram_repair_waiting(): does a thread wait for a page?  Any thread. */
bool fixed_ram_repair_waiting(void);

/**
 * fixed_ram_repair_forget(): the memory at @host is about to be unmapped
 *
 * Main thread.
 */
void fixed_ram_repair_forget(const void *host);

#endif
