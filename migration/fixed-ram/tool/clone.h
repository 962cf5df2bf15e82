/*
 * qemu-snapshot merge: bytes that get from file to file inside the kernel
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_CLONE_H
#define MIGRATION_FIXED_RAM_TOOL_CLONE_H

#include "writer.h"

/*
 * A file system that can share blocks between files does that, and copies
 * nothing.  Where it cannot, the kernel copies; where the kernel cannot, the
 * program does.  What was found to be impossible is not tried again.
 */
typedef struct ToolClone {
    ToolWriter *out;
    bool no_share;              /* the file system does not share blocks */
    bool no_kernel;             /* the kernel does not copy */
    uint64_t shared;            /* bytes so far */
    uint64_t copied;
} ToolClone;

/**
 * tool_clone_range(): put a range of @source at @to in the output
 *
 * @source: one file; the error names it if it ends too early
 *
 * Holes of @source are left out: the output must have a hole in the range.
 */
bool tool_clone_range(ToolClone *clone, const FixedRamSource *source,
                      uint64_t offset, uint64_t length, uint64_t to,
                      Error **errp);

#endif
