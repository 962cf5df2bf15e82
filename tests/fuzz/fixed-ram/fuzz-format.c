/*
 * fixed-ram: fuzz the code that opens a snapshot and parses its metadata
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/units.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/snapshot.h"
#include "migration/fixed-ram/format/sumtable.h"
#include "check.h"
#include "check-index.h"
#include "check-set.h"
#include "fuzz.h"
#include "layers.h"

/* A multiple of what one checksum of the packed copy is of. */
#define SET_PACK_MAX    (4 * MiB)

const char fuzz_name[] = "fuzz-format";
FuzzCounts fuzz_counts;

static bool read_bitmaps(FixedRamSource *source, const FixedRamRamSection *ram,
                         const Decoded *d)
{
    for (size_t i = 0; i < ram->blocks->len; i++) {
        Error *err = NULL;
        g_autofree unsigned long *bitmap = fixed_ram_ramsection_read_bitmap(
            ram, source, fixed_ram_ramsection_block(ram, i), NULL, &err);

        if (!bitmap) {
            check_error(err);
            return false;
        }
        g_assert(!err);
        check_bitmap(bitmap, d, i);
    }
    return true;
}

static bool read_table(FixedRamSource *source, const FixedRamIndex *index,
                       const Decoded *d)
{
    g_autoptr(FixedRamSumTable) table = fixed_ram_sumtable_new(index);
    uint64_t clusters = table ? index->table.length / sizeof(uint64_t) : 0;

    for (uint64_t i = 0; i < clusters; i++) {
        Error *err = NULL;
        uint64_t sum;

        if (!fixed_ram_sumtable_get(table, source, i, &sum, &err)) {
            check_error(err);
            return false;
        }
        g_assert(!err);
        check_table_sum(index, d, i, sum);
    }
    return true;
}

static bool verify(FixedRamSource *source, const FixedRamIndex *index,
                   const Decoded *d)
{
    Error *err = NULL;

    if (!fixed_ram_index_verify_stream(index, source, &err)) {
        check_error(err);
        return false;
    }
    g_assert(!err);
    check_verified(index, d);
    return read_table(source, index, d);
}

/* All of the packed copy, or as much as is good. */
static bool read_pack(FixedRamSource *source, const FixedRamWorkingSet *set)
{
    uint64_t length = MIN(set->pack_length, SET_PACK_MAX);
    g_autofree uint8_t *buf = g_malloc(MAX(length, 1));
    Error *err = NULL;

    if (!length) {
        return true;
    }
    if (!fixed_ram_working_set_read_pack(set, source, 0, length, buf, &err)) {
        check_error(err);
        return false;
    }
    g_assert(!err);
    return true;
}

/* A load can do without the set; here it must be good, too. */
static bool read_set(FixedRamSource *source, const FixedRamIndex *index,
                     const Decoded *d)
{
    g_autoptr(FixedRamWorkingSet) set = NULL;
    Error *err = NULL;

    if (index->set_problem) {
        check_error(error_copy(index->set_problem));
        return false;
    }
    if (!index->has_set) {
        return true;
    }
    set = fixed_ram_working_set_read(index, source, &err);
    if (!set) {
        check_error(err);
        return false;
    }
    g_assert(!err);
    check_set(set, index, d);
    return read_pack(source, set);
}

/* A snapshot is a copy of itself, as long as its file can be read. */
static bool identify(FixedRamSnapshot *s)
{
    Error *err = NULL;

    if (!fixed_ram_snapshot_identify(s, &err)) {
        check_error(err);
        return false;
    }
    g_assert(!err);
    g_assert(fixed_ram_snapshot_same(s, s, &error_abort));
    return true;
}

/* Are the layers those that the index names, and the map what the file has? */
static void check_layers(const FixedRamLayers *layers, const Decoded *d)
{
    g_assert_cmpuint(layers->list->len, ==, d->layers->len);
    g_assert(!memcmp(layers->map, d->map, layers->clusters));
    for (size_t i = 0; i < d->blocks->len; i++) {
        const DecodedBlock *b = decoded_block(d, i);
        uint64_t clusters = DIV_ROUND_UP(b->length, 64 * KiB);

        for (uint64_t c = 0; c < clusters; c++) {
            uint8_t n = d->map[b->first_cluster + c];
            const DecodedBlock *there = n ? decoded_find(
                g_ptr_array_index(d->layers, n - 1), b) : b;

            g_assert(there);
            g_assert_cmpuint(n ? fixed_ram_layer(layers, n)->pages_offset[i]
                               : b->pages, ==, there->pages);
        }
    }
}

static bool read_layers(FixedRamSnapshot *s, const Input *in, Decoded *d,
                        unsigned *faults)
{
    Error *err = NULL;

    if (!fixed_ram_layers_open(s, layers_config(in, faults), &err)) {
        g_assert(!s->layers);
        check_error(err);
        return false;
    }
    g_assert(!err && !s->layers == !(s->index && s->index->layers));
    if (s->layers) {
        layers_decode(d);
        check_layers(s->layers, d);
    }
    return true;
}

/* A file has a problem, or all that was parsed is what the decoder says. */
static bool check_examined(const FixedRamSnapshot *s, const Decoded *d)
{
    g_assert(!s->problem == (s->verdict == FIXED_RAM_VERDICT_GOOD));
    if (s->ram) {
        check_snapshot(s->ram, d);
    }
    if (s->problem) {
        check_error(error_copy(s->problem));
        return false;
    }
    if (s->ram) {
        check_superblock(&s->sb, d);
        g_assert(!s->index == (s->sb.state == FIXED_RAM_PLAIN));
    }
    if (s->index) {
        check_index(s->index, &s->sb, d);
    }
    return s->ram;
}

/* Returns whether the snapshot is good, and could be read to its end. */
static bool read_snapshot(const Input *in, FixedRamSource *source,
                          unsigned *faults)
{
    g_autoptr(FixedRamSnapshot) s = NULL;
    g_autoptr(Decoded) d = NULL;

    s = fixed_ram_snapshot_examine(source, in->start, INPUT_PAGE);
    d = s->ram ? decode(in) : NULL;
    return check_examined(s, d) && read_bitmaps(source, s->ram, d) &&
           (!s->index || verify(source, s->index, d)) && identify(s) &&
           (!s->index || read_set(source, s->index, d)) &&
           read_layers(s, in, d, faults);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FixedRamSource *source;
    unsigned faults = 0;
    Input in;

    if (input_parse(&in, data, size)) {
        source = input_bad_source(&in, &faults);
        if (read_snapshot(&in, source, &faults)) {
            g_assert(!faults);
            fuzz_counts.taken++;
        } else {
            fuzz_counts.refused++;
        }
        fuzz_counts.faults += faults;
        fixed_ram_source_unref(source);
    }
    return 0;
}
