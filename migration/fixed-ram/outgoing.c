/*
 * fixed-ram: the way of a save
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "crypto/random.h"
#include "exec/ramblock.h"
#include "exec/target_page.h"
#include "hw/boards.h"
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
#include "../qemu-file.h"
#include "format/lock.h"
#include "outgoing-bulk.h"
#include "outgoing-channel.h"
#include "save/file.h"
#include "save/page-sums.h"
#include "format/sums.h"
#include "trace.h"

/* The host is told to write after so many bytes. */
#define WRITE_BEHIND_BYTES  (32 * MiB)

/*
 * The save under way.  It is made before the migration's threads start and
 * freed after they have ended, by the main thread under the big lock; in
 * between it belongs to the migration thread.  Multifd's threads use a block's
 * sums, and what is for them here.
 */
typedef struct FixedRamSave {
    FixedRamSaveFile file;      /* its descriptor holds the lock */
    char *name;
    uint64_t lock_start;
    FixedRamChannel *channel;   /* what the stream goes to */
    FixedRamIndex *index;
    GPtrArray *sums;            /* of FixedRamSaveSums, as index->blocks */
    unsigned closed;            /* blocks of which nothing more will come */
    Error *error;               /* met where it could not be told */
    uint64_t written;           /* bytes of pages; any thread, atomic */
} FixedRamSave;

/* NULL: none is under way, or it is not ours. */
static FixedRamSave *outgoing;

static int forget_sums(RAMBlock *block, void *opaque)
{
    block->save_sums = NULL;
    return 0;
}

static void outgoing_free(void)
{
    FixedRamSave *save = g_steal_pointer(&outgoing);

    if (!save) {
        return;
    }
    qemu_ram_foreach_block(forget_sums, NULL);
    /* A descriptor of a set shares its lock with others. */
    fixed_ram_lock_release(save->file.fd, save->lock_start);
    qemu_close(save->file.fd);
    object_unref(OBJECT(save->channel));
    fixed_ram_index_free(save->index);
    g_ptr_array_unref(save->sums);
    error_free(save->error);
    g_free(save->name);
    g_free(save);
}

static void outgoing_new(int fd, const char *name, uint64_t start)
{
    FixedRamSave *save = g_new0(FixedRamSave, 1);

    save->name = g_strdup(name);
    save->file.fd = fd;
    save->file.name = save->name;
    save->lock_start = start;
    save->index = fixed_ram_index_new();
    save->index->has_sums = fixed_ram_sums_built() &&
                            migrate_fixed_ram_verify();
    save->sums = g_ptr_array_new_with_free_func(
        (GDestroyNotify)fixed_ram_save_sums_free);
    outgoing = save;
}

bool fixed_ram_outgoing_prepare(int fd, const char *name, uint64_t start,
                                Error **errp)
{
    int own;

    /* From a save that came no further than to its file. */
    outgoing_free();
    if (!migrate_fixed_ram()) {
        return true;
    }
    if (migrate_mode() == MIG_MODE_CPR_TRANSFER) {
        error_setg(errp, "fixed-ram cannot save in mode cpr-transfer, which "
                   "leaves RAM where it is");
        return false;
    }
    own = qemu_dup(fd);
    if (own < 0) {
        error_setg_errno(errp, errno, "snapshot '%s'", name);
        return false;
    }
    if (!fixed_ram_lock_exclusive(own, start, name, errp)) {
        qemu_close(own);
        return false;
    }
    outgoing_new(own, name, start);
    return true;
}

void fixed_ram_outgoing_channel(QIOChannelFile **file)
{
    if (outgoing) {
        outgoing->channel = fixed_ram_channel_new(*file);
        object_unref(OBJECT(*file));
        *file = QIO_CHANNEL_FILE(object_ref(OBJECT(outgoing->channel)));
    }
}

/* The superblock has the end of what mapped-ram leaves free. */
static void make_room(RAMBlock *block, uint64_t alignment)
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
        make_room(block, alignment);
    }
    entry.pages_offset = block->pages_offset;
    pstrcpy(entry.name, sizeof(entry.name), block->idstr);
    g_array_append_val(outgoing->index->blocks, entry);
    if (outgoing->index->has_sums && !outgoing->error) {
        block->save_sums = fixed_ram_save_sums_new(block->max_length,
                                                   page_size,
                                                   &outgoing->error);
        g_ptr_array_add(outgoing->sums, block->save_sums);
    }
}

