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
 * fixed_ram_read_full(): read @length bytes of @fd from @offset on
 *
 * Short reads are continued.  A read that is interrupted, or told to try again,
 * is repeated for about a second.
 *
 * Returns the number of bytes, which is less than @length only where the file
 * ends, or -errno; then the content of @buf is undefined.  Any thread.
 */
ssize_t fixed_ram_read_full(int fd, void *buf, size_t length, uint64_t offset);

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

/**
 * fixed_ram_write_snapshot(): the same; the error names the snapshot @name and
 * the offset
 */
bool fixed_ram_write_snapshot(int fd, const char *name, const void *buf,
                              size_t length, uint64_t offset, Error **errp);

/**
 * fixed_ram_sync_snapshot(): have all data of the snapshot @name on disk
 *
 * This covers writes through all descriptors of the file.  Any thread.
 */
bool fixed_ram_sync_snapshot(int fd, const char *name, Error **errp);

#endif
