/*
 * QTest testcases for fixed-ram: clones of one snapshot, and their identity
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bitops.h"
#include "qemu/units.h"
#include "qemu/uuid.h"
#include "libqtest.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "migration/fixed-ram-scenario.h"
#include "migration/migration-util.h"

#define OLD_GUID        "6a8b5c0e-3a5f-4b0d-9c55-0d2f8e11a001"
#define NEW_GUID        "c2f7d9b4-81e6-47aa-b3f0-5e90d1c6a002"

/* Where vmgenid's GUID is in its page, see docs/specs/vmgenid.rst. */
#define GUID_OFFSET     40
/* On pc: the status register of general events, and the bit of vmgenid. */
#define PC_GPE0_STATUS  0xafe0
#define VMGENID_GPE_BIT 5

#define VMCLOCK_ADDRESS 0xfeffb000
#define VMCLOCK_MAGIC   0x4b4c4356      /* "VCLK" */
#define VMCLOCK_MARKER  16              /* of disruption_marker */

/*
 * A new identity for the guest
 */

/* As it stands in the guest's memory: little-endian. */
static QemuUUID guest_guid(const char *text)
{
    QemuUUID guid;

    g_assert_cmpint(qemu_uuid_parse(text, &guid), ==, 0);
    return qemu_uuid_bswap(guid);
}

/* The firmware has put the GUID at a fixed place of a page of its choice. */
static uint64_t find_guid(FixedRamTest *t, const char *text)
{
    g_autoptr(Snapshot) s = frt_open_snapshot(t);
    const SnapshotBlock *block = frt_pattern_block(t, s);
    QemuUUID guid = guest_guid(text);
    uint64_t found = 0;

    for (uint64_t i = 0; i < block->length / SNAPSHOT_PAGE_SIZE; i++) {
        const uint8_t *page = snapshot_page(block, i);

        if (!memcmp(page + GUID_OFFSET, &guid, sizeof(guid))) {
            g_assert_cmphex(found, ==, 0);
            found = i * SNAPSHOT_PAGE_SIZE + GUID_OFFSET;
        }
    }
    g_assert_cmphex(found, !=, 0);
    return found;
}

static void assert_guid(QTestState *qts, uint64_t address, const char *text)
{
    QemuUUID want = guest_guid(text), have;

    qtest_memread(qts, address, &have, sizeof(have));
    g_assert_cmpmem(&have, sizeof(have), &want, sizeof(want));
}

/* The event tells a guest that runs to look at its GUID. */
static bool guest_is_told(QTestState *qts)
{
    return qtest_inb(qts, PC_GPE0_STATUS) & BIT(VMGENID_GPE_BIT);
}

static bool is_pc(void)
{
    return !g_strcmp0(g_getenv("QTEST_QEMU_MACHINE_TYPE"), "pc");
}

static void test_guid(const char *load_mode)
{
    FixedRamTest args = {
        .start.opts_source = "-device vmgenid,guid=" OLD_GUID,
        .start.opts_target = "-device vmgenid,guid=" NEW_GUID,
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = load_mode,
    };
    uint64_t address;

    if (!frt_prepare(&args)) {
        return;
    }
    address = find_guid(&args, OLD_GUID);
    assert_guid(args.from, address, OLD_GUID);
    frt_load(&args);
    assert_guid(args.to, address, NEW_GUID);
    if (is_pc()) {
        g_assert_false(guest_is_told(args.from));
        g_assert_true(guest_is_told(args.to));
    }
    frt_end(&args);
}

static void test_guid_eager(void)
{
    test_guid("eager");
}

static void test_guid_demand(void)
{
    test_guid("on-demand");
}

static void test_guid_mapped(void)
{
    test_guid("mapped");
}

/* Each rollback is like the load: the command line's GUID, and the event. */
static void test_guid_rollback(void)
{
    FixedRamTest args = {
        .start.opts_source = "-device vmgenid,guid=" OLD_GUID,
        .start.opts_target = "-device vmgenid,guid=" NEW_GUID,
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
    };
    uint64_t address;

    if (!frt_prepare(&args)) {
        return;
    }
    address = find_guid(&args, OLD_GUID);
    frt_load(&args);
    qtest_memset(args.to, address, 0, sizeof(QemuUUID));
    if (is_pc()) {
        /* The guest has seen the event. */
        qtest_outb(args.to, PC_GPE0_STATUS, BIT(VMGENID_GPE_BIT));
        g_assert_false(guest_is_told(args.to));
    }
    qtest_qmp_assert_success(args.to, "{ 'execute': 'fixed-ram-rollback', "
                             "'arguments': { 'disks': 'keep' } }");
    assert_guid(args.to, address, NEW_GUID);
    if (is_pc()) {
        g_assert_true(guest_is_told(args.to));
    }
    frt_end(&args);
}

/*
 * vmclock: a guest that compares the marker sees that its clock has jumped
 */

static uint64_t clock_marker(QTestState *qts)
{
    g_assert_cmphex(qtest_readl(qts, VMCLOCK_ADDRESS), ==, VMCLOCK_MAGIC);
    return qtest_readq(qts, VMCLOCK_ADDRESS + VMCLOCK_MARKER);
}

