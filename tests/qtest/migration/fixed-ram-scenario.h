/*
 * What fixed-ram's scenarios are made of
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TEST_FIXED_RAM_SCENARIO_H
#define TEST_FIXED_RAM_SCENARIO_H

#include "migration/framework.h"
#include "migration/fixed-ram-index.h"
#include "migration/fixed-ram-snapshot.h"

/* How a snapshot is saved or loaded: the capabilities set on that side. */
#define FR_MAPPED       0x01
#define FR_FIXED        0x02
#define FR_POSTCOPY     0x04    /* on the loading side: on demand */
#define FR_MULTIFD      0x08
#define FR_DIRECT       0x10
#define FR_BLOCKTIME    0x20
#define FR_BUFFERED     0x40    /* direct-io is off; without both, not set */

/* Usual ones. */
#define FR_DEMAND       (FR_FIXED | FR_POSTCOPY)

/* So long a test waits for what must come. */
#define FRT_WAIT_SECONDS    240

typedef struct FixedRamTest {
    /* Optional: more about the guests */
    MigrateStart start;
    /* Required: how the snapshot is saved and loaded */
    unsigned save;
    unsigned load;
    /* Optional: fixed-ram-load-mode on the loading side's command line */
    const char *load_mode;
    /* Optional: the share loaded before the guest starts, in percent */
    unsigned percent;
    /* Optional: bytes of the file before the stream */
    uint64_t offset;
    /* Optional: hand the file over as so many descriptors, not as a path */
    unsigned fds;
    /* The second descriptor has O_DIRECT, whatever the modes say */
    bool direct_fd;
    /* The source's guest runs while it is saved */
    bool live;
    /* The loaded guest runs; else it stays paused and can be compared */
    bool run;
    /* This side shall be a stock QEMU, if QTEST_QEMU_STOCK names one */
    bool stock_save;
    bool stock_load;
    /* Optional: the RAM block that holds the pattern, and where */
    const char *pattern_block;
    uint64_t pattern_offset;
    /* Optional: the unit by which that block is loaded, if not a page */
    uint64_t unit;
    /* It is saved without a parameter that makes it converge */
    bool bare;
    /* It is saved without checksums: fixed-ram-verify is off */
    bool no_sums;
    /* Memory that was saved once becomes zero before a live save ends */
    bool wipe;
    /* Loaders crawl as soon as the guest runs */
    bool crawl;

    /* frt_start() fills in the fields below */
    QTestState *from;
    QTestState *to;
    char *uri;
    /*
     * Events of the loading side: MIGRATION states, STOP and RESUME, and for
     * the status of a load's job "job-STATUS"
     */
    GString *events;
} FixedRamTest;

/* The steps of a scenario, in order.  Returns false if it is skipped. */
bool frt_start(FixedRamTest *t);
void frt_fill(FixedRamTest *t);
void frt_save(FixedRamTest *t);
void frt_load_begin(FixedRamTest *t);
void frt_load(FixedRamTest *t);
/* After frt_load_begin() with @crawl: load the rest at full speed. */
void frt_load_rest(FixedRamTest *t);
void frt_check(FixedRamTest *t);
void frt_end(FixedRamTest *t);

/* Up to a saved snapshot; false if the scenario is skipped. */
bool frt_prepare(FixedRamTest *t);
/* All of them. */
void frt_test(FixedRamTest *t);

/* A save that does not complete before migrate_ensure_converge(). */
void frt_save_begin(FixedRamTest *t, const char *uri);
/*
 * Until a save has completed and the guest is stopped, which may be a moment
 * later.
 */
void frt_wait_saved(QTestState *qts);
void frt_wait_rounds(QTestState *qts, uint64_t rounds);

