/*
 * fixed-ram: rollback by the human monitor
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "monitor/hmp.h"
#include "qapi/qapi-commands-fixed-ram.h"
#include "qobject/qdict.h"

void hmp_fixed_ram_rollback(Monitor *mon, const QDict *qdict)
{
    FixedRamRollbackDisks disks = qdict_get_try_bool(qdict, "keep", false)
        ? FIXED_RAM_ROLLBACK_DISKS_KEEP : FIXED_RAM_ROLLBACK_DISKS_REFUSE;
    Error *err = NULL;

    qmp_fixed_ram_rollback(true, disks, &err);
    hmp_handle_error(mon, err);
}