static bool outgoing_begin(Error **errp)
{
    FixedRamSuperblock *sb = &outgoing->file.sb;

    if (outgoing->error) {
        error_propagate(errp, g_steal_pointer(&outgoing->error));
        return false;
    }
    if (qcrypto_random_bytes(sb->id, sizeof(sb->id), errp) < 0) {
        return false;
    }
    memcpy(outgoing->index->id, sb->id, sizeof(sb->id));
    sb->start = fixed_ram_channel_head(outgoing->channel)->offset;
    trace_fixed_ram_save_begin(outgoing->name, outgoing->file.sb_offset);
    return fixed_ram_save_file_begin(&outgoing->file, errp);
}

bool fixed_ram_outgoing_begin(Error **errp)
{
    bool ok;

    /* A machine without RAM has no pages either that could be cut off. */
    if (!outgoing || !outgoing->file.sb_offset) {
        return true;
    }
    /* The guest runs, and the disk may take its time. */
    bql_unlock();
    ok = outgoing_begin(errp);
    bql_lock();
    if (ok) {
        fixed_ram_save_bulk_prepare(&outgoing->file);
    }
    return ok;
}

/*
 * In the end the guest is stopped until all is on disk.  So that this does not
 * take long the host shall begin now, not when it thinks that it must.
 */
static void write_behind(size_t length)
{
    uint64_t before = qatomic_fetch_add(&outgoing->written, length);

    if (before / WRITE_BEHIND_BYTES != (before + length) / WRITE_BEHIND_BYTES) {
        /* If it fails, so will waiting for it. */
        sync_file_range(outgoing->file.fd, 0, 0, SYNC_FILE_RANGE_WRITE);
    }
}

/* A copy of @mem to write in its place, or @mem itself; see sum_written(). */
static uint8_t *what_to_write(RAMBlock *block, uint64_t offset, uint8_t *mem,
                              size_t length)
{
    return block->save_sums && runstate_is_live(runstate_get())
        ? fixed_ram_save_sums_copy(block->save_sums, offset, mem, length)
        : mem;
}

/*
 * The write has brought the guest's memory into the CPU's cache: sums cost
 * least now.  A copy has been summed when it was made.
 */
static void sum_written(RAMBlock *block, uint64_t offset, const uint8_t *mem,
                        const uint8_t *written, size_t length)
{
    if (block->save_sums && written == mem) {
        fixed_ram_save_sums_add(block->save_sums, offset, mem, length);
    }
    write_behind(length);
}

bool fixed_ram_outgoing_page(QEMUFile *f, RAMBlock *block, uint64_t offset)
{
    uint8_t *mem = block->host + offset, *buf;
    size_t length = qemu_target_page_size();

    if (!outgoing) {
        return false;
    }
    buf = what_to_write(block, offset, mem, length);
    qemu_put_buffer_at(f, buf, length, block->pages_offset + offset);
    sum_written(block, offset, mem, buf, length);
    return true;
}

/* Short writes go on, as they do elsewhere. */
static bool write_pages(QIOChannel *ioc, const uint8_t *buf, size_t length,
                        uint64_t offset, Error **errp)
{
    while (length) {
        ssize_t ret = qio_channel_pwrite(ioc, (char *)buf, length, offset,
                                         errp);

        if (ret <= 0) {
            if (ret == QIO_CHANNEL_ERR_BLOCK) {
                error_setg(errp, "offset 0x%" PRIx64 ": writing would block",
                           offset);
            }
            return false;
        }
        buf += ret;
        length -= ret;
        offset += ret;
    }
    return true;
}

