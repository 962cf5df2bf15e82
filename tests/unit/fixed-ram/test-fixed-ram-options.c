/*
 * fixed-ram: tests of the machine's options in a snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qemu/bswap.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/options-compare.h"
#include "migration/fixed-ram/save/options.h"

typedef struct Row {
    const char *name, *given;
    const char *kept;           /* NULL: the option is left out */
    bool left_out;              /* the machine may need what is missing */
} Row;

static const Row rows[] = {
    { "smp", "2", "2" },
    { "device", "{\"driver\": \"e1000\"}", "{\"driver\": \"e1000\"}" },
    { "device", "{\n\"driver\":\t\"e1000\"}", "{\"driver\": \"e1000\"}" },
    { "append", "password=a b=c,,d=e", "password=a b=c,,d=e" },
    { "display", "none", "none" },
    { "display", "gtk", NULL },
    { "blockdev", "driver=luks,key-secret=s,node-name=a,,b",
      "driver=luks,node-name=a,,b", true },
    { "blockdev", "{\"a\": [{\"password\": \"x\"}]}", "{\"a\": [{}]}", true },
    { "blockdev", "{\"a\"", NULL, true },
    { "drive", "file=http://me:pw@host/a,if=none", "file=http://host/a,if=none",
      true },
    { "drive", "file=http://host/a@b", "file=http://host/a@b" },
    { "drive", "file=json:{\"password-secret\":\"s\"}", NULL, true },
    { "drive", "file=/secret/a", "file=/secret/a" },
    { "object", "secret,id=s,data=x", NULL, true },
    { "object", "{\"qom-type\": \"secret\", \"id\": \"s\"}", NULL, true },
    { "object", "qom-type=tls-creds-psk,id=t", NULL, true },
    { "object", "iothread,id=i", "iothread,id=i" },
    { "chardev", "socket,path=/a,id=c", "null,id=c", true },
    { "serial", "file:/a", "null", true },
    { "serial", "none", "none" },
    { "serial", "chardev:c", "chardev:c" },
    { "global", "migration.fixed-ram=on", NULL },
    { "global", "driver=migration,property=a,value=b", NULL },
    { "global", "e1000.a=b", "e1000.a=b" },
    { "monitor", "stdio", NULL },
    { "incoming", "defer", NULL },
    { "unheard-of", "a", NULL },
    { "smbios", "\xff", NULL, true },
};

static void test_left_out(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        g_autoptr(FixedRamIndexOptions) options =
            fixed_ram_index_options_new("qemu");

        g_test_message("row %zu: -%s %s", i, rows[i].name, rows[i].given);
        fixed_ram_options_describe(options, rows[i].name, rows[i].given);
        g_assert_cmpint(options->left_out, ==, rows[i].left_out);
        g_assert_cmpint(options->list->len, ==, !!rows[i].kept);
        if (rows[i].kept) {
            g_assert_cmpstr(fixed_ram_index_option(options, 0)->argument, ==,
                            rows[i].kept);
        }
    }
}

static FixedRamIndexOptions *some_options(const char *smp)
{
    FixedRamIndexOptions *options = fixed_ram_index_options_new("qemu");

    fixed_ram_index_options_add(options, "M", "pc");
    fixed_ram_index_options_add(options, "nodefaults", NULL);
    if (smp) {
        fixed_ram_index_options_add(options, "smp", smp);
    }
    fixed_ram_index_options_add(options, "", "a\x1b.img");
    return options;
}

/* Have the parser read @bytes from a file, in a section of @length bytes. */
static FixedRamIndexOptions *parse(const GByteArray *bytes, uint64_t length,
                                   Error **errp)
{
    g_autoptr(FixedRamIndexOptions) options = NULL;
    g_autofree char *name = NULL;
    int fd = g_file_open_tmp("fixed-ram-options-XXXXXX", &name, NULL);
    FixedRamSource *source;
    FixedRamReader *r;

    g_assert_cmpint(write(fd, bytes->data, bytes->len), ==, bytes->len);
    close(fd);
    source = fixed_ram_source_open_file(name, 0, ON_OFF_AUTO_OFF, &error_abort);
    unlink(name);
    r = fixed_ram_reader_new(source, 0, 4096);
    r->prefix = "index: ";
    fixed_ram_reader_limit(r, 0, length, "a section");
    options = fixed_ram_index_options_read(r);
    error_propagate(errp, g_steal_pointer(&r->error));
    fixed_ram_reader_free(r);
    fixed_ram_source_unref(source);
    return g_steal_pointer(&options);
}

