/*
 * fixed-ram: memory that huge pages may back, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_FIXED_RAM_THP_H
#define TESTS_UNIT_FIXED_RAM_THP_H

#include "qemu/units.h"

#define THP_SIZE (2 * MiB)

/**
 * thp_map(): private anonymous memory, aligned to huge pages and advised so
 *
 * It adjoins no other mapping that it could become one with.  Freed by
 * thp_unmap().
 */
uint8_t *thp_map(size_t size);
void thp_unmap(uint8_t *mem, size_t size);

/** thp_bytes(): how much of [@mem, @mem + @size) huge pages back just now. */
size_t thp_bytes(const uint8_t *mem, size_t size);

/** thp_fallbacks(): how often this host had no huge page for a fault. */
uint64_t thp_fallbacks(void);

/** thp_available(): has this host huge pages?  Else skips the test. */
bool thp_available(void);

#endif
