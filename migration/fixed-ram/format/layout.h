/*
 * fixed-ram: superblock and index as they lie in the file
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_LAYOUT_H
#define MIGRATION_FIXED_RAM_FORMAT_LAYOUT_H

#include "qemu/crc32c.h"
#include "qemu/units.h"

/*
 * docs/interop/fixed-ram.rst says what the fields mean.  All numbers are
 * little-endian.
 */

#define FIXED_RAM_ID_BYTES          16  /* random bytes, new with each save */
#define FIXED_RAM_SUPERBLOCK_BYTES  4096

#define SUPERBLOCK_MAGIC            "QEMUFXRM"
#define SUPERBLOCK_VERSION          1
#define SUPERBLOCK_BEING_WRITTEN    1
#define SUPERBLOCK_COMPLETE         2

typedef struct QEMU_PACKED DiskSuperblock {
    uint8_t magic[8];
    uint32_t version;
    uint32_t state;
    uint8_t id[FIXED_RAM_ID_BYTES];
    uint64_t start;
    uint64_t stream_end;
    uint64_t index_offset;
    uint64_t index_length;
    uint32_t index_crc;
    uint8_t zero[4024];
    uint32_t crc;               /* of all bytes before it */
} DiskSuperblock;

QEMU_BUILD_BUG_ON(sizeof(DiskSuperblock) != FIXED_RAM_SUPERBLOCK_BYTES);
QEMU_BUILD_BUG_ON(offsetof(DiskSuperblock, id) != 16);
QEMU_BUILD_BUG_ON(offsetof(DiskSuperblock, start) != 32);
QEMU_BUILD_BUG_ON(offsetof(DiskSuperblock, stream_end) != 40);
QEMU_BUILD_BUG_ON(offsetof(DiskSuperblock, index_offset) != 48);
QEMU_BUILD_BUG_ON(offsetof(DiskSuperblock, index_length) != 56);
QEMU_BUILD_BUG_ON(offsetof(DiskSuperblock, index_crc) != 64);
QEMU_BUILD_BUG_ON(offsetof(DiskSuperblock, zero) != 68);
QEMU_BUILD_BUG_ON(offsetof(DiskSuperblock, crc) != 4092);

/* The part of a superblock that an append changes: one sector of any disk. */
#define SUPERBLOCK_CHANGES  512
QEMU_BUILD_BUG_ON(offsetof(DiskSuperblock, zero) > SUPERBLOCK_CHANGES);

#define INDEX_MAGIC         "QFXRINDX"
#define INDEX_VERSION       1
#define INDEX_ALIGNMENT     4096    /* of its offset in the file */
#define INDEX_PADDING       8       /* sections and names are filled up to */
/*
 * A reader has all of the index in memory to check its CRC.  Nearly all of it
 * are the sums of chunks, 8 bytes for 32 MiB of RAM: this is enough for 60 TiB.
 */
#define INDEX_MAX           (16 * MiB)
#define INDEX_STRING_MAX    4096

typedef struct QEMU_PACKED IndexHeader {
    uint8_t magic[8];
    uint32_t version;
    uint32_t sections;
    uint8_t id[FIXED_RAM_ID_BYTES];
} IndexHeader;

QEMU_BUILD_BUG_ON(sizeof(IndexHeader) != 32);

typedef enum SectionType {
    SECTION_MACHINE = 1,
    SECTION_BLOCKS,
    SECTION_STREAM,
    SECTION_SUMS,
    SECTION_LAYERS,
    SECTION_WORKING_SET,
    SECTION_ENCRYPTION,         /* reserved */
    SECTION_SPACE,
    SECTION_CLEAN,              /* has no fields */
    SECTION_OPTIONS,
    SECTION_TYPES,
} SectionType;

/* A reader that does not know the section's type must refuse the snapshot. */
#define SECTION_REQUIRED    1

typedef struct QEMU_PACKED SectionHeader {
    uint32_t type;
    uint32_t flags;
    uint64_t length;            /* bytes that follow, without padding */
} SectionHeader;

QEMU_BUILD_BUG_ON(sizeof(SectionHeader) != 16);

/* Three strings follow: le32 length, bytes. */
typedef struct QEMU_PACKED MachineFields {
    uint64_t time;
    uint64_t ram_bytes;
    uint8_t uuid[16];
} MachineFields;

