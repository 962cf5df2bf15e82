/*
 * fixed-ram: snapshots with a fixed place for each page, loaded on demand
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * What the rest of QEMU calls.  docs/devel/migration/fixed-ram.rst tells the
 * whole story; migration/fixed-ram/ is where it happens.
 *
 * Unless it says otherwise a function belongs to the main thread, under the
 * big QEMU lock, and does nothing where neither fixed-ram nor mapped-ram
 * together with postcopy-ram is set.
 */

#ifndef MIGRATION_FIXED_RAM_H
#define MIGRATION_FIXED_RAM_H

#include "exec/cpu-common.h"
#include "io/channel-file.h"
#include "qapi/qapi-types-migration.h"
#include "qemu/coroutine.h"

/** migrate_fixed_ram(): is the capability set?  Any thread. */
bool migrate_fixed_ram(void);

/** migrate_fixed_ram_verify(): are checksums written and checked? */
bool migrate_fixed_ram_verify(void);

/** fixed_ram_load_wanted(): do the capabilities ask for a load of ours? */
bool fixed_ram_load_wanted(void);

/**
 * fixed_ram_host_check(): can this host load on demand?
 *
 * The error says what is missing.
 */
bool fixed_ram_host_check(Error **errp);

/**
 * fixed_ram_caps_check(): what fixed-ram means for other capabilities
 *
 * @old_caps: as they are
 * @new_caps: as they are asked for; mapped-ram's is adjusted here
 *
 * Returns false, with the reason, if they do not go together.
 */
bool fixed_ram_caps_check(const bool *old_caps, bool *new_caps, Error **errp);

/**
 * fixed_ram_caps_apply(): take over the capability that fixed-ram implies
 *
 * @caps: the ones in force
 * @new_caps: as fixed_ram_caps_check() left them
 */
void fixed_ram_caps_apply(bool *caps, const bool *new_caps);

/**
 * fixed_ram_params_check(): are @params possible?
 *
 * Returns false, with the reason, if fixed-ram is set and excludes one, or
 * if one of our own is out of range.
 */
bool fixed_ram_params_check(const MigrationParameters *params, Error **errp);

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
 * fixed_ram_incoming_prepare(): pre-flight, before anything is set up
 *
 * @addr: where to load from; ours if it is a file and a capability says so
 *
 * Opens the snapshot and checks it against this machine.  A failure leaves
 * everything as it was.  Returns true, too, if the load is not ours.
 */
bool fixed_ram_incoming_prepare(MigrationAddress *addr, Error **errp);

/** fixed_ram_incoming(): is the load under way ours?  Any thread. */
bool fixed_ram_incoming(void);

/**
 * fixed_ram_check_idle(): may all of RAM be replaced?
 *
 * Not during a load of ours, nor where pages were given up.
 */
bool fixed_ram_check_idle(Error **errp);

/**
 * fixed_ram_check_vmstate(): can a VM state be saved to, or loaded from, a disk
 * image?
 *
 * Not with a fixed layout, and not unless fixed_ram_check_idle().
 */
bool fixed_ram_check_vmstate(Error **errp);

/**
 * fixed_ram_check_shareable(): may another process map the guest's RAM?
 *
 * Not while it is loaded on demand: that process would find pages that are
 * missing as zeros.
 */
bool fixed_ram_check_shareable(Error **errp);

/** fixed_ram_incoming_start(): begin what was prepared. */
void fixed_ram_incoming_start(void);

/**
 * fixed_ram_load_ramblocks(): the RAM section's headers, in our load
 *
 * @f: stands behind the section's total size; left behind all pages
 *
 * Returns 0 or a negative errno.  Called inside an RCU read section.
 */
int fixed_ram_load_ramblocks(QEMUFile *f);

/**
 * fixed_ram_load_wait(): let the share be loaded that the guest shall not
 * wait for
 *
 * Eager: all of it.  Yields.  Returns 0 or a negative errno.
 */
int coroutine_mixed_fn fixed_ram_load_wait(void);

/**
 * fixed_ram_incoming_loaded(): the stream has been read
 *
 * @ret: its result, 0 or a negative errno; may be made worse
 *
 * Returns true in a load on demand: the guest starts by precopy's way.
 */
bool fixed_ram_incoming_loaded(int *ret);

/**
 * fixed_ram_incoming_running(): the guest has started, or waits for cont
 *
 * Returns true if RAM is still on its way: the incoming state stays.
 */
bool fixed_ram_incoming_running(void);

/**
 * fixed_ram_start_postcopy(): switch over now, whatever has been loaded
 *
 * Returns false if there is no load of ours to switch over.
 */
bool fixed_ram_start_postcopy(void);

/**
 * fixed_ram_pause(): stop reading, as after an error
 *
 * Returns false if there is no load of ours that could be paused.
 * Out-of-band: any thread, no lock.
 */
bool fixed_ram_pause(void);

/**
 * fixed_ram_recover(): go on after a pause, from the same snapshot
 *
 * Returns false if the paused load is not ours.
 * Out-of-band: any thread, no lock.
 */
bool fixed_ram_recover(const char *uri, Error **errp);

/** fixed_ram_incoming_end(): the incoming state goes; ends the load. */
void fixed_ram_incoming_end(void);

/**
 * fixed_ram_shutdown(): the process ends: loaders end, faults are served
 *
 * The guest's disks are flushed.  Does not return if the load is paused: that
 * is all, then.
 */
void fixed_ram_shutdown(void);

/** fixed_ram_fill_info(): the load's figures, for query-migrate. */
void fixed_ram_fill_info(MigrationInfo *info);

/** fixed_ram_hmp_info(): print them. */
void fixed_ram_hmp_info(Monitor *mon, const MigrationInfo *info);

#endif
