/*
 * fixed-ram: large buffers for input and output
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qemu/madvise.h"
#include "buffer.h"

/* mmap() aligns to small pages only: map more, and use the aligned part. */
static size_t map_size(size_t size)
{
    return size + FIXED_RAM_BUFFER_ALIGNMENT;
}

bool fixed_ram_buffer_map(FixedRamBuffer *buffer, size_t size, Error **errp)
{
    size_t length = map_size(size);
    void *map = mmap(NULL, length, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (map == MAP_FAILED) {
        error_setg_errno(errp, errno, "could not map a buffer of %zu bytes",
                         length);
        return false;
    }
    fixed_ram_buffer_unmap(buffer);
    buffer->map = map;
    buffer->mem = QEMU_ALIGN_PTR_UP(map, FIXED_RAM_BUFFER_ALIGNMENT);
    buffer->size = size;
    qemu_madvise(map, length, QEMU_MADV_DONTFORK);
    if (size < FIXED_RAM_BUFFER_ALIGNMENT) {
        /* The first user of the buffer then need not wait for its pages. */
        qemu_madvise(buffer->mem, size, QEMU_MADV_POPULATE_WRITE);
    } else {
        /* The kernel handles fewer pieces, and can move them as a whole. */
        qemu_madvise(map, length, QEMU_MADV_HUGEPAGE);
    }
    return true;
}

void fixed_ram_buffer_unmap(FixedRamBuffer *buffer)
{
    if (buffer->map) {
        munmap(buffer->map, map_size(buffer->size));
        *buffer = (FixedRamBuffer) { };
    }
}
