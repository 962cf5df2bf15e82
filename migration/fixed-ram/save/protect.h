/*
 * fixed-ram: memory whose writers wait
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SAVE_PROTECT_H
#define MIGRATION_FIXED_RAM_SAVE_PROTECT_H

/*
 * The write protection of userfaultfd, see
 * Documentation/admin-guide/mm/userfaultfd.rst of the kernel.  It is in the
 * page tables of this process: vCPUs, other threads of QEMU and the kernel on
 * their behalf all wait when they write to a protected page, and a thread that
 * serves writes is told.  What another process or a device writes by itself is
 * not seen.
 *
 * Any thread may call these functions at any time, except open and close.
 */
typedef struct FixedRamProtect {
    int fd;                     /* the userfaultfd; -1: closed */
    int end;                    /* an eventfd: servers shall end */
} FixedRamProtect;

/**
 * fixed_ram_protect_open(): open a userfaultfd that protects memory
 *
 * @unpopulated: also protect private memory that has no page yet, which costs
 *               page tables for it; otherwise such a page is not protected
 *
 * Fails if the kernel lacks what is asked for or forbids it.  Shared memory and
 * huge pages can be protected where the kernel knows how.
 */
bool fixed_ram_protect_open(FixedRamProtect *p, bool unpopulated,
                            Error **errp);

/** fixed_ram_protect_close(): nothing is protected any more */
void fixed_ram_protect_close(FixedRamProtect *p);

/**
 * fixed_ram_protect_register(): this memory may be protected later
 *
 * @name: of the memory, for messages
 * @addr, @length: multiples of the memory's page size
 */
bool fixed_ram_protect_register(FixedRamProtect *p, const char *name,
                                void *addr, uint64_t length, Error **errp);

/**
 * fixed_ram_protect_unregister(): no page here is protected, and none will be
 *
 * Threads that wait go on.
 */
void fixed_ram_protect_unregister(FixedRamProtect *p, void *addr,
                                  uint64_t length);

/** fixed_ram_protect_set(): protect pages.  Returns 0 or a negative errno. */
int fixed_ram_protect_set(FixedRamProtect *p, void *addr, uint64_t length);

/**
 * fixed_ram_protect_clear(): pages may be written, and threads that wait go on
 *
 * Pages that are not protected, or that have been unmapped, are no error.
 */
void fixed_ram_protect_clear(FixedRamProtect *p, void *addr, uint64_t length);

/**
 * fixed_ram_protect_wait(): wait until a thread writes to a protected page
 *
 * @addr: set to an address in this page
 *
 * The thread waits until the page is no longer protected.  The same page may be
 * told several times, also when it is no longer protected.  Returns false after
 * fixed_ram_protect_end(), or if the kernel tells an error.
 */
bool fixed_ram_protect_wait(FixedRamProtect *p, uintptr_t *addr);

/** fixed_ram_protect_end(): all calls of fixed_ram_protect_wait() return */
void fixed_ram_protect_end(FixedRamProtect *p);

#endif
