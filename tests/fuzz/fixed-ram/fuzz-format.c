/*
 * fixed-ram: fuzz the room that reads a snapshot's metadata
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format.h"
#include "check.h"
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
    return read_bitmaps(source, s, d);
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
