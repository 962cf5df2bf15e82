/*
 * fixed-ram: what the rounds of the engine's benchmark came to
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "engine-parts.h"

#define FULL_RATE       1.25    /* of the steady time */
#define FULL_ROUNDS     3       /* in a row */

static double round_ms(const Round *r)
{
    return (r->done - r->begun) / 1e6;
}

static int compare_rounds(const void *a, const void *b)
{
    double x = round_ms(a), y = round_ms(b);

    return (x > y) - (x < y);
}

/* The median of rounds that began when all was over; 0 if there are none */
static double steady_ms(const Round *rounds, size_t count, int64_t settled)
{
    g_autofree Round *last = NULL;
    size_t first = count;

    while (first > 0 && rounds[first - 1].begun >= settled) {
        first--;
    }
    if (first == count) {
        return 0;
    }
    last = g_memdup2(rounds + first, (count - first) * sizeof(*rounds));
    qsort(last, count - first, sizeof(*last), compare_rounds);
    return round_ms(&last[(count - first) / 2]);
}

/* The last one of the first rounds at full rate; @count if there are none */
static size_t full_rate(const Round *rounds, size_t count, double steady)
{
    size_t in_a_row = 0;

    for (size_t i = 0; i < count; i++) {
        in_a_row = round_ms(&rounds[i]) <= FULL_RATE * steady ? in_a_row + 1
                                                              : 0;
        if (in_a_row == FULL_ROUNDS) {
            return i;
        }
    }
    return count;
}

void rounds_print(const Bench *b, int64_t start, int64_t settled)
{
    size_t count = b->done / b->round, full;
    double steady = steady_ms(b->rounds, count, settled), longest = 0;

    for (size_t i = 0; i < count; i++) {
        longest = MAX(longest, round_ms(&b->rounds[i]));
        if (b->each_round) {
            fprintf(stderr, "%zu %.6f %.3f\n", i,
                    (b->rounds[i].done - start) / 1e9,
                    round_ms(&b->rounds[i]));
        }
    }
    full = full_rate(b->rounds, count, steady);
    printf(", \"order\": \"%s\", \"one_of\": %d, \"round\": %d, "
           "\"rounds\": %zu, \"first_round_s\": %.6f, \"full_rate_s\": ",
           b->order_name, b->one_of, b->round, count,
           count ? (b->rounds[0].done - start) / 1e9 : 0);
    if (full < count) {
        printf("%.6f", (b->rounds[full].done - start) / 1e9);
    } else {
        printf("null");
    }
    printf(", \"steady_ms\": %.3f, \"longest_ms\": %.3f, "
           "\"faults\": %" PRIu64 ", \"huge_kib_later\": %" PRIu64,
           steady, longest, b->faults, b->huge_kib_later);
}
