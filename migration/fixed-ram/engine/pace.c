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
#include "../trace.h"

#define ACTIVE_NS       (1 * SCALE_MS)
#define RECENT_NS       (20 * SCALE_MS)
#define ACTIVE_BYTES    (256 * KiB)
#define STEADY_BYTES    (512 * KiB)
#define RECENT_BYTES    (1 * MiB)
/*
 * While faults are active a loader pauses for a quarter of the time that its
 * last read took, and for three quarters while a fault is being served.  So a
 * fault waits for one small read at most.
 */
#define PAUSE(took)         ((took) / 4)
#define PAUSE_URGENT(took)  ((took) / 4 * 3)
/* The pace counts a longer read as one of this length. */
#define READ_NS_MAX     (5 * SCALE_MS)
#define PAUSE_STEP_US   50

typedef enum FaultActivity { ACTIVE, RECENT, IDLE } FaultActivity;

FixedRamEffort fixed_ram_pace_effort(const FixedRamPace *pace)
{
    return qatomic_read(&pace->effort);
}

static FaultActivity fault_activity(FixedRamPace *pace)
{
    int64_t since = get_clock() - qatomic_read(&pace->last_fault);

    if (qatomic_read(&pace->urgent) || since < ACTIVE_NS) {
        return ACTIVE;
    }
    return since < RECENT_NS ? RECENT : IDLE;
}

/* Have faults been idle for so long that loaders need no turn? */
static bool all_may_read(FixedRamPace *pace)
{
    return fixed_ram_pace_effort(pace) != FIXED_RAM_EFFORT_FULL &&
           fault_activity(pace) == IDLE;
}

/* How many loaders may hold the turn?  Called with @lock held. */
static unsigned readers_locked(FixedRamPace *pace)
{
    return pace->meter.effort == FIXED_RAM_EFFORT_FULL ? pace->depth.readers
                                                       : 1;
}

void fixed_ram_pace_init(FixedRamPace *pace, bool careful)
{
    *pace = (FixedRamPace) { };
    qemu_mutex_init(&pace->lock);
    qemu_cond_init(&pace->turn_free);
    if (careful) {
        pace->last_fault = get_clock();
    } else {
        pace->last_fault = INT64_MIN / 2;
    }
}

void fixed_ram_pace_destroy(FixedRamPace *pace)
{
    qemu_cond_destroy(&pace->turn_free);
    qemu_mutex_destroy(&pace->lock);
}

/* Called with @lock held. */
static void update_effort_locked(FixedRamPace *pace, int64_t now,
                                 uint64_t left)
{
    FixedRamEffort before = pace->meter.effort;
    FixedRamEffort after = fixed_ram_meter_effort(&pace->meter, now, left);

    if (after != before) {
        trace_fixed_ram_effort(before, after, pace->meter.faults.ns, left);
        qatomic_set(&pace->effort, after);
        fixed_ram_depth_begin(&pace->depth, now);
    }
}

void fixed_ram_pace_fault(FixedRamPace *pace)
{
    qatomic_inc(&pace->urgent);
    QEMU_LOCK_GUARD(&pace->lock);
    fixed_ram_meter_fault(&pace->meter, get_clock());
}

void fixed_ram_pace_fault_end(FixedRamPace *pace, uint64_t left)
{
    int64_t now = get_clock();

    qatomic_set(&pace->last_fault, now);
    qatomic_dec(&pace->urgent);
    QEMU_LOCK_GUARD(&pace->lock);
    fixed_ram_meter_fault_end(&pace->meter, now);
    update_effort_locked(pace, now, left);
}

void fixed_ram_pace_full(FixedRamPace *pace, bool on, uint64_t left)
{
    QEMU_LOCK_GUARD(&pace->lock);
    pace->meter.forced = on;
    update_effort_locked(pace, get_clock(), left);
    qemu_cond_broadcast(&pace->turn_free);
}

