/*
 * QTest testcases for fixed-ram: what is plugged and unplugged during a load
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/sockets.h"
#include "qemu/units.h"
#include "libqtest.h"
#include "libqos/fw_cfg.h"
#include "libqos/pci-pc.h"
#include "qobject/qdict.h"
#include "qobject/qlist.h"
#include "migration/fixed-ram-pause.h"
#include "migration/migration-qmp.h"

/*
 * Memory.  The test plays the guest's part in unplugging: it writes what ACPI's
 * methods would write.
 */

#define SLOTS "-m %s,slots=6,maxmem=1G"
#define DIMM_BYTES              (16 * MiB)
#define DIMM(n) \
    " -object memory-backend-ram,id=mem" n ",size=16M" \
    " -device pc-dimm,id=dimm" n ",memdev=mem" n ",slot=" n

#define ACPI_MEMORY_SLOT        0xa00
#define ACPI_MEMORY_FLAGS       0xa14
#define ACPI_MEMORY_EJECT       8

static uint64_t dimm_address(QTestState *qts, unsigned n)
{
    g_autofree char *path = g_strdup_printf("dimm%u", n);
    QDict *rsp = qtest_qmp(qts, "{ 'execute': 'qom-get', 'arguments': "
                           "{ 'path': %s, 'property': 'addr' } }", path);
    uint64_t addr = qdict_get_int(rsp, "return");

    qobject_unref(rsp);
    return addr;
}

static void plug_dimm(QTestState *qts, unsigned n)
{
    g_autofree char *mem = g_strdup_printf("mem%u", n);
    g_autofree char *dimm = g_strdup_printf("dimm%u", n);
    uint64_t addr;

    qtest_qmp_assert_success(qts, "{ 'execute': 'object-add', 'arguments': "
                             "{ 'qom-type': 'memory-backend-ram', 'id': %s, "
                             "'size': %" PRIu64 " } }", mem, DIMM_BYTES);
    qtest_qmp_device_add(qts, "pc-dimm", dimm, "{ 'memdev': %s, 'slot': %u }",
                         mem, n);
    /* The new memory can be written and read. */
    addr = dimm_address(qts, n);
    g_assert_cmphex(qtest_readq(qts, addr), ==, 0);
    qtest_writeq(qts, addr, 0x1122334455667788);
    g_assert_cmphex(qtest_readq(qts, addr), ==, 0x1122334455667788);
}

static void unplug_dimm(QTestState *qts, unsigned n)
{
    g_autofree char *mem = g_strdup_printf("mem%u", n);
    g_autofree char *dimm = g_strdup_printf("dimm%u", n);

    qtest_qmp_device_del_send(qts, dimm);
    qtest_outl(qts, ACPI_MEMORY_SLOT, n);
    qtest_outb(qts, ACPI_MEMORY_FLAGS, ACPI_MEMORY_EJECT);
    qtest_qmp_eventwait(qts, "DEVICE_DELETED");
    qtest_qmp_assert_success(qts, "{ 'execute': 'object-del', "
                             "'arguments': { 'id': %s } }", mem);
}

/* Unplug memory of the snapshot, plug new memory, also into the free slot. */
static void memory_action(FixedRamTest *t, bool paused)
{
    if (!paused) {
        unplug_dimm(t->to, 1);
        plug_dimm(t->to, 1);
        plug_dimm(t->to, 4);
    } else {
        unplug_dimm(t->to, 2);
        unplug_dimm(t->to, 4);
        plug_dimm(t->to, 5);
        unplug_dimm(t->to, 5);
    }
}

static void test_memory(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .start.memory_backend = SLOTS,
        .start.opts_source = DIMM("1") DIMM("2") DIMM("3"),
        .start.opts_target = DIMM("1") DIMM("2") DIMM("3"),
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };

    if (!frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    for (unsigned n = 1; n <= 3; n++) {
        qtest_memset(args.from, dimm_address(args.from, n), 0xa0 + n,
                     DIMM_BYTES);
    }
    frt_save(&args);
    frt_begin_crawl(&args);
    memory_action(&args, false);
    frt_pause(&args);
    memory_action(&args, true);
    frt_recover(&args);
    frt_load_rest(&args);
    g_assert_cmphex(qtest_readq(args.to, dimm_address(args.to, 1)), ==,
                    0x1122334455667788);
    unplug_dimm(args.to, 1);
    frt_compare_ram_up_to(&args, PATTERN_START + PATTERN_BYTES);
    frt_end(&args);
}

