/*
 * fixed-ram: the head of a migration stream
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_STREAM_H
#define MIGRATION_FIXED_RAM_FORMAT_STREAM_H

#include "reader.h"

/* The marks of the stream's sections; see docs/devel/migration/main.rst */
#define STREAM_MAGIC            0x5145564d
#define STREAM_VERSION          3
#define STREAM_EOF              0x00
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
typedef struct FixedRamStreamHead {
    bool is_stream;             /* the magic number and the version are right */
    bool has_configuration;
    uint64_t configuration_at;  /* its offset in the file */
    char *machine;              /* machine type; "" if the stream has none */
    uint32_t page_bits;         /* log2 of the target's page size; 0: unknown */
    bool has_uuid;
    uint8_t uuid[16];           /* the VM's */
    GPtrArray *capabilities;    /* names that the stream lists */
    bool has_capabilities;      /* the stream has such a list */
    /*
     * Offsets of the list: its count, and the byte behind it.  Without a list
     * capabilities_at is where a subsection with one would begin.
     */
    uint64_t capabilities_at;
    uint64_t capabilities_end;
    bool postcopy;              /* headers of blocks may have a page size */
    uint32_t ram_section;       /* number of the section that holds RAM */
    uint64_t end;               /* offset of that section's content */
} FixedRamStreamHead;

/**
 * fixed_ram_stream_read_head(): parse the head from where @r is
 *
 * Nothing read is trusted.  The result holds what was read before the first
 * failure, which is @r->error.  The caller frees the result.
 */
FixedRamStreamHead *fixed_ram_stream_read_head(FixedRamReader *r);

/** fixed_ram_stream_head_free(): free @head; NULL is fine */
void fixed_ram_stream_head_free(FixedRamStreamHead *head);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamStreamHead, fixed_ram_stream_head_free)

/** fixed_ram_stream_head_has(): does the stream list this capability? */
bool fixed_ram_stream_head_has(const FixedRamStreamHead *head,
                               const char *capability);

#endif
