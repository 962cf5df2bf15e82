/*
 * fixed-ram: the capability, its parameters, and what they exclude
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram.h"
#include "qapi/error.h"
#include "qapi/qmp/qerror.h"
#include "qemu/error-report.h"
#include "system/runstate.h"
#include "../migration.h"
#include "../options.h"

/*
 * Capabilities that fixed-ram excludes: with them a page has no fixed place in
 * the file, or they need a peer that answers.
 */
static const MigrationCapability excluded[] = {
    MIGRATION_CAPABILITY_XBZRLE,
    MIGRATION_CAPABILITY_X_COLO,
    MIGRATION_CAPABILITY_X_IGNORE_SHARED,
    MIGRATION_CAPABILITY_BACKGROUND_SNAPSHOT,
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

bool migrate_fixed_ram(void)
{
    return migrate_get_current()->capabilities[MIGRATION_CAPABILITY_FIXED_RAM];
}

bool migrate_fixed_ram_verify(void)
{
    return migrate_get_current()->parameters.fixed_ram_verify;
}

static bool wants_on_demand(const bool *caps)
{
    return caps[MIGRATION_CAPABILITY_MAPPED_RAM] &&
           caps[MIGRATION_CAPABILITY_POSTCOPY_RAM];
}

bool fixed_ram_incoming_wanted(void)
{
    const bool *caps = migrate_get_current()->capabilities;

    return caps[MIGRATION_CAPABILITY_FIXED_RAM] || wants_on_demand(caps);
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
    if (params->tls_creds && *params->tls_creds) {
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

/* The loading side refuses at once what pre-flight would refuse later. */
static bool check_on_demand(const bool *old_caps, const bool *new_caps,
                            Error **errp)
{
    if (!wants_on_demand(new_caps)) {
        return true;
    }
    if (new_caps[MIGRATION_CAPABILITY_POSTCOPY_PREEMPT]) {
        error_setg(errp, "Capability 'mapped-ram' is incompatible with "
                   "'postcopy-preempt'");
        return false;
    }
    return wants_on_demand(old_caps) ||
           !runstate_check(RUN_STATE_INMIGRATE) || fixed_ram_check_host(errp);
}

bool fixed_ram_caps_check(const bool *old_caps, bool *new_caps, Error **errp)
{
    bool was = old_caps[MIGRATION_CAPABILITY_FIXED_RAM];
    bool is = new_caps[MIGRATION_CAPABILITY_FIXED_RAM];

    if (was && is && !new_caps[MIGRATION_CAPABILITY_MAPPED_RAM]) {
        error_setg(errp, "Capability 'fixed-ram' includes 'mapped-ram': "
                   "clear 'fixed-ram', that clears both");
        return false;
    }
    if (was != is) {
        new_caps[MIGRATION_CAPABILITY_MAPPED_RAM] = is;
    }
    if (fixed_ram_incoming_active() &&
        !check_load_under_way(old_caps, new_caps, errp)) {
        return false;
    }
    if (is && (!check_excluded(new_caps, errp) ||
               !check_fixed_ram_params(&migrate_get_current()->parameters,
                                       errp))) {
        return false;
    }
    return check_on_demand(old_caps, new_caps, errp);
}

void fixed_ram_caps_apply(bool *caps, const bool *new_caps)
{
    caps[MIGRATION_CAPABILITY_MAPPED_RAM] =
        new_caps[MIGRATION_CAPABILITY_MAPPED_RAM];
}

void fixed_ram_caps_explain(MigrationCapability cap)
{
    /* A stream of fixed-ram says mapped-ram, so that stock QEMU loads it. */
    if (cap == MIGRATION_CAPABILITY_MAPPED_RAM) {
        error_report("The snapshot was saved with fixed-ram or mapped-ram: set "
                     "fixed-ram before it is loaded");
    }
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
    return !migrate_fixed_ram() || check_fixed_ram_params(params, errp);
}
