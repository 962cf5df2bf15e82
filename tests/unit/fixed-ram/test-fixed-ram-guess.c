/*
 * fixed-ram: unit tests of the working set that a live save guesses
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "migration/fixed-ram/save/guess.h"

#define BLOCKS  2
#define PAGES   4000

/* A save of two blocks; each page has data unless a test clears its bit. */
typedef struct Save {
    FixedRamGuess *guess;
    unsigned long *data[BLOCKS];
    char ids[BLOCKS];           /* their addresses stand for the blocks */
} Save;

static void save_begin(Save *s)
{
    s->guess = fixed_ram_guess_new();
    for (unsigned i = 0; i < BLOCKS; i++) {
        s->data[i] = bitmap_new(PAGES);
        bitmap_set(s->data[i], 0, PAGES);
        fixed_ram_guess_add_block(s->guess, &s->ids[i]);
    }
}

static void visit(Save *s, unsigned block, uint64_t first, uint64_t pages)
{
    for (uint64_t page = first; page < first + pages; page++) {
        fixed_ram_guess_visit(s->guess, &s->ids[block], page);
    }
}

static void visit_all(Save *s)
{
    for (unsigned i = 0; i < BLOCKS; i++) {
        visit(s, i, 0, PAGES);
    }
}

static void next_round(Save *s)
{
    fixed_ram_guess_round(s->guess, true);
}

/* Up to the end of the first pass. */
static void begin_live(Save *s)
{
    save_begin(s);
    next_round(s);
    visit_all(s);
}

static FixedRamWorkingSet *save_end(Save *s)
{
    FixedRamWorkingSet *set;
    uint64_t pages = 0;

    for (unsigned i = 0; i < BLOCKS; i++) {
        fixed_ram_guess_close(s->guess, i, s->data[i], PAGES);
        pages += bitmap_count_one(s->data[i], PAGES);
    }
    set = fixed_ram_guess_end(s->guess, pages);
    fixed_ram_guess_free(s->guess);
    for (unsigned i = 0; i < BLOCKS; i++) {
        g_free(s->data[i]);
    }
    return set;
}

typedef struct Want {
    uint32_t block;
    uint64_t first;
    uint32_t pages;
    bool data;
} Want;

static void check(Save *s, const Want *want, size_t runs)
{
    g_autoptr(FixedRamWorkingSet) set = save_end(s);
    uint64_t pages = 0;

    g_assert_nonnull(set);
    g_assert_cmpint(set->kind, ==, FIXED_RAM_WORKING_SET_KIND_GUESSED);
    g_assert_cmpuint(set->time, >, 0);
    g_assert_cmpuint(set->runs->len, ==, runs);
    for (size_t i = 0; i < runs; i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(set, i);

        g_assert_cmpuint(run->block, ==, want[i].block);
        g_assert_cmpuint(run->first, ==, want[i].first);
        g_assert_cmpuint(run->pages, ==, want[i].pages);
        g_assert_cmpint(run->data, ==, want[i].data);
        pages += run->pages;
    }
    g_assert_cmpuint(set->pages, ==, pages);
}

static void check_none(Save *s)
{
    g_assert_null(save_end(s));
}

/* The last round comes first, each page once, and older rounds not at all. */
static void test_rounds(void)
{
    static const Want want[] = {
        { 0, 100, 10, true }, { 1, 7, 1, true },
        { 0, 50, 5, true }, { 0, 110, 10, true },
    };
    Save s;

    begin_live(&s);
    next_round(&s);
    visit(&s, 0, 3000, 100);
    next_round(&s);
    visit(&s, 0, 50, 5);
    visit(&s, 0, 100, 20);
    next_round(&s);
    visit(&s, 0, 100, 10);
    visit(&s, 1, 7, 1);
    check(&s, want, ARRAY_SIZE(want));
}

/*
 * The dirty log is read twice when the guest stops, and also while the first
 * pass goes on: what is saved for the first time then was not changed.
 */
static void test_first_pass(void)
{
    static const Want want[] = { { 0, 20, 2, true } };
    Save s;

    save_begin(&s);
    next_round(&s);
    visit(&s, 0, 0, PAGES);
    visit(&s, 1, 0, PAGES / 2);
    next_round(&s);
    next_round(&s);
    visit(&s, 1, PAGES / 2, PAGES / 2);
    visit(&s, 0, 20, 2);
    check(&s, want, ARRAY_SIZE(want));
}

