/*
 * fixed-ram: the head of a migration stream
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "stream.h"

#define RAM_SECTION_VERSION     4
#define COMMAND_POSTCOPY_ADVISE 3

/* More than any machine has; a wrong count must not cost time or memory. */
#define MAX_CAPABILITIES        256
#define MAX_MACHINE_NAME        4096
#define MAX_COMMANDS            1024

static void read_capabilities(FixedRamReader *r, FixedRamStreamHead *head)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    uint32_t count = fixed_ram_reader_be32(r);

    if (count > MAX_CAPABILITIES) {
        fixed_ram_reader_fail(r, offset, "the configuration lists %" PRIu32
                              " capabilities, expected at most %d", count,
                              MAX_CAPABILITIES);
    }
    for (uint32_t i = 0; i < count && !r->error; i++) {
        char name[FIXED_RAM_NAME_MAX + 1];

        fixed_ram_reader_name(r, name);
        g_ptr_array_add(head->capabilities, g_strdup(name));
    }
    head->has_capabilities = true;
    head->capabilities_at = offset;
    head->capabilities_end = fixed_ram_reader_offset(r);
}

static void read_subsection(FixedRamReader *r, FixedRamStreamHead *head)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    char name[FIXED_RAM_NAME_MAX + 1];

    fixed_ram_reader_name(r, name);
    fixed_ram_reader_be32(r);   /* version */
    if (!strcmp(name, "configuration/capabilities")) {
        read_capabilities(r, head);
    } else if (!strcmp(name, "configuration/target-page-bits")) {
        head->page_bits = fixed_ram_reader_be32(r);
        if (!head->has_capabilities) {
            head->capabilities_at = fixed_ram_reader_offset(r);
        }
    } else if (!strcmp(name, "configuration/uuid")) {
        fixed_ram_reader_get(r, head->uuid, sizeof(head->uuid));
        head->has_uuid = true;
    } else {
        fixed_ram_reader_fail_unknown(r, offset, "the configuration has the "
                                      "unknown part '%s'", name);
    }
}

static void read_subsections(FixedRamReader *r, FixedRamStreamHead *head)
{
    while (!r->error) {
        uint64_t here = fixed_ram_reader_offset(r);

        if (fixed_ram_reader_u8(r) != STREAM_SUBSECTION) {
            fixed_ram_reader_seek(r, here);
            break;
        }
        read_subsection(r, head);
    }
}

static void read_configuration(FixedRamReader *r, FixedRamStreamHead *head)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    uint32_t length = fixed_ram_reader_be32(r);

    if (head->has_configuration) {
        fixed_ram_reader_fail(r, offset, "the stream has a second "
                              "configuration, the first one is at offset 0x%"
                              PRIx64, head->configuration_at);
    } else if (length > MAX_MACHINE_NAME) {
        fixed_ram_reader_fail(r, offset, "the machine's name has %" PRIu32
                              " bytes, expected at most %d", length,
                              MAX_MACHINE_NAME);
    }
    if (r->error) {
        return;
    }
    g_free(head->machine);
    head->machine = g_malloc0(length + 1);
    fixed_ram_reader_get(r, head->machine, length);
    head->has_configuration = true;
    head->configuration_at = offset;
    head->capabilities_at = fixed_ram_reader_offset(r);
    read_subsections(r, head);
}

static void read_command(FixedRamReader *r, FixedRamStreamHead *head)
{
    uint16_t command = fixed_ram_reader_be16(r);
    uint16_t length = fixed_ram_reader_be16(r);

    if (command == COMMAND_POSTCOPY_ADVISE && length) {
        head->postcopy = true;
    }
    fixed_ram_reader_skip(r, length);
}

static void read_ram_start(FixedRamReader *r, FixedRamStreamHead *head,
                           uint64_t offset)
{
    char name[FIXED_RAM_NAME_MAX + 1];
    uint32_t instance, version;

    head->ram_section = fixed_ram_reader_be32(r);
    fixed_ram_reader_name(r, name);
    instance = fixed_ram_reader_be32(r);
    version = fixed_ram_reader_be32(r);
    if (strcmp(name, "ram") || instance || version != RAM_SECTION_VERSION) {
        fixed_ram_reader_fail_unknown(
            r, offset, "found section '%s' instance %" PRIu32 " version %"
            PRIu32 ", expected 'ram' instance 0 version %d", name, instance,
            version, RAM_SECTION_VERSION);
    }
    head->end = fixed_ram_reader_offset(r);
}

static void read_magic(FixedRamReader *r, FixedRamStreamHead *head)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    uint32_t magic = fixed_ram_reader_be32(r);
    uint32_t version = fixed_ram_reader_be32(r);

    head->is_stream = magic == STREAM_MAGIC && version == STREAM_VERSION;
    if (!head->is_stream) {
        fixed_ram_reader_fail(r, offset, "this is not a VM snapshot (found "
                              "magic 0x%" PRIx32 " version %" PRIu32
                              ", expected 0x%x version %d)", magic, version,
                              STREAM_MAGIC, STREAM_VERSION);
    }
}

/* Returns false behind the start of RAM's section. */
static bool read_section(FixedRamReader *r, FixedRamStreamHead *head,
                         unsigned *commands)
{
    uint64_t offset = fixed_ram_reader_offset(r);
    uint8_t type = fixed_ram_reader_u8(r);

    if (type == STREAM_CONFIGURATION) {
        read_configuration(r, head);
    } else if (type == STREAM_COMMAND && (*commands)++ < MAX_COMMANDS) {
        read_command(r, head);
    } else if (type == STREAM_SECTION_START) {
        read_ram_start(r, head, offset);
        return false;
    } else {
        fixed_ram_reader_fail(r, offset, "found a section of type %d, expected "
                              "the one that holds RAM", type);
    }
    return true;
}

FixedRamStreamHead *fixed_ram_stream_read_head(FixedRamReader *r)
{
    FixedRamStreamHead *head = g_new0(FixedRamStreamHead, 1);
    unsigned commands = 0;

    head->machine = g_strdup("");
    head->capabilities = g_ptr_array_new_with_free_func(g_free);
    read_magic(r, head);
    while (!r->error && read_section(r, head, &commands)) {
        /* Sections in front of RAM's. */
    }
    return head;
}

void fixed_ram_stream_head_free(FixedRamStreamHead *head)
{
    if (head) {
        g_ptr_array_unref(head->capabilities);
        g_free(head->machine);
        g_free(head);
    }
}

bool fixed_ram_stream_head_has(const FixedRamStreamHead *head,
                               const char *capability)
{
    return g_ptr_array_find_with_equal_func(head->capabilities, capability,
                                            g_str_equal, NULL);
}