/* RAM is a mapping of the snapshot; new memory is not, at any address. */
static void test_memory_mapped(void)
{
    FixedRamTest args = {
        .start.memory_backend = SLOTS,
        .start.opts_source = DIMM("1") DIMM("2"),
        .start.opts_target = DIMM("1") DIMM("2"),
        .save = FR_FIXED,
        .load = FR_FIXED,
        .load_mode = "mapped",
    };
    uint64_t addr;

    if (!frt_start(&args)) {
        return;
    }
    frt_fill(&args);
    for (unsigned n = 1; n <= 2; n++) {
        qtest_memset(args.from, dimm_address(args.from, n), 0xa0 + n,
                     DIMM_BYTES);
    }
    frt_save(&args);
    frt_load(&args);
    addr = dimm_address(args.to, 2);
    unplug_dimm(args.to, 1);
    plug_dimm(args.to, 1);
    plug_dimm(args.to, 4);
    g_assert_cmphex(qtest_readb(args.to, addr), ==, 0xa2);
    g_assert_cmphex(qtest_readb(args.to, addr + DIMM_BYTES - 1), ==, 0xa2);
    unplug_dimm(args.to, 2);
    frt_end(&args);
}

/*
 * PCI devices, whose ROMs are in the snapshot
 */

#define NIC(n) " -device e1000,id=nic" #n ",addr=" #n

static void replug_nic(QTestState *qts, unsigned slot)
{
    g_autofree char *id = g_strdup_printf("nic%u", slot);
    g_autofree char *addr = g_strdup_printf("%u", slot);

    qpci_unplug_acpi_device_test(qts, id, slot);
    /* The card has the same address, so its RAM block has the same name. */
    qtest_qmp_device_add(qts, "e1000", id, "{ 'addr': %s }", addr);
}

static void pci_action(FixedRamTest *t, bool paused)
{
    replug_nic(t->to, paused ? 9 : 8);
    if (!paused) {
        qtest_qmp_device_add(t->to, "virtio-rng-pci", "rng0", "{}");
        qtest_qmp_device_add(t->to, "e1000", "nic7", "{ 'addr': '7' }");
    } else {
        qpci_unplug_acpi_device_test(t->to, "nic7", 7);
        qtest_qmp_device_add(t->to, "virtio-net-pci", "net0", "{}");
    }
}

static void test_pci(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .start.opts_source = NIC(8) NIC(9),
        .start.opts_target = NIC(8) NIC(9),
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };

    if (!frt_in_both_states(&args, pci_action)) {
        return;
    }
    frt_load_rest(&args);
    frt_compare_ram_up_to(&args, PATTERN_START + PATTERN_BYTES);
    frt_end(&args);
}

/*
 * CPUs
 */

#define CPUS " -smp 1,maxcpus=3,sockets=3"

static void cpu_action(FixedRamTest *t, bool paused)
{
    qtest_qmp_device_add(t->to, "qemu64-x86_64-cpu", paused ? "cpu2" : "cpu1",
                         "{ 'socket-id': %d, 'core-id': 0, 'thread-id': 0 }",
                         paused ? 2 : 1);
}

static void test_cpu(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .start.opts_source = CPUS,
        .start.opts_target = CPUS,
        .save = FR_FIXED,
        .load = FR_DEMAND | FR_BLOCKTIME,
        .crawl = true,
    };

    if (!frt_in_both_states(&args, cpu_action)) {
        return;
    }
    frt_load_rest(&args);
    frt_compare_ram_up_to(&args, PATTERN_START + PATTERN_BYTES);
    frt_end(&args);
}

