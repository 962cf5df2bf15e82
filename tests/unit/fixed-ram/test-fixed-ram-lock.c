/*
 * fixed-ram: unit tests of the locks on snapshot files
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/lock.h"
#include "migration/fixed-ram/format/source.h"
#include "loader.h"

#define START 70000

/* Two descriptions of one file: two users, even in one process. */
typedef struct Files {
    char *path;
    int a, b;
} Files;

static bool files_open(Files *f)
{
    int fd = g_file_open_tmp("fixed-ram-lock-XXXXXX", &f->path, NULL);

    if (without_locks()) {
        return false;
    }
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, START), ==, 0);
    close(fd);
    f->a = open(f->path, O_RDWR);
    f->b = open(f->path, O_RDWR);
    g_assert(f->a >= 0 && f->b >= 0);
    return true;
}

static void files_close(Files *f)
{
    close(f->a);
    close(f->b);
    unlink(f->path);
    g_free(f->path);
}

static void expect_error(Error *err, const char *why)
{
    g_assert_nonnull(err);
    g_assert_nonnull(strstr(error_get_pretty(err), "'snap'"));
    g_assert_nonnull(strstr(error_get_pretty(err), why));
    error_free(err);
}

static void expect_no_reader(const Files *f, uint64_t start)
{
    Error *err = NULL;

    g_assert_false(fixed_ram_lock_shared(f->b, start, "snap", &err));
    expect_error(err, "it is being written");
}

static void expect_no_writer(const Files *f, uint64_t start)
{
    Error *err = NULL;

    g_assert_false(fixed_ram_lock_exclusive(f->b, start, "snap", &err));
    expect_error(err, "it is being loaded or written");
}

static void test_loaders(void)
{
    Files f;

    if (!files_open(&f)) {
        return;
    }
    fixed_ram_lock_shared(f.a, 0, "snap", &error_abort);
    fixed_ram_lock_shared(f.b, 0, "snap", &error_abort);
    fixed_ram_lock_release(f.b, 0);
    expect_no_writer(&f, 0);
    /* Wherever the other snapshot begins. */
    expect_no_writer(&f, START * 2);
    fixed_ram_lock_release(f.a, 0);
    fixed_ram_lock_exclusive(f.b, 0, "snap", &error_abort);
    files_close(&f);
}

static void test_saver(void)
{
    Files f;

    if (!files_open(&f)) {
        return;
    }
    fixed_ram_lock_exclusive(f.a, START, "snap", &error_abort);
    expect_no_reader(&f, START);
    expect_no_reader(&f, START * 3);
    expect_no_writer(&f, 0);
    /* Bytes in front of the snapshot are not locked. */
    g_assert_cmpint(qemu_lock_fd_test(f.b, 0, START, true), ==, 0);
    g_assert_cmpint(qemu_lock_fd_test(f.b, START, 1, false), ==, -EAGAIN);
    close(f.a);
    f.a = open(f.path, O_RDWR);
    fixed_ram_lock_shared(f.b, START, "snap", &error_abort);
    files_close(&f);
}

static void *release_soon(void *opaque)
{
    Files *f = opaque;

    g_usleep(50 * 1000);
    fixed_ram_lock_release(f->a, START);
    return NULL;
}

/* A saver has said that it is complete, and is about to close the file. */
static void test_saver_ends(void)
{
    GThread *saver;
    Files f;

    if (!files_open(&f)) {
        return;
    }
    fixed_ram_lock_exclusive(f.a, START, "snap", &error_abort);
    saver = g_thread_new("saver", release_soon, &f);
    fixed_ram_lock_shared(f.b, START, "snap", &error_abort);
    g_thread_join(saver);
    expect_no_writer(&(Files) { .b = f.a }, START);
    fixed_ram_lock_release(f.b, START);
    files_close(&f);
}

/* A source holds its lock until its last reference is dropped. */
static void test_source(void)
{
    FixedRamSource *source;
    Error *err = NULL;
    Files f;

    if (!files_open(&f)) {
        return;
    }
    source = fixed_ram_source_open_file(f.path, 0, ON_OFF_AUTO_AUTO,
                                        &error_abort);
    expect_no_writer(&f, 0);
    fixed_ram_source_unref(fixed_ram_source_ref(source));
    expect_no_writer(&f, 0);
    fixed_ram_source_unref(source);
    fixed_ram_lock_exclusive(f.a, 0, "snap", &error_abort);
    g_assert_null(fixed_ram_source_open_file(f.path, 0, ON_OFF_AUTO_OFF, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), f.path));
    g_assert_nonnull(strstr(error_get_pretty(err), "being written"));
    error_free(err);
    files_close(&f);
}

