/*
 * fixed-ram: a digest of ranges of a file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_DIGEST_H
#define MIGRATION_FIXED_RAM_FORMAT_DIGEST_H

#include "source.h"

/*
 * With libxxhash the digest is XXH3-64, as checksums in the index are.  Without
 * it the digest is a CRC, which only this process can compare.
 */
typedef struct FixedRamDigest FixedRamDigest;

/**
 * fixed_ram_digest_new(): a digest of nothing yet
 *
 * The caller frees it by fixed_ram_digest_free(), before @source.  A digest
 * belongs to one thread.
 */
FixedRamDigest *fixed_ram_digest_new(FixedRamSource *source);
void fixed_ram_digest_free(FixedRamDigest *digest);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamDigest, fixed_ram_digest_free)

/** fixed_ram_digest_reset(): start again with nothing */
void fixed_ram_digest_reset(FixedRamDigest *digest);

/**
 * fixed_ram_digest_add(): read a range of the file and add it
 *
 * @bits: if not NULL, the number of bits set in the range is added to it
 *
 * Holes of the file are added as zeros without being read.
 */
bool fixed_ram_digest_add(FixedRamDigest *digest, uint64_t offset,
                          uint64_t length, uint64_t *bits, Error **errp);

/** fixed_ram_digest_get(): the digest of all ranges added so far */
uint64_t fixed_ram_digest_get(const FixedRamDigest *digest);

#endif
