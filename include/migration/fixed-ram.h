/*
 * fixed-ram: snapshots with a fixed place for each page, loaded on demand
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * The functions that the rest of QEMU calls.  For how it works see
 * docs/devel/migration/fixed-ram.rst; the code is in migration/fixed-ram/.
 *
 * If a function does not say otherwise the main thread calls it under the BQL,
 * and it does nothing unless fixed-ram is set, or mapped-ram together with
 * postcopy-ram or with a fixed-ram-load-mode other than auto.
 */

#ifndef MIGRATION_FIXED_RAM_H
#define MIGRATION_FIXED_RAM_H

#include "exec/cpu-common.h"
#include "io/channel-file.h"
#include "qapi/qapi-types-migration.h"
#include "qemu/coroutine.h"

/** migrate_fixed_ram(): is the capability set?  Any thread. */
bool migrate_fixed_ram(void);

/** migrate_fixed_ram_verify(): does the user want checksums?  Any thread. */
bool migrate_fixed_ram_verify(void);

/**
 * fixed_ram_caps_join(): let fixed-ram follow what a client asks for
 *
 * @asked: what the client has named
 * @old_caps: the capabilities in force
 * @new_caps: the same, changed by @asked; adjusted here
 *
 * If only -global has set fixed-ram it is set when the other capabilities allow
 * it and a client has not cleared mapped-ram, otherwise it is cleared.  If a
 * client clears fixed-ram, mapped-ram is cleared, too.
 */
void fixed_ram_caps_join(const MigrationCapabilityStatusList *asked,
                         const bool *old_caps, bool *new_caps);

/**
 * fixed_ram_caps_check(): check capabilities that a user asks for
 *
 * @old_caps: the capabilities in force
 * @new_caps: the capabilities asked for; mapped-ram's is adjusted here
 *
 * Returns false with an error if they exclude each other or would change a load
 * under way.
 */
bool fixed_ram_caps_check(const bool *old_caps, bool *new_caps, Error **errp);

/**
 * fixed_ram_caps_apply(): put fixed-ram and what it implies in force
 *
 * @asked: what the client has named
 * @caps: the capabilities in force
 * @new_caps: as fixed_ram_caps_check() left them
 */
void fixed_ram_caps_apply(const MigrationCapabilityStatusList *asked,
                          bool *caps, const bool *new_caps);

/**
 * fixed_ram_caps_explain(): say what to set for a stream that was refused
 *
 * @cap: a capability that the stream was saved with, and that is not set here
 */
void fixed_ram_caps_explain(MigrationCapability cap);

/**
 * fixed_ram_params_check(): check parameters that a user asks for
 *
 * Returns false with an error if fixed-ram is set and excludes one, or if one
 * of fixed-ram's parameters is out of range.
 */
bool fixed_ram_params_check(const MigrationParameters *params, Error **errp);

/**
 * fixed_ram_params_applied(): a client has set parameters
 *
 * Remembers which of those have been set for which "not set" is a value of its
 * own.
 */
void fixed_ram_params_applied(bool max_bandwidth, bool direct_io,
                              bool load_mode);

/*
 * What other commands and devices may do.  Each returns false with an error
 * that says why not.
 */

/** fixed_ram_check_host(): can this host load on demand? */
bool fixed_ram_check_host(Error **errp);

/**
 * fixed_ram_check_idle(): may a command replace all of the guest's RAM?
 *
 * Not during a load, and not if pages were given up.
 */
bool fixed_ram_check_idle(Error **errp);

/**
 * fixed_ram_check_vmstate(): may a VM state go to, or come from, a disk image?
 *
 * Not while mapped-ram or fixed-ram is set, and only if fixed_ram_check_idle()
 * allows it.
 */
bool fixed_ram_check_vmstate(Error **errp);

/**
 * fixed_ram_check_shareable(): may another process map the guest's RAM?
 *
 * Not while it is loaded on demand: a page that is missing would be a page of
 * zeros there.
 */
bool fixed_ram_check_shareable(Error **errp);

