/*
 * Reads of a file that fail: the library
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * This is loaded into processes of all kinds, the shell that starts QEMU among
 * them: nothing of QEMU is used.  It says so on stderr and aborts if it cannot
 * do what it was asked to, since a test in which nothing fails shows nothing.
 */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include "faults.h"

#define get(field)      __atomic_load_n(&(field), __ATOMIC_SEQ_CST)
#define add(field, n)   __atomic_fetch_add(&(field), n, __ATOMIC_SEQ_CST)

typedef FixedRamFaultsRule Rule;

/* NULL: let everything pass. */
static FixedRamFaults *faults;

static void die(const char *what)
{
    perror(what);
    abort();
}

static void __attribute__((constructor)) map_faults(void)
{
    const char *path = getenv(FIXED_RAM_FAULTS_ENV);
    void *page;
    int fd;

    if (!path) {
        return;
    }
    fd = open(path, O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        die(path);
    }
    page = mmap(NULL, FIXED_RAM_FAULTS_BYTES, PROT_READ | PROT_WRITE,
                MAP_SHARED, fd, 0);
    if (page == MAP_FAILED) {
        die(path);
    }
    close(fd);
    faults = page;
}

/* Takes one of those that are left to fail. */
static bool take_one(Rule *rule)
{
    uint64_t left = get(rule->left);

    while (left && left != FIXED_RAM_FAULTS_ALWAYS) {
        if (__atomic_compare_exchange_n(&rule->left, &left, left - 1, false,
                                        __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
            return true;
        }
    }
    return left;
}

static bool must_fail(Rule *rule, const struct stat *file, size_t length,
                      off_t offset)
{
    uint64_t after = get(rule->after), every = get(rule->every) ?: 1, n;

    if (get(rule->mode) == FIXED_RAM_FAULTS_OFF ||
        get(rule->inode) != file->st_ino ||
        get(rule->device) != file->st_dev ||
        offset >= get(rule->end) || offset + length <= get(rule->first)) {
        return false;
    }
    n = add(rule->reads, 1);
    if (n < after || (n - after) % every || !take_one(rule)) {
        return false;
    }
    add(rule->injected, 1);
    return true;
}

static Rule *find_rule(const struct stat *file, size_t length, off_t offset)
{
    for (int i = 0; i < FIXED_RAM_FAULTS_RULES; i++) {
        if (must_fail(&faults->rules[i], file, length, offset)) {
            return &faults->rules[i];
        }
    }
    return NULL;
}

static void hang(Rule *rule)
{
    const struct timespec moment = { .tv_nsec = 2 * 1000 * 1000 };

    add(rule->hanging, 1);
    while (get(rule->mode) == FIXED_RAM_FAULTS_HANG) {
        nanosleep(&moment, NULL);
    }
    add(rule->hanging, -1);
}

/*
 * Returns the errno that a read shall fail with, or 0.  Then it may be that
 * there are only *@length bytes.
 */
static int judge(const struct stat *file, size_t *length, off_t offset)
{
    Rule *rule;

    while ((rule = find_rule(file, *length, offset))) {
        uint64_t first = get(rule->first);

        switch (get(rule->mode)) {
        case FIXED_RAM_FAULTS_ERROR:
            return get(rule->error);
        case FIXED_RAM_FAULTS_SHORT:
            *length = first > offset ? first - offset : 0;
            return 0;
        default:
            hang(rule);
        }
    }
    return 0;
}

static bool all_off(void)
{
    for (int i = 0; i < FIXED_RAM_FAULTS_RULES; i++) {
        if (get(faults->rules[i].mode) != FIXED_RAM_FAULTS_OFF) {
            return false;
        }
    }
    return true;
}

/* False: the read fails, errno is set.  @offset < 0: where the file is at. */
static bool allow(int fd, size_t *length, off_t offset)
{
    struct stat file;
    int saved = errno, err = 0;

    if (!faults || all_off()) {
        return true;
    }
    if (!fstat(fd, &file) && S_ISREG(file.st_mode)) {
        err = judge(&file, length,
                    offset < 0 ? lseek(fd, 0, SEEK_CUR) : offset);
    }
    errno = err ?: saved;
    return !err;
}

static void *find_next(const char *name)
{
    void *next = dlsym(RTLD_NEXT, name);

    if (!next) {
        fprintf(stderr, "%s: there is no %s()\n", FIXED_RAM_FAULTS_ENV, name);
        abort();
    }
    return next;
}

/* Who would have been called without us; may be asked for by many at once. */
#define NEXT(name) ({                                                   \
    static typeof(name) *next_;                                         \
    if (!__atomic_load_n(&next_, __ATOMIC_RELAXED)) {                   \
        __atomic_store_n(&next_, find_next(#name), __ATOMIC_RELAXED);   \
    }                                                                   \
    __atomic_load_n(&next_, __ATOMIC_RELAXED);                          \
})

ssize_t read(int fd, void *buf, size_t length)
{
    return allow(fd, &length, -1) ? NEXT(read)(fd, buf, length) : -1;
}

ssize_t pread(int fd, void *buf, size_t length, off_t offset)
{
    return allow(fd, &length, offset) ? NEXT(pread)(fd, buf, length, offset)
                                      : -1;
}

ssize_t pread64(int fd, void *buf, size_t length, off64_t offset)
{
    return allow(fd, &length, offset) ? NEXT(pread64)(fd, buf, length, offset)
                                      : -1;
}

/*
 * The same for vectors.  One that is cut gets no more than its first part,
 * as any such read may.
 */
static bool allow_vector(int fd, const struct iovec **iov, int *n,
                         struct iovec *part, off_t offset)
{
    size_t length = 0, allowed;

    for (int i = 0; i < *n; i++) {
        length += (*iov)[i].iov_len;
    }
    allowed = length;
    if (!allow(fd, &allowed, offset)) {
        return false;
    }
    if (allowed < length) {
        *part = **iov;
        part->iov_len = allowed < part->iov_len ? allowed : part->iov_len;
        *iov = part;
        *n = 1;
    }
    return true;
}

ssize_t readv(int fd, const struct iovec *iov, int n)
{
    struct iovec part;

    return allow_vector(fd, &iov, &n, &part, -1) ? NEXT(readv)(fd, iov, n)
                                                 : -1;
}

ssize_t preadv(int fd, const struct iovec *iov, int n, off_t offset)
{
    struct iovec part;

    return allow_vector(fd, &iov, &n, &part, offset)
           ? NEXT(preadv)(fd, iov, n, offset) : -1;
}

ssize_t preadv64(int fd, const struct iovec *iov, int n, off64_t offset)
{
    struct iovec part;

    return allow_vector(fd, &iov, &n, &part, offset)
           ? NEXT(preadv64)(fd, iov, n, offset) : -1;
}
