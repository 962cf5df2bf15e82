/*
 * QTest testcases for fixed-ram: what Tab completes in the human monitor
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include <glib/gstdio.h>
#include "libqtest.h"
#include "migration/fixed-ram-scenario.h"

#define KILL_LINE "\x15"

typedef struct Typed {
    const char *keys;           /* then comes Tab */
    const char *shown;          /* what the monitor adds or lists */
} Typed;

/* A QEMU whose human monitor is the socket at @fd. */
static QTestState *start(int *fd)
{
    struct timeval limit = { .tv_sec = FRT_WAIT_SECONDS };
    QTestState *qts;
    int ends[2];

    g_assert_no_errno(socketpair(AF_UNIX, SOCK_STREAM, 0, ends));
    qts = qtest_initf("-machine none -nodefaults -chardev socket,id=typed,fd=%d"
                      " -mon chardev=typed", ends[1]);
    close(ends[1]);
    g_assert_no_errno(setsockopt(ends[0], SOL_SOCKET, SO_RCVTIMEO, &limit,
                                 sizeof(limit)));
    *fd = ends[0];
    return qts;
}

/* Reads until the monitor has shown @what. */
static void wait_shown(int fd, const char *what)
{
    g_autoptr(GString) all = g_string_new("");

    while (!strstr(all->str, what)) {
        char some[512];
        ssize_t len = read(fd, some, sizeof(some));

        if (len <= 0) {
            g_test_message("no \"%s\" in: %s", what, all->str);
            g_assert_not_reached();
        }
        g_string_append_len(all, some, len);
    }
}

static void type(int fd, const char *keys)
{
    g_assert_cmpint(write(fd, keys, strlen(keys)), ==, strlen(keys));
}

static void assert_completed(const Typed *typed, size_t count)
{
    int fd;
    QTestState *qts = start(&fd);

    for (size_t i = 0; i < count; i++) {
        type(fd, typed[i].keys);
        type(fd, "\t");
        wait_shown(fd, typed[i].shown);
        type(fd, KILL_LINE);
    }
    close(fd);
    qtest_quit(qts);
}

/* A space at the end: nothing else was possible. */
static void test_names(void)
{
    static const Typed typed[] = {
        { "fixed_ram_ro", "fixed_ram_rollback " },
        { "fixed_ram_rollback ", "fixed_ram_rollback -k " },
        { "migrate_set_capability fix", "fixed-ram " },
        { "migrate_set_parameter fixed-ram-lo", "fixed-ram-load-mode " },
    };

    assert_completed(typed, ARRAY_SIZE(typed));
}

static void test_values(void)
{
    static const Typed typed[] = {
        { "migrate_set_parameter fixed-ram-load-mode ma", "mapped " },
        { "migrate_set_parameter fixed-ram-load-mode ", "on-demand" },
        { "migrate_set_parameter fixed-ram-verify of", "off " },
        { "migrate_set_parameter fixed-ram-working-set on", "on " },
        { "migrate_set_parameter direct-io of", "off " },
        { "migrate_set_parameter multifd-compression no", "none " },
        /* A number has no name: the monitor stays and knows more. */
        { "migrate_set_parameter fixed-ram-record ", "fixed-ram-record " },
        { "migrate_set_parameter fixed-ram-describe o", "off" },
    };

    assert_completed(typed, ARRAY_SIZE(typed));
}

static void test_files(void)
{
    g_autofree char *other = frt_path("other");
    g_autofree char *folder = frt_path("folder");
    g_autofree char *parent = g_path_get_dirname(other);
    g_autofree char *load = g_strdup_printf("migrate_incoming file:%s/oth",
                                            parent);
    g_autofree char *save = g_strdup_printf("migrate -d file:%s/fol", parent);
    g_autofree char *recover = g_strdup_printf("migrate_recover file:%s/",
                                               parent);
    const Typed typed[] = {
        { load, "/other " },
        { save, "/folder/" },
        { recover, "/folder/" },
        { "migrate_recover ", "file:/" },
        { "migrate fi", "file:/" },
    };

    g_assert_true(g_file_set_contents(other, "", 0, NULL));
    g_assert_no_errno(g_mkdir(folder, 0700));
    assert_completed(typed, ARRAY_SIZE(typed));
    frt_remove_files();
}

static const FixedRamCase cases[] = {
    { "names", test_names },
    { "values", test_values },
    { "files", test_files },
};

void frt_add_completion_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "completion", cases, ARRAY_SIZE(cases));
}