/* Parts of steps, for scenarios that go their own way. */
void frt_set_mode(QTestState *qts, unsigned mode);
void frt_save_again(QTestState *qts, unsigned mode, const char *name);
/* The scenario's snapshot, decoded. */
Snapshot *frt_open_snapshot(const FixedRamTest *t);
/* What the loading side holds: it is saved once more, as "again". */
Snapshot *frt_save_and_open(FixedRamTest *t);
/* The paused guest's memory must be what the snapshot holds. */
void frt_compare_ram(FixedRamTest *t);
void frt_check_figures(FixedRamTest *t);
void frt_incoming(FixedRamTest *t, const char *uri);
/* Compare the paused guest with the scenario's snapshot: RAM and devices. */
void frt_compare(FixedRamTest *t);
/* Check the snapshot against the memory of the source's guest. */
void frt_check_saved(FixedRamTest *t);
/* Another loading side, with more options and -incoming @uri. */
void frt_restart_target(FixedRamTest *t, const char *uri,
                        const char *opts);
/*
 * Memory that the guest does not use, where each page has a content of its
 * own and some are zero
 */
#define PATTERN_START           (104 * MiB)
#define PATTERN_BYTES           (8 * MiB)

void frt_write_pattern(QTestState *qts);
/* What the guest's memory holds. */
void frt_read_memory(QTestState *qts, uint64_t addr, uint8_t *buf,
                     size_t length);
/* The part that has no zero pages becomes zero. */
void frt_wipe_pattern(QTestState *qts);
void frt_check_pattern(FixedRamTest *t, const Snapshot *s);
/* The block that holds it. */
const SnapshotBlock *frt_pattern_block(FixedRamTest *t,
                                       const Snapshot *s);
/* Change the memory, so that another snapshot differs. */
void frt_change_memory(QTestState *qts);

/*
 * Files that are removed when the test ends.  The steps use the snapshot,
 * "again", "base" and "source"; "faults" holds the rules for reads that fail;
 * "other", "copy" and "disk" are for scenarios.  The file of frt_shm_path()
 * lies in /dev/shm, for memory backends.
 */
char *frt_path(const char *name);
char *frt_file_uri(const char *name);
char *frt_shm_path(void);
/* These skip the test where that is not possible. */
bool frt_have_shm(void);
/* Of 2 MiB, for a guest of 150. */
bool frt_have_huge_pages(void);
bool frt_have_disk(const char *name, int mib);
void frt_remove_files(void);
/* These, and everything else that the tests have in their folder. */
void frt_remove_folder(void);
/* What was built in tests/unit/fixed-ram/faults; NULL if it was not. */
char *frt_built_program(const char *name);
/* The file's superblock. */
SnapshotSuperblock frt_superblock(const char *name);
/* The superblock must say that the save is not complete. */
void frt_assert_being_written(const char *name);
void frt_copy_file(const char *from, const char *to);
/* A checksum of every byte; the caller frees it. */
char *frt_file_sum(const char *name);

/* query-migrate tells a reason that says all of @what: "this|that". */
void frt_assert_reason(QTestState *qts, const char *what);

/* From query-migrate; a missing member ends the test. */
int64_t frt_figure(QTestState *qts, const char *name);
int64_t frt_ram_figure(QTestState *qts, const char *name);
/*
 * Polls until query-migrate says so, or one of those between "|"; another end
 * of the load ends the test.
 */
void frt_wait_status(QTestState *qts, const char *status);
/* Polls until the loading side has sent this event, among others. */
void frt_wait_event(FixedRamTest *t, const char *event);
/* The same without a query: the main loop may not answer. */
void frt_wait_told(FixedRamTest *t, const char *event);

/* Add an event to the string at @opaque, if tests wait for such events. */
bool frt_record_event(QTestState *qts, const char *name, QDict *event,
                      void *opaque);

/* @text must have all parts of @what: "this|that". */
void frt_assert_says(const char *text, const char *what);

/*
 * The command must fail; its error must have all parts of @what: "this|that".
 */
void frt_assert_refused(QTestState *qts, const char *what,
                        const char *fmt, ...) G_GNUC_PRINTF(3, 4);

/* The output of the HMP command must contain @what. */
void frt_hmp_says(QTestState *qts, const char *command,
                  const char *what);

/* The HMP command must succeed: it prints nothing. */
void frt_hmp_silent(QTestState *qts, const char *command);

/* Back to the mapped snapshot; the guests have a disk, which stays as it is. */
#define FRT_ROLLBACK    "{ 'execute': 'fixed-ram-rollback', " \
                        "'arguments': { 'disks': 'keep' } }"
void frt_roll_back(FixedRamTest *t);

