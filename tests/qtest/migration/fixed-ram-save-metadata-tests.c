/*
 * QTest testcases for fixed-ram: what a save leaves behind
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

/*
 * All scenarios verify their snapshot against its index, see frt_check_saved().
 * These tests have saves of kinds that no other scenario has.
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

#define ROUNDS          4

/* Nothing but pages with data is written when the guest is stopped. */
static void save_all(FixedRamTest *t)
{
    if (frt_prepare(t)) {
        g_autoptr(Snapshot) s = frt_open_snapshot(t);
        g_autoptr(SnapshotIndex) index = snapshot_index_open(s);

        g_assert_true(index->clean);
        frt_end(t);
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

/* The descriptors of the set are write-only. */
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
 * The first block's bitmap reaches the place of the superblock, so its pages
 * begin later.  The guest touches little of this memory.
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
    g_autoptr(Snapshot) s = NULL;
    const SnapshotBlock *first;

    if (!frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    frt_set_mode(args.from, args.save);
    migrate_ensure_converge(args.from);
    migrate_qmp(args.from, NULL, args.uri, NULL, "{}");
    wait_for_migration_complete(args.from);
    s = frt_open_snapshot(&args);
    first = &g_array_index(s->blocks, SnapshotBlock, 0);
    g_assert_cmpuint(first->length, ==, 32704 * MiB);
    g_assert_cmpuint(first->pages_offset, ==, 2 * MiB);
    snapshot_check_index(s, true);
    frt_end(&args);
}

/*
 * The guest writes to all of its pages while they are saved.  Some become zero,
 * then data, and zero in the end.
 */
static void test_rounds(unsigned save)
{
    FixedRamTest args = {
        .save = save,
        .live = true,
        .wipe = true,
    };
    g_autoptr(SnapshotIndex) index = NULL;
    g_autoptr(Snapshot) s = NULL;

    if (!frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    frt_save_begin(&args, args.uri);
    migrate_set_parameter_int(args.from, "max-bandwidth", 200 * MiB);
    for (unsigned round = 2; round <= ROUNDS; round += 2) {
        frt_write_pattern(args.from);
        frt_wait_rounds(args.from, round);
        frt_wipe_pattern(args.from);
        frt_wait_rounds(args.from, round + 1);
    }
    migrate_ensure_converge(args.from);
    wait_for_migration_complete(args.from);
    wait_for_stop(args.from, get_src());
    frt_check_saved(&args);
    s = frt_open_snapshot(&args);
    index = snapshot_index_open(s);
    g_assert_false(index->clean);
    frt_end(&args);
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
 * The description of the machine in the index
 */

#define NAME "a name \xc3\xa4\xe2\x82\xac"
#define UUID "12345678-9abc-def0-1234-56789abcdef0"

static char *machine_type(QTestState *qts)
{
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'qom-get', 'arguments': "
                           "{ 'path': '/machine', 'property': 'type' } }");
    char *type = g_strdup(qdict_get_str(rsp, "return"));

    g_assert_true(g_str_has_suffix(type, "-machine"));
    type[strlen(type) - strlen("-machine")] = '\0';
    qobject_unref(rsp);
    return type;
}

static char *qemu_version(QTestState *qts)
{
    QDict *rsp = qtest_qmp_assert_success_ref(
        qts, "{ 'execute': 'query-version' }");
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
    g_autofree char *type = NULL, *version = NULL;
    g_autoptr(SnapshotIndex) index = NULL;
    g_autoptr(Snapshot) s = NULL;
    time_t before = time(NULL);

    if (!frt_prepare(&args)) {
        return;
    }
    type = machine_type(args.from);
    version = qemu_version(args.from);
    s = frt_open_snapshot(&args);
    index = snapshot_index_open(s);
    g_assert_cmpstr(index->machine_type, ==, type);
    g_assert_cmpstr(index->version, ==, version);
    g_assert_cmpstr(index->name, ==, NAME);
    g_assert_cmpmem(index->uuid, 16, uuid, 16);
    g_assert_cmpuint(index->ram_bytes, ==, 150 * MiB);
    g_assert_cmpint(index->time, >=, before);
    g_assert_cmpint(index->time, <=, time(NULL));
    frt_end(&args);
}

/*
 * Each save has an identity of its own, even of the same guest to the same
 * file.
 */
static void test_identity(void)
{
    FixedRamTest args = {
        .save = FR_FIXED,
        .live = true,
    };
    SnapshotSuperblock first, second;

    if (!frt_prepare(&args)) {
        return;
    }
    first = frt_superblock(FILE_TEST_FILENAME);
    qtest_qmp_assert_success(args.from, "{ 'execute': 'cont' }");
    migrate_ensure_converge(args.from);
    migrate_qmp(args.from, NULL, args.uri, NULL, "{}");
    wait_for_migration_complete(args.from);
    second = frt_superblock(FILE_TEST_FILENAME);
    g_assert_cmpuint(second.state, ==, SUPERBLOCK_COMPLETE);
    g_assert_cmpint(memcmp(first.id, second.id, sizeof(first.id)), !=, 0);
    frt_end(&args);
}

static const FixedRamCase cases[] = {
    { "plain", test_plain },
    { "multifd-dio", test_multifd_dio },
    { "fdset", test_fdset },
    { "blocks", test_blocks },
    { "room", test_room, true },
    { "rounds", test_rounds_plain, true },
    { "rounds-multifd", test_rounds_multifd },
    { "rounds-multifd-dio", test_rounds_multifd_dio, true },
    { "machine", test_machine },
    { "identity", test_identity },
};

void frt_add_save_metadata_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "save-metadata", cases, ARRAY_SIZE(cases));
}
