/*
 * qemu-snapshot: what a migration stream begins with
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_TOOL_STREAM_H
#define MIGRATION_FIXED_RAM_TOOL_STREAM_H

#include "../format/reader.h"

/* The stream's own marks; see docs/devel/migration/main.rst */
#define STREAM_MAGIC            0x5145564d
#define STREAM_VERSION          3
#define STREAM_SECTION_START    0x01
#define STREAM_SECTION_PART     0x02
#define STREAM_SECTION_END      0x03
#define STREAM_SECTION_FULL     0x04
#define STREAM_SUBSECTION       0x05
#define STREAM_DESCRIPTION      0x06
#define STREAM_CONFIGURATION    0x07
#define STREAM_COMMAND          0x08
#define STREAM_FOOTER           0x7e

/* From the stream's start to the content of the section that holds RAM. */
typedef struct ToolHead {
    bool is_stream;             /* it has the magic number */
    bool has_configuration;
    char *machine;              /* its type; "" if it is not said */
    uint32_t page_bits;         /* of the target's page; 0: not said */
    bool has_uuid;
    uint8_t uuid[16];           /* of the VM */
    GPtrArray *capabilities;    /* names of those that shaped the stream */
    /*
     * Where these capabilities begin with their number, and end; if there are
     * none, where the subsection that they are in would have to be.
     */
    uint64_t capabilities_at;
    uint64_t capabilities_end;
    bool has_capabilities;
    bool postcopy;              /* blocks may be followed by a page size */
    uint32_t ram_section;       /* number of the section that holds RAM */
    uint64_t end;               /* where its content begins */
} ToolHead;

/**
 * tool_head_read(): read it, from where @r is
 *
 * What was read before a failure is in the result; @r->error says the rest.
 */
ToolHead *tool_head_read(FixedRamReader *r);

void tool_head_free(ToolHead *head);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ToolHead, tool_head_free)

/** tool_head_has(): was the stream saved with this capability? */
bool tool_head_has(const ToolHead *head, const char *capability);

#endif
