/*
 * fixed-ram: have libFuzzer get beyond the metadata's checksums
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#include "qemu/osdep.h"
#include "fuzz.h"
#include "seeds-index.h"

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    seeds_add_layers();
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned seed)
{
    static const char magic[] = "QEMUFXRM";
    const uint8_t *superblock;

    size = LLVMFuzzerMutate(data, size, max_size);
    superblock = memmem(data, size, magic, strlen(magic));
    if (superblock && seed % 8) {
        seed_seal(data, size, superblock - data);
    }
    return size;
}
