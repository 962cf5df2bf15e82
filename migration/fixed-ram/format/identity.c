/*
 * fixed-ram: is one snapshot a copy of another one?
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "digest.h"
#include "snapshot.h"

/*
 * A file without an index does not say where the stream ends, and a sparse one
 * may be as long as it likes.  Two saves differ early in the devices' state.
 */
#define TAIL_MAX    (1 * GiB)

/* Headers and bitmaps; the first range also has the head of the stream. */
static bool digest_blocks(FixedRamDigest *digest, const FixedRamRamSection *ram,
                          Error **errp)
{
    uint64_t from = ram->start;

    for (size_t i = 0; i < ram->blocks->len; i++) {
        const FixedRamBlockInfo *info = fixed_ram_ramsection_block(ram, i);
        uint64_t end = info->bitmap_offset +
                       fixed_ram_ramsection_bitmap_bytes(info->length,
                                                         ram->page_size);

        from = i ? info->header_offset : from;
        if (!fixed_ram_digest_add(digest, from, end - from, NULL, errp)) {
            return false;
        }
    }
    return true;
}

bool fixed_ram_snapshot_identify(FixedRamSnapshot *s, Error **errp)
{
    g_autoptr(FixedRamDigest) digest = NULL;
    uint64_t tail;

    if (s->index || s->identified) {
        s->identified = true;
        return true;
    }
    digest = fixed_ram_digest_new(s->source);
    tail = MIN(s->source->size - s->ram->ram_end, TAIL_MAX);
    if (!digest_blocks(digest, s->ram, errp) ||
        !fixed_ram_digest_add(digest, s->ram->ram_end, tail, NULL, errp)) {
        return false;
    }
    s->digest = fixed_ram_digest_get(digest);
    s->identified = true;
    return true;
}

static bool same_blocks(const FixedRamSnapshot *s,
                        const FixedRamSnapshot *other, Error **errp)
{
    const char *name = other->source->name;

    if (s->ram->blocks->len != other->ram->blocks->len) {
        error_setg(errp, "snapshot '%s' has %u blocks, the one being loaded "
                   "has %u", name, other->ram->blocks->len,
                   s->ram->blocks->len);
        return false;
    }
    for (size_t i = 0; i < s->ram->blocks->len; i++) {
        const FixedRamBlockInfo *a = fixed_ram_ramsection_block(s->ram, i);
        const FixedRamBlockInfo *b = fixed_ram_ramsection_block(other->ram, i);

        if (strcmp(a->name, b->name) || a->length != b->length ||
            a->pages_offset != b->pages_offset) {
            error_setg(errp, "snapshot '%s': offset 0x%" PRIx64 ": found block "
                       "'%s' of 0x%" PRIx64 " bytes with pages at offset 0x%"
                       PRIx64 ", the snapshot being loaded has '%s' of 0x%"
                       PRIx64 " bytes with pages at 0x%" PRIx64, name,
                       b->header_offset, b->name, b->length, b->pages_offset,
                       a->name, a->length, a->pages_offset);
            return false;
        }
    }
    return true;
}

/* Both have the same identity, or none. */
static bool same_id(const FixedRamSnapshot *s, const FixedRamSnapshot *other)
{
    return !s->index == !other->index &&
           (!s->index || !memcmp(s->index->id, other->index->id,
                                 sizeof(s->index->id)));
}

bool fixed_ram_snapshot_same(const FixedRamSnapshot *s,
                             FixedRamSnapshot *other, Error **errp)
{
    assert(s->identified);
    if (!same_id(s, other)) {
        error_setg(errp, "snapshot '%s' is not a copy of the one being loaded: "
                   "their identities differ", other->source->name);
        return false;
    }
    if (!same_blocks(s, other, errp) ||
        !fixed_ram_snapshot_identify(other, errp)) {
        return false;
    }
    if (s->digest != other->digest) {
        error_setg(errp, "snapshot '%s' is not a copy of the one being loaded: "
                   "their headers, bitmaps or devices' states differ",
                   other->source->name);
        return false;
    }
    return true;
}
