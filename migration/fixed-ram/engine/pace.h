/*
 * fixed-ram: when loaders may read, and how much
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_ENGINE_PACE_H
#define MIGRATION_FIXED_RAM_ENGINE_PACE_H

#include "qemu/thread.h"
#include "depth.h"
#include "effort.h"

/*
 * A disk serves one request after the other, so the time that a fault takes
 * depends on how much loaders have in flight.  How much they may have depends
 * on when the last fault was:
 *
 *   active  just now: one loader at a time, small reads, and after each a pause
 *           in proportion to its duration, so that faults and loaders share the
 *           disk whatever its speed
 *   recent  a moment ago: one loader at a time, larger reads, no pause
 *   idle    long ago: all loaders, an extent in one read
 *
 * Once faults have cost the guest a share of what all the rest would cost,
 * loaders leave out the pauses and read more at once, and then an extent in one
 * read: see effort.h.  As many of them read at once then as the disk needs to
 * be at full rate, see depth.h.
 *
 * Any thread may call any of these functions.
 */
typedef struct FixedRamPace {
    /* Atomic */
    unsigned urgent;            /* faults for which a read is under way */
    int64_t last_fault;         /* get_clock() at the last fault */
    uintptr_t hurry;            /* address of fixed_ram_pace_hurry() */
    FixedRamEffort effort;      /* written under @lock */
    int64_t read_begin;         /* get_clock() at the start and the end of */
    int64_t read_end;           /* the last read of a loader with a turn */

    QemuMutex lock;             /* guards what follows */
    QemuCond turn_free;         /* a loader has left its turn */
    unsigned taken;             /* loaders that hold a turn */
    FixedRamMeter meter;
    FixedRamDepth depth;        /* at full effort */
} FixedRamPace;

/*
 * Belongs to one loader, from fixed_ram_pace_enter() to fixed_ram_pace_leave().
 * For a loader that hangs in a read another thread calls fixed_ram_pace_end()
 * and fixed_ram_pace_leave().
 */
typedef struct FixedRamTurn {
    bool held;                  /* false: all loaders may read now */
    uint64_t reads;             /* bytes of the read under way; 0: none */
} FixedRamTurn;

/**
 * fixed_ram_pace_init(): begin as if there had just been a fault
 *
 * @careful: false if there will be no faults: begin as idle
 */
void fixed_ram_pace_init(FixedRamPace *pace, bool careful);

/** fixed_ram_pace_destroy(): no thread may be using @pace any more. */
void fixed_ram_pace_destroy(FixedRamPace *pace);

/** fixed_ram_pace_fault(): a fault thread is about to read. */
void fixed_ram_pace_fault(FixedRamPace *pace);

/**
 * fixed_ram_pace_fault_end(): the fault thread's read has ended
 *
 * @left: bytes that are missing
 */
void fixed_ram_pace_fault_end(FixedRamPace *pace, uint64_t left);

/** fixed_ram_pace_effort(): how hard loaders work now, see effort.h */
FixedRamEffort fixed_ram_pace_effort(const FixedRamPace *pace);

/**
 * fixed_ram_pace_full(): work at full effort, whatever faults cost
 *
 * @on: false: as faults allow again
 * @left: bytes that are missing
 */
void fixed_ram_pace_full(FixedRamPace *pace, bool on, uint64_t left);

/**
 * fixed_ram_pace_hurry(): a thread waits for @addr, which a loader has claimed
 *
 * That loader reads the rest of its claim without a pause.
 */
void fixed_ram_pace_hurry(FixedRamPace *pace, uintptr_t addr);

/**
 * fixed_ram_pace_enter(): a loader is about to read
 *
 * Unless faults are idle it waits until it gets a turn.
 *
 * @turn: filled in
 */
void fixed_ram_pace_enter(FixedRamPace *pace, FixedRamTurn *turn);

/**
 * fixed_ram_pace_leave(): the loader has nothing more to read for now
 *
 * A second call for the same turn does nothing.
 */
void fixed_ram_pace_leave(FixedRamPace *pace, FixedRamTurn *turn);

/**
 * fixed_ram_pace_begin(): wait until the loader may read
 *
 * @addr, @length: the memory of the loader's claim, see fixed_ram_pace_hurry()
 * @want: how many bytes the loader wants to read
 *
 * Returns how many bytes it may read at once, @want at most.
 */
uint64_t fixed_ram_pace_begin(FixedRamPace *pace, FixedRamTurn *turn,
                              uintptr_t addr, uint64_t length, uint64_t want);

/**
 * fixed_ram_pace_end(): the loader's read has ended, if there was one
 *
 * @left: bytes that are missing
 */
void fixed_ram_pace_end(FixedRamPace *pace, FixedRamTurn *turn,
                        uint64_t left);

#endif
