/*
 * fixed-ram: bytes that give other bytes a chosen CRC
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_KEEP_CRC_H
#define MIGRATION_FIXED_RAM_FORMAT_KEEP_CRC_H

/*
 * The CRC of a superblock lies in its last sector, but all that an appender
 * changes in the first one.  A power failure may write one of them and not the
 * other.  So the appender keeps the CRC: it chooses the CRC of the index, which
 * is in the superblock, so that the superblock's own does not change, and a
 * word in the index so that the index has the chosen one.
 */

/**
 * fixed_ram_keep_crc(): choose a word that follows @head
 *
 * @zeros: number of zero bytes that follow the word
 * @crc: fixed_ram_layout_crc32c() of @head, the word and the zeros
 *
 * Returns the word; it is stored in little-endian order.
 */
uint32_t fixed_ram_keep_crc(const void *head, size_t length, size_t zeros,
                            uint32_t crc);

#endif
