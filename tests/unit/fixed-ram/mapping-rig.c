/*
 * fixed-ram: a file and memory for unit tests of mappings
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/bitmap.h"
#include "mapping-rig.h"

uint8_t mapping_content(uint64_t page)
{
    return 1 + page % 199;
}

void mapping_write_page(const MappingRig *f, uint64_t page, uint8_t value)
{
    uint8_t bytes[PAGE];

    memset(bytes, value, PAGE);
    g_assert_cmpint(pwrite(f->fd, bytes, PAGE, PAGES_OFFSET + page * PAGE), ==,
                    PAGE);
}

/* Every page with data is in the file; @old: the others have old bytes. */
static void write_file(const MappingRig *f, bool old)
{
    g_assert_cmpint(ftruncate(f->fd, PAGES_OFFSET + LENGTH), ==, 0);
    for (uint64_t page = 0; page < PAGES; page++) {
        if (test_bit(page, f->block->data)) {
            mapping_write_page(f, page, mapping_content(page));
        } else if (old) {
            mapping_write_page(f, page, OLD);
        }
    }
}

void *mapping_memory(void)
{
    void *host = mmap(NULL, LENGTH, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    g_assert_true(host != MAP_FAILED);
    memset(host, 0x55, LENGTH);
    return host;
}

void mapping_setup(MappingRig *f, bool (*holds)(uint64_t page), bool old)
{
    g_autofree char *path = NULL;

    *f = (MappingRig) { };
    f->fd = g_file_open_tmp("fixed-ram-mapping-XXXXXX", &path, NULL);
    g_assert_cmpint(f->fd, >=, 0);
    f->map = fixed_ram_map_new();
    f->block = block_new("ram", PAGES, PAGE);
    f->block->pages_offset = PAGES_OFFSET;
    for (uint64_t page = 0; page < PAGES; page++) {
        if (holds(page)) {
            set_bit(page, f->block->data);
        }
    }
    fixed_ram_map_add(f->map, f->block);
    write_file(f, old);
    f->source = fixed_ram_source_open_file(path, 0, ON_OFF_AUTO_OFF,
                                           &error_abort);
    unlink(path);
    f->host = mapping_memory();
}

void mapping_teardown(MappingRig *f)
{
    fixed_ram_mapping_free(f->mapping);
    munmap(f->host, LENGTH);
    fixed_ram_source_unref(f->source);
    close(f->fd);
    fixed_ram_map_free(f->map);
}

void mapping_map(MappingRig *f, bool clean, size_t limit)
{
    static const FixedRamMappingAdvice advice = { .dump = true, .merge = true };

    f->mapping = fixed_ram_mapping_new(f->map, f->source, clean, limit,
                                       &error_abort);
    g_assert_true(fixed_ram_mapping_apply(f->mapping, 0, f->host, false,
                                          &advice, &error_abort));
}

bool mapping_page_is(const uint8_t *page, uint8_t value)
{
    return page[0] == value && !memcmp(page, page + 1, PAGE - 1);
}

void mapping_check(const MappingRig *f, const uint8_t *host)
{
    for (uint64_t page = 0; page < PAGES; page++) {
        uint8_t value = test_bit(page, f->block->data) ? mapping_content(page)
                                                       : 0;

        g_assert_true(mapping_page_is(host + page * PAGE, value));
    }
}

bool mapping_every_third(uint64_t page)
{
    return page % 3 == 1;
}

bool mapping_all(uint64_t page)
{
    return true;
}

bool mapping_none(uint64_t page)
{
    return false;
}

bool mapping_ends(uint64_t page)
{
    return page < PAGES / 4 || page >= PAGES * 3 / 4;
}