/*
 * Blocks that change their length: ACPI's, built anew after a reset
 */

#define LOADER "/rom@etc/table-loader"
#define TABLES                  40

static char *many_tables(void)
{
    g_autofree char *path = frt_path("other");
    GString *opts = g_string_new(NULL);

    g_assert(g_file_set_contents(path, "0123456789abcdef", 16, NULL));
    for (unsigned i = 0; i < TABLES; i++) {
        g_string_append_printf(opts, " -acpitable sig=TEST,data=%s", path);
    }
    return g_string_free(opts, false);
}

static uint64_t block_length(const char *file, const char *block)
{
    g_autofree char *path = frt_path(file);
    g_autoptr(Snapshot) s = snapshot_open(path, 0);

    g_assert_nonnull(snapshot_block(s, block));
    return snapshot_block(s, block)->length;
}

static void reset_and_read_tables(QTestState *qts)
{
    g_autofree char *buf = g_malloc(64 * KiB);
    QFWCFG *fw_cfg;

    qtest_qmp_assert_success(qts, "{ 'execute': 'system_reset' }");
    qtest_qmp_eventwait(qts, "RESET");
    fw_cfg = pc_fw_cfg_init(qts);
    g_assert_cmpuint(qfw_cfg_get_file(fw_cfg, "etc/table-loader", buf,
                                      64 * KiB), >, 0);
    pc_fw_cfg_uninit(fw_cfg);
}

static void resize_action(FixedRamTest *t, bool paused)
{
    reset_and_read_tables(t->to);
}

static void test_resize(const char *source, const char *target)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .start.opts_source = source,
        .start.opts_target = target,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .crawl = true,
    };

    if (!frt_in_both_states(&args, resize_action)) {
        return;
    }
    frt_load_rest(&args);
    frt_save_again(args.to, args.load, "again");
    {
            g_autofree char *again = frt_path("again");
        g_autoptr(Snapshot) want = frt_open_snapshot(&args);
        g_autoptr(Snapshot) have = snapshot_open(again, 0);

        snapshot_assert_same_range(want, have, "pc.ram", 0,
                                   (PATTERN_START + PATTERN_BYTES) /
                                   SNAPSHOT_PAGE_SIZE);
        g_test_message("%" PRIu64 " -> %" PRIu64, block_length(
                           FILE_TEST_FILENAME, LOADER),
                       block_length("again", LOADER));
    }
    frt_end(&args);
}

static void test_grow(void)
{
    g_autofree char *tables = many_tables();

    test_resize("", tables);
}

static void test_shrink(void)
{
    g_autofree char *tables = many_tables();

    test_resize(tables, "");
}

/*
 * A device_add that fails waits for RCU callbacks in the base.  A vCPU that
 * waits for a page keeps those back.
 */
static void test_fail(void)
{
    FixedRamTest args = {
        .start.oob = true,
        .start.hide_stderr = true,
        .save = FR_FIXED,
        .load = FR_DEMAND,
        .live = true,
        .crawl = true,
    };

    if (!frt_prepare(&args)) {
        return;
    }
    frt_begin_crawl(&args);
    frt_pause(&args);
    frt_start_waiting_cpu(&args);
    frt_assert_refused(args.to, "take value '99'",
                       "{ 'execute': 'device_add', 'arguments': "
                       "{ 'driver': 'e1000', 'id': 'nic0', "
                       "'addr': '99' } }");
    frt_hmp_says(args.to, "device_add e1000,id=nic0,addr=99", "rror");
    frt_recover(&args);
    args.run = true;
    frt_finish(&args);
}

static const FixedRamCase cases[] = {
    { "memory", test_memory },
    { "memory-mapped", test_memory_mapped },
    { "pci", test_pci },
    { "cpu", test_cpu },
    { "fail", test_fail },
    { "grow", test_grow },
    { "shrink", test_shrink },
};

void frt_add_hotplug_tests(const MigrationTestEnv *env)
{
    frt_add_cases(env, "hotplug", cases, ARRAY_SIZE(cases));
}
