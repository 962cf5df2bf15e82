/*
 * QTest testcases for fixed-ram: what a save leaves behind
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * Each save with fixed-ram in any scenario is verified against its index, see
 * fixed_ram_check_saved().  Here are saves of kinds that are not elsewhere, and
 * those that do not come to their end.
 */

#include "qemu/osdep.h"
#include "qemu/cutils.h"
#include "qemu/memfd.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "migration/fixed-ram-faults.h"
#include "migration/fixed-ram-index.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-qmp.h"
#include "migration/migration-util.h"

#define WAIT_SECONDS    240
#define ROUNDS          4

/* A save that has no end until migrate_ensure_converge(). */
static void save_begin(FixedRamTest *t, const char *uri)
{
    fixed_ram_set_mode(t->from, t->save);
    migrate_ensure_non_converge(t->from);
    migrate_qmp(t->from, NULL, uri, NULL, "{}");
    wait_for_migration_status(t->from, "active", NULL);
}

static void wait_rounds(QTestState *who, uint64_t rounds)
{
    gint64 end = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;

    while (get_migration_pass(who) < rounds) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

static SnapshotSuperblock superblock(const char *name)
{
    g_autofree char *path = fixed_ram_path(name);
    SnapshotSuperblock sb;

    g_assert_true(snapshot_find_superblock(path, &sb));
    return sb;
}

static void assert_being_written(const char *name)
{
    g_assert_cmpuint(superblock(name).state, ==, SUPERBLOCK_BEING_WRITTEN);
}

/* Once saved it must be told that it is the guest that goes on. */
static void go_on(QTestState *who)
{
    qtest_qmp_assert_success(who, "{ 'execute': 'cont' }");
}

static void save_all(FixedRamTest *t)
{
    if (fixed_ram_prepare(t)) {
        fixed_ram_end(t);
    }
}

static void test_plain(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
    };

    save_all(&args);
}

static void test_multifd_dio(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_MULTIFD | FR_DIRECT,
    };

    save_all(&args);
}

/* Descriptors are write-only. */
static void test_fdset(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_MULTIFD | FR_DIRECT,
        .fds = 2,
        .offset = FILE_TEST_OFFSET,
    };

    save_all(&args);
}

#define NUMA_NODES \
    "-m %s -smp 2 -numa node,memdev=mem0,cpus=0 -numa node,memdev=mem1,cpus=1"
#define NUMA_MEMORY \
    "-object memory-backend-ram,id=mem0,size=75M " \
    "-object memory-backend-memfd,id=mem1,size=75M,share=on"

static void test_blocks(void)
{
    FixedRamTest args = {
        .start.memory_backend = NUMA_NODES,
        .start.opts_source = NUMA_MEMORY,
        .start.opts_target = NUMA_MEMORY,
        .save = FR_FIXED | FR_MULTIFD,
        .pattern_block = "mem1",
        .pattern_offset = 29 * MiB,
    };

    save_all(&args);
}

/*
 * The first block's bitmap ends where the superblock would be: its pages move
 * on.  Of all this memory little is ever touched.
 */
#define LARGE \
    "-m 32704M -machine memory-backend=large " \
    "-object memory-backend-ram,id=large,size=32704M,reserve=off"

static void test_room(void)
{
    FixedRamTest args = {
        .start.opts_source = LARGE,
        .save = FR_FIXED,
    };
    g_autofree char *path = fixed_ram_path(FILE_TEST_FILENAME);
    g_autoptr(Snapshot) s = NULL;
    const SnapshotBlock *first;

    if (!fixed_ram_start(&args)) {
        return;
    }
    fixed_ram_fill(&args);
    fixed_ram_set_mode(args.from, args.save);
    migrate_ensure_converge(args.from);
    migrate_qmp(args.from, NULL, args.uri, NULL, "{}");
    wait_for_migration_complete(args.from);
    s = snapshot_open(path, 0);
    first = &g_array_index(s->blocks, SnapshotBlock, 0);
    g_assert_cmpuint(first->length, ==, 32704 * MiB);
    g_assert_cmpuint(first->pages_offset, ==, 2 * MiB);
    snapshot_check_index(s);
    fixed_ram_end(&args);
}

/*
 * The guest writes to all of its pages while they are written; some become
 * zero and something else again, and zero in the end.
 */
