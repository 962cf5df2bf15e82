/*
 * fixed-ram: a small snapshot in a file that is changed in place, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "qapi/error.h"
#include "migration/fixed-ram/format/index-layers.h"
#include "migration/fixed-ram/format/layers-write.h"
#include "set-file.h"

#define BASE_ID     "id of the base.."
#define BASE_DIGEST 0x0123456789abcdefULL

static const uint8_t own_map[IMAGE_CLUSTERS];

void set_file_setup(SetFile *file, const ImageIndexOptions *o)
{
    setup_as(&file->f, START, o);
    file->dir = g_dir_make_tmp("fixed-ram-set-XXXXXX", NULL);
    g_assert_nonnull(file->dir);
    file->path = g_build_filename(file->dir, IMAGE_NAME, NULL);
    file->s = NULL;
    set_file_put(file, file->f.img->bytes);
    set_file_reopen(file);
}

void set_file_setup_delta(SetFile *file, const char *path)
{
    const ImageLayer layer = { BASE_ID, BASE_DIGEST, 4096, path };

    set_file_setup(file, &(ImageIndexOptions) {
                       .layers = &layer, .layer_count = 1, .map = own_map,
                   });
}

void set_file_teardown(SetFile *file)
{
    fixed_ram_snapshot_free(file->s);
    unlink(file->path);
    rmdir(file->dir);
    g_free(file->path);
    g_free(file->dir);
    teardown(&file->f);
}

void set_file_reopen(SetFile *file)
{
    FixedRamSource *source;

    fixed_ram_snapshot_free(file->s);
    source = fixed_ram_source_open_file(file->path, START, ON_OFF_AUTO_OFF,
                                        &error_abort);
    file->s = fixed_ram_snapshot_open(source, START, IMAGE_PAGE, &error_abort);
    fixed_ram_source_unref(source);
}

uint64_t set_file_size(const SetFile *file)
{
    struct stat st;

    g_assert_cmpint(stat(file->path, &st), ==, 0);
    return st.st_size;
}

GByteArray *set_file_bytes(const SetFile *file)
{
    char *bytes;
    gsize length;

    g_assert_true(g_file_get_contents(file->path, &bytes, &length, NULL));
    return g_byte_array_new_take((guint8 *)bytes, length);
}

void set_file_put(const SetFile *file, const GByteArray *bytes)
{
    int fd = open(file->path, O_WRONLY | O_CREAT, 0600);

    /* The same file as before, as other processes have it open. */
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, 0), ==, 0);
    g_assert_cmpint(write(fd, bytes->data, bytes->len), ==, bytes->len);
    close(fd);
}

FixedRamWorkingSet *set_of(const Touch *touches)
{
    FixedRamWorkingSet *set =
        fixed_ram_working_set_new(FIXED_RAM_WORKING_SET_KIND_RECORDED);

    set->time = IMAGE_SET_TIME;
    for (; touches->block != TOUCHES_END; touches++) {
        fixed_ram_working_set_add(set, touches->block, touches->first,
                                  touches->pages, true);
    }
    return set;
}

bool set_file_write(SetFile *file, const Touch *touches, bool pack,
                    Error **errp)
{
    g_autoptr(FixedRamWorkingSet) set = set_of(touches);
    FixedRamSetOptions options = { .pack = pack };

    return fixed_ram_working_set_write(file->s, set, &options, NULL, errp);
}

bool set_file_move(SetFile *file, const char *path, Error **errp)
{
    const FixedRamIndexLayers *old = file->s->index->layers;
    FixedRamIndexLayer layer = *fixed_ram_index_layer(old, 1);
    g_autoptr(FixedRamIndexLayers) layers = fixed_ram_index_layers_new();

    layer.path = (char *)path;
    fixed_ram_index_layers_add(layers, &layer);
    layers->map_offset = old->map_offset;
    layers->map_length = old->map_length;
    layers->map_sum = old->map_sum;
    return fixed_ram_layers_write(file->s, layers, errp);
}

void set_file_expect_busy(SetFile *file, SetFileChange *change)
{
    g_autoptr(GByteArray) before = set_file_bytes(file), after = NULL;
    Error *err = NULL;

    g_assert_false(change(file, &err));
    g_assert_nonnull(strstr(error_get_pretty(err), "it is being written"));
    error_free(err);
    after = set_file_bytes(file);
    g_assert_cmpmem(before->data, before->len, after->data, after->len);
}

/*
 * What the file must hold
 */

typedef struct Page {
    unsigned block;
    uint64_t page;
} Page;

/* The pages that exist, each of them once. */
static GArray *expected_pages(const Touch *t)
{
    GArray *pages = g_array_new(false, false, sizeof(Page));
    bool seen[IMAGE_BLOCKS][128] = { };

    for (; t->block != TOUCHES_END; t++) {
        uint64_t end = t->block < IMAGE_BLOCKS ? image_block_pages[t->block]
                                               : 0;

        for (uint64_t j = 0; t->first < end && j < MIN(t->pages,
                                                       end - t->first); j++) {
            Page page = { t->block, t->first + j };

            if (!seen[page.block][page.page]) {
                seen[page.block][page.page] = true;
                g_array_append_val(pages, page);
            }
        }
    }
    return pages;
}

