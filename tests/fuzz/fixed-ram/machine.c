/*
 * fixed-ram: a machine that is nothing but memory, for fuzzing
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/* Does for this machine what ramblocks.c does for a guest. */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "tests/unit/fixed-ram/thp.h"
#include "input.h"
#include "machine.h"

const MachineBlock machine_blocks[MACHINE_BLOCKS] = {
    { "pc.ram", 8, 8 },
    { "0000:00:02.0/vga.vram", 4, 4 },
    { "/rom@etc/acpi/tables", 72, 640, true },
};

void machine_init(Machine *m)
{
    for (int i = 0; i < MACHINE_BLOCKS; i++) {
        m->host[i] = thp_map(machine_blocks[i].max_pages * INPUT_PAGE);
    }
}

/* The number of the block called @name, or -1. */
static int find_block(const char *name)
{
    for (int i = 0; i < MACHINE_BLOCKS; i++) {
        if (g_str_equal(machine_blocks[i].name, name)) {
            return i;
        }
    }
    return -1;
}

bool machine_match(const FixedRamRamSection *ram, Error **errp)
{
    for (size_t i = 0; i < ram->blocks->len; i++) {
        const FixedRamBlockInfo *info = fixed_ram_ramsection_block(ram, i);
        int n = find_block(info->name);
        const MachineBlock *block = &machine_blocks[MAX(n, 0)];

        if (n < 0 || (block->resizable
                      ? info->length > block->max_pages * INPUT_PAGE
                      : info->length != block->pages * INPUT_PAGE)) {
            error_setg(errp, "block '%s' does not fit", info->name);
            return false;
        }
    }
    for (int i = 0; i < MACHINE_BLOCKS; i++) {
        if (!fixed_ram_ramsection_find(ram, machine_blocks[i].name)) {
            error_setg(errp, "block '%s' is missing", machine_blocks[i].name);
            return false;
        }
    }
    return true;
}

static FixedRamBlock *map_block(const Machine *m,
                                const FixedRamRamSection *ram,
                                FixedRamSource *source, uint64_t unit,
                                const FixedRamBlockInfo *info, Error **errp)
{
    unsigned long *parts = NULL;
    unsigned long *data = fixed_ram_ramsection_read_bitmap(ram, source, info,
                                                           &parts, errp);
    FixedRamBlock *block;

    if (!data) {
        return NULL;
    }
    block = g_new0(FixedRamBlock, 1);
    g_strlcpy(block->name, info->name, sizeof(block->name));
    block->host = m->host[find_block(info->name)];
    block->length = info->length;
    block->pages_offset = info->pages_offset;
    block->page_size = ram->page_size;
    block->unit = info->length % unit ? ram->page_size : unit;
    block->data = data;
    block->parts = parts;
    block->huge = true;
    return block;
}

FixedRamMap *machine_map(const Machine *m, const FixedRamRamSection *ram,
                         FixedRamSource *source, uint64_t unit, Error **errp)
{
    g_autoptr(FixedRamMap) map = fixed_ram_map_new();

    for (size_t i = 0; i < ram->blocks->len; i++) {
        FixedRamBlock *block = map_block(
            m, ram, source, unit, fixed_ram_ramsection_block(ram, i),
            errp);

        if (!block) {
            return NULL;
        }
        fixed_ram_map_add(map, block);
    }
    return g_steal_pointer(&map);
}

void machine_soil(const FixedRamMap *map)
{
    for (size_t i = 0; i < map->blocks->len; i++) {
        const FixedRamBlock *block = fixed_ram_map_block(map, i);

        memset(block->host, 0xa6, block->length);
    }
}

void machine_zero(const FixedRamMap *map)
{
    for (size_t i = 0; i < map->blocks->len; i++) {
        const FixedRamBlock *block = fixed_ram_map_block(map, i);
        uint64_t pages = block->length / block->page_size;

        for (uint64_t page = 0; page < pages; page++) {
            if (!test_bit(page, block->data)) {
                memset(block->host + page * block->page_size, 0,
                       block->page_size);
            }
        }
    }
}

void machine_empty(const FixedRamMap *map)
{
    for (size_t i = 0; i < map->blocks->len; i++) {
        const FixedRamBlock *block = fixed_ram_map_block(map, i);

        g_assert(!madvise(block->host, block->length, MADV_DONTNEED));
    }
}