static void test_rounds(unsigned save)
{
    FixedRamTest args = {
        .save = save,
        .live = true,
        .wipe = true,
    };

    if (!fixed_ram_start(&args)) {
        return;
    }
    fixed_ram_fill(&args);
    save_begin(&args, args.uri);
    migrate_set_parameter_int(args.from, "max-bandwidth", 200 * MiB);
    for (unsigned round = 2; round <= ROUNDS; round += 2) {
        fixed_ram_write_pattern(args.from);
        wait_rounds(args.from, round);
        fixed_ram_wipe_pattern(args.from);
        wait_rounds(args.from, round + 1);
    }
    migrate_ensure_converge(args.from);
    wait_for_migration_complete(args.from);
    wait_for_stop(args.from, get_src());
    fixed_ram_check_saved(&args);
    fixed_ram_end(&args);
}

static void test_rounds_plain(void)
{
    test_rounds(FR_FIXED);
}

static void test_rounds_multifd(void)
{
    test_rounds(FR_FIXED | FR_MULTIFD);
}

static void test_rounds_multifd_dio(void)
{
    test_rounds(FR_FIXED | FR_MULTIFD | FR_DIRECT);
}

/*
 * What the index says of the machine
 */

#define NAME "a name \xc3\xa4\xe2\x82\xac"
#define UUID "12345678-9abc-def0-1234-56789abcdef0"

static char *machine_type(QTestState *who)
{
    QDict *rsp = qtest_qmp(who, "{ 'execute': 'qom-get', 'arguments': "
                           "{ 'path': '/machine', 'property': 'type' } }");
    char *type = g_strdup(qdict_get_str(rsp, "return"));

    g_assert_true(g_str_has_suffix(type, "-machine"));
    type[strlen(type) - strlen("-machine")] = '\0';
    qobject_unref(rsp);
    return type;
}

static char *qemu_version(QTestState *who)
{
    QDict *rsp = qtest_qmp_assert_success_ref(
        who, "{ 'execute': 'query-version' }");
    QDict *v = qdict_get_qdict(rsp, "qemu");
    char *version = g_strdup_printf("%d.%d.%d",
                                    (int)qdict_get_int(v, "major"),
                                    (int)qdict_get_int(v, "minor"),
                                    (int)qdict_get_int(v, "micro"));

    qobject_unref(rsp);
    return version;
}

static void test_machine(void)
{
    static const uint8_t uuid[16] = {
        0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0,
        0x12, 0x34, 0x56, 0x78, 0x9a, 0xbc, 0xde, 0xf0,
    };
    FixedRamTest args = {
        .start.opts_source = "-name '" NAME "' -uuid " UUID,
        .save = FR_FIXED,
    };
    g_autofree char *path = fixed_ram_path(FILE_TEST_FILENAME);
    g_autofree char *type = NULL, *version = NULL;
    g_autoptr(SnapshotIndex) index = NULL;
    g_autoptr(Snapshot) s = NULL;
    time_t before = time(NULL);

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    type = machine_type(args.from);
    version = qemu_version(args.from);
    s = snapshot_open(path, 0);
    index = snapshot_index_open(s);
    g_assert_cmpstr(index->machine_type, ==, type);
    g_assert_cmpstr(index->version, ==, version);
    g_assert_cmpstr(index->name, ==, NAME);
    g_assert_cmpmem(index->uuid, 16, uuid, 16);
    g_assert_cmpuint(index->ram_bytes, ==, 150 * MiB);
    g_assert_cmpint(index->time, >=, before);
    g_assert_cmpint(index->time, <=, time(NULL));
    fixed_ram_end(&args);
}

/* Each save has an id of its own, also of the same guest to the same file. */
static void test_identity(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .live = true,
    };
    SnapshotSuperblock first, second;

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    first = superblock(FILE_TEST_FILENAME);
    go_on(args.from);
    migrate_ensure_converge(args.from);
    migrate_qmp(args.from, NULL, args.uri, NULL, "{}");
    wait_for_migration_complete(args.from);
    second = superblock(FILE_TEST_FILENAME);
    g_assert_cmpuint(second.state, ==, SUPERBLOCK_COMPLETE);
    g_assert_cmpint(memcmp(first.id, second.id, sizeof(first.id)), !=, 0);
    fixed_ram_end(&args);
}

/*
 * Saves that do not come to their end
 */

/* What stays if the process were killed now: the file as it is. */
static void test_cut_off(unsigned save)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = save,
        .live = true,
    };

    if (!fixed_ram_prepare(&args)) {
        return;
    }
    /* There was a complete snapshot. */
    go_on(args.from);
    save_begin(&args, args.uri);
    wait_rounds(args.from, 2);
    assert_being_written(FILE_TEST_FILENAME);
    migrate_cancel(args.from);
    wait_for_migration_status(args.from, "cancelled", NULL);
    assert_being_written(FILE_TEST_FILENAME);
    g_assert_true(fixed_ram_running(args.from));

    /* And with the next one it is there again. */
    qtest_qmp_assert_success(args.from, "{ 'execute': 'stop' }");
    fixed_ram_save(&args);
    fixed_ram_end(&args);
}

