/*
 * fixed-ram: the options that this machine was started with
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "migration/fixed-ram.h"
#include "monitor/qdev.h"
#include "qapi/error.h"
#include "compat.h"
#include "format/options-compare.h"
#include "machine-options.h"
#include "save/options.h"

/* As they were given, with secrets.  The main thread's. */
static GPtrArray *given;        /* name, argument, name, argument... */

void fixed_ram_option_given(const char *name, const char *argument)
{
    if (!given) {
        given = g_ptr_array_new_with_free_func(g_free);
    }
    g_ptr_array_add(given, g_strdup(name));
    g_ptr_array_add(given, g_strdup(argument));
}

static int find_hotplugged(Object *object, void *opaque)
{
    DeviceState *dev = (DeviceState *)object_dynamic_cast(object, TYPE_DEVICE);

    return dev && dev->hotplugged;
}

/* A device without an id cannot be unplugged. */
static bool was_unplugged(const char *name, const char *argument)
{
    g_autofree char *id = g_str_equal(name, "device")
                          ? fixed_ram_options_id(argument) : NULL;

    return id && !qdev_find_recursive(sysbus_get_default(), id);
}

/* Does a value of @argument name the character device @id? */
static bool names_chardev(const char *argument, const char *id)
{
    const char *at = argument;

    while ((at = strstr(at, id))) {
        const char *end = at + strlen(id);

        if (at > argument && strchr("=:\"", at[-1]) &&
            (!*end || strchr(",\"", *end))) {
            return true;
        }
        at = end;
    }
    return false;
}

/* Monitors are left out, and so are the character devices that are theirs. */
static bool is_monitors(const char *name, const char *argument)
{
    static const char *const monitors[] = {
        "chardev", "mon", "monitor", "qmp", "qmp-pretty", NULL,
    };
    g_autofree char *id = g_str_equal(name, "chardev")
                          ? fixed_ram_options_id(argument) : NULL;

    for (size_t i = 0; id && i < given->len; i += 2) {
        const char *other = g_ptr_array_index(given, i + 1);

        if (other && names_chardev(other, id) &&
            !g_strv_contains(monitors, g_ptr_array_index(given, i))) {
            return false;
        }
    }
    return id;
}

FixedRamIndexOptions *fixed_ram_machine_options(void)
{
    g_autofree char *program = g_path_get_basename(g_get_prgname() ?: "");
    FixedRamIndexOptions *options = fixed_ram_index_options_new(program);

    options->changed = object_child_foreach_recursive(object_get_root(),
                                                      find_hotplugged, NULL);
    for (size_t i = 0; given && i < given->len; i += 2) {
        const char *name = g_ptr_array_index(given, i);
        const char *argument = g_ptr_array_index(given, i + 1);

        if (was_unplugged(name, argument)) {
            options->changed = true;
        } else if (!is_monitors(name, argument)) {
            fixed_ram_options_describe(options, name, argument);
        }
    }
    return options;
}

void fixed_ram_machine_options_explain(const FixedRamIndexOptions *saved,
                                       Error **errp)
{
    ERRP_GUARD();
    g_autoptr(FixedRamIndexOptions) own = NULL;
    g_autofree char *text = NULL, *problem = NULL;

    if (!saved) {
        return;
    }
    own = fixed_ram_machine_options();
    text = fixed_ram_options_compare(saved, own);
    if (text) {
        problem = g_strdup(error_get_pretty(*errp));
        error_free(*errp);
        *errp = NULL;
        error_setg(errp, "%s (%s)", problem, text);
    }
}