QEMU_BUILD_BUG_ON(sizeof(MachineFields) != 32);

/* The start of every section that has entries. */
typedef struct QEMU_PACKED CountFields {
    uint32_t count;
    uint32_t zero;
} CountFields;

QEMU_BUILD_BUG_ON(sizeof(CountFields) != 8);

/* The name and padding follow. */
typedef struct QEMU_PACKED BlockFields {
    uint64_t length;
    uint64_t page_size;
    uint64_t bitmap_offset;
    uint64_t pages_offset;
    uint64_t pages;
    uint32_t name_length;
} BlockFields;

QEMU_BUILD_BUG_ON(sizeof(BlockFields) != 44);

#define PART_HEAD   1
#define PART_TAIL   2

typedef struct QEMU_PACKED PartFields {
    uint32_t kind;
    uint32_t zero;
    uint64_t offset;
    uint64_t length;
    uint64_t sum;
} PartFields;

QEMU_BUILD_BUG_ON(sizeof(PartFields) != 32);

#define SUMS_XXH3_64        1
#define SUMS_KEYED_XXH3_64  2

/*
 * le64 number of blocks, sums, le64 number of chunks, sums follow, and with
 * SUMS_KEYED_XXH3_64 le64 key.
 */
typedef struct QEMU_PACKED SumsFields {
    uint32_t algorithm;
    uint32_t cluster_bytes;
    uint32_t chunk_bytes;
    uint32_t zero;
    uint64_t table_offset;
    uint64_t table_length;
} SumsFields;

QEMU_BUILD_BUG_ON(sizeof(SumsFields) != 32);

#define SET_RECORDED    1
#define SET_GUESSED     2

typedef struct QEMU_PACKED SetFields {
    uint32_t kind;
    uint32_t zero;
    uint64_t time;
    uint64_t pages;
    uint64_t runs;
    uint64_t list_offset;
    uint64_t list_sum;
    uint64_t pack_offset;
    uint64_t pack_length;
} SetFields;

QEMU_BUILD_BUG_ON(sizeof(SetFields) != 64);

/* The pages of the run have data, and are in the packed copy. */
#define RUN_DATA    1

/* An entry of the list; the checksums of the packed copy follow the last. */
typedef struct QEMU_PACKED RunFields {
    uint16_t block;
    uint16_t flags;
    uint32_t pages;
    uint64_t first;
} RunFields;

QEMU_BUILD_BUG_ON(sizeof(RunFields) != 16);

typedef struct QEMU_PACKED SpaceFields {
    uint64_t offset;
    uint64_t length;
    uint32_t zero;
    uint32_t fill;              /* any value; see keep-crc.h */
} SpaceFields;

QEMU_BUILD_BUG_ON(sizeof(SpaceFields) != 24);

#define LAYERS_MAX  64

/* For each layer its fields, its path, and padding follow. */
typedef struct QEMU_PACKED LayersFields {
    uint32_t count;
    uint32_t zero;
    uint64_t map_offset;
    uint64_t map_length;
    uint64_t map_sum;
} LayersFields;

QEMU_BUILD_BUG_ON(sizeof(LayersFields) != 32);

typedef struct QEMU_PACKED LayerFields {
    uint8_t id[FIXED_RAM_ID_BYTES];
    uint64_t digest;
    uint64_t start;
    uint32_t path_length;
} LayerFields;

QEMU_BUILD_BUG_ON(sizeof(LayerFields) != 36);

/*
 * Of all options: le32 number of options, le32 flags, and the program's name;
 * of each: le32 flags, the name, and perhaps the argument.  All texts are le32
 * length, bytes.
 */
#define OPTIONS_MAX         4096
#define OPTION_STRING_MAX   (128 * 1024)    /* as Linux limits arguments */
#define OPTIONS_CHANGED     1
#define OPTIONS_LEFT_OUT    2
#define OPTION_ARGUMENT     1

/* The CRC-32C of iSCSI: that of "123456789" is 0xe3069283. */
static inline uint32_t fixed_ram_layout_crc32c(const void *buf, size_t length)
{
    return crc32c(0xffffffff, buf, length);
}

#endif
