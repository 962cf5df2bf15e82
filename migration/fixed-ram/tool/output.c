/*
 * qemu-snapshot: output for people and for programs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qobject/qjson.h"
#include "qobject/qobject.h"
#include "output.h"

void tool_print_json(QObject *object)
{
    GString *text = qobject_to_json_pretty(object, true);

    printf("%s\n", text->str);
    g_string_free(text, true);
    qobject_unref(object);
}

void tool_print_json_line(QObject *object)
{
    GString *text = qobject_to_json(object);

    fputs(text->str, stdout);
    g_string_free(text, true);
    qobject_unref(object);
}

char *tool_percent(uint64_t part, uint64_t whole)
{
    double percent = whole ? 100.0 * part / whole : 0;

    if (!part || part == whole) {
        return g_strdup_printf("%.0f%%", percent);
    } else if (percent < 0.1) {
        return g_strdup("<0.1%");
    } else if (percent > 99.9) {
        return g_strdup(">99.9%");
    }
    return g_strdup_printf("%.1f%%", percent);
}
