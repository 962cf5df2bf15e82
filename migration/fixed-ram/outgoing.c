/*
 * fixed-ram: an outgoing migration to a snapshot
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "crypto/random.h"
#include "migration/fixed-ram.h"
#include "migration/misc.h"
#include "qapi/error.h"
#include "qemu/atomic.h"
#include "qemu/bitmap.h"
#include "qemu/cutils.h"
#include "qemu/iov.h"
#include "qemu/module.h"
#include "qemu/units.h"
#include "qemu-version.h"
#include "system/runstate.h"
#include "system/system.h"
#include "../options.h"
#include "../qemu-file.h"
#include "compat.h"
#include "format/lock.h"
#include "machine-options.h"
#include "outgoing-bulk.h"
#include "outgoing-channel.h"
#include "outgoing-delta.h"
#include "outgoing-live.h"
#include "save/guess.h"
#include "save/metadata.h"
#include "save/page-sums.h"
#include "save/populated.h"
#include "settings.h"
#include "format/sums.h"
#include "trace.h"
#include "util/io.h"
#include "util/sparse.h"

/* Every N bytes of pages the kernel is told to write them to disk. */
#define WRITE_BEHIND_BYTES  (32 * MiB)

/*
 * The save under way.  The main thread creates it under the big lock before the
 * migration thread and the threads of multifd start, and frees it under the big
 * lock after all of them have ended.
 */
typedef struct Save {
    /* Fixed before the threads start; any thread reads them */
    char *name;                 /* the file, for messages */
    uint64_t lock_start;        /* where the lock of the file begins */

    /* The migration thread's, while it runs */
    FixedRamMetadata file;      /* its descriptor holds the lock */
    FixedRamOutgoingChannel *channel;   /* the stream is written to it */
    FixedRamIndex *index;
    GPtrArray *sums;            /* FixedRamPageSums, as index->blocks */
    FixedRamGuess *guess;       /* NULL: no working set is guessed */
    unsigned closed;            /* blocks whose bitmap is final */
    Error *error;               /* found where no error can be returned */

    /* Any thread, atomic */
    uint64_t written;           /* bytes of pages */
} Save;

/* NULL: no save is under way, or it is not a save of fixed-ram. */
static Save *outgoing;

/* Called by the migration thread under the big lock. */
static int precopy_event(NotifierWithReturn *notifier, void *data, Error **errp)
{
    PrecopyNotifyData *event = data;

    if (outgoing->guess && event->reason == PRECOPY_NOTIFY_AFTER_BITMAP_SYNC) {
        fixed_ram_guess_round(outgoing->guess,
                              runstate_is_live(runstate_get()));
    }
    return 0;
}

static NotifierWithReturn precopy_notifier = { .notify = precopy_event };

static void forget_sums(void)
{
    RAMBlock *block;

    RCU_READ_LOCK_GUARD();
    RAMBLOCK_FOREACH_MIGRATABLE(block) {
        block->page_sums = NULL;
    }
}

static void outgoing_free(void)
{
    Save *save = g_steal_pointer(&outgoing);

    if (!save) {
        return;
    }
    precopy_remove_notifier(&precopy_notifier);
    fixed_ram_outgoing_live_free();
    forget_sums();
    /*
     * Descriptors of one fdset share an open file description, so closing ours
     * does not drop the lock.
     */
    fixed_ram_lock_release(save->file.fd, save->lock_start);
    qemu_close(save->file.fd);
    fixed_ram_outgoing_delta_close();
    object_unref(OBJECT(save->channel));
    fixed_ram_index_free(save->index);
    g_ptr_array_unref(save->sums);
    fixed_ram_guess_free(save->guess);
    error_free(save->error);
    g_free(save->name);
    g_free(save);
}