/*
 * Descriptors of one description have one lock, as those that are taken out of
 * an fdset.  It stays until the last of them is released.
 */
static void test_description(void)
{
    Files f;
    int copy;

    if (!files_open(&f)) {
        return;
    }
    copy = dup(f.a);
    g_assert_cmpint(copy, >=, 0);
    fixed_ram_lock_shared(f.a, START, "snap", &error_abort);
    fixed_ram_lock_shared(copy, START, "snap", &error_abort);
    fixed_ram_lock_release(copy, START);
    expect_no_writer(&f, START);
    fixed_ram_lock_release(f.a, START);
    fixed_ram_lock_exclusive(f.b, START, "snap", &error_abort);
    fixed_ram_lock_release(f.b, START);

    /* They may belong to snapshots that begin at different places. */
    fixed_ram_lock_shared(f.a, START, "snap", &error_abort);
    fixed_ram_lock_shared(copy, 0, "snap", &error_abort);
    fixed_ram_lock_release(copy, 0);
    expect_no_writer(&f, START);
    g_assert_cmpint(qemu_lock_fd_test(f.b, 0, START, true), ==, 0);
    fixed_ram_lock_shared(copy, 0, "snap", &error_abort);
    fixed_ram_lock_release(f.a, START);
    expect_no_writer(&f, START * 2);
    fixed_ram_lock_release(copy, 0);
    fixed_ram_lock_exclusive(f.b, 0, "snap", &error_abort);
    close(copy);
    files_close(&f);
}

/* A second description of the file has a lock of its own. */
static void test_other_description(void)
{
    Files f;

    if (!files_open(&f)) {
        return;
    }
    fixed_ram_lock_shared(f.a, 0, "snap", &error_abort);
    fixed_ram_lock_shared(f.b, 0, "snap", &error_abort);
    fixed_ram_lock_release(f.a, 0);
    g_assert_cmpint(qemu_lock_fd_test(f.b, 0, 0, true), ==, 0);
    fixed_ram_lock_release(f.b, 0);
    files_close(&f);
}

/* A lock that was refused does not count as a user of the description. */
static void test_refused(void)
{
    Files f;
    int copy;

    if (!files_open(&f)) {
        return;
    }
    copy = dup(f.a);
    fixed_ram_lock_exclusive(f.b, START, "snap", &error_abort);
    fixed_ram_lock_shared(f.a, 0, "snap", NULL);
    fixed_ram_lock_release(f.b, START);
    fixed_ram_lock_shared(copy, 0, "snap", &error_abort);
    fixed_ram_lock_release(copy, 0);
    fixed_ram_lock_exclusive(f.b, 0, "snap", &error_abort);
    close(copy);
    files_close(&f);
}

/*
 * Appending
 */

static void expect_no_appender(const Files *f, const char *why)
{
    Error *err = NULL;

    g_assert_false(fixed_ram_lock_append(f->b, "snap", &err));
    expect_error(err, why);
}

/* Loaders come and go while an appender is at work. */
static void test_append_beside_loaders(void)
{
    Files f;

    if (!files_open(&f)) {
        return;
    }
    fixed_ram_lock_shared(f.a, START, "snap", &error_abort);
    fixed_ram_lock_append(f.b, "snap", &error_abort);
    fixed_ram_lock_release(f.a, START);
    fixed_ram_lock_shared(f.a, 0, "snap", &error_abort);
    fixed_ram_lock_append_release(f.b);
    /* The loader's lock is still there. */
    expect_no_writer(&f, START * 2);
    fixed_ram_lock_release(f.a, 0);
    fixed_ram_lock_exclusive(f.b, 0, "snap", &error_abort);
    files_close(&f);
}

