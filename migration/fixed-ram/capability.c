/*
 * fixed-ram: the capability, its parameters, and what they exclude
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram.h"
#include "qapi/error.h"
#include "qapi/qmp/qerror.h"
#include "qapi/util.h"
#include "qemu/error-report.h"
#include "system/runstate.h"
#include "../migration.h"
#include "../options.h"
#include "compat.h"
#include "settings.h"

/*
 * Capabilities that fixed-ram excludes: with them a page has no fixed place in
 * the file, or they need a peer that answers.
 */
static const MigrationCapability excluded[] = {
    MIGRATION_CAPABILITY_XBZRLE,
    MIGRATION_CAPABILITY_X_COLO,
    MIGRATION_CAPABILITY_X_IGNORE_SHARED,
    MIGRATION_CAPABILITY_ZERO_COPY_SEND,
    MIGRATION_CAPABILITY_RDMA_PIN_ALL,
    MIGRATION_CAPABILITY_RETURN_PATH,
    MIGRATION_CAPABILITY_SWITCHOVER_ACK,
    MIGRATION_CAPABILITY_POSTCOPY_PREEMPT,
};

/* Capabilities that decide how a load works; they stay until it has ended. */
static const MigrationCapability decisive[] = {
    MIGRATION_CAPABILITY_FIXED_RAM,
    MIGRATION_CAPABILITY_MAPPED_RAM,
    MIGRATION_CAPABILITY_POSTCOPY_RAM,
    MIGRATION_CAPABILITY_MULTIFD,
};

/*
 * Clients have set these capabilities by name, to whatever value.  Main thread.
 */
static struct {
    bool fixed_ram;
    bool mapped_ram;
} named_by_client;

bool migrate_fixed_ram(void)
{
    return migrate_get_current()->capabilities[MIGRATION_CAPABILITY_FIXED_RAM];
}

bool fixed_ram_incoming_wanted(void)
{
    const MigrationState *s = migrate_get_current();
    const bool *caps = s->capabilities;

    /* With mapped-ram alone only a mode that was set makes eager loads ours. */
    return caps[MIGRATION_CAPABILITY_FIXED_RAM] ||
           (caps[MIGRATION_CAPABILITY_MAPPED_RAM] &&
            (caps[MIGRATION_CAPABILITY_POSTCOPY_RAM] ||
             s->parameters.fixed_ram_load_mode != FIXED_RAM_LOAD_MODE_AUTO));
}

static bool wants_on_demand(const bool *caps, FixedRamLoadMode mode)
{
    return caps[MIGRATION_CAPABILITY_MAPPED_RAM] &&
           fixed_ram_settings_mode(caps, mode) == FIXED_RAM_LOAD_MODE_ON_DEMAND;
}

static bool check_excluded(const bool *caps, Error **errp)
{
    for (size_t i = 0; i < ARRAY_SIZE(excluded); i++) {
        if (caps[excluded[i]]) {
            error_setg(errp, "Capability 'fixed-ram' is incompatible with "
                       "'%s'", MigrationCapability_str(excluded[i]));
            return false;
        }
    }
    return true;
}

static bool check_fixed_ram_params(const MigrationParameters *params,
                                   Error **errp)
{
    if (params->multifd_compression) {
        error_setg(errp, "Capability 'fixed-ram' is incompatible with "
                   "parameter 'multifd-compression'");
        return false;
    }
    if (fixed_ram_params_tls(params)) {
        error_setg(errp, "Capability 'fixed-ram' is incompatible with "
                   "parameter 'tls-creds'");
        return false;
    }
    return true;
}

/* A load is under way: refuse changes of the capabilities that decide it. */
static bool check_load_under_way(const bool *old_caps, const bool *new_caps,
                                 Error **errp)
{
    for (size_t i = 0; i < ARRAY_SIZE(decisive); i++) {
        if (old_caps[decisive[i]] != new_caps[decisive[i]]) {
            error_setg(errp, "Capability '%s' cannot be changed while a "
                       "snapshot is being loaded",
                       MigrationCapability_str(decisive[i]));
            return false;
        }
    }
    return true;
}

static bool check_preempt(const bool *caps, Error **errp)
{
    if (caps[MIGRATION_CAPABILITY_MAPPED_RAM] &&
        caps[MIGRATION_CAPABILITY_POSTCOPY_RAM] &&
        caps[MIGRATION_CAPABILITY_POSTCOPY_PREEMPT]) {
        error_setg(errp, "Capability 'mapped-ram' is incompatible with "
                   "'postcopy-preempt'");
        return false;
    }
    return true;
}

/* The loading side refuses at once what pre-flight would refuse later. */
static bool check_on_demand(bool was, bool is, Error **errp)
{
    return was || !is || !runstate_check(RUN_STATE_INMIGRATE) ||
           fixed_ram_settings_mode_is_wish() || fixed_ram_check_host(errp);
}

/*
 * -global migration.fixed-ram=on is a wish of the administrator.  A client that
 * never names fixed-ram need not know of it: fixed-ram joins in when the layout
 * that the client asks for allows it, and otherwise stays away.
 */
