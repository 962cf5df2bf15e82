/*
 * fixed-ram: another process that loads from a file, for tests
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_UNIT_FIXED_RAM_LOADER_H
#define TESTS_UNIT_FIXED_RAM_LOADER_H

typedef struct Loader {
    pid_t pid;
    int keep;                   /* the process waits for a byte from here */
} Loader;

/** start_loader(): it has opened and locked the file from @start on */
Loader start_loader(const char *path, uint64_t start);

/** end_loader(): wait until it has ended */
void end_loader(Loader loader);

/** without_locks(): skip the test if this host has no locks of descriptions */
bool without_locks(void);

#endif
