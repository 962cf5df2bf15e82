/*
 * fixed-ram: what a fuzzer's bytes stand for
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_FUZZ_FIXED_RAM_INPUT_H
#define TESTS_FUZZ_FIXED_RAM_INPUT_H

#include "migration/fixed-ram/format/source.h"

/*
 * A head of INPUT_HEAD bytes, then the file:
 *
 *   be64 where the stream begins, the offset= of a URI
 *   u8   flags, INPUT_...
 *   u8   how many loaders
 *   u8   what goes wrong when the file is read, InputFault
 *   u8   after so many good reads
 *   u8   with so many sources, one after the other
 *   u8   the order in which pages are touched
 *   be16 pages of the hole
 *   be32 where in the file the hole is
 *
 * The hole's content is not in the input but made up, so that inputs stay
 * small where files are large.
 */
#define INPUT_HEAD          20

#define INPUT_ON_DEMAND     0x01
#define INPUT_RUNS_EARLY    0x02    /* the guest runs before anything is read */
#define INPUT_RUNS_LATE     0x04    /* it starts when threads are at work */
#define INPUT_METADATA      0x08    /* reads of metadata fail, too */
#define INPUT_PAUSE         0x10    /* the user pauses the load */
#define INPUT_UNITS         0x20    /* on demand, several pages come at once */
#define INPUT_UNVERIFIED    0x40    /* checksums are not verified */
#define INPUT_RECORD        0x80    /* on demand, first touches are recorded */

typedef enum InputFault {
    FAULT_NONE,
    FAULT_EIO,
    FAULT_ESTALE,
    FAULT_SHORT,                /* a read brings less than asked for */
    FAULT_SHRUNK,               /* the file ends where the read begins */
    FAULT_ROT,                  /* a read brings what is not in the file */
    FAULTS,
} InputFault;

#define INPUT_NAME          "fuzz.img"
#define INPUT_PAGE          4096ULL

typedef struct Input {
    const char *name;           /* INPUT_NAME, or the name of a layer */
    uint64_t start;
    uint8_t flags;
    unsigned loaders;
    InputFault fault;
    unsigned good_reads;
    unsigned bad_sources;
    uint8_t order;
    uint64_t hole_at, hole_end; /* in the file; empty if they are equal */
    const uint8_t *bytes;       /* the file without its hole */
    uint64_t size;              /* of the file, its hole included */
    /*
     * Not in the input: readers detect FAULT_ROT; without this there is none.
     */
    bool verified;
} Input;

/** input_parse(): look at @data, which @in refers to from then on. */
bool input_parse(Input *in, const uint8_t *data, size_t size);

/**
 * input_read(): bytes of the file, as if nothing ever went wrong
 *
 * Returns how many there are, fewer than @length only at the file's end.
 */
size_t input_read(const Input *in, void *buf, size_t length, uint64_t offset);

/** input_write(): write all of it to a file; holes are data there */
void input_write(const Input *in, const char *path);

/** input_take_faults(): have @in go wrong in the way of @other */
void input_take_faults(Input *in, const Input *other);

/**
 * input_source(): a source of these bytes without faults
 *
 * Its path leads into the folder of folder.h.  @in may go, its bytes may not.
 */
FixedRamSource *input_source(const Input *in);

/** input_sources_open(): how many there are at present. */
unsigned input_sources_open(void);

/**
 * input_bad_source(): a source that has the faults which the head asks for
 *
 * @faults: counts them; outlives the source; atomic
 */
FixedRamSource *input_bad_source(const Input *in, unsigned *faults);

#endif