static void outgoing_new(int fd, const char *name, uint64_t start,
                         const uint8_t *id)
{
    const FixedRamDelta *delta = fixed_ram_outgoing_delta();
    Save *save = g_new0(Save, 1);

    save->name = g_strdup(name);
    save->file.fd = fd;
    save->file.name = save->name;
    save->file.delta = delta;
    memcpy(save->file.sb.id, id, FIXED_RAM_ID_BYTES);
    save->lock_start = start;
    save->index = fixed_ram_index_new();
    memcpy(save->index->id, id, FIXED_RAM_ID_BYTES);
    fixed_ram_index_choose_key(save->index, delta
                               ? fixed_ram_delta_base(delta)->index : NULL);
    save->index->has_sums = fixed_ram_sums_built() &&
                            migrate_fixed_ram_verify();
    save->sums = g_ptr_array_new_with_free_func(
        (GDestroyNotify)fixed_ram_page_sums_free);
    if (fixed_ram_sums_built() && fixed_ram_settings_working_set()) {
        save->guess = fixed_ram_guess_new();
    }
    if (fixed_ram_settings_describe()) {
        save->index->options = fixed_ram_machine_options();
    }
    outgoing = save;
    precopy_add_notifier(&precopy_notifier);
}

bool fixed_ram_outgoing_prepare(int fd, const char *name, uint64_t start,
                                Error **errp)
{
    uint8_t id[FIXED_RAM_ID_BYTES];
    int own;

    if (!migrate_fixed_ram()) {
        return true;
    }
    if (migrate_mode() == MIG_MODE_CPR_TRANSFER) {
        error_setg(errp, "fixed-ram cannot save in mode cpr-transfer, which "
                   "leaves RAM where it is");
        return false;
    }
    if (qcrypto_random_bytes(id, sizeof(id), errp) < 0) {
        return false;
    }
    if (fixed_ram_outgoing_live_wanted() &&
        !fixed_ram_outgoing_live_check(errp)) {
        return false;
    }
    if (!fixed_ram_outgoing_channel_try(name, errp)) {
        return false;
    }
    own = qemu_dup(fd);
    if (own < 0) {
        error_setg_errno(errp, errno, "snapshot '%s': cannot duplicate its "
                         "descriptor", name);
        return false;
    }
    if (!fixed_ram_outgoing_delta_open(own, name, errp) ||
        !fixed_ram_lock_exclusive(own, start, name, errp)) {
        fixed_ram_outgoing_delta_close();
        qemu_close(own);
        return false;
    }
    outgoing_new(own, name, start, id);
    return true;
}

void fixed_ram_outgoing_release(void)
{
    if (outgoing) {
        /* The user may cancel after the snapshot was marked as complete. */
        fixed_ram_metadata_revoke(&outgoing->file);
    }
    outgoing_free();
}

void fixed_ram_outgoing_wrap_channel(QIOChannelFile **file)
{
    if (outgoing) {
        outgoing->channel = fixed_ram_outgoing_channel_new(*file,
                                                           outgoing->name);
        object_unref(OBJECT(*file));
        *file = QIO_CHANNEL_FILE(object_ref(OBJECT(outgoing->channel)));
    }
}

/*
 * The superblock lies at the end of the space that mapped-ram leaves between
 * the bitmap and the pages.
 */
static void reserve_superblock(RAMBlock *block, uint64_t alignment)
{
    uint64_t bitmap_end = block->bitmap_offset +
        fixed_ram_ramsection_bitmap_bytes(block->used_length,
                                          qemu_target_page_size());

    block->pages_offset = ROUND_UP(bitmap_end + FIXED_RAM_SUPERBLOCK_BYTES,
                                   alignment);
    outgoing->file.sb_offset =
        fixed_ram_superblock_offset(block->pages_offset);
}

void fixed_ram_outgoing_block(RAMBlock *block, uint64_t alignment)
{
    size_t page_size = qemu_target_page_size();
    FixedRamIndexBlock entry = {
        .length = block->used_length,
        .page_size = page_size,
        .bitmap_offset = block->bitmap_offset,
    };

    if (!outgoing) {
        return;
    }
    if (!outgoing->file.sb_offset) {
        reserve_superblock(block, alignment);
    }
    entry.pages_offset = block->pages_offset;
    pstrcpy(entry.name, sizeof(entry.name), block->idstr);
    g_array_append_val(outgoing->index->blocks, entry);
    if (outgoing->file.delta) {
        fixed_ram_delta_add_block(fixed_ram_outgoing_delta(), entry.name,
                                  entry.length);
    }
    if (outgoing->guess) {
        fixed_ram_guess_add_block(outgoing->guess, block);
    }
    if (outgoing->index->has_sums && !outgoing->error) {
        block->page_sums =
            fixed_ram_page_sums_new(block->max_length, page_size,
                                    outgoing->index->table.key,
                                    &outgoing->error);
        g_ptr_array_add(outgoing->sums, block->page_sums);
    }
}