static bool same_page(const SetFile *file, const FixedRamSetRun *run,
                      uint32_t i, const Page *expected, const uint8_t *packed)
{
    uint64_t page = run->first + i;

    return run->block == expected->block && page == expected->page &&
           run->data == image_holds_page(run->block, page) &&
           (!packed || !run->data ||
            !memcmp(packed + (run->packed + i) * IMAGE_PAGE,
                    image_page(file->f.img, run->block, page), IMAGE_PAGE));
}

/* @packed: the packed copy, or NULL */
static bool same_pages(const SetFile *file, const FixedRamWorkingSet *set,
                       const Touch *touches, const uint8_t *packed)
{
    g_autoptr(GArray) expected = expected_pages(touches);
    size_t n = 0;

    for (size_t i = 0; i < set->runs->len; i++) {
        const FixedRamSetRun *run = fixed_ram_working_set_run(set, i);

        for (uint32_t j = 0; j < run->pages; j++, n++) {
            if (n == expected->len ||
                !same_page(file, run, j, &g_array_index(expected, Page, n),
                           packed)) {
                g_test_message("page %zu of the set is wrong", n);
                return false;
            }
        }
    }
    return n == expected->len;
}

static bool same_set(const SetFile *file, const FixedRamSnapshot *s,
                     const Touch *touches, bool pack)
{
    g_autoptr(FixedRamWorkingSet) set = NULL;
    g_autofree uint8_t *packed = NULL;
    Error *err = NULL;

    set = fixed_ram_working_set_read(s->index, s->source, &err);
    if (!set || pack != !!set->pack_length) {
        g_test_message("%s", err ? error_get_pretty(err) : "no packed copy");
        error_free(err);
        return false;
    }
    packed = pack ? g_malloc(set->pack_length) : NULL;
    if (pack && !fixed_ram_working_set_read_pack(set, s->source, 0,
                                                 set->pack_length, packed,
                                                 &err)) {
        g_test_message("%s", error_get_pretty(err));
        error_free(err);
        return false;
    }
    return set->kind == FIXED_RAM_WORKING_SET_KIND_RECORDED &&
           set->time == IMAGE_SET_TIME && same_pages(file, set, touches,
                                                     packed);
}

/* All but the superblock's fields of the index, and what follows the stream. */
static bool same_stream(const SetFile *file, const GByteArray *bytes)
{
    const uint8_t *saved = file->f.img->bytes->data;
    uint64_t fields = file->f.at.superblock + 48;
    uint64_t rest = file->f.at.superblock + 68;

    return bytes->len >= file->f.at.stream_end &&
           !memcmp(bytes->data, saved, fields) &&
           !memcmp(bytes->data + rest, saved + rest,
                   file->f.at.stream_end - rest);
}

/* Another image of these bytes.  It must not outlive them. */
static Image image_of(const SetFile *file, GByteArray *bytes)
{
    Image img = *file->f.img;

    img.bytes = bytes;
    img.parent.size = bytes->len;
    return img;
}

bool set_file_names(const SetFile *file, GByteArray *bytes, const char *path)
{
    Image img = image_of(file, bytes);
    FixedRamSnapshot *s = fixed_ram_snapshot_open(&img.parent, START,
                                                  IMAGE_PAGE, NULL);
    const FixedRamIndexLayer *layer;
    bool ok;

    if (!s || !s->index->layers) {
        fixed_ram_snapshot_free(s);
        return false;
    }
    layer = fixed_ram_index_layer(s->index->layers, 1);
    ok = s->index->layers->list->len == 1 && !strcmp(layer->path, path) &&
         !memcmp(layer->id, BASE_ID, sizeof(layer->id)) &&
         layer->digest == BASE_DIGEST && layer->start == 4096 &&
         s->index->layers->map_offset == file->f.at.map &&
         !memcmp(bytes->data + file->f.at.map, own_map, sizeof(own_map));
    fixed_ram_snapshot_free(s);
    return ok;
}

bool set_file_holds(const SetFile *file, GByteArray *bytes,
                    const Touch *touches, bool pack)
{
    Image img = image_of(file, bytes);
    Fixture f = file->f;
    FixedRamSnapshot *s;
    Error *err = NULL;
    bool ok;

    f.img = &img;
    if (!same_stream(file, bytes) || !read_all(&f, &err)) {
        g_test_message("%s", err ? error_get_pretty(err)
                                 : "the stream has changed");
        error_free(err);
        return false;
    }
    s = fixed_ram_snapshot_open(&img.parent, START, IMAGE_PAGE, &error_abort);
    ok = !memcmp(s->sb.id, IMAGE_ID, 16) && !s->index->set_problem &&
         s->index->has_set == !!touches &&
         (!touches || same_set(file, s, touches, pack));
    fixed_ram_snapshot_free(s);
    return ok;
}

void set_file_expect(SetFile *file, const Touch *touches, bool pack)
{
    g_autoptr(GByteArray) bytes = set_file_bytes(file);

    g_assert_true(set_file_holds(file, bytes, touches, pack));
}