/**
 * fixed_ram_option_given(): QEMU was started with this option
 *
 * @name: without the dash; empty for a disk image, whose name is @argument
 * @argument: NULL: the option has none
 *
 * Keeps a copy for saves.  Works without fixed-ram, too: a client may set it
 * later.
 */
void fixed_ram_option_given(const char *name, const char *argument);

/*
 * A migration that begins while RAM is still loaded in the background waits for
 * it, in the status "setup".
 */

/** FixedRamMigrateStart: starts a migration that has been set up. */
typedef void FixedRamMigrateStart(MigrationAddress *addr, bool resume,
                                  Error **errp);

/**
 * fixed_ram_outgoing_check(): may a migration begin, perhaps by waiting?
 *
 * Not while a load in the background is paused.
 */
bool fixed_ram_outgoing_check(Error **errp);

/**
 * fixed_ram_outgoing_wait(): have a migration wait if RAM is still loaded
 *
 * @start: called with a copy of @addr, and without @errp, when RAM is there.
 *         Not called if the migration has been cancelled by then, or has failed
 *         because the load was paused.
 *
 * Returns false if there is nothing to wait for.  Returns true if the migration
 * waits, or with an error if it cannot.
 */
bool fixed_ram_outgoing_wait(const MigrationAddress *addr,
                             FixedRamMigrateStart *start, Error **errp);

/**
 * fixed_ram_outgoing_wait_cancel(): the migration that waits is cancelled
 *
 * Returns false if none waits.
 */
bool fixed_ram_outgoing_wait_cancel(void);

/**
 * fixed_ram_outgoing_fd(): the descriptor that a client has named @name
 *
 * The monitor's, or the one of a migration that has waited.  Returns -1 with an
 * error if there is none.  It is the caller's.
 */
int fixed_ram_outgoing_fd(const char *name, Error **errp);

/**
 * fixed_ram_outgoing_prepare(): a snapshot is about to be written to @fd
 *
 * @fd: remains the caller's
 * @name: the file, for messages and for opening it again
 * @start: where in the file the snapshot will begin
 *
 * Tries to open what the migration will open later, and locks the file until
 * the migration has ended or fixed_ram_outgoing_release() is called.  The
 * content of the file does not change.  On failure the file is not locked.
 * Without fixed-ram it does nothing and returns true.
 */
bool fixed_ram_outgoing_prepare(int fd, const char *name, uint64_t start,
                                Error **errp);

/**
 * fixed_ram_outgoing_release(): the migration did not start, or has been undone
 *
 * Unlocks the file of fixed_ram_outgoing_prepare(), if there is one, and if the
 * migration has not been completed.
 */
void fixed_ram_outgoing_release(void);

/**
 * fixed_ram_outgoing_wrap_channel(): the stream will be written to *@file
 *
 * Replaces *@file by a channel that takes checksums of the stream.
 */
void fixed_ram_outgoing_wrap_channel(QIOChannelFile **file);

/*
 * The migration thread calls the functions below.  They do nothing in a save
 * without fixed_ram_outgoing_prepare().
 */

/**
 * fixed_ram_outgoing_block(): mapped-ram has chosen the place of @block
 *
 * @alignment: of the place of its pages, which may be moved to the next
 *             multiple to leave space for the superblock
 *
 * fixed_ram_outgoing_begin() reports its error.
 */
void fixed_ram_outgoing_block(RAMBlock *block, uint64_t alignment);

/**
 * fixed_ram_outgoing_version(): the version in the header of each block
 *
 * @full: that of a full snapshot; a delta has another one, so that no reader
 *        takes the pages that it leaves out for zeros
 */
uint32_t fixed_ram_outgoing_version(uint32_t full);

/**
 * fixed_ram_outgoing_begin(): all blocks have places, no page is written yet
 *
 * Writes the superblock, which says that the snapshot is being written.
 * Releases the big lock while it writes.
 */
bool fixed_ram_outgoing_begin(Error **errp);

