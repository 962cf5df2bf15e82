/*
 * fixed-ram: settings that a user has made, and what holds without them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SETTINGS_H
#define MIGRATION_FIXED_RAM_SETTINGS_H

#include "qapi/qapi-types-common.h"

/*
 * A migration parameter always has a value, and query-migrate-parameters shows
 * it.  For some of them fixed-ram also needs to know whether a user has chosen
 * that value: by a command, or by -global.  Without that it chooses itself.
 */

/**
 * fixed_ram_settings_direct(): does the user want O_DIRECT, as direct-io says?
 *
 * "auto" if direct-io was never set.  Any thread.
 */
OnOffAuto fixed_ram_settings_direct(void);

#endif
