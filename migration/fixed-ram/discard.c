/*
 * fixed-ram: a device gives guest memory back to the host
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram.h"
#include "mapped.h"
#include "outgoing-live.h"

bool fixed_ram_discard(void *host, size_t length, int *ret)
{
    fixed_ram_outgoing_live_keep(host, length);
    return fixed_ram_mapped_discard(host, length, ret);
}
