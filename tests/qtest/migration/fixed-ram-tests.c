/*
 * QTest testcases for fixed-ram: the groups of tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "libqtest.h"
#include "migration/fixed-ram-faultfs.h"
#include "migration/fixed-ram-scenario.h"

typedef struct NamedTest {
    char *path;
    void (*run)(void);
} NamedTest;

static void named_test_free(void *opaque)
{
    NamedTest *test = opaque;

    g_free(test->path);
    g_free(test);
}

/* As migration_test_add() does, which takes other functions since 11.1. */
static void named_test_run(const void *opaque)
{
    const NamedTest *test = opaque;

    g_test_message("Running /%s%s", qtest_get_arch(), test->path);
    test->run();
}

static void add_test(const char *path, void (*run)(void))
{
    NamedTest *test = g_new0(NamedTest, 1);

    test->path = g_strdup(path);
    test->run = run;
    qtest_add_data_func_full(path, test, named_test_run, named_test_free);
}

/*
 * fixed-ram-NAME-tests.c holds the tests /migration/fixed-ram/NAME/...; the
 * table in CONTRIBUTING.md says what each of them tests.
 */
void frt_add_cases(const MigrationTestEnv *env, const char *name,
                   const FixedRamCase *cases, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        g_autofree char *path = g_strdup_printf("/migration/fixed-ram/%s/%s",
                                                name, cases[i].name);

        if (env->full_set || !cases[i].full) {
            add_test(path, cases[i].test);
        }
    }
}

/* A test has failed.  libqtest has ended its guests before. */
static void clean_up(void *opaque)
{
    frt_faultfs_stop();
    frt_remove_folder();
}

void migration_test_add_fixed_ram(MigrationTestEnv *env)
{
    if (!env->is_x86) {
        return;
    }
    qtest_add_abrt_handler(clean_up, NULL);
    frt_add_roundtrip_tests(env);
    frt_add_memory_backend_tests(env);
    frt_add_lifecycle_tests(env);
    frt_add_recover_tests(env);
    frt_add_option_tests(env);
    frt_add_completion_tests(env);
    frt_add_page_cache_tests(env);
    frt_add_bad_file_tests(env);
    frt_add_commands_tests(env);
    frt_add_monitor_access_tests(env);
    frt_add_host_memory_tests(env);
    frt_add_hotplug_tests(env);
    frt_add_virtio_tests(env);
    frt_add_vhost_tests(env);
    frt_add_live_tests(env);
    frt_add_live_dma_tests(env);
    frt_add_live_memory_tests(env);
    frt_add_load_mode_tests(env);
    frt_add_mapped_tests(env);
    frt_add_clone_tests(env);
    frt_add_rollback_tests(env);
    frt_add_rollback_refused_tests(env);
    frt_add_mapped_error_tests(env);
    frt_add_lock_tests(env);
    frt_add_management_tests(env);
    frt_add_job_tests(env);
    frt_add_wait_tests(env);
    frt_add_read_error_tests(env);
    frt_add_read_error_early_tests(env);
    frt_add_exit_tests(env);
    frt_add_exit_kernel_tests(env);
    frt_add_bulk_tests(env);
    frt_add_bulk_interrupted_tests(env);
    frt_add_save_metadata_tests(env);
    frt_add_save_early_tests(env);
    frt_add_save_failure_tests(env);
    frt_add_save_settings_tests(env);
    frt_add_hostile_tests(env);
    frt_add_hostile_index_tests(env);
    frt_add_verify_tests(env);
    frt_add_working_set_tests(env);
    frt_add_record_end_tests(env);
    frt_add_guess_tests(env);
    frt_add_delta_tests(env);
    frt_add_delta_absent_tests(env);
    frt_add_delta_mapped_tests(env);
}