/* Returns whether the guest runs. */
bool frt_running(QTestState *qts);

/*
 * A load that goes on in the background: not postcopy-ram but
 * fixed-ram-load-mode asks for it.
 */
bool frt_in_background(const FixedRamTest *t);
/* Its job, from query-jobs, which the caller frees; NULL: there is none. */
QDict *frt_load_job(QTestState *qts);
/* Polls until the job has this status; NULL: until it has gone. */
void frt_wait_job(QTestState *qts, const char *status);
/* Is QEMU this version or newer? */
bool frt_base_is(QTestState *qts, int major, int minor);

typedef struct FixedRamCase {
    const char *name;
    void (*test)(void);
    bool full;                  /* run with --full only */
} FixedRamCase;

/* Adds the tests of fixed-ram-NAME-tests.c as /migration/fixed-ram/NAME/... */
void frt_add_cases(const MigrationTestEnv *env, const char *name,
                   const FixedRamCase *cases, size_t count);

void migration_test_add_fixed_ram(MigrationTestEnv *env);
void frt_add_roundtrip_tests(const MigrationTestEnv *env);
void frt_add_memory_backend_tests(const MigrationTestEnv *env);
void frt_add_recover_tests(const MigrationTestEnv *env);
void frt_add_lifecycle_tests(const MigrationTestEnv *env);
void frt_add_option_tests(const MigrationTestEnv *env);
void frt_add_completion_tests(const MigrationTestEnv *env);
void frt_add_page_cache_tests(const MigrationTestEnv *env);
void frt_add_bad_file_tests(const MigrationTestEnv *env);
void frt_add_commands_tests(const MigrationTestEnv *env);
void frt_add_monitor_access_tests(const MigrationTestEnv *env);
void frt_add_host_memory_tests(const MigrationTestEnv *env);
void frt_add_hotplug_tests(const MigrationTestEnv *env);
void frt_add_virtio_tests(const MigrationTestEnv *env);
void frt_add_vhost_tests(const MigrationTestEnv *env);
void frt_add_live_dma_tests(const MigrationTestEnv *env);
void frt_add_live_memory_tests(const MigrationTestEnv *env);
void frt_add_live_tests(const MigrationTestEnv *env);
void frt_add_load_mode_tests(const MigrationTestEnv *env);
void frt_add_mapped_tests(const MigrationTestEnv *env);
void frt_add_clone_tests(const MigrationTestEnv *env);
void frt_add_rollback_refused_tests(const MigrationTestEnv *env);
void frt_add_rollback_tests(const MigrationTestEnv *env);
void frt_add_mapped_error_tests(const MigrationTestEnv *env);
void frt_add_lock_tests(const MigrationTestEnv *env);
void frt_add_job_tests(const MigrationTestEnv *env);
void frt_add_wait_tests(const MigrationTestEnv *env);
void frt_add_management_tests(const MigrationTestEnv *env);
void frt_add_read_error_tests(const MigrationTestEnv *env);
void frt_add_read_error_early_tests(const MigrationTestEnv *env);
void frt_add_exit_tests(const MigrationTestEnv *env);
void frt_add_exit_kernel_tests(const MigrationTestEnv *env);
void frt_add_bulk_tests(const MigrationTestEnv *env);
void frt_add_bulk_interrupted_tests(const MigrationTestEnv *env);
void frt_add_save_metadata_tests(const MigrationTestEnv *env);
void frt_add_save_early_tests(const MigrationTestEnv *env);
void frt_add_save_failure_tests(const MigrationTestEnv *env);
void frt_add_save_settings_tests(const MigrationTestEnv *env);
void frt_add_hostile_tests(const MigrationTestEnv *env);
void frt_add_hostile_index_tests(const MigrationTestEnv *env);
void frt_add_verify_tests(const MigrationTestEnv *env);
void frt_add_working_set_tests(const MigrationTestEnv *env);
void frt_add_record_end_tests(const MigrationTestEnv *env);
void frt_add_guess_tests(const MigrationTestEnv *env);
void frt_add_delta_tests(const MigrationTestEnv *env);
void frt_add_delta_absent_tests(const MigrationTestEnv *env);
void frt_add_delta_mapped_tests(const MigrationTestEnv *env);

#endif
