/*
 * fixed-ram: devices that come and go after a load
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "changes.h"
#include "compat.h"

static GHashTable *plugged;     /* paths of devices; NULL: not watching yet */
static char *unplugged;         /* the first device that has gone, or NULL */

static void device_realized(DeviceListener *listener, DeviceState *dev)
{
    if (plugged) {
        g_hash_table_add(plugged, object_get_canonical_path(OBJECT(dev)));
    }
}

static void device_unrealized(DeviceListener *listener, DeviceState *dev)
{
    g_autofree char *path = object_get_canonical_path(OBJECT(dev));

    if (plugged && !g_hash_table_remove(plugged, path) && !unplugged) {
        unplugged = g_steal_pointer(&path);
    }
}

void fixed_ram_changes_watch(void)
{
    static DeviceListener listener = {
        .realize = device_realized,
        .unrealize = device_unrealized,
    };

    assert(!plugged);
    /* This calls the listener for each device that there is. */
    device_listener_register(&listener);
    plugged = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

bool fixed_ram_changes_check(Error **errp)
{
    GHashTableIter iter;
    void *path;

    if (unplugged) {
        error_setg(errp, "device '%s' was unplugged since the load", unplugged);
        return false;
    }
    g_hash_table_iter_init(&iter, plugged);
    if (g_hash_table_iter_next(&iter, &path, NULL)) {
        error_setg(errp, "device '%s' was plugged since the load",
                   (char *)path);
        return false;
    }
    return true;
}
