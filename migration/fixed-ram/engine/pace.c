/*
 * fixed-ram: when loaders may read, and how much
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "qemu/timer.h"
#include "qemu/units.h"
#include "pace.h"

#define BUSY_NS         (1 * SCALE_MS)
#define CALM_NS         (20 * SCALE_MS)
#define BUSY_BYTES      (256 * KiB)
#define CALM_BYTES      (1 * MiB)
/*
 * While busy a loader leaves the disk alone for a quarter of the time that
 * its last read took, and for three times that while a fault is served.  A
 * fault waits for one small read at most, and is next.
 */
#define PAUSE(took)         ((took) / 4)
#define PAUSE_URGENT(took)  ((took) / 4 * 3)
/* A read that hung does not make for a long pause. */
#define READ_NS_MAX     (5 * SCALE_MS)
#define PAUSE_STEP_US   50

typedef enum Mood { BUSY, CALM, QUIET } Mood;

static Mood pace_mood(FixedRamPace *pace)
{
    int64_t since = get_clock() - qatomic_read(&pace->last_fault);

    if (qatomic_read(&pace->urgent) || since < BUSY_NS) {
        return BUSY;
    }
    return since < CALM_NS ? CALM : QUIET;
}

void fixed_ram_pace_init(FixedRamPace *pace, bool careful)
{
    *pace = (FixedRamPace) { };
    qemu_mutex_init(&pace->lock);
    qemu_cond_init(&pace->left);
    if (careful) {
        pace->last_fault = get_clock();
    } else {
        pace->last_fault = INT64_MIN / 2;
    }
}

void fixed_ram_pace_destroy(FixedRamPace *pace)
{
    qemu_cond_destroy(&pace->left);
    qemu_mutex_destroy(&pace->lock);
}

void fixed_ram_pace_fault(FixedRamPace *pace)
{
    qatomic_inc(&pace->urgent);
}

void fixed_ram_pace_fault_end(FixedRamPace *pace)
{
    qatomic_set(&pace->last_fault, get_clock());
    qatomic_dec(&pace->urgent);
}

void fixed_ram_pace_hurry(FixedRamPace *pace, uintptr_t addr)
{
    qatomic_set(&pace->hurry, addr);
    qatomic_set(&pace->last_fault, get_clock());
}

void fixed_ram_pace_enter(FixedRamPace *pace, FixedRamTurn *turn)
{
    turn->held = false;
    if (pace_mood(pace) == QUIET) {
        return;
    }
    QEMU_LOCK_GUARD(&pace->lock);
    while (pace->taken) {
        qemu_cond_wait(&pace->left, &pace->lock);
    }
    if (pace_mood(pace) == QUIET) {
        /* The next one need not wait, either. */
        qemu_cond_signal(&pace->left);
    } else {
        pace->taken = turn->held = true;
    }
}

void fixed_ram_pace_leave(FixedRamPace *pace, FixedRamTurn *turn)
{
    if (turn->held) {
        QEMU_LOCK_GUARD(&pace->lock);
        pace->taken = turn->held = false;
        qemu_cond_signal(&pace->left);
    }
}

static bool pause_is_over(FixedRamPace *pace)
{
    int64_t took = MIN(pace->read_end - pace->read_begin, READ_NS_MAX);
    int64_t since = get_clock() - pace->read_end;

    return pace_mood(pace) != BUSY || since >= PAUSE_URGENT(took) ||
           (since >= PAUSE(took) && !qatomic_read(&pace->urgent));
}

uint64_t fixed_ram_pace_begin(FixedRamPace *pace, const FixedRamTurn *turn,
                              uintptr_t addr, uint64_t length, uint64_t want)
{
    uint64_t most;

    if (!turn->held) {
        return want;
    }
    while (qatomic_read(&pace->hurry) - addr >= length &&
           !pause_is_over(pace)) {
        g_usleep(PAUSE_STEP_US);
    }
    if (qatomic_read(&pace->hurry) - addr < length) {
        most = want;
    } else {
        most = pace_mood(pace) == BUSY ? BUSY_BYTES : CALM_BYTES;
    }
    pace->read_begin = get_clock();
    return MIN(want, most);
}

void fixed_ram_pace_end(FixedRamPace *pace, const FixedRamTurn *turn)
{
    if (turn->held) {
        pace->read_end = get_clock();
    }
}