static void test_cut_off_plain(void)
{
    test_cut_off(FR_FIXED);
}

static void test_cut_off_multifd_dio(void)
{
    test_cut_off(FR_FIXED | FR_MULTIFD | FR_DIRECT);
}

/* error-desc says all of @what: "this|that". */
static void assert_failed(QTestState *who, const char *what)
{
    g_auto(GStrv) parts = g_strsplit(what, "|", -1);
    QDict *info;
    const char *desc;

    wait_for_migration_status(who, "failed",
                              (const char *[]) { "completed", NULL });
    info = migrate_query(who);
    desc = qdict_get_str(info, "error-desc");
    for (size_t i = 0; parts[i]; i++) {
        if (!strstr(desc, parts[i])) {
            g_error("\"%s\" does not say \"%s\"", desc, parts[i]);
        }
    }
    qobject_unref(info);
}

static void save_failing(FixedRamTest *t, const FixedRamFaultsRule *fault,
                         const char *what)
{
    fixed_ram_faults_set(0, fault);
    fixed_ram_set_mode(t->from, t->save);
    migrate_ensure_converge(t->from);
    migrate_qmp(t->from, NULL, t->uri, NULL, "{}");
    assert_failed(t->from, what);
    g_assert_cmpuint(fixed_ram_faults_injected(0), >, 0);
    fixed_ram_faults_off(0);
}

/* A guest that ran runs on, and can be saved when there is room again. */
static void save_after_all(FixedRamTest *t)
{
    gint64 end = g_get_monotonic_time() + WAIT_SECONDS * G_USEC_PER_SEC;

    while (t->live && !fixed_ram_running(t->from)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
    fixed_ram_save(t);
    fixed_ram_faults_end(t);
}

/*
 * A save that came no further than to its file: the next one, by mapped-ram,
 * has nothing to do with that.
 */
static void test_no_further(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_MAPPED,
        .fds = 1,
    };
    /* It cannot be made empty. */
    int sealed = qemu_memfd_create("sealed", MiB, false, 0, F_SEAL_SHRINK,
                                   NULL);
    g_autofree char *path = g_strdup_printf("/proc/self/fd/%d", sealed);
    g_autofree uint8_t *content = g_malloc(MiB);
    int fd = open(path, O_WRONLY);

    if (fd < 0) {
        g_test_skip("there are no sealed files here");
        return;
    }
    if (fixed_ram_start(&args)) {
        fixed_ram_fill(&args);
        qtest_qmp_fds_assert_success(args.from, &fd, 1, "{ 'execute': "
                                     "'add-fd', 'arguments': "
                                     "{ 'fdset-id': 7 } }");
        fixed_ram_set_mode(args.from, FR_FIXED);
        fixed_ram_assert_refused(args.from, "failed to truncate",
                                 "{ 'execute': 'migrate', 'arguments': "
                                 "{ 'uri': 'file:/dev/fdset/7' } }");
        migrate_set_capability(args.from, "fixed-ram", false);
        fixed_ram_save(&args);
        g_assert_cmpint(pread(sealed, content, MiB, 0), ==, MiB);
        g_assert_true(buffer_is_zero(content, MiB));
        g_assert_cmpint(lseek(sealed, 0, SEEK_END), ==, MiB);
        fixed_ram_end(&args);
    }
    close(fd);
    close(sealed);
}

/* The disk is full where the table and the index would be. */
static void test_full(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
    };
    uint64_t index;

    if (!fixed_ram_faults_begin_save(&args)) {
        return;
    }
    fixed_ram_save(&args);
    index = superblock(FILE_TEST_FILENAME).index_offset;
    go_on(args.from);
    qtest_qmp_assert_success(args.from, "{ 'execute': 'stop' }");
    save_failing(&args, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_FULL,
        .error = ENOSPC,
        .first = index - 10,
    }, FILE_TEST_FILENAME "'|cannot write|No space left");
    assert_being_written(FILE_TEST_FILENAME);
    save_after_all(&args);
}

/* It is full in the middle of the pages. */
static void test_full_pages(unsigned save)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = save,
        .live = true,
    };

    if (!fixed_ram_faults_begin_save(&args)) {
        return;
    }
    save_failing(&args, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_FULL,
        .error = ENOSPC,
        .first = 20 * MiB + 4096,
        .end = 150 * MiB,
    }, "No space left");
    assert_being_written(FILE_TEST_FILENAME);
    save_after_all(&args);
}

static void test_full_pages_multifd(void)
{
    test_full_pages(FR_FIXED | FR_MULTIFD);
}

