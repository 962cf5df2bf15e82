/*
 * A snapshot that is spoiled in many ways, and loaded each time
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_FIXED_RAM_HOSTILE_H
#define TEST_FIXED_RAM_HOSTILE_H

#include "migration/fixed-ram-scenario.h"

/*
 * A small machine whose CPU does not run, so that a load takes milliseconds.
 * "other" is a copy of its snapshot and is spoiled in one way after the other.
 * What pre-flight finds is refused by the same QEMU again and again; whatever
 * gets further needs a new one next time.
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
    int fd;                     /* the same, to be spoiled */
    Snapshot *good;
    unsigned save;              /* how it was saved; mapped-ram: no index */
    unsigned load;              /* how the next one goes */
    unsigned tried;
    unsigned count[OUTCOMES];
    unsigned wrong;             /* outcomes that should have been others */
} Hostile;

/* @save: how the snapshot is saved; what it is loaded as changes each time. */
void hostile_start(Hostile *h, unsigned save);
/* Tells what was tried; fails if an outcome was wrong. */
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
/* That was not what it should have been. */
void hostile_wrong(Hostile *h, const char *what, uint64_t at,
                   HostileOutcome outcome);

/* What was refused has left nothing behind. */
void hostile_load_good_after(Hostile *h, void (*spoil)(Hostile *h),
                             void (*mend)(Hostile *h));

void hostile_flip(Hostile *h, uint64_t at, uint8_t mask);
uint8_t hostile_one_bit(uint64_t at);
/*
 * Load with these bits flipped.  What the format can tell must be refused
 * before anything has changed; in a bitmap without checksums it can not.
 */
void hostile_try_flip(Hostile *h, uint64_t at, uint8_t mask, bool must_refuse,
                      bool bitmap);
/* Once with one bit flipped, once with all of them: a load of each mode. */
void hostile_try_range(Hostile *h, uint64_t from, uint64_t to,
                       bool must_refuse);
/* The total size of RAM, wrong; again: right. */
void hostile_spoil_total(Hostile *h);

#endif