/* A round without pages does not count. */
static void test_empty_rounds(void)
{
    static const Want want[] = { { 1, 5, 1, true }, { 0, 9, 1, true } };
    Save s;

    begin_live(&s);
    next_round(&s);
    visit(&s, 0, 9, 1);
    next_round(&s);
    next_round(&s);
    visit(&s, 1, 5, 1);
    next_round(&s);
    next_round(&s);
    check(&s, want, ARRAY_SIZE(want));
}

/* Pages that are zero at the end have no data in the file. */
static void test_zeros(void)
{
    static const Want want[] = {
        { 0, 10, 2, true }, { 0, 12, 3, false }, { 0, 15, 1, true },
    };
    Save s;

    begin_live(&s);
    next_round(&s);
    visit(&s, 0, 10, 6);
    bitmap_clear(s.data[0], 12, 3);
    check(&s, want, ARRAY_SIZE(want));
}

/* Memory that the save does not have, as a device's. */
static void test_unknown_block(void)
{
    static const Want want[] = { { 1, 1, 1, true } };
    Save s;

    begin_live(&s);
    next_round(&s);
    fixed_ram_guess_visit(s.guess, &s, 1);
    visit(&s, 1, 1, 1);
    check(&s, want, ARRAY_SIZE(want));
}

static void test_nothing(void)
{
    Save s;

    begin_live(&s);
    next_round(&s);
    check_none(&s);
}

/* A device has changed pages of a guest that was stopped all the time. */
static void test_stopped(void)
{
    Save s;

    save_begin(&s);
    fixed_ram_guess_round(s.guess, false);
    visit_all(&s);
    fixed_ram_guess_round(s.guess, false);
    visit(&s, 0, 10, 6);
    check_none(&s);
}

#define MOST    (BLOCKS * PAGES / FIXED_RAM_GUESS_PART)

/* The last round alone may be as large as a set. */
static void test_most(void)
{
    static const Want want[] = { { 0, 0, MOST, true } };
    Save s;

    begin_live(&s);
    next_round(&s);
    visit(&s, 1, 1, 1);
    next_round(&s);
    visit(&s, 0, 0, MOST);
    check(&s, want, ARRAY_SIZE(want));
}

static void test_too_many(void)
{
    Save s;

    begin_live(&s);
    next_round(&s);
    visit(&s, 0, 0, MOST + 1);
    check_none(&s);
}

/* Every second page of @pages pages. */
static void visit_scattered(FixedRamGuess *guess, const void *id,
                            uint64_t pages)
{
    for (uint64_t page = 0; page < pages; page += 2) {
        fixed_ram_guess_visit(guess, id, page);
    }
}

/* Rounds with too many runs: the last one, or the one before. */
static void test_runs(const void *last)
{
    uint64_t pages = 2 * (FIXED_RAM_GUESS_RUNS_MAX + 1) +
                     FIXED_RAM_GUESS_PART;
    FixedRamGuess *guess = fixed_ram_guess_new();
    g_autofree unsigned long *data = bitmap_new(pages);
    g_autoptr(FixedRamWorkingSet) set = NULL;

    bitmap_set(data, 0, pages);
    fixed_ram_guess_add_block(guess, guess);
    fixed_ram_guess_visit(guess, guess, pages - 1);
    fixed_ram_guess_round(guess, true);
    visit_scattered(guess, guess, pages - 2);
    if (!last) {
        fixed_ram_guess_round(guess, true);
        fixed_ram_guess_visit(guess, guess, 3);
    }
    fixed_ram_guess_close(guess, 0, data, pages);
    set = fixed_ram_guess_end(guess, UINT64_MAX);
    if (last) {
        g_assert_null(set);
    } else {
        g_assert_cmpuint(set->pages, ==, 1);
    }
    fixed_ram_guess_free(guess);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/guess/rounds", test_rounds);
    g_test_add_func("/fixed-ram/guess/first-pass", test_first_pass);
    g_test_add_func("/fixed-ram/guess/empty-rounds", test_empty_rounds);
    g_test_add_func("/fixed-ram/guess/zeros", test_zeros);
    g_test_add_func("/fixed-ram/guess/unknown-block", test_unknown_block);
    g_test_add_func("/fixed-ram/guess/nothing", test_nothing);
    g_test_add_func("/fixed-ram/guess/stopped", test_stopped);
    g_test_add_func("/fixed-ram/guess/most", test_most);
    g_test_add_func("/fixed-ram/guess/too-many", test_too_many);
    g_test_add_data_func("/fixed-ram/guess/runs/last", "last", test_runs);
    g_test_add_data_func("/fixed-ram/guess/runs/before", NULL, test_runs);
    return g_test_run();
}
