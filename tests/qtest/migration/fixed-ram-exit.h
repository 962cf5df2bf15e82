/*
 * Scenarios in which QEMU ends in the middle of a load
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_FIXED_RAM_EXIT_H
#define TEST_FIXED_RAM_EXIT_H

#include "migration/fixed-ram-scenario.h"

/* How QEMU is told to end. */
#define SIGNALS         0x1
#define QUIT            0x2     /* the main loop must hear it */

typedef struct FixedRamExitTest {
    FixedRamTest scenario;
    /* Brings the loading side into the state in which it is told to end. */
    void (*enter)(FixedRamTest *t);
    /* Optional: looks at what is left */
    void (*after)(void);
    unsigned ways;
    int status;                 /* that it ends with */
    /* Reads hang in a file system; else in QEMU, in user space */
    bool kernel;
} FixedRamExitTest;

/*
 * For each of the ways: bring QEMU into the state, tell it to end, see it end.
 */
void frt_exit_test(FixedRamExitTest *test);

/*
 * States
 */

/* The main thread waits for the head of the file, in pre-flight. */
void frt_enter_preflight(FixedRamTest *t);
/*
 * The main thread waits for the devices' state.  With an index pre-flight reads
 * that, so the snapshot has to have none.
 */
void frt_enter_stream(FixedRamTest *t);
/* The guest may run; all reads of its memory hang. */
void frt_enter_hanging(FixedRamTest *t);
/* The same, and then they fail. */
void frt_enter_paused(FixedRamTest *t);
/* The same, and a recovery hangs when it opens the file. */
void frt_enter_recovering(FixedRamTest *t);

#endif
