/*
 * Reads of a snapshot that fail
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_FIXED_RAM_FAULTS_DRIVER_H
#define TEST_FIXED_RAM_FAULTS_DRIVER_H

#include "migration/fixed-ram-scenario.h"
#include "tests/unit/fixed-ram/faults/faults.h"

/*
 * A scenario up to a saved snapshot, as frt_prepare(), and its end; its
 * guests can be told which reads fail.  False if it is skipped.
 */
bool frt_faults_begin(FixedRamTest *t);
void frt_faults_end(FixedRamTest *t);
/*
 * The same, but the loading side reads the snapshot from a FUSE file system.
 * Reads hang or fail there, and QEMU waits for them in the kernel.
 */
bool frt_faults_begin_kernel(FixedRamTest *t);
/*
 * The same up to frt_fill(), for saves that fail.  The snapshot is an empty
 * file.
 */
bool frt_faults_begin_save(FixedRamTest *t);

/*
 * Reads of the snapshot, or writes, fail as @fault says.  Its @device and
 * @inode are ignored; @end 0 is the end of the file, and @left 0 is "always".
 * Numbers go from 0 to 7.
 */
void frt_faults_set(unsigned number, const FixedRamFaultsRule *fault);
void frt_faults_off(unsigned number);
/* The same reads now fail in another way.  No read succeeds in between. */
void frt_faults_turn(unsigned number, uint32_t mode, int error);
/* The loading side has ended, perhaps with reads that waited. */
void frt_faults_forget(void);

/*
 * Which reads: of pages of the block that holds the pattern.  The first extent
 * is left out: the main thread looks there for the firmware's variables when it
 * loads the devices' state.
 */
FixedRamFaultsRule frt_faults_pages(FixedRamTest *t);
/* These, as fault number 0. */
void frt_faults_set_pages(FixedRamTest *t, uint32_t mode, int error);
/*
 * Fault number 1 is the devices' state, apart from its beginning: pre-flight
 * looks there, too.
 */
void frt_faults_set_devices(FixedRamTest *t, uint32_t mode, int error);

uint64_t frt_faults_injected(unsigned number);
/* Poll until so many reads have failed, or wait now. */
void frt_faults_wait_injected(unsigned number, uint64_t reads);
void frt_faults_wait_hanging(unsigned number, uint64_t reads);
void frt_faults_wait_none_hanging(unsigned number);

/*
 * A load on demand without these pages: reads of them hang.  Returns when the
 * guest may run.
 */
void frt_load_hanging(FixedRamTest *t);
/* Until the first vCPU waits for one of them. */
void frt_wait_vcpu_waits(FixedRamTest *t);
/* They fail instead, so the load is paused. */
void frt_load_failing(FixedRamTest *t, int error);

/*
 * A load on demand in which the main thread waits for one of these pages, while
 * it loads the devices' state.  The guests need such a disk: the firmware has
 * made a queue in RAM for it.
 */
#define FRT_QUEUE \
    "-blockdev null-co,node-name=null,size=1048576,read-zeroes=on " \
    "-device virtio-blk-pci,drive=null"
void frt_load_device_hanging(FixedRamTest *t, bool exit_on_error);

/* Until the load is paused, and error-desc says all of @what: "this|that". */
void frt_wait_paused(FixedRamTest *t, const char *what);

/*
 * The main loop begins to read a page that is missing, by a command whose "id"
 * is "save", and which writes the page to "other".
 */
void frt_occupy_main_loop(FixedRamTest *t);
void frt_check_other(FixedRamTest *t);

#endif
