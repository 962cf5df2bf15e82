/*
 * fixed-ram: a folder for files that a fuzz target opens by their paths
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_FUZZ_FIXED_RAM_FOLDER_H
#define TESTS_FUZZ_FIXED_RAM_FOLDER_H

/**
 * folder_path(): the path of a file in the folder; free it
 *
 * The folder is made at the first call, and removed when the process exits.
 */
char *folder_path(const char *name);

#endif
