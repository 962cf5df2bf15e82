/*
 * fixed-ram: what all files that are opened here have in common
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_UTIL_IO_H
#define MIGRATION_FIXED_RAM_UTIL_IO_H

/**
 * fixed_ram_same_file(): are @fd and @other descriptors of one file?
 *
 * False if one of them cannot be asked.  Any thread.
 */
bool fixed_ram_same_file(int fd, int other);

/**
 * fixed_ram_write_full(): write @length bytes to @fd at @offset
 *
 * Short writes are continued, interrupted ones repeated.  A write that moves
 * nothing fails with EIO.
 *
 * Returns 0, or -errno; then the content of the range is undefined.  Any
 * thread.
 */
int fixed_ram_write_full(int fd, const void *buf, size_t length,
                         uint64_t offset);

#endif
