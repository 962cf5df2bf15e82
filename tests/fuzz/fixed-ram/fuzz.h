/*
 * fixed-ram: what a fuzz target is
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef TESTS_FUZZ_FIXED_RAM_FUZZ_H
#define TESTS_FUZZ_FIXED_RAM_FUZZ_H

/* libFuzzer calls this.  Any fault ends the process.  Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* libFuzzer calls this once, before all inputs.  Returns 0. */
int LLVMFuzzerInitialize(int *argc, char ***argv);

/* libFuzzer calls this too, to make its next input of an earlier one. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size,
                               unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* Counts how the inputs ended, to show that fuzzing reaches the code. */
typedef struct FuzzCounts {
    unsigned taken;             /* and all pages that were loaded were right */
    unsigned refused;           /* before anything was loaded */
    unsigned failed;            /* in the middle of a load */
    unsigned faults;            /* reads that failed as they should */
} FuzzCounts;

extern FuzzCounts fuzz_counts;

/* The target's name. */
extern const char fuzz_name[];

#endif
