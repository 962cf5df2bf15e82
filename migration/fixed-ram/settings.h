/*
 * fixed-ram: settings that a user has made, and what holds without them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_SETTINGS_H
#define MIGRATION_FIXED_RAM_SETTINGS_H

#include "qapi/qapi-types-migration.h"

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

/**
 * fixed_ram_settings_limited(): has a user set max-bandwidth?
 *
 * Its default suits networks.  Any thread.
 */
bool fixed_ram_settings_limited(void);

/**
 * fixed_ram_settings_mode(): how does a load go with these settings?
 *
 * @caps: the capabilities
 * @mode: the parameter fixed-ram-load-mode
 *
 * Never "auto".  No other code looks at postcopy-ram to learn it.
 */
FixedRamLoadMode fixed_ram_settings_mode(const bool *caps,
                                         FixedRamLoadMode mode);

/** fixed_ram_settings_mode_now(): the same with the settings in force */
FixedRamLoadMode fixed_ram_settings_mode_now(void);

/**
 * fixed_ram_settings_mode_is_wish(): does only -global choose how a load goes?
 *
 * That is a wish of the administrator: if it is not possible the load is eager.
 */
bool fixed_ram_settings_mode_is_wish(void);

/** fixed_ram_settings_working_set(): the parameter fixed-ram-working-set */
bool fixed_ram_settings_working_set(void);

/**
 * fixed_ram_settings_verify_first(): shall a load verify the whole file first?
 *
 * The parameter fixed-ram-verify is "full".
 */
bool fixed_ram_settings_verify_first(void);

/** fixed_ram_settings_describe(): the parameter fixed-ram-describe */
bool fixed_ram_settings_describe(void);

#endif
