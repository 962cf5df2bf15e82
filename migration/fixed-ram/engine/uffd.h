/*
 * fixed-ram: userfaultfd, one thin function an operation
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_UFFD_H
#define MIGRATION_FIXED_RAM_ENGINE_UFFD_H

/*
 * The kernel defines the protocol: Documentation/admin-guide/mm/userfaultfd.rst
 * and ioctl_userfaultfd(2).  Any thread may call these functions at any time,
 * except open and close.
 *
 * util/userfaultfd.c has functions with similar names.  They print errors, and
 * do not say how much of a range was done, so only those for opening and
 * registering are used here.
 */

/* Does not change between open and close. */
typedef struct FixedRamUffd {
    int fd;
    bool thread_id;             /* messages name the thread that waits */
    bool can_move;              /* this kernel can move pages */
    bool can_remake;            /* and to memory that had pages before, as a */
                                /* huge page: see remake.c */
    bool can_poison;            /* this kernel can poison pages */
    uint8_t *doorbell;          /* missing pages, see fixed_ram_uffd_ring() */
    size_t doorbell_size;       /* bytes */
} FixedRamUffd;

/* A thread touched a missing page and waits for it. */
typedef struct FixedRamFault {
    uintptr_t addr;             /* the page's address */
    uint32_t thread_id;         /* of that thread; 0: the kernel did not say */
} FixedRamFault;

/**
 * fixed_ram_uffd_open(): open a descriptor that also reports kernel faults
 *
 * If this process may not have one, the error says what to allow.
 */
bool fixed_ram_uffd_open(FixedRamUffd *uffd, Error **errp);

/**
 * FIXED_RAM_NO_MOVE: if this variable is in the environment, open acts as if
 * the kernel could not move or poison pages; for tests
 */
#define FIXED_RAM_NO_MOVE "QEMU_FIXED_RAM_NO_MOVE"

/** fixed_ram_uffd_close(): close it; registered memory faults no more */
void fixed_ram_uffd_close(FixedRamUffd *uffd);

/**
 * fixed_ram_uffd_register(): from now on missing pages here are faults
 *
 * @addr, @length: bytes, multiples of the memory's own page size
 */
bool fixed_ram_uffd_register(FixedRamUffd *uffd, void *addr, uint64_t length,
                             Error **errp);

/**
 * fixed_ram_uffd_unregister(): no more faults here; threads that wait go on
 *
 * Does nothing if the memory has been unmapped.
 */
void fixed_ram_uffd_unregister(FixedRamUffd *uffd, void *addr,
                               uint64_t length);

/**
 * fixed_ram_uffd_read(): wait for a fault
 *
 * Returns 0 or a negative errno.  After EINTR it waits again.
 */
int fixed_ram_uffd_read(FixedRamUffd *uffd, FixedRamFault *fault);

/**
 * fixed_ram_uffd_copy(): place pages and wake the threads that wait for them
 *
 * @unit: the memory's page size; @dst and @length are multiples of it
 * @done: how many bytes are in place, also on failure
 *
 * Where there is a page already it stays as it is, and threads that wait for it
 * are woken.  Returns 0 or a negative errno: ENOENT if the memory has been
 * unmapped, ENOMEM or ENOSPC if the host has no page to give.
 */
int fixed_ram_uffd_copy(FixedRamUffd *uffd, void *dst, const void *src,
                        uint64_t length, uint64_t unit, uint64_t *done);

/**
 * fixed_ram_uffd_move(): place pages by moving them, and wake
 *
 * @src: private anonymous memory, which loses the pages; a huge page is moved
 *       as a whole if both sides are aligned to its size
 * @done: how many bytes, from the start, have been moved
 *
 * Unlike fixed_ram_uffd_copy() it stops at a page that is there already.
 * Returns 0 or a negative errno: EOPNOTSUPP if this kernel cannot move pages.
 */
int fixed_ram_uffd_move(FixedRamUffd *uffd, void *dst, void *src,
                        uint64_t length, uint64_t *done);

/**
 * fixed_ram_uffd_register_spare(): have @addr take what fixed_ram_uffd_take()
 * moves
 *
 * @addr: private anonymous memory of the caller's; missing pages of it do not
 *        fault, they are zero
 */
bool fixed_ram_uffd_register_spare(FixedRamUffd *uffd, void *addr,
                                   uint64_t length);

/**
 * fixed_ram_uffd_take(): move what is present in registered memory elsewhere
 *
 * @dst: registered by fixed_ram_uffd_register_spare(), and empty
 * @src: missing pages of it are left out
 * @done: how many bytes, from the start, are at @dst, also on failure
 *
 * Returns 0 or a negative errno: EBUSY if a page is in use for input or output.
 */
int fixed_ram_uffd_take(FixedRamUffd *uffd, void *dst, void *src,
                        uint64_t length, uint64_t *done);

/**
 * fixed_ram_uffd_zero(): place one page of zeros and wake the threads that wait
 *
 * Works for huge pages too, for which the kernel has no zero page.
 * Returns as fixed_ram_uffd_copy() does.
 */
int fixed_ram_uffd_zero(FixedRamUffd *uffd, void *dst, uint64_t unit);

/**
 * fixed_ram_uffd_zero_range(): place pages of zeros before they are touched
 *
 * Only for memory with the host's small pages.  Leaves out a page that is there
 * already, and ends early where it cannot go on.  Returns how many bytes were
 * placed.
 */
uint64_t fixed_ram_uffd_zero_range(FixedRamUffd *uffd, void *dst,
                                   uint64_t length, uint64_t unit);

/**
 * fixed_ram_uffd_poison(): threads that touch these missing pages get SIGBUS
 *
 * In a system call they get EFAULT.  Threads that wait are woken.  Returns 0 or
 * a negative errno: EOPNOTSUPP if this kernel cannot poison pages, EEXIST if a
 * page is there already.
 */
int fixed_ram_uffd_poison(FixedRamUffd *uffd, void *addr, uint64_t length);

/**
 * fixed_ram_uffd_wake(): have threads that wait here touch their page again
 *
 * If the page is still missing they fault again.
 */
void fixed_ram_uffd_wake(FixedRamUffd *uffd, void *addr, uint64_t length);

/**
 * fixed_ram_uffd_ring(): have one thread return from fixed_ram_uffd_read()
 *
 * A thread that blocks in read() of a userfaultfd can be woken by faults only.
 * So the caller touches page number @i of the doorbell, memory that no guest
 * uses, and waits until a thread has called fixed_ram_uffd_answer().
 *
 * @i: less than FIXED_RAM_UFFD_BELLS; each number works once
 */
#define FIXED_RAM_UFFD_BELLS 16
void fixed_ram_uffd_ring(FixedRamUffd *uffd, unsigned i);

/**
 * fixed_ram_uffd_answer(): if @fault is a ring of the doorbell, let the caller
 * of fixed_ram_uffd_ring() go on
 *
 * Returns whether it is one.
 */
bool fixed_ram_uffd_answer(FixedRamUffd *uffd, const FixedRamFault *fault);

#endif