/**
 * fixed_ram_outgoing_bulk(): save the RAM of a stopped guest in bulk
 *
 * @f: the stream; an error becomes its error, and its error ends the save
 * @dirty_pages: number of pages that are still to be saved, kept up to date
 *
 * The first call starts the bulk save.  Each call takes a moment; the caller
 * should release the lock of the bitmaps and leave its RCU read section between
 * two calls.  Returns the number of pages that were saved since the last call,
 * at least one, or -EIO.  Returns 0 if the caller must look for the remaining
 * pages in the dirty bitmaps.
 */
int fixed_ram_outgoing_bulk(QEMUFile *f, uint64_t *dirty_pages);

/**
 * fixed_ram_outgoing_bulk_pending(): may the migration not complete yet?
 *
 * Returns 0 if no bulk save is under way or about to start.  Else it returns so
 * many bytes that no downtime limit allows the rest of the migration, which
 * holds the big lock: disks are slow, and may hang.  The migration thread.
 */
uint64_t fixed_ram_outgoing_bulk_pending(void);

/** fixed_ram_outgoing_bulk_end(): the migration has ended, with any result */
void fixed_ram_outgoing_bulk_end(void);

/**
 * fixed_ram_outgoing_freeze(): the guest is stopped; save what RAM holds now
 *
 * For saves with background-snapshot, in place of the base's write tracking.
 * The RAM is protected from here on until fixed_ram_outgoing_thaw(): a thread
 * that writes to a page which is not saved yet waits for its copy.  With the
 * big lock.  Returns 0, or -1 on failure; the migration has the error then.
 */
int fixed_ram_outgoing_freeze(void);

/**
 * fixed_ram_outgoing_thaw(): a save with background-snapshot ends, in any way
 *
 * Without the big lock.
 */
void fixed_ram_outgoing_thaw(void);

/**
 * fixed_ram_outgoing_visit(): page number @page of @block is about to be saved
 *
 * It may be a zero page.  Not called for pages that are saved in bulk.
 */
void fixed_ram_outgoing_visit(RAMBlock *block, uint64_t page);

/**
 * fixed_ram_outgoing_page(): write the page of @block at @offset to its place
 *
 * An error becomes the error of @f.  Returns false if this is no save of
 * fixed-ram: then nothing is written.
 */
bool fixed_ram_outgoing_page(QEMUFile *f, RAMBlock *block, uint64_t offset);

/**
 * fixed_ram_outgoing_pages(): write pages of @block to their places
 *
 * @ioc: a file channel
 * @iov: pages that follow each other in the guest's memory
 *
 * Returns the number of bytes written, which is all of them, or -1 on failure.
 * Returns 0 if this is no save of fixed-ram: then nothing is written.  Any
 * thread.
 */
ssize_t fixed_ram_outgoing_pages(QIOChannel *ioc, RAMBlock *block,
                                 const struct iovec *iov, size_t niov,
                                 Error **errp);

/**
 * fixed_ram_outgoing_bitmap(): write the bitmap of @block, which is final
 *
 * Returns false if this is no save of fixed-ram: then nothing is written.
 */
bool fixed_ram_outgoing_bitmap(QEMUFile *f, RAMBlock *block);

/**
 * fixed_ram_outgoing_finish(): the stream has been written to @f
 *
 * Writes the index, completes the snapshot and returns when it is on disk.  An
 * error becomes the error of @f.
 */
void fixed_ram_outgoing_finish(QEMUFile *f);

/**
 * fixed_ram_drain_call_rcu(): drain_call_rcu(), but not for ever during a load
 *
 * For a caller that waits only so that a device is gone when its command is
 * answered.  While RAM is loaded a vCPU may wait for a page inside an RCU read
 * section, so this function returns after a second at the latest.  Outside a
 * load it is drain_call_rcu().  Main thread, which holds the big lock.
 */
void fixed_ram_drain_call_rcu(void);

/** fixed_ram_incoming_wanted(): do the settings ask for a load of ours? */
bool fixed_ram_incoming_wanted(void);

/**
 * fixed_ram_incoming_prepare(): pre-flight: open a snapshot and check it
 *
 * @addr: where migrate-incoming is to load from
 *
 * Returns true, too, if the load is not fixed-ram's.  A failure leaves
 * everything as it was, so that another file can be tried.
 */