/* Writes that are cut, as by a signal, go on. */
static void test_short_writes(void)
{
    FixedRamTest args = {
        .save = FR_FIXED | FR_MULTIFD,
    };

    if (!fixed_ram_faults_begin_save(&args)) {
        return;
    }
    fixed_ram_faults_set(0, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_FULL,
        .error = EINTR,
        .first = PATTERN_START + 7 * MiB + 4096,
        .end = PATTERN_START + 7 * MiB + 8192,
        .left = 1,
    });
    fixed_ram_save(&args);
    g_assert_cmpuint(fixed_ram_faults_injected(0), ==, 1);
    fixed_ram_faults_end(&args);
}

/*
 * The disk takes all but cannot write it down: the first time there is no more
 * than a superblock, the second time all but that is written, and the third
 * time it is what cannot be.
 */
static void test_sync(uint64_t after)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .live = true,
    };
    g_autofree char *path = fixed_ram_path(FILE_TEST_FILENAME);
    struct stat st;

    if (!fixed_ram_faults_begin_save(&args)) {
        return;
    }
    save_failing(&args, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_SYNC_ERROR,
        .error = EIO,
        .after = after,
    }, FILE_TEST_FILENAME "'|to disk|" "Input/output error");
    assert_being_written(FILE_TEST_FILENAME);
    g_assert_cmpint(stat(path, &st), ==, 0);
    g_assert_cmpint(st.st_blocks * 512 < MiB, ==, after == 0);
    save_after_all(&args);
}

static void test_sync_begin(void)
{
    test_sync(0);
}

static void test_sync_all(void)
{
    test_sync(1);
}

static void test_sync_end(void)
{
    test_sync(2);
}

/*
 * Cancelled when it was complete, but for the disk: before the superblock says
 * so, or after.
 */
static void test_cancel_late(uint64_t after, uint32_t state)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .live = true,
    };

    if (!fixed_ram_faults_begin_save(&args)) {
        return;
    }
    fixed_ram_faults_set(0, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_SYNC_HANG,
        .after = after,
    });
    fixed_ram_set_mode(args.from, args.save);
    migrate_ensure_converge(args.from);
    migrate_qmp(args.from, NULL, args.uri, NULL, "{}");
    fixed_ram_faults_wait_hanging(0, 1);
    g_assert_cmpuint(superblock(FILE_TEST_FILENAME).state, ==, state);
    migrate_cancel(args.from);
    /* What is not complete need not be taken back. */
    fixed_ram_faults_set(1, &(FixedRamFaultsRule) {
        .mode = FIXED_RAM_FAULTS_WRITE_HANG,
        .first = MiB - SUPERBLOCK_BYTES,
        .end = MiB,
    });
    fixed_ram_faults_off(0);
    if (state == SUPERBLOCK_COMPLETE) {
        fixed_ram_faults_wait_hanging(1, 1);
        fixed_ram_faults_off(1);
    }
    wait_for_migration_status(args.from, "cancelled",
                              (const char *[]) { "completed", NULL });
    fixed_ram_faults_off(1);
    assert_being_written(FILE_TEST_FILENAME);
    save_after_all(&args);
}

static void test_cancel_late_index(void)
{
    test_cancel_late(1, SUPERBLOCK_BEING_WRITTEN);
}

static void test_cancel_late_superblock(void)
{
    test_cancel_late(2, SUPERBLOCK_COMPLETE);
}

static const FixedRamCase cases[] = {
    { "index/plain", test_plain },
    { "index/multifd-dio", test_multifd_dio },
    { "index/fdset", test_fdset },
    { "index/blocks", test_blocks },
    { "index/room", test_room, true },
    { "index/rounds", test_rounds_plain, true },
    { "index/rounds-multifd", test_rounds_multifd },
    { "index/rounds-multifd-dio", test_rounds_multifd_dio, true },
    { "index/machine", test_machine },
    { "index/identity", test_identity },
    { "index/cut-off", test_cut_off_plain },
    { "index/cut-off-multifd-dio", test_cut_off_multifd_dio, true },
    { "index/no-further", test_no_further, true },
    { "index/full", test_full },
    { "index/full-pages-multifd", test_full_pages_multifd, true },
    { "index/short-writes", test_short_writes, true },
    { "index/sync-begin", test_sync_begin, true },
    { "index/sync-all", test_sync_all, true },
    { "index/sync-end", test_sync_end, true },
    { "index/cancel-index", test_cancel_late_index, true },
    { "index/cancel-superblock", test_cancel_late_superblock },
};

void fixed_ram_add_index_tests(const MigrationTestEnv *env)
{
    fixed_ram_add_cases(env, cases, ARRAY_SIZE(cases));
}
