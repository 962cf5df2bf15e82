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
 * An appender adds parts to a complete snapshot, which leaves loaders alone:
 * its lock is a byte of its own, where no file has bytes.  A saver locks that
 * byte, too.  An appender also wants to know whether there are loaders, and
 * must not stop new ones.  So each loader has one more byte for itself, at
 * random in another such range; the appender tests whether one is locked.
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
 * Fails if the file is being written, but waits half a second for the end of
 * that.  Succeeds without a lock on file systems that have no locks.
 */
bool fixed_ram_lock_shared(int fd, uint64_t start, const char *name,
                           Error **errp);

/**
 * fixed_ram_lock_works(): does a loader's lock that was taken keep savers out?
 *
 * False on file systems that have no locks.
 */
bool fixed_ram_lock_works(int fd, uint64_t start);

/**
 * fixed_ram_lock_exclusive(): the caller is going to write @fd from @start on
 *
 * Fails if the file is being written or loaded.  Otherwise it is like
 * fixed_ram_lock_shared().
 */
bool fixed_ram_lock_exclusive(int fd, uint64_t start, const char *name,
                              Error **errp);

/**
 * fixed_ram_lock_release(): release a loader's or a saver's lock
 *
 * Call it before @fd is closed.
 *
 * Descriptors that share @fd's description and were locked by
 * fixed_ram_lock_shared() stay locked.
 */
void fixed_ram_lock_release(int fd, uint64_t start);

/**
 * fixed_ram_lock_append(): the caller is going to append to a snapshot
 *
 * @fd: open for reading and writing; was not locked before
 *
 * Fails if the file is being written or appended to, but waits half a second
 * for the end of that.  Fails as well on file systems that have no locks:
 * appenders could not exclude each other there.
 */
bool fixed_ram_lock_append(int fd, const char *name, Error **errp);

/** fixed_ram_lock_append_release(): release it before @fd is closed */
void fixed_ram_lock_append_release(int fd);

/** fixed_ram_lock_appending(): is a process appending to the file of @fd? */
bool fixed_ram_lock_appending(int fd);

/**
 * fixed_ram_lock_others(): may another process have the file open for a load?
 *
 * @fd: locked by fixed_ram_lock_append()
 *
 * A loader of this process does not count.  True if that is not known.  A
 * loader that comes later sees what the file holds now.
 */
bool fixed_ram_lock_others(int fd);

#endif
