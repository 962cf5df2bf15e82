/*
 * qemu-snapshot info: the sections of an index
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qapi/util.h"
#include "../format/layout.h"
#include "sections.h"

static const char *section_name(uint32_t type)
{
    static const char *const names[] = {
        NULL, "machine", "blocks", "stream", "checksums", "layers",
        "working set", "encryption", "space", "clean", "options",
    };

    return type < ARRAY_SIZE(names) ? names[type] : NULL;
}

static FixedRamFileSection *section_new(const SectionHeader *header)
{
    FixedRamFileSection *section = g_new0(FixedRamFileSection, 1);

    section->type = le32_to_cpu(header->type);
    section->name = g_strdup(section_name(section->type));
    section->required = le32_to_cpu(header->flags) & SECTION_REQUIRED;
    section->length = le64_to_cpu(header->length);
    return section;
}

FixedRamFileSectionList *tool_sections(const ToolFile *file)
{
    const FixedRamSuperblock *sb = &file->snapshot->sb;
    FixedRamFileSectionList *list = NULL, **tail = &list;
    uint64_t at = sizeof(IndexHeader);
    uint64_t length = MIN(sb->index_length, INDEX_MAX);
    g_autofree uint8_t *index = NULL;

    if (sb->state != FIXED_RAM_COMPLETE) {
        return NULL;
    }
    index = g_malloc(length);
    if (!fixed_ram_source_read(file->snapshot->source, index, length,
                               sb->index_offset, NULL) ||
        fixed_ram_layout_crc32c(index, length) != sb->index_crc) {
        return NULL;
    }
    while (at + sizeof(SectionHeader) <= length) {
        SectionHeader header;
        FixedRamFileSection *section;

        memcpy(&header, index + at, sizeof(header));
        section = section_new(&header);
        QAPI_LIST_APPEND(tail, section);
        at += sizeof(header);
        if (section->length > length - at) {
            break;
        }
        at += ROUND_UP(section->length, INDEX_PADDING);
    }
    return list;
}
