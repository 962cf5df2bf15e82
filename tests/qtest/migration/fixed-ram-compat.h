/*
 * fixed-ram: what differs between the test frameworks of the QEMUs that it is
 * built over
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * Other files of the tests have no conditions on the version.
 */

#ifndef FIXED_RAM_TEST_COMPAT_H
#define FIXED_RAM_TEST_COMPAT_H

#include "migration/framework.h"

/* How a migration ends that fails, as events tell of it. */
#if QEMU_VERSION_MAJOR >= 11
#define FRT_EVENTS_FAILED "failing failed"
#else
#define FRT_EVENTS_FAILED "failed"
#endif

/**
 * frt_migrate_start(): start the guests of a scenario
 *
 * @uri: where the target gets its stream from, or "defer"
 *
 * Since 11.1 the framework starts each target with "-incoming defer".  Of
 * several such options QEMU takes the last one.
 */
static inline int frt_migrate_start(QTestState **from, QTestState **to,
                                    const char *uri, MigrateStart *start)
{
#if QEMU_VERSION_MAJOR >= 11
    MigrateStart args = *start;
    g_autofree char *opts = g_strdup_printf("-incoming %s %s", uri,
                                            start->opts_target);

    args.opts_target = opts;
    return migrate_start(from, to, &args);
#else
    return migrate_start(from, to, uri, start);
#endif
}

#endif
