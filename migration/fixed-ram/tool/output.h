/*
 * qemu-snapshot: output for people and for programs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_OUTPUT_H
#define MIGRATION_FIXED_RAM_TOOL_OUTPUT_H

#include "qapi/visitor.h"

/** tool_print_json(): print @object and drop the caller's reference */
void tool_print_json(QObject *object);

/** tool_print_json_line(): the same on one line, without a newline */
void tool_print_json_line(QObject *object);

/** TOOL_PRINT_JSON(): print a value of the QAPI type @TYPE as JSON */
#define TOOL_PRINT_JSON(TYPE, value) do {                               \
        QObject *object_;                                               \
        Visitor *visitor_ = qobject_output_visitor_new(&object_);       \
        visit_type_ ## TYPE(visitor_, NULL, &(value), &error_abort);    \
        visit_complete(visitor_, &object_);                             \
        visit_free(visitor_);                                           \
        tool_print_json(object_);                                       \
    } while (0)

/**
 * tool_percent(): the share of @part in @whole as text, "12.5%"
 *
 * Only nothing is 0% and only everything is 100%.  The caller frees the text.
 */
char *tool_percent(uint64_t part, uint64_t whole);

#endif
