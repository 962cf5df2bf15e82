/*
 * fixed-ram: a working set that is guessed while a running guest is saved
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitmap.h"
#include "guess.h"

typedef struct GuessBlock {
    const void *id;
    uint64_t front;             /* pages before it have been saved once */
} GuessBlock;

/* Pages of one round, in the order in which they were saved. */
typedef struct Round {
    FixedRamWorkingSet *pages;  /* NULL: there were too many runs */
    FixedRamWorkingSet *set;    /* of closed blocks: as they will be written */
} Round;

struct FixedRamGuess {
    GArray *blocks;             /* of GuessBlock */
    guint last;                 /* number of the block that was saved last */
    bool live;                  /* the guest ran when the dirty log was read */
    bool over;                  /* the next page is one of a new round */
    Round now;
    Round before;
};

static Round round_new(void)
{
    return (Round) {
        .pages = fixed_ram_working_set_new(FIXED_RAM_WORKING_SET_KIND_GUESSED),
        .set = fixed_ram_working_set_new(FIXED_RAM_WORKING_SET_KIND_GUESSED),
    };
}

static void round_free(Round *round)
{
    fixed_ram_working_set_free(round->pages);
    fixed_ram_working_set_free(round->set);
}

/* No set comes of this round. */
static void round_give_up(Round *round)
{
    fixed_ram_working_set_free(g_steal_pointer(&round->pages));
}

FixedRamGuess *fixed_ram_guess_new(void)
{
    FixedRamGuess *guess = g_new0(FixedRamGuess, 1);

    guess->blocks = g_array_new(false, false, sizeof(GuessBlock));
    guess->now = round_new();
    guess->before = round_new();
    return guess;
}

void fixed_ram_guess_free(FixedRamGuess *guess)
{
    if (guess) {
        g_array_unref(guess->blocks);
        round_free(&guess->now);
        round_free(&guess->before);
        g_free(guess);
    }
}

void fixed_ram_guess_add_block(FixedRamGuess *guess, const void *id)
{
    GuessBlock block = { .id = id };

    g_array_append_val(guess->blocks, block);
}

void fixed_ram_guess_round(FixedRamGuess *guess, bool live)
{
    guess->live |= live;
    guess->over = true;
}

/* A page was saved again. */
static void add_page(FixedRamGuess *guess, uint32_t block, uint64_t page)
{
    Round *now = &guess->now;

    if (guess->over) {
        guess->over = false;
        round_free(&guess->before);
        guess->before = *now;
        *now = round_new();
    }
    if (now->pages) {
        /* Whether it has data is known when the block is closed. */
        fixed_ram_working_set_add(now->pages, block, page, 1, true);
        if (now->pages->runs->len > FIXED_RAM_GUESS_RUNS_MAX) {
            round_give_up(now);
        }
    }
}

/* Mostly it is the block of the page before. */
static GuessBlock *find_block(FixedRamGuess *guess, const void *id)
{
    for (guint i = 0; i < guess->blocks->len; i++) {
        guint number = (guess->last + i) % guess->blocks->len;
        GuessBlock *block = &g_array_index(guess->blocks, GuessBlock, number);

        if (block->id == id) {
            guess->last = number;
            return block;
        }
    }
    return NULL;
}

void fixed_ram_guess_visit(FixedRamGuess *guess, const void *id, uint64_t page)
{
    GuessBlock *block = find_block(guess, id);

    if (block && page >= block->front) {
        block->front = page + 1;
    } else if (block) {
        add_page(guess, guess->last, page);
    }
}

/* Leave out pages in @seen, and add the others to it. */
static void close_round(Round *round, uint32_t block, unsigned long *seen,
                        const unsigned long *data)
{
    for (size_t i = 0; round->pages && i < round->pages->runs->len; i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(round->pages, i);

        if (run->block != block) {
            continue;
        }
        for (uint64_t page = run->first; page < run->first + run->pages;
             page++) {
            if (!test_and_set_bit(page, seen)) {
                fixed_ram_working_set_add(round->set, block, page, 1,
                                          test_bit(page, data));
            }
        }
    }
}

void fixed_ram_guess_close(FixedRamGuess *guess, uint32_t block,
                           const unsigned long *data, uint64_t pages)
{
    g_autofree unsigned long *seen = bitmap_try_new(pages);

    if (seen) {
        close_round(&guess->now, block, seen, data);
        close_round(&guess->before, block, seen, data);
    }
}

/* Append @from to @to. */
static void append_set(FixedRamWorkingSet *to, const FixedRamWorkingSet *from)
{
    for (size_t i = 0; i < from->runs->len; i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(from, i);

        fixed_ram_working_set_add(to, run->block, run->first, run->pages,
                                  run->data);
    }
}

FixedRamWorkingSet *fixed_ram_guess_end(FixedRamGuess *guess,
                                        uint64_t data_pages)
{
    uint64_t most = data_pages / FIXED_RAM_GUESS_PART;
    g_autoptr(FixedRamWorkingSet) set = g_steal_pointer(&guess->now.set);

    if (!guess->live || !guess->now.pages || set->pages > most) {
        return NULL;
    }
    if (guess->before.pages && guess->before.set->pages <= most - set->pages) {
        append_set(set, guess->before.set);
    }
    set->time = g_get_real_time() / G_USEC_PER_SEC;
    return set->pages ? g_steal_pointer(&set) : NULL;
}
