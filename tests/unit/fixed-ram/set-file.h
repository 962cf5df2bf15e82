/*
 * fixed-ram: a small snapshot in a file that is changed in place, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_FIXED_RAM_SET_FILE_H
#define TESTS_UNIT_FIXED_RAM_SET_FILE_H

#include "migration/fixed-ram/format/working-set-write.h"
#include "indexed.h"

/* Pages that the guest touches one after the other. */
typedef struct Touch {
    unsigned block;
    uint64_t first;
    uint32_t pages;
} Touch;

#define TOUCHES_END     UINT_MAX        /* the block of a list's last entry */

typedef struct SetFile {
    Fixture f;                  /* the snapshot as it was saved */
    char *dir;
    char *path;
    FixedRamSnapshot *s;        /* reads from the file */
} SetFile;

/** set_file_setup(): write a snapshot to a file, and open it */
void set_file_setup(SetFile *file, const ImageIndexOptions *o);

/**
 * set_file_setup_delta(): the same with a delta
 *
 * All of its clusters are its own, so that its only layer need not be there.
 *
 * @path: of that layer
 */
void set_file_setup_delta(SetFile *file, const char *path);
void set_file_teardown(SetFile *file);

/** set_file_reopen(): close and open the file, to see what it holds now */
void set_file_reopen(SetFile *file);

/** set_file_size(): the file's length in bytes */
uint64_t set_file_size(const SetFile *file);

/** set_file_bytes(): all that the file holds; the caller frees it */
GByteArray *set_file_bytes(const SetFile *file);

/** set_file_put(): replace all that the file holds */
void set_file_put(const SetFile *file, const GByteArray *bytes);

/** set_of(): a recorded set of these pages; the caller frees it */
FixedRamWorkingSet *set_of(const Touch *touches);

/** set_file_write(): give the file a set of these pages */
bool set_file_write(SetFile *file, const Touch *touches, bool pack,
                    Error **errp);

/** set_file_move(): give the delta another path of its layer */
bool set_file_move(SetFile *file, const char *path, Error **errp);

/* A change of the file, which may fail. */
typedef bool SetFileChange(SetFile *file, Error **errp);

/** set_file_expect_busy(): @change fails, since another one is under way */
void set_file_expect_busy(SetFile *file, SetFileChange *change);

/** set_file_names(): do these bytes hold the delta, and this path? */
bool set_file_names(const SetFile *file, GByteArray *bytes, const char *path);

/**
 * set_file_holds(): do these bytes hold the snapshot, and this set?
 *
 * @touches: NULL: no set
 *
 * The set has those of its pages that exist, each of them the first time, and a
 * packed copy of all that have data if @pack.  The stream must be as it was
 * saved.  Prints what is wrong.
 */
bool set_file_holds(const SetFile *file, GByteArray *bytes,
                    const Touch *touches, bool pack);

/** set_file_expect(): the file holds this set */
void set_file_expect(SetFile *file, const Touch *touches, bool pack);

#endif
