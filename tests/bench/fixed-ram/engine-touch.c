/*
 * fixed-ram: the threads that touch pages in the engine's benchmark
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/timer.h"
#include "engine-parts.h"

/* One page of each group of so many, or the first so many pages */
static void choose_pages(Bench *b, GRand *rand)
{
    b->page_count = b->span_mib * (MiB / PAGE) / b->one_of;
    b->pages = g_new(uint32_t, b->page_count);
    for (uint32_t i = 0; i < b->page_count; i++) {
        if (b->order == ORDER_SEQUENTIAL) {
            b->pages[i] = i;
        } else if (b->order == ORDER_STRIDED) {
            b->pages[i] = i * b->one_of;
        } else {
            b->pages[i] = i * b->one_of + g_rand_int_range(rand, 0, b->one_of);
        }
    }
}

static void shuffle_pages(Bench *b, GRand *rand)
{
    for (uint32_t i = 0; i < b->page_count; i++) {
        uint32_t j = g_rand_int_range(rand, 0, i + 1);
        uint32_t page = b->pages[i];

        b->pages[i] = b->pages[j];
        b->pages[j] = page;
    }
}

void touch_init(Bench *b)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(b->seed);

    choose_pages(b, rand);
    if (b->order == ORDER_EACH) {
        shuffle_pages(b, rand);
    }
    b->touched = bitmap_new(b->size / PAGE);
    b->rounds = g_new0(Round, MAX_ROUNDS);
}

/* The next page to touch; false: that was all. */
static bool next_page(Toucher *t, uint32_t *page)
{
    Bench *b = t->bench;
    uint32_t turn = t->turn;

    t->turn += b->touchers;
    if (b->order == ORDER_RANDOM || b->order == ORDER_BURSTS) {
        *page = b->pages[g_rand_int_range(t->rand, 0, b->page_count)];
    } else {
        *page = b->pages[turn % b->page_count];
    }
    if (b->round) {
        return !qatomic_read(&b->stop);
    }
    if (b->order == ORDER_EACH) {
        return turn < b->page_count;
    }
    return b->touches ? turn / b->touchers < b->touches
                      : fixed_ram_map_left(b->map) > 0;
}

/*
 * The number is the word's place in its MiB, see make_file().  Of zero pages
 * only our engine knows.
 */
static bool word_is_right(const Bench *b, uint32_t page, uint64_t word)
{
    bool ours = b->mode == MODE_ENGINE || b->mode == MODE_EAGER;

    if (ours && b->zero_every && page % b->zero_every == 0) {
        return word == 0;
    }
    return (uint32_t)word == (page * (PAGE / 8) % (MiB / 8) | 1);
}

static void touch_page(Bench *b, uint32_t page)
{
    /* volatile: the touch is the point */
    volatile uint64_t *p = (void *)(b->memory + (uint64_t)page * PAGE);
    unsigned long bit = BIT_MASK(page);
    bool first = !(qatomic_fetch_or(&b->touched[BIT_WORD(page)], bit) & bit);
    int64_t start = get_clock();
    uint64_t word = *p;

    if (first) {
        qatomic_inc(&b->distinct);
        fixed_ram_latency_add(&b->latency, get_clock() - start);
    }
    if (!word_is_right(b, page, word)) {
        qatomic_inc(&b->wrong);
    }
}

/* What a program does with a page */
static void think(const Bench *b)
{
    int64_t end = get_clock() + b->think_us * 1000LL;

    while (get_clock() < end) {
        /* busy */
    }
}

/* One touch of a round that all touchers share */
static void touch_in_round(Toucher *t, uint32_t page)
{
    Bench *b = t->bench;
    uint64_t n = qatomic_fetch_inc(&b->started);

    if (n / b->round >= MAX_ROUNDS) {
        qatomic_set(&b->stop, true);
        return;
    }
    if (n % b->round == 0) {
        qatomic_set(&b->rounds[n / b->round].begun, get_clock());
    }
    touch_page(b, page);
    think(b);
    n = qatomic_fetch_inc(&b->done);
    if (n % b->round == b->round - 1) {
        qatomic_set(&b->rounds[n / b->round].done, get_clock());
    }
    if (b->order == ORDER_BURSTS && t->turn / b->touchers %
        MAX(1, b->round / b->touchers) == 0) {
        g_usleep(b->quiet_ms * 1000UL);
    }
}

static void *toucher_thread(void *opaque)
{
    Toucher *t = opaque;
    uint32_t page;

    while (next_page(t, &page)) {
        if (t->bench->round) {
            touch_in_round(t, page);
        } else {
            touch_page(t->bench, page);
        }
    }
    return NULL;
}

void touch_start(Bench *b)
{
    for (gint i = 0; i < b->touchers; i++) {
        Toucher *t = &b->toucher[i];

        t->bench = b;
        t->turn = i;
        t->rand = g_rand_new_with_seed(b->seed + i);
        qemu_thread_create(&t->thread, "toucher", toucher_thread, t,
                           QEMU_THREAD_JOINABLE);
    }
}

void touch_join(Bench *b)
{
    for (gint i = 0; i < b->touchers; i++) {
        qemu_thread_join(&b->toucher[i].thread);
        g_rand_free(b->toucher[i].rand);
    }
}
