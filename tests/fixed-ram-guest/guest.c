/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The program that runs in the guest of "make run" and of the benchmarks.
 *
 * It reads one command a line from its standard input (the serial port) and
 * answers in whole lines.  No answer takes more than one write(), so that the
 * lines of the threads do not mix.
 *
 *   fill MIB [KIND [SEED]] map MIB MiB and fill each page with content that
 *                          follows from its number, and from SEED; KIND is
 *                          "contiguous", or "fragmented", which leaves every
 *                          eighth page all zero (but touched, too)
 *   verify                 compare every page with what it must hold
 *   tick MS                do a little work each MS milliseconds and print a
 *                          line for it; 0 ends it, no number means 20
 *   work MIB [LOCALITY]    keep reading in the area's first MIB MiB, mostly in
 *                          neighbourhoods used before: one unit of work in
 *                          LOCALITY (100 without it) goes to a new one; print
 *                          every 100 ms how many units were done and how long
 *                          the longest one took; 0 ends it
 *   touch-local MIB [LOCALITY]
 *                          the same, but print it after each 2,000 touches
 *   touch-random MIB [N]   keep touching one page in N (64 without it) of the
 *                          area's first MIB MiB, in no order; print the same
 *                          after each 2,000 touches; 0 ends it
 *   touch-write MIB        keep changing pages of the area's first MIB MiB, in
 *                          no order; print the same; 0 ends it
 *   touch N SEED MIB       read N random pages of the area's first MIB MiB
 *   change N RUN SEED      change N pages, in runs of RUN, anywhere in the area
 *   quit                   power off
 *
 * The area is only written by "fill", "touch-write" and "change".  "tick" and
 * "work" write in small areas of their own, and check there what they left.
 */

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/reboot.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#include "guest.h"

#define FILL_SEED       0x66697865642d7261ULL
#define PROGRESS_MIB    256UL
#define RESERVE_MIB     24UL        /* of free memory, what "fill" leaves */
#define TICK_PAGES      64UL        /* the ticks' working set ... */
#define TICK_STEP       4UL         /* ... and how many of it each one uses */

Area area;

static pthread_mutex_t tick_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t tick_changed = PTHREAD_COND_INITIALIZER;
static unsigned long tick_ms;       /* 0: none; protected by tick_lock */

void say(const char *fmt, ...)
{
    char line[256];
    size_t done = 0;
    va_list ap;
    int len;

    va_start(ap, fmt);
    len = vsnprintf(line, sizeof(line) - 1, fmt, ap);
    va_end(ap);
    if (len < 0) {
        return;
    }
    if ((size_t)len > sizeof(line) - 2) {
        len = sizeof(line) - 2;
    }
    line[len++] = '\n';

    while (done < (size_t)len) {
        ssize_t n = write(STDOUT_FILENO, line + done, len - done);

        if (n < 0 && errno != EINTR && errno != EAGAIN) {
            return;
        }
        done += n > 0 ? n : 0;
    }
}

uint64_t now_us(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return ts.tv_sec * 1000000ULL + ts.tv_nsec / 1000;
}

/* A bijection; every bit of the input reaches every bit of the output */
uint64_t mix64(uint64_t x)
{
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93ULL;
    x ^= x >> 32;
    x *= 0xd6e8feb86659fd93ULL;
    return x ^ (x >> 32);
}

/*
 * What page @page holds: word i is first + i * step.  Both come from the page
 * number and its version, so a page from elsewhere, shifted, or of another time
 * does not pass; and one addition a word keeps "fill" and "verify" quick in an
 * emulated CPU.
 */
void page_content(uint64_t page, uint64_t *first, uint64_t *step)
{
    if (area.fragmented && page % 8 == 7) {
        *first = 0;
        *step = 0;
        return;
    }
    *first = mix64(FILL_SEED + mix64(area.seed + (page_version(page) << 32)) +
                   page * GOLDEN);
    *step = mix64(*first) | 1;
}

void write_page(uint64_t page)
{
    /* volatile: zeroes are written as well, so that the page is populated */
    volatile uint64_t *w = area.words + page * PAGE_WORDS;
    uint64_t value, step;

    page_content(page, &value, &step);
    for (unsigned i = 0; i < PAGE_WORDS; i++, value += step) {
        w[i] = value;
    }
}

static bool page_is_good(uint64_t page)
{
    const uint64_t *w = area.words + page * PAGE_WORDS;
    uint64_t value, step, wrong = 0;

    page_content(page, &value, &step);
    for (unsigned i = 0; i < PAGE_WORDS; i++, value += step) {
        wrong |= w[i] ^ value;
    }
    return wrong == 0;
}

