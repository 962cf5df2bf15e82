/*
 * fixed-ram: who may use a snapshot's file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_LOCK_H
#define MIGRATION_FIXED_RAM_FORMAT_LOCK_H

/*
 * A snapshot is locked from its first byte to the end of all files: what
 * stands before it belongs to somebody else.  Loaders share the lock, a saver
 * excludes all others.  The locks are the kernel's open file description
 * locks, fcntl(2): they bind those who ask for them, and go with the last
 * descriptor of that description.
 *
 * All functions may be called by any thread.
 */

/**
 * fixed_ram_lock_shared(): the file at @fd will be read from @start on
 *
 * @name: the file, for messages
 *
 * Fails if it is being written.  Where the file system has no locks this does
 * nothing.
 */
bool fixed_ram_lock_shared(int fd, uint64_t start, const char *name,
                           Error **errp);

/**
 * fixed_ram_lock_exclusive(): the file at @fd will be written from @start on
 *
 * Fails if it is being written or loaded.  Otherwise like
 * fixed_ram_lock_shared().
 */
bool fixed_ram_lock_exclusive(int fd, uint64_t start, const char *name,
                              Error **errp);

/** fixed_ram_unlock(): end either of the two. */
void fixed_ram_unlock(int fd, uint64_t start);

#endif