bool fixed_ram_incoming_prepare(MigrationAddress *addr, Error **errp);

/** fixed_ram_incoming_active(): is there a load of fixed-ram's? */
bool fixed_ram_incoming_active(void);

/**
 * fixed_ram_incoming_needs_settings(): does a load need its capabilities?
 *
 * Not once its guest may run, if it goes on in the background: by then it has
 * its own copy of what it needs.
 */
bool fixed_ram_incoming_needs_settings(void);

/** fixed_ram_incoming_start(): begin the load that pre-flight has prepared. */
void fixed_ram_incoming_start(void);

/**
 * fixed_ram_incoming_ramblocks(): load the RAM section's block headers
 *
 * @f: the stream, behind the total size of RAM; it is moved behind all pages
 *
 * The engine starts.  Returns 0 or a negative errno.  Called inside an RCU read
 * section.
 */
int fixed_ram_incoming_ramblocks(QEMUFile *f);

/**
 * fixed_ram_incoming_wait_share(): wait for the share that comes first
 *
 * Eager: for all of RAM.  Yields.  Returns 0 or a negative errno.
 */
int coroutine_mixed_fn fixed_ram_incoming_wait_share(void);

/**
 * fixed_ram_incoming_loaded(): the stream has been read to its end
 *
 * @ret: the result, 0 or a negative errno; 0 may become an errno
 * @why: the base's reason of a failure, NULL if it has printed it or has none
 *
 * Returns true in a load on demand: the guest starts as after precopy.
 */
bool fixed_ram_incoming_loaded(int *ret, const Error *why);

/**
 * fixed_ram_incoming_running(): the guest has started, or waits for cont
 *
 * Returns true if pages are still missing and the incoming state must stay: not
 * if they are loaded in the background.
 */
bool fixed_ram_incoming_running(void);

/**
 * fixed_ram_incoming_switchover(): start the guest, however much is missing
 *
 * Returns false if there is no load on demand.
 */
bool fixed_ram_incoming_switchover(void);

/**
 * fixed_ram_discard(): discard guest memory that is a mapping of a snapshot
 *
 * @host, @length: whole pages of one RAM block
 * @ret: set to 0 or a negative errno
 *
 * Returns false, and does nothing, if the memory is no such mapping.
 */
bool fixed_ram_discard(void *host, size_t length, int *ret);

/**
 * fixed_ram_wait_for_bad_page(): a vCPU has met memory that cannot be read
 *
 * Its thread waits until a page of a mapped snapshot has been mended that could
 * not be read.  Returns false if there is none: the vCPU fails for another
 * reason.  A vCPU's thread, without the BQL.
 */
bool fixed_ram_wait_for_bad_page(void);

/** fixed_ram_incoming_end(): end the load, before the incoming state goes. */
void fixed_ram_incoming_end(void);

/**
 * fixed_ram_incoming_shutdown(): QEMU is about to end during a load
 *
 * Loaders end, faults are still served, and the guest's disks are flushed.  If
 * the load is paused the process ends here.
 */
void fixed_ram_incoming_shutdown(void);

/**
 * fixed_ram_recover_pause(): stop reading, as after an error
 *
 * Stops a recovery, too.  Returns false if there is no load of fixed-ram's
 * whose guest runs; sets @errp if it is paused already.  Any thread, without
 * the BQL.
 */
bool fixed_ram_recover_pause(Error **errp);

/**
 * fixed_ram_recover_start(): begin to recover a paused load
 *
 * @uri: where a copy of the snapshot is; NULL: read the open file again
 *
 * Does not wait for the file: the migration's state tells how it goes.  Returns
 * false if there is no load of fixed-ram's whose guest runs; sets @errp if
 * there is one that cannot be recovered.  Any thread, without the BQL.
 */
bool fixed_ram_recover_start(const char *uri, Error **errp);

/** fixed_ram_info_fill(): add a load's figures to query-migrate's answer. */
void fixed_ram_info_fill(MigrationInfo *info);

/** fixed_ram_info_print(): print a load's figures for "info migrate". */
void fixed_ram_info_print(Monitor *mon, const MigrationInfo *info);

#endif
