/*
 * A snapshot that is spoiled in many ways, and loaded each time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_FIXED_RAM_HOSTILE_H
#define TEST_FIXED_RAM_HOSTILE_H

#include "migration/fixed-ram-scenario.h"

/*
 * The CPU of the small machine does not run, so a load takes milliseconds.
 * "other" is a copy of its snapshot, and is damaged in one way after the other.
 * One QEMU can refuse any number of files in pre-flight.  After a load that got
 * further, the next one needs a new QEMU.
 */

typedef enum HostileOutcome {
    REFUSED,                    /* in migrate-incoming */
    FAILED,                     /* later, but before the guest started */
    PAUSED,                     /* after that */
    LOADED,
    OUTCOMES,
} HostileOutcome;

typedef struct Hostile {
    QTestState *to;             /* NULL: it has to be started */
    char *uri;                  /* of "other" */
    int fd;                     /* the same, to be damaged */
    Snapshot *good;
    unsigned save;              /* how it was saved; mapped-ram: no index */
    unsigned load;              /* how it is loaded next */
    unsigned tried;
    unsigned count[OUTCOMES];
    unsigned wrong;             /* outcomes that should have been others */
} Hostile;

/* @save: how the snapshot is saved.  Loads are eager and on demand in turn. */
void hostile_start(Hostile *h, unsigned save);
/* Report what was tried; fail if an outcome was wrong. */
void hostile_end(Hostile *h);

/* Load "other" and leave QEMU as it is then. */
HostileOutcome hostile_begin(Hostile *h);
/* OUTCOMES as long as the load goes on. */
HostileOutcome hostile_ending(Hostile *h);
void hostile_finish(Hostile *h, HostileOutcome outcome);
/* What was loaded is what was saved. */
void hostile_check_loaded(Hostile *h, const Snapshot *want);

/*
 * Load "other"; if that succeeds, RAM must be as @want says, NULL: it must not
 * succeed.
 */
HostileOutcome hostile_try(Hostile *h, const Snapshot *want);
/* Report an outcome that should have been another one. */
void hostile_wrong(Hostile *h, const char *what, uint64_t at,
                   HostileOutcome outcome);

/*
 * A load that was refused leaves nothing behind: the good file loads after it.
 */
void hostile_load_good_after(Hostile *h, void (*spoil)(Hostile *h),
                             void (*mend)(Hostile *h));

void hostile_flip(Hostile *h, uint64_t at, uint8_t mask);
uint8_t hostile_one_bit(uint64_t at);
/*
 * Load with these bits flipped.  The load must refuse what it can detect before
 * anything has changed.  It cannot detect changes of a bitmap without
 * checksums.
 */
void hostile_try_flip(Hostile *h, uint64_t at, uint8_t mask, bool must_refuse,
                      bool bitmap);
/* Once with one bit flipped, once with all of them: a load of each mode. */
void hostile_try_range(Hostile *h, uint64_t from, uint64_t to,
                       bool must_refuse);
/* Make the total size of RAM wrong; the second call makes it right again. */
void hostile_spoil_total(Hostile *h);

#endif
