/*
 * fixed-ram: large buffers for input and output
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_UTIL_BUFFER_H
#define MIGRATION_FIXED_RAM_UTIL_BUFFER_H

/*
 * A mapping of its own that begins where a huge page does.  A child process
 * does not get it: a fork would make its pages copy-on-write, direct reads
 * would then miss them, and they could not be moved into the guest.
 *
 * One thread uses a buffer at a time; its owner provides for that.  All zero is
 * a buffer without memory.
 */
typedef struct FixedRamBuffer {
    uint8_t *mem;               /* aligned to FIXED_RAM_BUFFER_ALIGNMENT */
    size_t size;                /* usable bytes at @mem */
    void *map;                  /* the mapping around it; NULL: none */
} FixedRamBuffer;

#define FIXED_RAM_BUFFER_ALIGNMENT  ((size_t)2 * 1024 * 1024)

/**
 * fixed_ram_buffer_map(): give @buffer @size bytes of zeros
 *
 * Memory that @buffer had before is released, but only on success.
 *
 * From FIXED_RAM_BUFFER_ALIGNMENT bytes on a buffer takes no memory before it
 * is used, and then huge pages if the host has some.  The pages of a smaller
 * one are there at once.
 */
bool fixed_ram_buffer_map(FixedRamBuffer *buffer, size_t size, Error **errp);

/** fixed_ram_buffer_unmap(): release the memory, if there is some. */
void fixed_ram_buffer_unmap(FixedRamBuffer *buffer);

#endif
