/*
 * fixed-ram: locks on a snapshot's file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_LOCK_H
#define MIGRATION_FIXED_RAM_FORMAT_LOCK_H

/*
 * A lock covers a snapshot's first byte and all bytes behind it, also those
 * that the file does not have yet; bytes in front of the snapshot belong to
 * other programs.  Loaders share the lock; a saver excludes loaders and savers.
 *
 * The locks are the kernel's open file description locks, fcntl(2).  They are
 * advisory, and the kernel drops them with the last descriptor of the
 * description.  Descriptors that QEMU takes out of one fdset share a
 * description, so a lock may outlive the descriptor that it was taken through:
 * each successful lock must be followed by fixed_ram_lock_release().
 *
 * All functions may be called by any thread.
 */

/**
 * fixed_ram_lock_shared(): the caller is going to read @fd from @start on
 *
 * @name: the file, for messages
 *
 * Fails if the file is being written.  Succeeds without a lock on file systems
 * that have no locks.
 */
bool fixed_ram_lock_shared(int fd, uint64_t start, const char *name,
                           Error **errp);

/**
 * fixed_ram_lock_exclusive(): the caller is going to write @fd from @start on
 *
 * Fails if the file is being written or loaded.  Otherwise it is like
 * fixed_ram_lock_shared().
 */
bool fixed_ram_lock_exclusive(int fd, uint64_t start, const char *name,
                              Error **errp);

/**
 * fixed_ram_lock_release(): release a lock before @fd is closed
 *
 * Descriptors that share @fd's description and were locked by
 * fixed_ram_lock_shared() stay locked.
 */
void fixed_ram_lock_release(int fd, uint64_t start);

#endif