static void test_round(void)
{
    g_autoptr(FixedRamIndexOptions) options = some_options("2"), back = NULL;
    g_autoptr(GByteArray) bytes = g_byte_array_new();

    options->left_out = true;
    fixed_ram_index_options_encode(options, bytes);
    back = parse(bytes, bytes->len, &error_abort);
    g_assert_cmpstr(back->program, ==, "qemu");
    g_assert_true(back->left_out && !back->changed);
    g_assert_cmpint(back->list->len, ==, 4);
    g_assert_null(fixed_ram_index_option(back, 1)->argument);
    g_assert_cmpstr(fixed_ram_index_option(back, 3)->name, ==, "");
    g_assert_cmpstr(fixed_ram_index_option(back, 3)->argument, ==, "a\x1b.img");
}

static void expect_refused(const GByteArray *bytes, uint64_t length,
                           const char *words)
{
    g_autoptr(FixedRamIndexOptions) options = NULL;
    Error *err = NULL;

    options = parse(bytes, length, &err);
    g_assert_nonnull(err);
    g_test_message("%s", error_get_pretty(err));
    g_assert_nonnull(strstr(error_get_pretty(err), words));
    error_free(err);
}

static void test_wrong(void)
{
    static const struct {
        unsigned at;
        uint32_t value;
        const char *words;
    } spoils[] = {
        { 0, 5, "in the middle" }, { 0, 4097, "expected at most 4096" },
        { 4, 4, "with flags 0x4" }, { 8, 131073, "131073 bytes" },
        { 8, UINT32_MAX, "4294967295 bytes" }, { 12, 'a', "zero byte" },
        { 12, 0xff, "UTF-8" }, { 16, 2, "found flags 0x2" },
    };

    for (size_t i = 0; i < ARRAY_SIZE(spoils); i++) {
        g_autoptr(FixedRamIndexOptions) options = some_options(NULL);
        g_autoptr(GByteArray) bytes = g_byte_array_new();

        fixed_ram_index_options_encode(options, bytes);
        stl_le_p(bytes->data + spoils[i].at, spoils[i].value);
        expect_refused(bytes, bytes->len, i ? spoils[i].words : "");
    }
}

static void test_cut(void)
{
    g_autoptr(FixedRamIndexOptions) options = some_options("2");
    g_autoptr(GByteArray) bytes = g_byte_array_new();

    fixed_ram_index_options_encode(options, bytes);
    for (unsigned length = 0; length < bytes->len; length++) {
        expect_refused(bytes, length, "");
    }
}

static void assert_difference(const char *saved, const char *own,
                              const char *expected)
{
    g_autoptr(FixedRamIndexOptions) a = some_options(saved);
    g_autoptr(FixedRamIndexOptions) b = some_options(own);
    g_autofree char *text = fixed_ram_options_compare(a, b);

    g_assert_cmpstr(text, ==, expected);
}

static void test_difference(void)
{
    assert_difference("2", "2", NULL);
    assert_difference("2", "1",
                      "it was saved with -smp 2, this QEMU has -smp 1");
    assert_difference("2", NULL,
                      "it was saved with -smp 2, this QEMU has no -smp");
    assert_difference(NULL, "1",
                      "it was saved without -smp, this QEMU has -smp 1");
    assert_difference("\x1b", "1",
                      "it was saved with -smp ?, this QEMU has -smp 1");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/fixed-ram/options/left-out", test_left_out);
    g_test_add_func("/fixed-ram/options/round", test_round);
    g_test_add_func("/fixed-ram/options/wrong", test_wrong);
    g_test_add_func("/fixed-ram/options/cut", test_cut);
    g_test_add_func("/fixed-ram/options/difference", test_difference);
    return g_test_run();
}