void fixed_ram_pace_hurry(FixedRamPace *pace, uintptr_t addr)
{
    qatomic_set(&pace->hurry, addr);
    qatomic_set(&pace->last_fault, get_clock());
}

void fixed_ram_pace_enter(FixedRamPace *pace, FixedRamTurn *turn)
{
    bool all = all_may_read(pace);

    *turn = (FixedRamTurn) { };
    if (all) {
        return;
    }
    QEMU_LOCK_GUARD(&pace->lock);
    while (!all && pace->taken >= readers_locked(pace)) {
        qemu_cond_wait(&pace->turn_free, &pace->lock);
        all = all_may_read(pace);
    }
    turn->held = !all;
    pace->taken += turn->held;
    if (all || pace->taken < readers_locked(pace)) {
        /* The next loader need not wait, either. */
        qemu_cond_signal(&pace->turn_free);
    }
}

void fixed_ram_pace_leave(FixedRamPace *pace, FixedRamTurn *turn)
{
    if (turn->held) {
        QEMU_LOCK_GUARD(&pace->lock);
        turn->held = false;
        pace->taken--;
        qemu_cond_signal(&pace->turn_free);
    }
}

static bool pause_is_over(FixedRamPace *pace)
{
    int64_t end = qatomic_read(&pace->read_end);
    int64_t took = MIN(end - qatomic_read(&pace->read_begin), READ_NS_MAX);
    int64_t since = get_clock() - end;

    return fixed_ram_pace_effort(pace) != FIXED_RAM_EFFORT_POLITE ||
           fault_activity(pace) != ACTIVE || since >= PAUSE_URGENT(took) ||
           (since >= PAUSE(took) && !qatomic_read(&pace->urgent));
}

/* How much a loader may read at once now. */
static uint64_t read_size(FixedRamPace *pace)
{
    FixedRamEffort effort = fixed_ram_pace_effort(pace);

    if (effort == FIXED_RAM_EFFORT_FULL) {
        return UINT64_MAX;
    }
    switch (fault_activity(pace)) {
    case ACTIVE:
        return effort == FIXED_RAM_EFFORT_POLITE ? ACTIVE_BYTES : STEADY_BYTES;
    case RECENT:
        return RECENT_BYTES;
    default:
        return UINT64_MAX;
    }
}

/* Wait until the loader may read, and return how much at once. */
static uint64_t wait_for_room(FixedRamPace *pace, uintptr_t addr,
                              uint64_t length)
{
    while (qatomic_read(&pace->hurry) - addr >= length &&
           !pause_is_over(pace)) {
        g_usleep(PAUSE_STEP_US);
    }
    return qatomic_read(&pace->hurry) - addr < length ? UINT64_MAX
                                                      : read_size(pace);
}

uint64_t fixed_ram_pace_begin(FixedRamPace *pace, FixedRamTurn *turn,
                              uintptr_t addr, uint64_t length, uint64_t want)
{
    int64_t now;

    if (turn->held) {
        want = MIN(want, wait_for_room(pace, addr, length));
    }
    now = get_clock();
    if (turn->held) {
        qatomic_set(&pace->read_begin, now);
    }
    turn->reads = want;
    QEMU_LOCK_GUARD(&pace->lock);
    fixed_ram_meter_read(&pace->meter, now);
    return want;
}

void fixed_ram_pace_end(FixedRamPace *pace, FixedRamTurn *turn, uint64_t left)
{
    int64_t now = get_clock();

    if (!turn->reads) {
        return;
    }
    if (turn->held) {
        qatomic_set(&pace->read_end, now);
    }
    QEMU_LOCK_GUARD(&pace->lock);
    fixed_ram_meter_read_end(&pace->meter, now, turn->reads);
    if (pace->meter.effort == FIXED_RAM_EFFORT_FULL) {
        fixed_ram_depth_read(&pace->depth, now, turn->reads);
    }
    update_effort_locked(pace, now, left);
    turn->reads = 0;
}
