/*
 * fixed-ram: the header that libvirt puts in front of a migration stream
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_FORMAT_LIBVIRT_H
#define MIGRATION_FIXED_RAM_FORMAT_LIBVIRT_H

#include "reader.h"

/*
 * A save image of libvirt, which "virsh save" and "virsh managedsave" write.
 * Words are in the byte order of the saving host:
 *
 *     0  16 bytes  magic, one while the save goes on and one when it is done
 *    16  word      version, 1 or 2
 *    20  word      length of the data that follow the header
 *    24  word      was the domain running?
 *    28  word      format: FixedRamLibvirtFormat
 *    32  word      where in the data the cookie begins; 0: there is none
 *    36  56 bytes  not used
 *    92  data      the domain's XML and a zero byte; the cookie and a zero
 *                  byte; perhaps more zeros
 *
 * The migration stream follows the data at once.  See qemu_saveimage.c in
 * libvirt's sources.
 */
#define FIXED_RAM_LIBVIRT_MAGIC_BYTES   16
#define FIXED_RAM_LIBVIRT_HEADER_BYTES  92

/* Far more than any domain needs; a wrong length must not cost memory. */
#define FIXED_RAM_LIBVIRT_DATA_MAX      (16 * MiB)

typedef enum FixedRamLibvirtFormat {
    FIXED_RAM_LIBVIRT_RAW = 0,
    FIXED_RAM_LIBVIRT_GZIP = 1,
    FIXED_RAM_LIBVIRT_BZIP2 = 2,
    FIXED_RAM_LIBVIRT_XZ = 3,
    FIXED_RAM_LIBVIRT_LZOP = 4,
    FIXED_RAM_LIBVIRT_ZSTD = 5,
    FIXED_RAM_LIBVIRT_SPARSE = 6,   /* mapped-ram */
} FixedRamLibvirtFormat;

/* All fields are as the file has them, in this host's byte order. */
typedef struct FixedRamLibvirt {
    bool complete;              /* libvirt has finished the save */
    bool swapped;               /* the file has the other byte order */
    uint32_t version;
    uint32_t data_length;       /* bytes */
    bool was_running;
    uint32_t format;            /* may be wrong: see the content */
    uint32_t cookie_at;         /* offset in the data; 0: no cookie */
    char *xml;                  /* the domain; NULL if there is a problem */
    uint64_t stream;            /* file offset; 0 if there is a problem */
} FixedRamLibvirt;

/**
 * fixed_ram_libvirt_read(): parse the header and the XML, if there are any
 *
 * @r: at the file's start
 *
 * Nothing read is trusted.  Returns NULL if libvirt's magic is not there.
 * Otherwise @r->error says what is wrong: also that the save was cut off, and
 * that the stream is compressed, together with the command that unpacks it.
 * The caller frees the result.
 */
FixedRamLibvirt *fixed_ram_libvirt_read(FixedRamReader *r);

/** fixed_ram_libvirt_free(): free @image; NULL is fine */
void fixed_ram_libvirt_free(FixedRamLibvirt *image);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(FixedRamLibvirt, fixed_ram_libvirt_free)

/** fixed_ram_libvirt_format_name(): as libvirt calls it; NULL: unknown */
const char *fixed_ram_libvirt_format_name(uint32_t format);

/**
 * fixed_ram_libvirt_make_sparse(): change a header into one of mapped-ram
 *
 * @header: FIXED_RAM_LIBVIRT_HEADER_BYTES that @image was parsed from
 *
 * The new header says that its save is not complete.
 */
void fixed_ram_libvirt_make_sparse(const FixedRamLibvirt *image,
                                   uint8_t *header);

/** fixed_ram_libvirt_magic(): the first bytes of a complete image */
const char *fixed_ram_libvirt_magic(void);

#endif