ssize_t fixed_ram_outgoing_pages(QIOChannel *ioc, RAMBlock *block,
                                 const struct iovec *iov, size_t niov,
                                 Error **errp)
{
    uint8_t *mem = iov->iov_base;
    uint64_t offset = mem - block->host;
    size_t length = iov_size(iov, niov);

    if (!outgoing) {
        return 0;
    }
    for (size_t at = 0; at < length; at += FIXED_RAM_SAVE_COPY_BYTES) {
        size_t n = MIN(length - at, FIXED_RAM_SAVE_COPY_BYTES);
        uint8_t *buf = what_to_write(block, offset + at, mem + at, n);

        if (!write_pages(ioc, buf, n, block->pages_offset + offset + at,
                         errp)) {
            return -1;
        }
        sum_written(block, offset + at, mem + at, buf, n);
    }
    return length;
}

static void close_block(FixedRamIndexBlock *entry, RAMBlock *block)
{
    entry->pages = bitmap_count_one(block->file_bmap,
                                    entry->length / entry->page_size);
    if (block->save_sums) {
        uint64_t length = fixed_ram_ramsection_bitmap_bytes(entry->length,
                                                            entry->page_size);

        entry->bitmap_sum = fixed_ram_sums_get(block->file_bmap, length);
        fixed_ram_save_sums_close(block->save_sums, block->file_bmap,
                                  entry->length);
        block->save_sums = NULL;
    }
    outgoing->closed++;
}

void fixed_ram_outgoing_bitmap(RAMBlock *block)
{
    for (size_t i = 0; outgoing && i < outgoing->index->blocks->len; i++) {
        FixedRamIndexBlock *entry = fixed_ram_index_block(outgoing->index, i);

        if (g_str_equal(entry->name, block->idstr)) {
            close_block(entry, block);
            return;
        }
    }
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

/* Were all bytes seen that are not pages?  A way past us would break sums. */
static bool describe_stream(FixedRamIndex *index, Error **errp)
{
    FixedRamIndexBlock *first = fixed_ram_index_block(index, 0);
    FixedRamIndexBlock *last =
        fixed_ram_index_block(index, index->blocks->len - 1);

    index->head = *fixed_ram_channel_head(outgoing->channel);
    index->tail = fixed_ram_channel_tail(outgoing->channel);
    if (index->head.offset + index->head.length != first->bitmap_offset ||
        index->tail.offset != last->pages_offset + last->length ||
        outgoing->closed != index->blocks->len) {
        error_setg(errp, "snapshot '%s': the stream was not written as "
                   "expected", outgoing->name);
        return false;
    }
    return true;
}

static bool outgoing_finish(QEMUFile *f, Error **errp)
{
    FixedRamIndex *index = outgoing->index;
    uint64_t end;

    describe_machine(index);
    if (!describe_stream(index, errp)) {
        return false;
    }
    end = index->tail.offset + index->tail.length;
    if (!fixed_ram_save_file_index(&outgoing->file, index, outgoing->sums,
                                   end, errp) ||
        !fixed_ram_save_file_sync(&outgoing->file, errp)) {
        return false;
    }
    trace_fixed_ram_save_finish(outgoing->name, end,
                                outgoing->file.sb.index_offset,
                                outgoing->file.sb.index_length);
    /* That may have taken a while: was it cancelled? */
    return qemu_file_get_error(f) ||
           fixed_ram_save_file_complete(&outgoing->file, errp);
}

void fixed_ram_outgoing_finish(QEMUFile *f)
{
    Error *err = NULL;

    if (outgoing && outgoing->file.sb_offset && !qemu_fflush(f) &&
        !outgoing_finish(f, &err)) {
        qemu_file_set_error_obj(f, -EIO, err);
    }
}

static int outgoing_event(NotifierWithReturn *notifier, MigrationEvent *e,
                          Error **errp)
{
    if (outgoing && e->type == MIG_EVENT_PRECOPY_FAILED) {
        /* Cancelled in the very last moment. */
        fixed_ram_save_file_revoke(&outgoing->file);
    }
    if (e->type != MIG_EVENT_PRECOPY_SETUP) {
        outgoing_free();
    }
    return 0;
}

static void outgoing_watch(void)
{
    static NotifierWithReturn notifiers[MIG_MODE__MAX];

    for (MigMode mode = 0; mode < MIG_MODE__MAX; mode++) {
        migration_add_notifier_mode(&notifiers[mode], outgoing_event, mode);
    }
}

migration_init(outgoing_watch);