static bool is_wish(bool fixed_ram_named)
{
    const GlobalProperty *global =
        qdev_find_global_prop(OBJECT(migrate_get_current()), "fixed-ram");
    bool on = false;

    return global && !fixed_ram_named &&
           qapi_bool_parse("fixed-ram", global->value, &on, NULL) && on;
}

/* @mapped_ram_named: mapped-ram in @caps is what a client has asked for */
static void join_if_possible(bool *caps, const MigrationParameters *params,
                             bool mapped_ram_named)
{
    bool joins = (!mapped_ram_named || caps[MIGRATION_CAPABILITY_MAPPED_RAM]) &&
                 check_excluded(caps, NULL) &&
                 check_fixed_ram_params(params, NULL);

    caps[MIGRATION_CAPABILITY_FIXED_RAM] = joins;
    if (!mapped_ram_named) {
        caps[MIGRATION_CAPABILITY_MAPPED_RAM] = joins;
    }
}

static bool names(const MigrationCapabilityStatusList *list,
                  MigrationCapability cap)
{
    for (; list; list = list->next) {
        if (list->value->capability == cap) {
            return true;
        }
    }
    return false;
}

void fixed_ram_caps_join(const MigrationCapabilityStatusList *asked,
                         const bool *old_caps, bool *new_caps)
{
    if (is_wish(named_by_client.fixed_ram ||
                names(asked, MIGRATION_CAPABILITY_FIXED_RAM))) {
        join_if_possible(new_caps, &migrate_get_current()->parameters,
                         named_by_client.mapped_ram ||
                         names(asked, MIGRATION_CAPABILITY_MAPPED_RAM));
    } else if (old_caps[MIGRATION_CAPABILITY_FIXED_RAM] &&
               !new_caps[MIGRATION_CAPABILITY_FIXED_RAM]) {
        new_caps[MIGRATION_CAPABILITY_MAPPED_RAM] = false;
    }
}

bool fixed_ram_caps_check(const bool *old_caps, bool *new_caps, Error **errp)
{
    bool was = old_caps[MIGRATION_CAPABILITY_FIXED_RAM];
    bool is = new_caps[MIGRATION_CAPABILITY_FIXED_RAM];
    FixedRamLoadMode mode =
        migrate_get_current()->parameters.fixed_ram_load_mode;

    if (was && is && !new_caps[MIGRATION_CAPABILITY_MAPPED_RAM]) {
        error_setg(errp, "Capability 'fixed-ram' includes 'mapped-ram': "
                   "clear 'fixed-ram', that clears both");
        return false;
    }
    if (!was && is) {
        new_caps[MIGRATION_CAPABILITY_MAPPED_RAM] = true;
    }
    if (fixed_ram_incoming_needs_settings() &&
        !check_load_under_way(old_caps, new_caps, errp)) {
        return false;
    }
    if (is && (!check_excluded(new_caps, errp) ||
               !check_fixed_ram_params(&migrate_get_current()->parameters,
                                       errp))) {
        return false;
    }
    return check_preempt(new_caps, errp) &&
           check_on_demand(wants_on_demand(old_caps, mode),
                           wants_on_demand(new_caps, mode), errp);
}

void fixed_ram_caps_apply(const MigrationCapabilityStatusList *asked,
                          bool *caps, const bool *new_caps)
{
    caps[MIGRATION_CAPABILITY_FIXED_RAM] =
        new_caps[MIGRATION_CAPABILITY_FIXED_RAM];
    caps[MIGRATION_CAPABILITY_MAPPED_RAM] =
        new_caps[MIGRATION_CAPABILITY_MAPPED_RAM];
    named_by_client.fixed_ram |= names(asked, MIGRATION_CAPABILITY_FIXED_RAM);
    named_by_client.mapped_ram |= names(asked, MIGRATION_CAPABILITY_MAPPED_RAM);
}

void fixed_ram_caps_explain(MigrationCapability cap)
{
    /* A stream of fixed-ram says mapped-ram, so that stock QEMU loads it. */
    if (cap == MIGRATION_CAPABILITY_MAPPED_RAM) {
        error_report("The snapshot was saved with fixed-ram or mapped-ram: set "
                     "fixed-ram before it is loaded");
    }
}

static bool check_load_mode(FixedRamLoadMode mode, Error **errp)
{
    const MigrationState *s = migrate_get_current();
    FixedRamLoadMode old_mode = s->parameters.fixed_ram_load_mode;

    if (mode != old_mode && fixed_ram_incoming_needs_settings()) {
        error_setg(errp, "Parameter 'fixed-ram-load-mode' cannot be changed "
                   "while a snapshot is being loaded");
        return false;
    }
    return check_on_demand(wants_on_demand(s->capabilities, old_mode),
                           wants_on_demand(s->capabilities, mode), errp);
}

bool fixed_ram_params_check(const MigrationParameters *params, Error **errp)
{
    if (params->has_fixed_ram_precopy_percent &&
        params->fixed_ram_precopy_percent > 100) {
        error_setg(errp, QERR_INVALID_PARAMETER_VALUE,
                   "fixed-ram-precopy-percent",
                   "an integer in the range of 0 to 100");
        return false;
    }
    if (!check_load_mode(params->fixed_ram_load_mode, errp)) {
        return false;
    }
    return !migrate_fixed_ram() || check_fixed_ram_params(params, errp);
}
