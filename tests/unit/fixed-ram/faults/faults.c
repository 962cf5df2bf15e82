/*
 * Reads and writes of a file that fail: the library
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * The dynamic linker loads this library into all processes of a test, also the
 * shell that starts QEMU, so it uses nothing of QEMU.  If it cannot do what it
 * was told to do, it prints the reason and aborts: a test without faults would
 * show nothing.
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

typedef enum Operation { READ, WRITE, SYNC, MAP } Operation;

/* The operation that a rule with this mode concerns. */
static Operation concerned(uint32_t mode)
{
    return mode >= FIXED_RAM_FAULTS_MAP_ERROR ? MAP :
           mode >= FIXED_RAM_FAULTS_SYNC_ERROR ? SYNC :
           mode >= FIXED_RAM_FAULTS_WRITE_ERROR ? WRITE : READ;
}

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

/* Count down @left; false: none is left. */
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

static bool must_fail(Rule *rule, Operation op, const struct stat *file,
                      size_t length, off_t offset)
{
    uint64_t after = get(rule->after), every = get(rule->every) ?: 1, n;
    uint32_t mode = get(rule->mode);

    if (mode == FIXED_RAM_FAULTS_OFF || concerned(mode) != op ||
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

static Rule *find_rule(Operation op, const struct stat *file, size_t length,
                       off_t offset)
{
    for (int i = 0; i < FIXED_RAM_FAULTS_RULES; i++) {
        if (must_fail(&faults->rules[i], op, file, length, offset)) {
            return &faults->rules[i];
        }
    }
    return NULL;
}

/* Returns 0, or the errno if a signal has interrupted it. */
static int hang(Rule *rule, uint32_t mode)
{
    const struct timespec moment = { .tv_nsec = 2 * 1000 * 1000 };
    int error = 0;

    add(rule->hanging, 1);
    while (!error && get(rule->mode) == mode) {
        error = nanosleep(&moment, NULL) ? errno : 0;
    }
    add(rule->hanging, -1);
    return error;
}

/*
 * Returns the errno with which the operation must fail, or 0.  With 0, *@length
 * may have become smaller: the operation is cut there.
 */
static int judge(Operation op, const struct stat *file, size_t *length,
                 off_t offset)
{
    Rule *rule;
    int error;

    while ((rule = find_rule(op, file, *length, offset))) {
        uint64_t first = get(rule->first);
        uint32_t mode = get(rule->mode);

        switch (mode) {
        case FIXED_RAM_FAULTS_ERROR:
        case FIXED_RAM_FAULTS_WRITE_ERROR:
        case FIXED_RAM_FAULTS_SYNC_ERROR:
        case FIXED_RAM_FAULTS_MAP_ERROR:
            return get(rule->error);
        case FIXED_RAM_FAULTS_SHORT:
            *length = first > offset ? first - offset : 0;
            return 0;
        case FIXED_RAM_FAULTS_WRITE_FULL:
            *length = first > offset ? first - offset : 0;
            return *length ? 0 : get(rule->error);
        case FIXED_RAM_FAULTS_OFF:
            break;
        default:
            error = hang(rule, mode);
            if (error) {
                return error;
            }
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

/*
 * Returns false, with errno set, if it must fail.  @offset < 0: the file's
 * position.
 */
static bool allow(Operation op, int fd, size_t *length, off_t offset)
{
    struct stat file;
    int saved = errno, err = 0;

    if (!faults || all_off()) {
        return true;
    }
    if (!fstat(fd, &file) && S_ISREG(file.st_mode)) {
        err = judge(op, &file, length,
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

/* The function that this library hides.  Several threads may ask at once. */
#define NEXT(name) ({                                                   \
    static typeof(name) *next_;                                         \
    if (!__atomic_load_n(&next_, __ATOMIC_RELAXED)) {                   \
        __atomic_store_n(&next_, find_next(#name), __ATOMIC_RELAXED);   \
    }                                                                   \
    __atomic_load_n(&next_, __ATOMIC_RELAXED);                          \
})

#define ALLOWED(name, op, buf, length, offset, ...)             \
    (allow(op, fd, &length, offset)                             \
     ? NEXT(name)(fd, buf, length, ##__VA_ARGS__) : -1)

ssize_t read(int fd, void *buf, size_t length)
{
    return ALLOWED(read, READ, buf, length, -1);
}

ssize_t write(int fd, const void *buf, size_t length)
{
    return ALLOWED(write, WRITE, buf, length, -1);
}

ssize_t pread(int fd, void *buf, size_t length, off_t offset)
{
    return ALLOWED(pread, READ, buf, length, offset, offset);
}

ssize_t pread64(int fd, void *buf, size_t length, off64_t offset)
{
    return ALLOWED(pread64, READ, buf, length, offset, offset);
}

ssize_t pwrite(int fd, const void *buf, size_t length, off_t offset)
{
    return ALLOWED(pwrite, WRITE, buf, length, offset, offset);
}

ssize_t pwrite64(int fd, const void *buf, size_t length, off64_t offset)
{
    return ALLOWED(pwrite64, WRITE, buf, length, offset, offset);
}

/*
 * The same for vectors.  A call that is cut transfers its first part at most,
 * as any such call may.
 */
static bool allow_vector(Operation op, int fd, const struct iovec **iov,
                         int *n, struct iovec *part, off_t offset)
{
    size_t length = 0, allowed;

    for (int i = 0; i < *n; i++) {
        length += (*iov)[i].iov_len;
    }
    allowed = length;
    if (!allow(op, fd, &allowed, offset)) {
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

#define ALLOWED_VECTOR(name, op, iov, n, offset, ...) ({        \
    struct iovec part_;                                         \
    allow_vector(op, fd, &iov, &n, &part_, offset)              \
        ? NEXT(name)(fd, iov, n, ##__VA_ARGS__) : -1;           \
})

ssize_t readv(int fd, const struct iovec *iov, int n)
{
    return ALLOWED_VECTOR(readv, READ, iov, n, -1);
}

ssize_t writev(int fd, const struct iovec *iov, int n)
{
    return ALLOWED_VECTOR(writev, WRITE, iov, n, -1);
}

ssize_t preadv(int fd, const struct iovec *iov, int n, off_t offset)
{
    return ALLOWED_VECTOR(preadv, READ, iov, n, offset, offset);
}

ssize_t preadv64(int fd, const struct iovec *iov, int n, off64_t offset)
{
    return ALLOWED_VECTOR(preadv64, READ, iov, n, offset, offset);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t offset)
{
    return ALLOWED_VECTOR(pwritev, WRITE, iov, n, offset, offset);
}

ssize_t pwritev64(int fd, const struct iovec *iov, int n, off64_t offset)
{
    return ALLOWED_VECTOR(pwritev64, WRITE, iov, n, offset, offset);
}

/* A sync concerns the whole file, whatever the range of the rule is. */
static bool allow_sync(int fd)
{
    size_t length = INT64_MAX;

    return allow(SYNC, fd, &length, 0);
}

int fsync(int fd)
{
    return allow_sync(fd) ? NEXT(fsync)(fd) : -1;
}

int fdatasync(int fd)
{
    return allow_sync(fd) ? NEXT(fdatasync)(fd) : -1;
}

#define ALLOWED_MAP(name)                                               \
    (fd < 0 || allow(MAP, fd, &length, offset)                          \
     ? NEXT(name)(at, length, protection, flags, fd, offset) : MAP_FAILED)

void *mmap(void *at, size_t length, int protection, int flags, int fd,
           off_t offset)
{
    return ALLOWED_MAP(mmap);
}

void *mmap64(void *at, size_t length, int protection, int flags, int fd,
             off64_t offset)
{
    return ALLOWED_MAP(mmap64);
}