static void test_clock(const char *load_mode)
{
    FixedRamTest args = {
        .start.opts_source = "-device vmclock",
        .start.opts_target = "-device vmclock",
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = load_mode,
    };
    uint64_t marker;

    if (!qtest_has_device("vmclock")) {
        g_test_skip("this QEMU has no vmclock");
        return;
    }
    if (!frt_prepare(&args)) {
        return;
    }
    marker = clock_marker(args.from);
    frt_load(&args);
    g_assert_cmpuint(clock_marker(args.to), ==, marker + 1);
    frt_end(&args);
}

static void test_clock_eager(void)
{
    test_clock("eager");
}

static void test_clock_demand(void)
{
    test_clock("on-demand");
}

static void test_clock_mapped(void)
{
    test_clock("mapped");
}

/*
 * A NIC keeps the address that was saved: the manual says so
 */

#define OLD_MAC         "52:54:00:12:34:01"
#define NEW_MAC         "52:54:00:12:34:02"

static void assert_mac(QTestState *qts, const char *want)
{
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'query-rx-filter' }");
    QDict *nic = qobject_to(QDict,
                            qlist_peek(qdict_get_qlist(rsp, "return")));

    g_assert_cmpstr(qdict_get_str(nic, "main-mac"), ==, want);
    qobject_unref(rsp);
}

static void test_mac(void)
{
    FixedRamTest args = {
        .start.hide_stderr = true,
        .start.opts_source = "-device virtio-net-pci,mac=" OLD_MAC,
        .start.opts_target = "-device virtio-net-pci,mac=" NEW_MAC,
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
    };

    if (!qtest_has_device("virtio-net-pci")) {
        g_test_skip("this QEMU has no virtio-net-pci");
        return;
    }
    if (!frt_prepare(&args)) {
        return;
    }
    assert_mac(args.to, NEW_MAC);
    frt_load(&args);
    assert_mac(args.to, OLD_MAC);
    frt_end(&args);
}

/*
 * Several clones at work
 */

#define CLONES          3
#define OWN_START       (112 * MiB)     /* behind the pattern */
#define OWN_BYTES       (2 * MiB)

static void start_clones(FixedRamTest *first, FixedRamTest *clones)
{
    clones[0] = *first;
    for (int i = 1; i < CLONES; i++) {
        clones[i] = *first;
        clones[i].start.only_target = true;
        g_assert_true(frt_start(&clones[i]));
    }
    for (int i = 0; i < CLONES; i++) {
        frt_load(&clones[i]);
    }
}

/* All of them run, and hold what was written where no guest works. */
static void assert_own_memory(FixedRamTest *clones)
{
    g_autofree uint8_t *want = g_malloc(OWN_BYTES);
    g_autofree uint8_t *have = g_malloc(OWN_BYTES);

    for (int i = 0; i < CLONES; i++) {
        g_assert_true(frt_running(clones[i].to));
        memset(want, 0x10 + i, OWN_BYTES);
        qtest_memread(clones[i].to, OWN_START, have, OWN_BYTES);
        g_assert_cmpmem(want, OWN_BYTES, have, OWN_BYTES);
    }
}

static void end_clones(FixedRamTest *clones)
{
    for (int i = 1; i < CLONES; i++) {
        qtest_quit(clones[i].to);
        g_string_free(clones[i].events, true);
        g_free(clones[i].uri);
    }
    frt_end(&clones[0]);
}

/*
 * All guests write to their memory all the time, and the test writes to each
 * of them, too.  The file does not change.  The disk is one for all: with
 * -snapshot each clone has an overlay of its own.
 */
static void test_at_work(void)
{
    FixedRamTest args = {
        .start.opts_target = "-snapshot",
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
        .live = true,
        .run = true,
    };
    FixedRamTest clones[CLONES];
    g_autofree char *before = NULL, *after = NULL;
    g_autoptr(Snapshot) s = NULL;

    if (!frt_prepare(&args)) {
        return;
    }
    before = frt_file_sum(FILE_TEST_FILENAME);
    start_clones(&args, clones);
    for (int i = 0; i < CLONES; i++) {
        qtest_memset(clones[i].to, OWN_START, 0x10 + i, OWN_BYTES);
    }
    wait_for_serial("dest_serial");
    assert_own_memory(clones);
    after = frt_file_sum(FILE_TEST_FILENAME);
    g_assert_cmpstr(before, ==, after);
    s = frt_open_snapshot(&args);
    snapshot_check_index(s, true);
    end_clones(clones);
}

static const FixedRamCase cases[] = {
    { "guid-eager", test_guid_eager },
    { "guid-on-demand", test_guid_demand },
    { "guid-mapped", test_guid_mapped },
    { "guid-rollback", test_guid_rollback },
    { "clock-eager", test_clock_eager },
    { "clock-on-demand", test_clock_demand },
    { "clock-mapped", test_clock_mapped },
    { "mac", test_mac },
    { "at-work", test_at_work },
};

void frt_add_clone_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "clone", cases, ARRAY_SIZE(cases));
}
