/*
 * The scenarios' files, seen through a FUSE file system
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_FIXED_RAM_FAULTFS_H
#define TEST_FIXED_RAM_FAULTFS_H

/*
 * Mounts the program fixed-ram-faultfs, which inherits this process's
 * environment.  Returns false, and skips the test, where that is not possible.
 */
bool frt_faultfs_start(void);
/* The same, and there are no locks in it. */
bool frt_faultfs_start_without_locks(void);
/* Also if it was not started.  Reads that hang end with an error. */
void frt_faultfs_stop(void);
bool frt_faultfs_mounted(void);

/* The file of frt_path(), below the mountpoint. */
char *frt_faultfs_uri(const char *name);

#endif