static uint64_t free_mib(void)
{
    unsigned long long kib;
    char line[128];
    uint64_t mib = 0;
    FILE *f = fopen("/proc/meminfo", "r");

    while (f && fgets(line, sizeof(line), f)) {
        if (sscanf(line, "MemAvailable: %llu", &kib) == 1) {
            mib = kib / 1024;
        }
    }
    if (f) {
        fclose(f);
    }
    return mib;
}

static void report_progress(const char *what, uint64_t pages_done)
{
    if (pages_done % (PROGRESS_MIB * PAGES_PER_MIB) == 0) {
        say("%s %llu MiB", what,
            (unsigned long long)(pages_done / PAGES_PER_MIB));
    }
}

static void release_area(void)
{
    if (area.words) {
        munmap(area.words, area.pages * PAGE_BYTES);
    }
    memset(&area, 0, sizeof(area));
    forget_versions();
}

static void do_fill(uint64_t mib, bool fragmented, uint64_t seed)
{
    uint64_t start = now_us();
    uint64_t available;
    void *p;

    release_area();
    available = free_mib();
    if (mib == 0 || mib + RESERVE_MIB > available) {
        say("error fill: %llu MiB asked for, %llu MiB are free",
            (unsigned long long)mib, (unsigned long long)available);
        return;
    }
    p = mmap(NULL, mib << 20, PROT_READ | PROT_WRITE,
             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (p == MAP_FAILED) {
        say("error fill: %s", strerror(errno));
        return;
    }
    area.words = p;
    area.pages = mib * PAGES_PER_MIB;
    area.fragmented = fragmented;
    area.seed = seed;
    for (uint64_t page = 0; page < area.pages; page++) {
        write_page(page);
        report_progress("fill", page + 1);
    }
    say("fill ok pages=%llu us=%llu", (unsigned long long)area.pages,
        (unsigned long long)(now_us() - start));
}

static void do_verify(void)
{
    uint64_t first_bad = 0, bad = 0;

    if (!area.words) {
        say("error verify: nothing was filled");
        return;
    }
    for (uint64_t page = 0; page < area.pages; page++) {
        if (!page_is_good(page) && bad++ == 0) {
            first_bad = page;
        }
        report_progress("verify", page + 1);
    }
    if (bad) {
        say("verify BAD page=%llu word=%016llx count=%llu pages=%llu",
            (unsigned long long)first_bad,
            (unsigned long long)area.words[first_bad * PAGE_WORDS],
            (unsigned long long)bad, (unsigned long long)area.pages);
    } else {
        say("verify ok pages=%llu", (unsigned long long)area.pages);
    }
}

static void do_touch(uint64_t count, uint64_t seed, uint64_t mib)
{
    uint64_t start, total, longest = 0, bad = 0;

    if (!area.words || mib == 0 || mib * PAGES_PER_MIB > area.pages) {
        say("error touch: the area has %llu MiB",
            (unsigned long long)(area.pages / PAGES_PER_MIB));
        return;
    }
    start = now_us();
    for (uint64_t i = 0; i < count; i++) {
        uint64_t page = mix64(mix64(seed) + i * GOLDEN) % (mib * PAGES_PER_MIB);
        /* volatile: the page is read between the two looks at the clock */
        volatile uint64_t *w = area.words + page * PAGE_WORDS;
        uint64_t value, step, before, took;

        page_content(page, &value, &step);
        before = now_us();
        bad += *w != value;
        took = now_us() - before;
        longest = took > longest ? took : longest;
    }
    total = now_us() - start;
    say("touch %s n=%llu us=%llu max_us=%llu bad=%llu", bad ? "BAD" : "ok",
        (unsigned long long)count, (unsigned long long)total,
        (unsigned long long)longest, (unsigned long long)bad);
}

/* One tick's work: how often each page was used is known from the number */
static bool tick(uint64_t *set, uint64_t n)
{
    bool good = true;

    for (unsigned i = 0; i < TICK_STEP; i++) {
        uint64_t page = (n * TICK_STEP + i) % TICK_PAGES;
        uint64_t *w = set + page * PAGE_WORDS;

        good &= *w == n / (TICK_PAGES / TICK_STEP);
        ++*w;
    }
    return good;
}

static void *tick_thread(void *set)
{
    for (uint64_t n = 0; ; n++) {
        unsigned long ms;

        pthread_mutex_lock(&tick_lock);
        while (tick_ms == 0) {
            pthread_cond_wait(&tick_changed, &tick_lock);
        }
        ms = tick_ms;
        pthread_mutex_unlock(&tick_lock);

        if (tick(set, n)) {
            say("tick %llu t=%llu", (unsigned long long)n,
                (unsigned long long)now_us());
        } else {
            say("tick BAD %llu", (unsigned long long)n);
        }
        poll(NULL, 0, ms);
    }
    return NULL;
}

/* A thread that gets pages of its own */
void start_thread(const char *name, void *(*run)(void *), size_t pages)
{
    pthread_t thread;
    void *own = mmap(NULL, pages * PAGE_BYTES, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (own == MAP_FAILED || pthread_create(&thread, NULL, run, own)) {
        say("error %s: cannot start: %s", name, strerror(errno));
    }
}

static void do_tick(unsigned long ms)
{
    pthread_mutex_lock(&tick_lock);
    tick_ms = ms;
    pthread_cond_signal(&tick_changed);
    pthread_mutex_unlock(&tick_lock);
    if (ms == 0) {
        say("tick off");
    }
}

static bool number(const char *text, uint64_t *value)
{
    char *end;

    if (!text || *text < '0' || *text > '9') {
        return false;
    }
    errno = 0;
    *value = strtoull(text, &end, 0);
    /* nothing here needs more; and sums and products of two do not wrap */
    return errno == 0 && *end == '\0' && *value < 1ULL << 31;
}

/* What follows the word "fill" */
static bool fill_command(char *const *word, int n)
{
    bool fragmented = n > 1 && !strcmp(word[1], "fragmented");
    uint64_t mib, seed = 0;

    if (n < 1 || n > 3 || !number(word[0], &mib) ||
        (n > 1 && !fragmented && strcmp(word[1], "contiguous")) ||
        (n > 2 && !number(word[2], &seed))) {
        return false;
    }
    if (is_working()) {
        say("error fill: the area is in use");
    } else {
        do_fill(mib, fragmented, seed);
    }
    return true;
}

/* "work" and what else keeps the area in use until it is told to end */
static bool work_command(char *const *word, int n)
{
    uint64_t mib, detail = 0;

    return (n == 2 || n == 3) && number(word[1], &mib) &&
           (n == 2 || (number(word[2], &detail) && detail > 0)) &&
           do_work(word[0], mib, detail);
}

static void run_command(char *line)
{
    char *word[5] = { NULL };
    uint64_t a, b, c;
    int n = 0;

    for (char *w = strtok(line, " \t"); w && n < 5; w = strtok(NULL, " \t")) {
        word[n++] = w;
    }
    if (n == 0) {
        return;
    }
    if ((!strcmp(word[0], "fill") && fill_command(word + 1, n - 1)) ||
        work_command(word, n)) {
        return;
    }
    if (!strcmp(word[0], "verify") && n == 1) {
        do_verify();
    } else if (!strcmp(word[0], "tick") && n == 1) {
        do_tick(20);
    } else if (!strcmp(word[0], "tick") && n == 2 && number(word[1], &a)) {
        do_tick(a);
    } else if (!strcmp(word[0], "touch") && n == 4 && number(word[1], &a) &&
               number(word[2], &b) && number(word[3], &c)) {
        do_touch(a, b, c);
    } else if (!strcmp(word[0], "change") && n == 4 && number(word[1], &a) &&
               number(word[2], &b) && number(word[3], &c)) {
        do_change(a, b, c);
    } else if (!strcmp(word[0], "quit") && n == 1) {
        say("quit ok");
        tcdrain(STDOUT_FILENO);
        reboot(RB_POWER_OFF);
        say("error quit: %s", strerror(errno));
    } else {
        say("error unknown command: %s", word[0]);
    }
}

/* Raw: no echo, no line editing, and output that is not rewritten */
static void make_raw(void)
{
    struct termios t;

    if (tcgetattr(STDIN_FILENO, &t) == 0) {
        cfmakeraw(&t);
        tcsetattr(STDIN_FILENO, TCSANOW, &t);
    }
}

int main(void)
{
    char line[128];
    size_t len = 0;
    bool too_long = false;
    char c;

    make_raw();
    start_thread("tick", tick_thread, TICK_PAGES);
    start_work_thread();
    say("ready");

    for (;;) {
        ssize_t n = read(STDIN_FILENO, &c, 1);

        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            say("error the serial port is gone");
            return 1;
        }
        /* either ends a line; an empty line does nothing */
        if (c != '\n' && c != '\r') {
            too_long |= len == sizeof(line) - 1;
            line[len] = c;
            len += !too_long;
            continue;
        }
        line[len] = '\0';
        if (too_long) {
            say("error line too long");
        } else {
            run_command(line);
        }
        len = 0;
        too_long = false;
    }
}
