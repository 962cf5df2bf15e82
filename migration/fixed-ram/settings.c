/*
 * fixed-ram: settings that a user has made, and what holds without them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram.h"
#include "qemu/atomic.h"
#include "../migration.h"
#include "compat.h"
#include "settings.h"

/*
 * Parameters that a client has set, to whatever value.  Atomic: the main thread
 * sets them, and nothing clears them.
 */
static struct {
    bool direct_io;
    bool max_bandwidth;
    bool load_mode;
} set_by_client;

void fixed_ram_params_applied(bool max_bandwidth, bool direct_io,
                              bool load_mode)
{
    if (direct_io) {
        qatomic_set(&set_by_client.direct_io, true);
    }
    if (max_bandwidth) {
        qatomic_set(&set_by_client.max_bandwidth, true);
    }
    if (load_mode) {
        qatomic_set(&set_by_client.load_mode, true);
    }
}

/* Has a client set this parameter, or -global the property of that name? */
static bool is_set(const bool *by_client, const char *property)
{
    return qatomic_read(by_client) ||
           qdev_find_global_prop(OBJECT(migrate_get_current()), property);
}

bool fixed_ram_settings_limited(void)
{
    return is_set(&set_by_client.max_bandwidth, "x-max-bandwidth");
}

OnOffAuto fixed_ram_settings_direct(void)
{
    if (!is_set(&set_by_client.direct_io, "direct-io")) {
        return ON_OFF_AUTO_AUTO;
    }
    return migrate_get_current()->parameters.direct_io ? ON_OFF_AUTO_ON
                                                       : ON_OFF_AUTO_OFF;
}

FixedRamLoadMode fixed_ram_settings_mode(const bool *caps,
                                         FixedRamLoadMode mode)
{
    if (mode != FIXED_RAM_LOAD_MODE_AUTO) {
        return mode;
    }
    return caps[MIGRATION_CAPABILITY_POSTCOPY_RAM]
           ? FIXED_RAM_LOAD_MODE_ON_DEMAND : FIXED_RAM_LOAD_MODE_EAGER;
}

FixedRamLoadMode fixed_ram_settings_mode_now(void)
{
    const MigrationState *s = migrate_get_current();

    return fixed_ram_settings_mode(s->capabilities,
                                   s->parameters.fixed_ram_load_mode);
}

bool migrate_fixed_ram_verify(void)
{
    return migrate_get_current()->parameters.fixed_ram_verify !=
           FIXED_RAM_VERIFY_OFF;
}

bool fixed_ram_settings_verify_first(void)
{
    return migrate_get_current()->parameters.fixed_ram_verify ==
           FIXED_RAM_VERIFY_FULL;
}

bool fixed_ram_settings_mode_is_wish(void)
{
    const MigrationState *s = migrate_get_current();

    return s->parameters.fixed_ram_load_mode != FIXED_RAM_LOAD_MODE_AUTO &&
           !s->capabilities[MIGRATION_CAPABILITY_POSTCOPY_RAM] &&
           !qatomic_read(&set_by_client.load_mode) &&
           qdev_find_global_prop(OBJECT(migrate_get_current()),
                                 "fixed-ram-load-mode");
}

bool fixed_ram_settings_working_set(void)
{
    return migrate_get_current()->parameters.fixed_ram_working_set;
}

bool fixed_ram_settings_describe(void)
{
    return migrate_get_current()->parameters.fixed_ram_describe;
}
