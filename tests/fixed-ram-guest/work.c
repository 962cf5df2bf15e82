/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's work: a thread that reads in a working set with locality, like
 * a program that is busy, and says every 100 ms how it gets on.
 *
 * A unit of work reads some pages of a neighbourhood, one word of each, and
 * writes a page of an area of its own.  Now and then a unit goes to a new
 * neighbourhood, anywhere in the working set, and forgets an old one.
 */

#include <pthread.h>

#include "guest.h"

#define HOOD_MIN        64UL        /* pages of a neighbourhood */
#define HOOD_MAX        256UL
#define HOODS           16UL        /* how many of them work stays in */
#define UNIT_PAGES      16UL        /* that a unit of work reads */
#define OWN_PAGES       256UL       /* that work writes, one a unit */
#define REPORT_US       100000UL

typedef struct Hood {
    uint64_t first;
    uint64_t pages;
} Hood;

typedef struct Work {
    /* Protected by the lock */
    uint64_t wanted_pages;          /* of the area; 0: no work */
    uint64_t wanted_locality;
    bool changed;                   /* the thread has not seen it yet */
    bool busy;

    /* The thread's own */
    uint64_t pages;
    uint64_t locality;
    Hood hoods[HOODS];
    uint64_t random;
    uint64_t units;
    uint64_t *own;
} Work;

static Work work;
static pthread_mutex_t work_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work_changed = PTHREAD_COND_INITIALIZER;

static uint64_t work_random(uint64_t limit)
{
    return mix64(work.random += GOLDEN) % limit;
}

static void choose_hood(Hood *hood)
{
    hood->pages = HOOD_MIN + work_random(HOOD_MAX - HOOD_MIN + 1);
    hood->first = work_random(work.pages - hood->pages + 1);
}

/* One word of a page of the area */
static bool word_is_good(uint64_t page)
{
    uint64_t first, step, i = work_random(PAGE_WORDS);

    page_content(page, &first, &step);
    return area.words[page * PAGE_WORDS + i] == first + i * step;
}

/* All words of this page say how often it had its turn */
static bool write_own(uint64_t n)
{
    uint64_t *w = work.own + n % OWN_PAGES * PAGE_WORDS;
    uint64_t wrong = 0;

    for (unsigned i = 0; i < PAGE_WORDS; i++) {
        wrong |= w[i]++ ^ n / OWN_PAGES;
    }
    return wrong == 0;
}

/* Reads in one neighbourhood, in order or not; returns if all was as it must */
static bool work_unit(void)
{
    Hood *hood = &work.hoods[work_random(HOODS)];
    bool in_order = work_random(2), good = true;
    uint64_t at;

    if (work_random(work.locality) == 0) {
        choose_hood(hood);
    }
    at = work_random(hood->pages);
    for (unsigned i = 0; i < UNIT_PAGES; i++) {
        good &= word_is_good(hood->first + at);
        at = in_order ? (at + 1) % hood->pages : work_random(hood->pages);
    }
    return good & write_own(work.units++);
}

/* Works for as long as one report says, and reports */
static void work_and_report(void)
{
    uint64_t start = now_us(), now = start, longest = 0, n = 0;
    bool good = true;

    while (now - start < REPORT_US) {
        uint64_t before = now;

        good &= work_unit();
        n++;
        now = now_us();
        longest = now - before > longest ? now - before : longest;
    }
    say("work%s %llu t=%llu stall=%llu", good ? "" : " BAD",
        (unsigned long long)n, (unsigned long long)now,
        (unsigned long long)longest);
}

/* Waits while there is no work; says so when it was told to end */
static void get_work(void)
{
    pthread_mutex_lock(&work_lock);
    while (work.changed || !work.busy) {
        if (work.changed) {
            work.changed = false;
            work.pages = work.wanted_pages;
            work.locality = work.wanted_locality;
            work.busy = work.pages != 0;
            for (unsigned i = 0; work.busy && i < HOODS; i++) {
                choose_hood(&work.hoods[i]);
            }
            if (!work.busy) {
                say("work off");
            }
        } else {
            pthread_cond_wait(&work_changed, &work_lock);
        }
    }
    pthread_mutex_unlock(&work_lock);
}

static void *work_thread(void *own)
{
    work.own = own;
    for (;;) {
        get_work();
        work_and_report();
    }
    return NULL;
}

void do_work(uint64_t mib, uint64_t locality)
{
    uint64_t pages = mib * PAGES_PER_MIB;

    if (pages > area.pages || locality == 0) {
        say("error work: the area has %llu MiB",
            (unsigned long long)(area.pages / PAGES_PER_MIB));
        return;
    }
    pthread_mutex_lock(&work_lock);
    work.wanted_pages = pages;
    work.wanted_locality = locality;
    work.changed = true;
    pthread_cond_signal(&work_changed);
    pthread_mutex_unlock(&work_lock);
}

bool is_working(void)
{
    bool answer;

    pthread_mutex_lock(&work_lock);
    answer = work.busy || work.changed;
    pthread_mutex_unlock(&work_lock);
    return answer;
}

void start_work_thread(void)
{
    start_thread("work", work_thread, OWN_PAGES);
}
