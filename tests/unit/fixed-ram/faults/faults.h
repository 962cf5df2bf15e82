/*
 * Reads and writes of a file that fail: what is told to the library
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_FIXED_RAM_FAULTS_H
#define TEST_FIXED_RAM_FAULTS_H

/*
 * A process that runs with
 *
 *   LD_PRELOAD=libfixed-ram-faults.so QEMU_FIXED_RAM_FAULTS=PATH
 *
 * maps the first page of the file PATH, and obeys the rules there.  Its
 * driver, another process, maps the same page.  Without that variable the
 * library does nothing.  A process with AddressSanitizer also needs
 * verify_asan_link_order=0 in ASAN_OPTIONS.
 *
 * It changes read(), pread(), readv(), preadv(), the same for write, fsync(),
 * fdatasync() and mmap(), and only for files that a rule names.  A rule has the
 * device and inode of its file, so the file may be opened in any way, or be
 * unlinked.
 */
#define FIXED_RAM_FAULTS_ENV    "QEMU_FIXED_RAM_FAULTS"
#define FIXED_RAM_FAULTS_BYTES  4096
#define FIXED_RAM_FAULTS_RULES  8

enum {
    FIXED_RAM_FAULTS_OFF,       /* this rule does not count */
    FIXED_RAM_FAULTS_ERROR,     /* reads fail with @error */
    FIXED_RAM_FAULTS_SHORT,     /* the file ends at @first */
    FIXED_RAM_FAULTS_HANG,      /* reads wait for another mode */
    FIXED_RAM_FAULTS_WRITE_ERROR,   /* writes fail with @error */
    FIXED_RAM_FAULTS_WRITE_FULL,    /* those from @first on; others are cut */
    FIXED_RAM_FAULTS_WRITE_HANG,
    FIXED_RAM_FAULTS_SYNC_ERROR,    /* fsync() and fdatasync() do */
    FIXED_RAM_FAULTS_SYNC_HANG,
    FIXED_RAM_FAULTS_MAP_ERROR, /* mmap() of the file fails with @error */
};

#define FIXED_RAM_FAULTS_ALWAYS UINT64_MAX

/*
 * All fields are little-endian and lie one after the other without gaps.
 * Both processes access them atomically.  The driver sets @mode to "off" before
 * it changes which reads are meant, and to another mode after that; how they
 * fail may change at any time.
 *
 * A rule concerns reads of its file that touch bytes from @first to before
 * @end, or writes, or mappings, or any syncs of it.  Of those, the first @after
 * ones pass, and then each @every-th one fails, until @left have failed.  An
 * operation that has waited is judged once more, as if it were a new one.
 */
typedef struct FixedRamFaultsRule {
    uint32_t mode;
    int32_t error;              /* an errno */
    uint64_t device;            /* as stat() has it: st_dev */
    uint64_t inode;             /* st_ino */
    uint64_t first;
    uint64_t end;
    uint64_t after;
    uint64_t every;             /* 0 is 1 */
    uint64_t left;              /* the library counts it down, if not ALWAYS */

    /* Counted by the library.  The driver sets the first two to 0. */
    uint64_t reads;             /* or what else this rule concerns */
    uint64_t injected;          /* those that failed, were cut or waited */
    uint64_t hanging;           /* those that wait now */
} FixedRamFaultsRule;

/* The first rule that makes a read fail is the one that does. */
typedef struct FixedRamFaults {
    FixedRamFaultsRule rules[FIXED_RAM_FAULTS_RULES];
} FixedRamFaults;

#endif
