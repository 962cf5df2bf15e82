/*
 * fixed-ram: what Tab completes in the human monitor
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 *
 * All of it runs in the main thread, under the big lock, with the monitor's
 * ReadLineState.  Names of commands, capabilities and parameters are completed
 * by QEMU itself.
 */

#include "qemu/osdep.h"
#include "monitor/hmp.h"
#include "qapi/qapi-types-migration.h"
#include "qemu/cutils.h"
#include "qemu/readline.h"
#include "../options.h"
#include "compat.h"

#define FILE_URI "file:"

/* The parameter that the line before the cursor names, or an empty string */
static char *named_parameter(const ReadLineState *rs)
{
    g_autofree char *line = g_strndup(rs->cmd_buf, rs->cmd_buf_index);
    char name[64] = "";

    sscanf(line, "%*s %63s", name);
    return g_strdup(name);
}

/* The properties of migration know which values have names. */
static const Property *find_property(const char *parameter)
{
    for (size_t i = 0; i < migration_properties_count; i++) {
        if (g_str_equal(migration_properties[i].name, parameter)) {
            return &migration_properties[i];
        }
    }
    return NULL;
}

/* This parameter alone has no property. */
static bool is_direct_io(const char *parameter)
{
    return g_str_equal(parameter,
                       MigrationParameter_str(MIGRATION_PARAMETER_DIRECT_IO));
}

void fixed_ram_complete_value(ReadLineState *rs, int nb_args, const char *str)
{
    g_autofree char *parameter = named_parameter(rs);
    const Property *property = find_property(parameter);
    const QEnumLookup *values = property ? property->info->enum_table : NULL;

    if (nb_args != 3) {
        return;
    }
    for (int i = 0; values && i < values->size; i++) {
        readline_add_completion_of(rs, str, values->array[i]);
    }
    if (is_direct_io(parameter) ||
        (property && property->info == &qdev_prop_bool)) {
        readline_add_completion_of(rs, str, "on");
        readline_add_completion_of(rs, str, "off");
    }
}

/* Names in a folder that begin with @path; folders end with a slash. */
static void complete_path(ReadLineState *rs, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t len = slash ? slash - path + 1 : 0;
    g_autofree char *folder = g_strndup(path, len);
    g_autoptr(GDir) dir = g_dir_open(len ? folder : ".", 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *found = g_strconcat(folder, name, NULL);
        bool is_dir = g_file_test(found, G_FILE_TEST_IS_DIR);
        g_autofree char *uri = g_strconcat(FILE_URI, found, is_dir ? "/" : "",
                                           NULL);

        if (g_str_has_prefix(found, path)) {
            readline_add_completion(rs, uri);
        }
    }
}

void migrate_uri_completion(ReadLineState *rs, int nb_args, const char *str)
{
    const char *path;

    readline_set_completion_index(rs, strlen(str));
    if (g_str_has_prefix(FILE_URI, str)) {
        /* The monitor adds no space after a slash. */
        readline_add_completion(rs, FILE_URI "/");
    } else if (strstart(str, FILE_URI, &path)) {
        complete_path(rs, path);
    }
}

void fixed_ram_rollback_completion(ReadLineState *rs, int nb_args,
                                   const char *str)
{
    readline_set_completion_index(rs, strlen(str));
    if (nb_args == 2) {
        readline_add_completion_of(rs, str, "-k");
    }
}
