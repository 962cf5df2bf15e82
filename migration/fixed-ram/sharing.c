/*
 * fixed-ram: other processes that map the guest's RAM
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "sharing.h"

static bool noted;

void fixed_ram_sharing_note(void)
{
    noted = true;
}

bool fixed_ram_sharing_noted(void)
{
    return noted;
}