static void test_append_excludes(void)
{
    Files f;

    if (!files_open(&f)) {
        return;
    }
    g_assert_false(fixed_ram_lock_appending(f.b));
    fixed_ram_lock_append(f.a, "snap", &error_abort);
    g_assert_true(fixed_ram_lock_appending(f.b));
    expect_no_appender(&f, "cannot be changed, it is being written");
    expect_no_writer(&f, START);
    fixed_ram_lock_append_release(f.a);
    fixed_ram_lock_append(f.b, "snap", &error_abort);
    fixed_ram_lock_append_release(f.b);

    fixed_ram_lock_exclusive(f.a, START, "snap", &error_abort);
    expect_no_appender(&f, "cannot be changed, it is being written");
    fixed_ram_lock_release(f.a, START);
    fixed_ram_lock_append(f.b, "snap", &error_abort);
    files_close(&f);
}

/* Many, so that another process's byte lies between theirs. */
#define OWN_LOADERS     64

static void test_others(void)
{
    int own[OWN_LOADERS];
    Loader loaders[2];
    Files f;

    if (!files_open(&f)) {
        return;
    }
    fixed_ram_lock_append(f.b, "snap", &error_abort);
    g_assert_false(fixed_ram_lock_others(f.b));
    /* Loaders of this process do not count. */
    for (size_t i = 0; i < OWN_LOADERS; i++) {
        own[i] = dup(f.a);
        fixed_ram_lock_shared(own[i], START, "snap", &error_abort);
    }
    g_assert_false(fixed_ram_lock_others(f.b));
    loaders[0] = start_loader(f.path, START);
    g_assert_true(fixed_ram_lock_others(f.b));
    for (size_t i = 0; i < OWN_LOADERS; i++) {
        fixed_ram_lock_release(own[i], START);
        close(own[i]);
    }
    g_assert_true(fixed_ram_lock_others(f.b));
    loaders[1] = start_loader(f.path, START);
    end_loader(loaders[0]);
    g_assert_true(fixed_ram_lock_others(f.b));
    end_loader(loaders[1]);
    g_assert_false(fixed_ram_lock_others(f.b));
    files_close(&f);
}

/* A loader that releases its lock is none any more, though its file is open. */
static void test_others_released(void)
{
    int copy;
    Files f;

    if (!files_open(&f)) {
        return;
    }
    copy = dup(f.a);
    fixed_ram_lock_shared(f.a, START, "snap", &error_abort);
    fixed_ram_lock_shared(copy, 0, "snap", &error_abort);
    fixed_ram_lock_append(f.b, "snap", &error_abort);
    fixed_ram_lock_release(copy, 0);
    fixed_ram_lock_release(f.a, START);
    /* Its ticket is no longer known as this process's own. */
    g_assert_false(fixed_ram_lock_others(f.b));
    close(copy);
    files_close(&f);
}

static void test_append_without(void)
{
    Error *err = NULL;

    g_assert_false(fixed_ram_lock_append(-1, "snap", &err));
    expect_error(err, "its file system has no locks");
}

/* Files that cannot be locked are used without a lock. */
static void test_without(void)
{
    int fds[2];

    g_assert_cmpint(pipe(fds), ==, 0);
    fixed_ram_lock_exclusive(fds[0], INT64_MAX + 1ULL, "snap", &error_abort);
    close(fds[0]);
    close(fds[1]);
    fixed_ram_lock_shared(fds[0], 0, "snap", &error_abort);
    fixed_ram_lock_release(fds[0], 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/lock/loaders", test_loaders);
    g_test_add_func("/fixed-ram/lock/saver", test_saver);
    g_test_add_func("/fixed-ram/lock/saver-ends", test_saver_ends);
    g_test_add_func("/fixed-ram/lock/source", test_source);
    g_test_add_func("/fixed-ram/lock/description", test_description);
    g_test_add_func("/fixed-ram/lock/other-description",
                    test_other_description);
    g_test_add_func("/fixed-ram/lock/refused", test_refused);
    g_test_add_func("/fixed-ram/lock/without", test_without);
    g_test_add_func("/fixed-ram/lock/append-beside-loaders",
                    test_append_beside_loaders);
    g_test_add_func("/fixed-ram/lock/append-excludes", test_append_excludes);
    g_test_add_func("/fixed-ram/lock/others", test_others);
    g_test_add_func("/fixed-ram/lock/others-released", test_others_released);
    g_test_add_func("/fixed-ram/lock/append-without", test_append_without);
    return g_test_run();
}
