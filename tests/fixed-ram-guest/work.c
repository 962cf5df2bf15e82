/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's work: a thread that reads in the area like a program that is
 * busy, checks what it reads, and says how it gets on: every 100 ms, or after
 * each round of touches.
 *
 * local.c and random.c know which pages a unit of work reads, and write.c which
 * ones it changes.
 */

#include <pthread.h>
#include <string.h>

#include "guest.h"

#define REPORT_US       100000UL
#define ROUND_UNITS     125UL       /* 2,000 touches */

typedef struct Job {
    const char *name;
    void (*begin)(uint64_t detail);
    bool (*unit)(void);
    uint64_t detail;                /* for begin(), where none was given */
    bool in_rounds;
} Job;

static const Job jobs[] = {
    { "work", local_begin, local_unit, 100, false },
    { "touch-local", local_begin, local_unit, 100, true },
    { "touch-random", random_begin, random_unit, 64, true },
    { "touch-write", write_begin, write_unit, 1, true },
};

typedef struct Wanted {
    const Job *job;
    uint64_t pages;                 /* of the area; 0: no work */
    uint64_t detail;
} Wanted;

Work work;

static Wanted wanted;               /* protected by the lock, with the rest */
static bool changed;                /* the thread has not seen it yet */
static bool busy;
static pthread_mutex_t work_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t work_changed = PTHREAD_COND_INITIALIZER;

uint64_t work_random(uint64_t limit)
{
    return mix64(work.random += GOLDEN) % limit;
}

/* One word of a page of the area */
bool word_is_good(uint64_t page)
{
    uint64_t first, step, i = work_random(PAGE_WORDS);

    page_content(page, &first, &step);
    return area.words[page * PAGE_WORDS + i] == first + i * step;
}

static bool is_over(const Job *job, uint64_t us, uint64_t units)
{
    return job->in_rounds ? units == ROUND_UNITS : us >= REPORT_US;
}

/* Works for as long as one report says, and reports */
static void work_and_report(const Job *job)
{
    uint64_t start = now_us(), now = start, longest = 0, n = 0;
    bool good = true;

    while (!is_over(job, now - start, n)) {
        uint64_t before = now;

        good &= job->unit();
        n++;
        now = now_us();
        longest = now - before > longest ? now - before : longest;
    }
    say("%s%s %llu t=%llu stall=%llu us=%llu", job->name, good ? "" : " BAD",
        (unsigned long long)n, (unsigned long long)now,
        (unsigned long long)longest, (unsigned long long)(now - start));
}

/* Waits while there is no work; says so when it was told to end */
static const Job *get_work(void)
{
    static const Job *job;

    pthread_mutex_lock(&work_lock);
    while (changed || !busy) {
        if (changed) {
            changed = false;
            job = wanted.job;
            busy = wanted.pages != 0;
            work.pages = wanted.pages;
            if (busy) {
                job->begin(wanted.detail);
            } else {
                say("%s off", job->name);
            }
        } else {
            pthread_cond_wait(&work_changed, &work_lock);
        }
    }
    pthread_mutex_unlock(&work_lock);
    return job;
}

static void *work_thread(void *own)
{
    work.own = own;
    for (;;) {
        work_and_report(get_work());
    }
    return NULL;
}

static const Job *find_job(const char *name)
{
    for (size_t i = 0; i < sizeof(jobs) / sizeof(jobs[0]); i++) {
        if (!strcmp(name, jobs[i].name)) {
            return &jobs[i];
        }
    }
    return NULL;
}

bool do_work(const char *name, uint64_t mib, uint64_t detail)
{
    const Job *job = find_job(name);
    uint64_t pages = mib * PAGES_PER_MIB;

    if (!job) {
        return false;
    }
    if (pages > area.pages) {
        say("error %s: the area has %llu MiB", name,
            (unsigned long long)(area.pages / PAGES_PER_MIB));
        return true;
    }
    pthread_mutex_lock(&work_lock);
    wanted.job = job;
    wanted.pages = pages;
    wanted.detail = detail ? detail : job->detail;
    changed = true;
    pthread_cond_signal(&work_changed);
    pthread_mutex_unlock(&work_lock);
    return true;
}

bool is_working(void)
{
    bool answer;

    pthread_mutex_lock(&work_lock);
    answer = busy || changed;
    pthread_mutex_unlock(&work_lock);
    return answer;
}

void start_work_thread(void)
{
    start_thread("work", work_thread, OWN_PAGES);
}
