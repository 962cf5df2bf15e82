/*
 * fixed-ram: the order in which the guest touches its memory first
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/lockable.h"
#include "marks.h"
#include "record.h"

void fixed_ram_record_init(FixedRamRecord *record)
{
    *record = (FixedRamRecord) { };
    qemu_mutex_init(&record->lock);
}

void fixed_ram_record_destroy(FixedRamRecord *record)
{
    fixed_ram_working_set_free(record->set);
    qemu_mutex_destroy(&record->lock);
}

void fixed_ram_record_begin(FixedRamRecord *record, FixedRamMap *map)
{
    fixed_ram_marks_init(map);
    record->set =
        fixed_ram_working_set_new(FIXED_RAM_WORKING_SET_KIND_RECORDED);
    qatomic_set(&record->active, true);
}

bool fixed_ram_record_active(const FixedRamRecord *record)
{
    return qatomic_read(&record->active);
}

uint64_t fixed_ram_record_pages(const FixedRamRecord *record)
{
    return qatomic_read(&record->pages);
}

void fixed_ram_record_touch(FixedRamRecord *record, FixedRamBlock *block,
                            uint64_t unit)
{
    uint64_t pages = block->unit / block->page_size;

    if (!fixed_ram_record_active(record)) {
        return;
    }
    QEMU_LOCK_GUARD(&record->lock);
    /* The writer of the set knows which pages hold data. */
    if (record->set && fixed_ram_marks_set(block, unit) &&
        fixed_ram_working_set_add(record->set, block->number, unit * pages,
                                  pages, true)) {
        qatomic_set(&record->pages, record->pages + pages);
    }
}

FixedRamWorkingSet *fixed_ram_record_end(FixedRamRecord *record)
{
    QEMU_LOCK_GUARD(&record->lock);
    qatomic_set(&record->active, false);
    return g_steal_pointer(&record->set);
}
