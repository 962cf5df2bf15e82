/*
 * fixed-ram: recording a working set, and writing it into the snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_RECORDER_H
#define MIGRATION_FIXED_RAM_RECORDER_H

#include "engine/load.h"

/*
 * The engine records which pages are touched from the moment when its threads
 * start.  The recorder ends that some seconds after the guest has started, or
 * when the load ends, and gives the set to a thread, which writes it into the
 * snapshot.  That takes seconds, and the load may have ended meanwhile.  If
 * anything fails the snapshot stays as it was, and a warning says why.
 *
 * Main thread, under the BQL.
 */

typedef struct FixedRamRecorder FixedRamRecorder;

typedef struct FixedRamRecorderConfig {
    unsigned seconds;           /* from the guest's start on */
    bool pack;                  /* write a packed copy of the pages */
    uint64_t start;             /* file offset where the stream begins */
} FixedRamRecorderConfig;

/**
 * fixed_ram_recorder_new(): a record is about to be made
 *
 * @load: records, see FixedRamLoadConfig
 * @source: the snapshot's file; the recorder takes a reference, so that the
 *          file stays locked until the set has been written
 */
FixedRamRecorder *fixed_ram_recorder_new(FixedRamLoad *load,
                                         FixedRamSource *source,
                                         const FixedRamRecorderConfig *config);

/**
 * fixed_ram_recorder_guest_may_run(): the guest runs, or it will after cont
 *
 * From its start on the seconds count.
 */
void fixed_ram_recorder_guest_may_run(FixedRamRecorder *recorder);

/** fixed_ram_recorder_end(): end the record now, and write it */
void fixed_ram_recorder_end(FixedRamRecorder *recorder);

/** fixed_ram_recorder_cancel(): nothing of this is to be written */
void fixed_ram_recorder_cancel(FixedRamRecorder *recorder);

/**
 * fixed_ram_recorder_free(): the load has come to its end, but still exists
 *
 * A record that is still being made ends here and is written, unless it was
 * cancelled.  NULL is fine.
 */
void fixed_ram_recorder_free(FixedRamRecorder *recorder);

/**
 * fixed_ram_recorder_info(): the record being made, or the last one
 *
 * @load: the load under way, or NULL
 *
 * Returns NULL if there is none.  The caller frees the result.
 */
FixedRamRecordInfo *fixed_ram_recorder_info(FixedRamLoad *load);

#endif
