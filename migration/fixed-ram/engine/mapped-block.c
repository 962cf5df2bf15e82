/*
 * fixed-ram: the memory of a block that is a private mapping
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/madvise.h"
#include "mapped-block.h"
#include "numa.h"

/* @fd: the file; -1: by anonymous memory */
static int map_range(const FixedRamMappedBlock *block, uint8_t *at,
                     uint64_t length, int fd, uint64_t offset)
{
    int flags = MAP_PRIVATE | MAP_FIXED | (fd < 0 ? MAP_ANONYMOUS : 0) |
                (block->reserve ? 0 : MAP_NORESERVE);

    return mmap(at, length, PROT_READ | PROT_WRITE, flags, fd,
                offset) == MAP_FAILED ? -errno : 0;
}

int fixed_ram_mapped_block_map_pages(const FixedRamMappedBlock *block,
                                     FixedRamSource *source, uint64_t from,
                                     uint64_t to)
{
    int ret = 0;

    while (!ret && from < to) {
        FixedRamSourcePart part =
            fixed_ram_source_part(source, block->pages_offset + from,
                                  to - from);

        ret = map_range(block, block->host + from, part.length,
                        fixed_ram_source_map_fd(part.source), part.offset);
        from += part.length;
    }
    return ret;
}

/* Advice is only advice: QEMU ignores failures of it elsewhere, too. */
void fixed_ram_mapped_block_advise(const FixedRamMappedBlock *block,
                                   uint8_t *at, uint64_t length)
{
    if (!block->advice.fork) {
        qemu_madvise(at, length, QEMU_MADV_DONTFORK);
    }
    if (!block->advice.dump) {
        qemu_madvise(at, length, QEMU_MADV_DONTDUMP);
    }
    if (block->advice.merge) {
        qemu_madvise(at, length, QEMU_MADV_MERGEABLE);
    }
    if (block->policy) {
        fixed_ram_numa_follow(at, length, block->policy);
    }
}

int fixed_ram_mapped_block_cover(const FixedRamMappedBlock *block,
                                 uint8_t *at, uint64_t length)
{
    int ret = map_range(block, at, length, -1, 0);

    if (!ret) {
        qemu_madvise(at, length, QEMU_MADV_HUGEPAGE);
    }
    return ret;
}

/* The policy belongs to the old mapping: remember it in a page of its own. */
void fixed_ram_mapped_block_keep_policy(FixedRamMappedBlock *block)
{
    size_t size = qemu_real_host_page_size();
    void *page = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (page != MAP_FAILED) {
        fixed_ram_numa_follow(page, size, block->host);
        block->policy = page;
    }
}

/* A guest touches memory at random, and clones wait for each other. */
void fixed_ram_mapped_block_expect(const FixedRamMappedBlock *block,
                                   bool in_order)
{
    qemu_madvise(block->host, block->length,
                 in_order ? MADV_SEQUENTIAL : MADV_RANDOM);
}

int fixed_ram_mapped_block_map(const FixedRamMappedBlock *block,
                               FixedRamSource *source)
{
    int ret = fixed_ram_mapped_block_map_pages(block, source, 0,
                                               block->length);

    if (!ret) {
        fixed_ram_mapped_block_expect(block, false);
    }
    for (size_t i = 0; !ret && i < block->covers->len; i++) {
        const FixedRamRun *run = &g_array_index(block->covers, FixedRamRun, i);

        ret = fixed_ram_mapped_block_cover(block, block->host + run->offset,
                                           run->length);
    }
    return ret;
}

void fixed_ram_mapped_block_drop_policy(FixedRamMappedBlock *block)
{
    if (block->policy) {
        munmap(block->policy, qemu_real_host_page_size());
        block->policy = NULL;
    }
}
