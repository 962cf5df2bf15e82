/*
 * fixed-ram: userfaultfd, one thin function an operation
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_UFFD_H
#define MIGRATION_FIXED_RAM_ENGINE_UFFD_H

/*
 * The protocol is the kernel's: Documentation/admin-guide/mm/userfaultfd.rst
 * and ioctl_userfaultfd(2).  All functions but open and close may be called
 * by any thread at any time.
 */

typedef struct FixedRamUffd {
    int fd;
    bool thread_id;             /* messages name the thread that waits */
    bool can_move;              /* this kernel moves pages */
    bool can_poison;            /* ... and makes them deadly */
    uint8_t *doorbell;          /* pages that no guest knows, see ring() */
    size_t doorbell_size;
} FixedRamUffd;

/* A page that somebody touched and waits for. */
typedef struct FixedRamFault {
    uintptr_t addr;             /* its address, rounded down to a host page */
    uint32_t thread_id;         /* who waits; 0: the kernel does not say */
} FixedRamFault;

/**
 * fixed_ram_uffd_open(): get a descriptor that also sees the kernel's faults
 *
 * The error says what to allow where this process may not have one.
 */
bool fixed_ram_uffd_open(FixedRamUffd *uffd, Error **errp);

/**
 * FIXED_RAM_NO_MOVE: with this variable in the environment, open() takes the
 * kernel for an older one that cannot move or poison pages; for tests
 */
#define FIXED_RAM_NO_MOVE "QEMU_FIXED_RAM_NO_MOVE"

/** fixed_ram_uffd_close(): close it; what is registered faults no more. */
void fixed_ram_uffd_close(FixedRamUffd *uffd);

/**
 * fixed_ram_uffd_register(): from now on, missing pages here are faults
 *
 * @addr, @length: bytes, on borders of the memory's own page size
 */
bool fixed_ram_uffd_register(FixedRamUffd *uffd, void *addr, uint64_t length,
                             Error **errp);

/**
 * fixed_ram_uffd_unregister(): no more faults here; who waits goes on
 *
 * Does nothing if the memory has gone.
 */
void fixed_ram_uffd_unregister(FixedRamUffd *uffd, void *addr,
                               uint64_t length);

/**
 * fixed_ram_uffd_read(): wait for a fault
 *
 * Returns 0 or a negative errno; EINTR and EAGAIN are dealt with.
 */
int fixed_ram_uffd_read(FixedRamUffd *uffd, FixedRamFault *fault);

/**
 * fixed_ram_uffd_copy(): place pages and wake who waits for them
 *
 * @unit: the memory's page size; @dst and @length are multiples of it
 * @done: how many bytes are in place, all of them or not
 *
 * A page that is there already stays as it is and is woken.  Returns 0 or a
 * negative errno: ENOENT if the memory has gone, ENOMEM or ENOSPC if the
 * host has no page to give.
 */
int fixed_ram_uffd_copy(FixedRamUffd *uffd, void *dst, const void *src,
                        uint64_t length, uint64_t unit, uint64_t *done);

/**
 * fixed_ram_uffd_move(): place pages by giving them away, and wake
 *
 * @src: private anonymous memory, which loses the pages; where both sides are
 *       aligned to it, a huge page goes as a whole
 * @done: how many bytes, from the start, have been moved
 *
 * Unlike copy() it stops at a page that is there.  Returns 0 or a negative
 * errno, EOPNOTSUPP if this kernel has no such thing.
 */
int fixed_ram_uffd_move(FixedRamUffd *uffd, void *dst, void *src,
                        uint64_t length, uint64_t *done);

/**
 * fixed_ram_uffd_zero(): place one page of zeros and wake who waits for it
 *
 * Works for huge pages too, for which the kernel has no zero page.
 * Returns as fixed_ram_uffd_copy() does.
 */
int fixed_ram_uffd_zero(FixedRamUffd *uffd, void *dst, uint64_t unit);

/**
 * fixed_ram_uffd_poison(): whoever touches these missing pages gets SIGBUS
 *
 * In a system call, EFAULT.  Who waits is woken.  Returns 0 or a negative
 * errno: EOPNOTSUPP if this kernel cannot do it, EEXIST if a page is there.
 */
int fixed_ram_uffd_poison(FixedRamUffd *uffd, void *addr, uint64_t length);

/**
 * fixed_ram_uffd_wake(): have whoever waits here touch the page again
 *
 * What is still missing faults anew.
 */
void fixed_ram_uffd_wake(FixedRamUffd *uffd, void *addr, uint64_t length);

/**
 * fixed_ram_uffd_ring(): have one reader come back from read()
 *
 * Touches page number @i of the doorbell and waits until a reader has
 * answered by fixed_ram_uffd_answer().  A thread blocked in read() of a
 * userfaultfd hears of nothing but faults.
 *
 * @i: 0 to FIXED_RAM_UFFD_BELLS - 1, each only once
 */
#define FIXED_RAM_UFFD_BELLS 16
void fixed_ram_uffd_ring(FixedRamUffd *uffd, unsigned i);

/** fixed_ram_uffd_answer(): was this fault the doorbell?  Then answer it. */
bool fixed_ram_uffd_answer(FixedRamUffd *uffd, const FixedRamFault *fault);

#endif