static bool outgoing_begin(Error **errp)
{
    FixedRamSuperblock *sb = &outgoing->file.sb;

    if (outgoing->error) {
        error_propagate(errp, g_steal_pointer(&outgoing->error));
        return false;
    }
    sb->start = fixed_ram_outgoing_channel_head(outgoing->channel)->offset;
    trace_fixed_ram_outgoing_begin(outgoing->name, outgoing->file.sb_offset);
    return fixed_ram_metadata_begin(&outgoing->file, errp) &&
           (!fixed_ram_outgoing_live_wanted() ||
            fixed_ram_outgoing_live_begin(errp));
}

bool fixed_ram_outgoing_begin(Error **errp)
{
    bool ok;

    /* A machine without RAM has no blocks and so no superblock. */
    if (!outgoing || !outgoing->file.sb_offset) {
        return true;
    }
    /* The guest runs and needs the big lock; the disk may be slow. */
    bql_unlock();
    ok = outgoing_begin(errp);
    bql_lock();
    if (ok) {
        fixed_ram_outgoing_bulk_prepare(&outgoing->file,
                                        fixed_ram_outgoing_live_get());
    }
    return ok;
}

/*
 * The guest is stopped at the end until everything is on disk.  The pause stays
 * short if the kernel begins to write now, not only when memory is scarce.
 */
