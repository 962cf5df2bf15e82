/*
 * fixed-ram: fuzz the rooms that read a snapshot's metadata
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/ramsection.h"
#include "migration/fixed-ram/format/index.h"
#include "migration/fixed-ram/format/sumtable.h"
#include "check.h"
#include "check-index.h"
#include "fuzz.h"

const char fuzz_name[] = "fuzz-format";
FuzzCounts fuzz_counts;

static bool read_bitmaps(FixedRamSource *source, const FixedRamSnapshot *s,
                         const Decoded *d)
{
    for (size_t i = 0; i < s->blocks->len; i++) {
        Error *err = NULL;
        g_autofree unsigned long *bitmap = fixed_ram_format_read_bitmap(
            source, s, fixed_ram_snapshot_block(s, i), &err);

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
    g_autoptr(FixedRamSumTable) table = fixed_ram_sum_table_new(index);
    uint64_t clusters = table ? index->table.length / sizeof(uint64_t) : 0;

    for (uint64_t i = 0; i < clusters; i++) {
        Error *err = NULL;
        uint64_t sum;

        if (!fixed_ram_sum_table_get(table, source, i, &sum, &err)) {
            check_error(err);
            return false;
        }
        g_assert(!err);
        check_table_sum(index, d, i, sum);
    }
    return true;
}

static bool read_index(FixedRamSource *source, const FixedRamSnapshot *s,
                       const FixedRamSuperblock *sb, const Decoded *d)
{
    Error *err = NULL;
    g_autoptr(FixedRamIndex) index = fixed_ram_index_read(source, s, sb, &err);

    if (!index) {
        check_error(err);
        return false;
    }
    g_assert(!err);
    check_index(index, sb, d);
    if (!fixed_ram_index_verify_stream(index, source, &err)) {
        check_error(err);
        return false;
    }
    g_assert(!err);
    check_verified(index, d);
    return read_table(source, index, d);
}

static bool read_superblock(FixedRamSource *source, const FixedRamSnapshot *s,
                            const Decoded *d)
{
    FixedRamSuperblock sb;
    Error *err = NULL;

    if (!fixed_ram_superblock_read(source, s, &sb, &err)) {
        check_error(err);
        return false;
    }
    g_assert(!err);
    check_superblock(&sb, d);
    return sb.state == FIXED_RAM_PLAIN ||
           (sb.state == FIXED_RAM_COMPLETE && read_index(source, s, &sb, d));
}

/* Good as far as it can be read. */
static bool read_snapshot(const Input *in, FixedRamSource *source)
{
    g_autoptr(FixedRamSnapshot) s = NULL;
    g_autoptr(Decoded) d = NULL;
    Error *err = NULL;

    s = fixed_ram_format_read(source, in->start, INPUT_PAGE, &err);
    if (!s) {
        check_error(err);
        return false;
    }
    g_assert(!err);
    d = decode(in);
    check_snapshot(s, d);
    return read_bitmaps(source, s, d) && read_superblock(source, s, d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    FixedRamSource *source;
    unsigned faults = 0;
    Input in;

    if (input_parse(&in, data, size)) {
        source = input_bad_source(&in, &faults);
        if (read_snapshot(&in, source)) {
            g_assert(!faults);
            fuzz_counts.taken++;
        } else {
            fuzz_counts.refused++;
        }
        fuzz_counts.faults += faults;
        fixed_ram_source_close(source);
    }
    return 0;
}
