/*
 * fixed-ram: when loaders may read, and how much
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_PACE_H
#define MIGRATION_FIXED_RAM_ENGINE_PACE_H

#include "qemu/thread.h"

/*
 * A disk serves one request after the other: how long a fault takes is
 * decided by what loaders have in flight.  How careful they are depends on
 * how long ago the last fault was:
 *
 *   busy    just now: one loader at a time, small reads, and a pause after
 *           each in proportion to how long it took, so that faults and
 *           loaders share the disk whatever its speed
 *   calm    a moment ago: one loader at a time, larger reads, no pause
 *   quiet   all loaders, an extent in one read
 *
 * All functions may be called by any thread.
 */
typedef struct FixedRamPace {
    unsigned urgent;            /* faults whose pages are being read; atomic */
    int64_t last_fault;         /* when one was; get_clock(); atomic */
    uintptr_t hurry;            /* who waits, waits for a loader; atomic */
    int64_t read_begin;         /* its who has the turn: the last read ... */
    int64_t read_end;           /* ... began and ended */
    QemuMutex lock;             /* guards what follows */
    QemuCond left;              /* @taken is no more */
    bool taken;                 /* a loader has the turn */
} FixedRamPace;

/*
 * A loader's own, from enter to leave.  Of one that hangs in a read another
 * thread may end the read, and leave.
 */
typedef struct FixedRamTurn {
    bool held;                  /* it has the turn, else all may read */
} FixedRamTurn;

/**
 * fixed_ram_pace_init(): begin as after a fault
 *
 * @careful: false where there will be no faults: always quiet
 */
void fixed_ram_pace_init(FixedRamPace *pace, bool careful);
void fixed_ram_pace_destroy(FixedRamPace *pace);

/** fixed_ram_pace_fault(): a fault thread is about to read. */
void fixed_ram_pace_fault(FixedRamPace *pace);

/** fixed_ram_pace_fault_end(): it has done so. */
void fixed_ram_pace_fault_end(FixedRamPace *pace);

/**
 * fixed_ram_pace_hurry(): somebody waits for @addr, which a loader has taken
 *
 * It brings the rest of that extent without a pause.
 */
void fixed_ram_pace_hurry(FixedRamPace *pace, uintptr_t addr);

/** fixed_ram_pace_enter(): wait for one's turn to read, if turns are taken. */
void fixed_ram_pace_enter(FixedRamPace *pace, FixedRamTurn *turn);

/** fixed_ram_pace_leave(): nothing more to read for now; may be repeated. */
void fixed_ram_pace_leave(FixedRamPace *pace, FixedRamTurn *turn);

/**
 * fixed_ram_pace_begin(): wait until a read may be issued
 *
 * @addr, @length: the memory that the caller has taken, see hurry()
 * @want: how many bytes to read
 *
 * Returns how many may be read at once, @want at most.
 */
uint64_t fixed_ram_pace_begin(FixedRamPace *pace, const FixedRamTurn *turn,
                              uintptr_t addr, uint64_t length, uint64_t want);

/** fixed_ram_pace_end(): the read is over. */
void fixed_ram_pace_end(FixedRamPace *pace, const FixedRamTurn *turn);

#endif