static void write_behind(size_t length)
{
    uint64_t before = qatomic_fetch_add(&outgoing->written, length);

    if (before / WRITE_BEHIND_BYTES != (before + length) / WRITE_BEHIND_BYTES) {
        /* Only a hint: a write that fails is found by the sync at the end. */
        sync_file_range(outgoing->file.fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    }
}

/*
 * Bytes to write for the pages at @mem.  While the guest runs and checksums are
 * taken these are a copy, whose checksums are recorded (*@summed becomes true).
 * Otherwise it is @mem itself.
 */
static uint8_t *stable_copy(RAMBlock *block, uint64_t offset, uint8_t *mem,
                            size_t length, bool *summed)
{
    *summed = block->page_sums && runstate_is_live(runstate_get());
    return *summed ? fixed_ram_page_sums_copy(block->page_sums, offset, mem,
                                              length)
                   : mem;
}

/* After the write the pages are in the cache of the CPU: sums cost least. */
static void record_sums(RAMBlock *block, uint64_t offset, const uint8_t *mem,
                        size_t length)
{
    if (block->page_sums) {
        fixed_ram_page_sums_add(block->page_sums, offset, mem, length);
    }
}

void fixed_ram_outgoing_visit(RAMBlock *block, uint64_t page)
{
    if (outgoing && outgoing->guess) {
        fixed_ram_guess_visit(outgoing->guess, block, page);
    }
}

bool fixed_ram_outgoing_page(QEMUFile *f, RAMBlock *block, uint64_t offset)
{
    uint8_t *mem = block->host + offset, *buf;
    size_t length = qemu_target_page_size();
    bool summed;

    if (!outgoing) {
        return false;
    }
    fixed_ram_outgoing_delta_written(block, offset, length);
    buf = stable_copy(block, offset, mem, length, &summed);
    qemu_put_buffer_at(f, buf, length, block->pages_offset + offset);
    if (!summed) {
        record_sums(block, offset, mem, length);
    }
    write_behind(length);
    return true;
}

/* Write pages that follow each other, at most as many as a copy can hold. */
static bool write_pages(int fd, RAMBlock *block, uint64_t offset, size_t length,
                        Error **errp)
{
    uint8_t *mem = block->host + offset, *buf;
    bool summed;
    int ret;

    buf = stable_copy(block, offset, mem, length, &summed);
    ret = fixed_ram_write_full(fd, buf, length, block->pages_offset + offset);
    if (ret < 0) {
        error_setg_errno(errp, -ret, "snapshot '%s': block '%s' offset 0x%"
                         PRIx64 ": cannot write 0x%zx bytes", outgoing->name,
                         block->idstr, offset, length);
        return false;
    }
    if (!summed) {
        record_sums(block, offset, mem, length);
    }
    write_behind(length);
    return true;
}

ssize_t fixed_ram_outgoing_pages(QIOChannel *ioc, RAMBlock *block,
                                 const struct iovec *iov, size_t niov,
                                 Error **errp)
{
    uint64_t offset = (uint8_t *)iov->iov_base - block->host;
    size_t length = iov_size(iov, niov);

    if (!outgoing) {
        return 0;
    }
    fixed_ram_outgoing_delta_written(block, offset, length);
    for (size_t at = 0; at < length; at += FIXED_RAM_PAGE_SUMS_COPY_BYTES) {
        size_t n = MIN(length - at, FIXED_RAM_PAGE_SUMS_COPY_BYTES);

        if (!write_pages(QIO_CHANNEL_FILE(ioc)->fd, block, offset + at, n,
                         errp)) {
            return -1;
        }
    }
    return length;
}

/* Only what is not zero: the file has a hole there. */
static void write_bitmap(QEMUFile *f, const RAMBlock *block,
                         const unsigned long *parts, uint64_t bytes)
{
    size_t from, end = 0;

    while (fixed_ram_sparse_next_bytes(parts, bytes, end, &from, &end)) {
        qemu_put_buffer_at(f, (uint8_t *)block->file_bmap + from, end - from,
                           block->bitmap_offset + from);
    }
}

static bool write_own_pages(RAMBlock *block, uint64_t offset, size_t length,
                            Error **errp)
{
    return write_pages(outgoing->file.fd, block, offset, length, errp);
}

static void close_block(FixedRamIndexBlock *entry, RAMBlock *block,
                        const unsigned long *parts, uint64_t bytes)
{
    size_t from, end = 0;

    while (fixed_ram_sparse_next_bytes(parts, bytes, end, &from, &end)) {
        entry->pages += bitmap_count_one_with_offset(block->file_bmap, from * 8,
                                                     (end - from) * 8);
    }
    if (block->page_sums) {
        entry->bitmap_sum = fixed_ram_sums_sparse(block->file_bmap, parts,
                                                  bytes);
        fixed_ram_page_sums_close(block->page_sums, block->file_bmap, parts,
                                  entry->length);
        block->page_sums = NULL;
    }
    outgoing->closed++;
}

bool fixed_ram_outgoing_bitmap(QEMUFile *f, RAMBlock *block)
{
    for (size_t i = 0; outgoing && i < outgoing->index->blocks->len; i++) {
        FixedRamIndexBlock *entry = fixed_ram_index_block(outgoing->index, i);

        if (g_str_equal(entry->name, block->idstr)) {
            uint64_t bytes =
                fixed_ram_ramsection_bitmap_bytes(entry->length,
                                                  entry->page_size);
            g_autofree unsigned long *parts =
                fixed_ram_populated_parts(block->file_bmap, bytes);
            Error *err = NULL;

            if (!fixed_ram_outgoing_delta_complete(block, write_own_pages,
                                                   &err)) {
                qemu_file_set_error_obj(f, -EIO, err);
            }
            write_bitmap(f, block, parts, bytes);
            if (outgoing->guess) {
                fixed_ram_guess_close(outgoing->guess, i, block->file_bmap,
                                      entry->length / entry->page_size);
            }
            close_block(entry, block, parts, bytes);
            return true;
        }
    }
    return false;
}

/*
 * Does the file hold nothing in the place of a page whose bit is clear?  It was
 * empty at first.  Savers write a page once, and a bit that was cleared since
 * is missing in the sum.  Of pages that were written in another way, some may
 * have become zero later.  What a delta leaves to its base has the same zero
 * pages there, so the base decides about them.
 */
static bool is_clean(const FixedRamIndex *index)
{
    uint64_t pages = 0;

    for (size_t i = 0; i < index->blocks->len; i++) {
        pages += fixed_ram_index_block(index, i)->pages;
    }
    return !qatomic_read(&outgoing->written) &&
           pages == fixed_ram_outgoing_bulk_data_pages();
}

static void describe_machine(FixedRamIndex *index)
{
    FixedRamIndexMachine *machine = &index->machine;

    index->has_machine = true;
    machine->type = g_strdup(MACHINE_GET_CLASS(current_machine)->name);
    machine->version = g_strdup(QEMU_VERSION);
    machine->name = g_strdup(qemu_get_vm_name() ?: "");
    if (qemu_uuid_set) {
        memcpy(machine->uuid, qemu_uuid.data, sizeof(machine->uuid));
    }
    machine->time = g_get_real_time() / G_USEC_PER_SEC;
    machine->ram_bytes = current_machine->ram_size;
}

/*
 * Check that the channel saw every byte outside RAM pages; otherwise the sums
 * of head and tail are wrong.
 */
static bool describe_stream(FixedRamIndex *index, Error **errp)
{
    FixedRamIndexBlock *first = fixed_ram_index_block(index, 0);
    FixedRamIndexBlock *last =
        fixed_ram_index_block(index, index->blocks->len - 1);

    index->head = *fixed_ram_outgoing_channel_head(outgoing->channel);
    index->tail = fixed_ram_outgoing_channel_tail(outgoing->channel);
    if (index->head.offset + index->head.length != first->bitmap_offset ||
        index->tail.offset != last->pages_offset + last->length ||
        outgoing->closed != index->blocks->len) {
        error_setg(errp, "snapshot '%s': cannot write the index: the stream's "
                   "head ends at 0x%" PRIx64 " and its tail begins at 0x%"
                   PRIx64 ", with %u of %u bitmaps written, expected 0x%"
                   PRIx64 ", 0x%" PRIx64 " and all bitmaps", outgoing->name,
                   index->head.offset + index->head.length, index->tail.offset,
                   outgoing->closed, index->blocks->len, first->bitmap_offset,
                   last->pages_offset + last->length);
        return false;
    }
    return true;
}

/* NULL: there is no guess.  The caller frees the result. */
static FixedRamWorkingSet *guessed_set(void)
{
    FixedRamWorkingSet *set = NULL;
    uint64_t pages = 0;

    for (size_t i = 0; i < outgoing->index->blocks->len; i++) {
        pages += fixed_ram_index_block(outgoing->index, i)->pages;
    }
    if (outgoing->guess) {
        set = fixed_ram_guess_end(outgoing->guess, pages);
    }
    if (set) {
        trace_fixed_ram_outgoing_guess(outgoing->name, set->pages,
                                       set->runs->len, pages);
    }
    return set;
}

static bool outgoing_finish(QEMUFile *f, Error **errp)
{
    g_autoptr(FixedRamWorkingSet) set = NULL;
    FixedRamIndex *index = outgoing->index;
    uint64_t end;

    describe_machine(index);
    if (!describe_stream(index, errp)) {
        return false;
    }
    set = guessed_set();
    index->clean = is_clean(index);
    end = index->tail.offset + index->tail.length;
    if (!fixed_ram_metadata_write_index(&outgoing->file, index, outgoing->sums,
                                        set, end, errp) ||
        !fixed_ram_metadata_sync(&outgoing->file, errp)) {
        return false;
    }
    trace_fixed_ram_outgoing_finish(outgoing->name, end,
                                outgoing->file.sb.index_offset,
                                outgoing->file.sb.index_length);
    /* The user may have cancelled the migration during the sync. */
    return qemu_file_get_error(f) ||
           fixed_ram_metadata_complete(&outgoing->file, errp);
}

void fixed_ram_outgoing_finish(QEMUFile *f)
{
    Error *err = NULL;

    if (outgoing && outgoing->file.sb_offset && !qemu_fflush(f) &&
        !outgoing_finish(f, &err)) {
        qemu_file_set_error_obj(f, -EIO, err);
    }
}

static int on_migration(NotifierWithReturn *n, MigrationEvent *e, Error **errp)
{
    if (fixed_ram_outgoing_undone(e)) {
        fixed_ram_outgoing_release();
    } else if (e->type == MIG_EVENT_PRECOPY_DONE) {
        outgoing_free();
    }
    return 0;
}

static void outgoing_watch(void)
{
    static NotifierWithReturn notifiers[MIG_MODE__MAX];

    for (MigMode mode = 0; mode < MIG_MODE__MAX; mode++) {
        migration_add_notifier_mode(&notifiers[mode], on_migration, mode);
    }
}

migration_init(outgoing_watch);
