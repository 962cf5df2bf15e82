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
 * postcopy-ram.
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
 * fixed_ram_caps_apply(): put the capability that fixed-ram implies in force
 *
 * @caps: the capabilities in force
 * @new_caps: as fixed_ram_caps_check() left them
 */
void fixed_ram_caps_apply(bool *caps, const bool *new_caps);

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
 * fixed_ram_outgoing_prepare(): a snapshot is about to be written to @fd
 *
 * @name: the file, for messages
 * @start: where in the file it will begin
 *
 * Locks the file until the migration has ended.  Returns true, too, without
 * fixed-ram.
 */
bool fixed_ram_outgoing_prepare(int fd, const char *name, uint64_t start,
                                Error **errp);

/**
 * fixed_ram_outgoing_channel(): the stream will go to @file
 *
 * Puts a channel in its place that sees what goes to it.
 */
void fixed_ram_outgoing_channel(QIOChannelFile **file);

/*
 * Those below are the migration thread's.  Without a save that was prepared
 * they do nothing.
 */

/**
 * fixed_ram_outgoing_block(): mapped-ram has found a place for @block
 *
 * @alignment: of where the pages are, which may be moved on for a superblock
 *
 * An error is told by fixed_ram_outgoing_begin().
 */
void fixed_ram_outgoing_block(RAMBlock *block, uint64_t alignment);

/**
 * fixed_ram_outgoing_begin(): all blocks have places, pages follow
 *
 * From here on the file says that it is being written.  Lets the big lock go
 * meanwhile.
 */
bool fixed_ram_outgoing_begin(Error **errp);

/**
 * fixed_ram_outgoing_bulk(): let a stopped guest's RAM be saved in bulk
 *
 * @f: the stream, whose error ends it; one that is met becomes that of @f
 * @dirty_pages: how many are still to be saved, kept up to date
 *
 * The first call begins it.  Takes a moment; who holds the bitmaps' lock and is
 * in a read section of RCU should let both go then.  Returns how many pages
 * were saved meanwhile, at least one, or -EIO; 0: what is left must be looked
 * for in blocks' dirty bitmaps.
 */
int fixed_ram_outgoing_bulk(QEMUFile *f, uint64_t *dirty_pages);

/** fixed_ram_outgoing_bulk_end(): the migration is over, however it went */
void fixed_ram_outgoing_bulk_end(void);

/**
 * fixed_ram_outgoing_page(): write the page of @block at @offset to its place
 *
 * An error becomes that of @f.  Returns false if nothing has been done because
 * the save is not ours.
 */
bool fixed_ram_outgoing_page(QEMUFile *f, RAMBlock *block, uint64_t offset);

/**
 * fixed_ram_outgoing_pages(): write pages of @block to their places
 *
 * @iov: they are one behind the other in the guest's memory
 *
 * Returns how many bytes they have, -1 on failure, or 0 if nothing has been
 * done because the save is not ours.  Any thread.
 */
ssize_t fixed_ram_outgoing_pages(QIOChannel *ioc, RAMBlock *block,
                                 const struct iovec *iov, size_t niov,
                                 Error **errp);

/** fixed_ram_outgoing_bitmap(): @block's is final, no page will follow */
void fixed_ram_outgoing_bitmap(RAMBlock *block);

/**
 * fixed_ram_outgoing_finish(): the stream has been written to @f
 *
 * Completes the snapshot and returns when it is on disk.  An error becomes
 * that of @f.
 */
void fixed_ram_outgoing_finish(QEMUFile *f);

/**
 * fixed_ram_drain_call_rcu(): drain_call_rcu(), unless RAM is being loaded
 *
 * For a caller that waits only so that its command has ended when the user
 * reads the answer: during a load it might wait for a page.
 */
void fixed_ram_drain_call_rcu(void);

/** fixed_ram_incoming_wanted(): do the capabilities ask for a load of ours? */
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
 *
 * Returns true in a load on demand: the guest starts as after precopy.
 */
bool fixed_ram_incoming_loaded(int *ret);

/**
 * fixed_ram_incoming_running(): the guest has started, or waits for cont
 *
 * Returns true if pages are still missing: the incoming state must stay.
 */
bool fixed_ram_incoming_running(void);

/**
 * fixed_ram_incoming_switchover(): start the guest, however much is missing
 *
 * Returns false if there is no load on demand.
 */
bool fixed_ram_incoming_switchover(void);

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
