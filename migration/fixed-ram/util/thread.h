/*
 * fixed-ram: threads that a host may refuse
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef MIGRATION_FIXED_RAM_UTIL_THREAD_H
#define MIGRATION_FIXED_RAM_UTIL_THREAD_H

#include "qemu/thread.h"

/**
 * fixed_ram_thread_create(): start a thread, or say why that is not possible
 *
 * qemu_thread_create() aborts where a limit on processes or on memory forbids
 * another thread.  The VM must not end for that, so this function fails
 * instead.
 *
 * @thread: filled in; a joinable thread is joined by qemu_thread_join()
 * @name: at most 15 characters, which is what the kernel keeps
 * @run: the thread's function, called with @opaque.  It does not end by
 *       qemu_thread_exit()'s notifiers: qemu_thread_atexit_add() has no effect
 *       in such a thread.
 * @mode: QEMU_THREAD_JOINABLE or QEMU_THREAD_DETACHED
 *
 * As in other threads of QEMU, signals are left to the main thread.  On failure
 * @run has not been called, and @opaque remains the caller's.  Any thread.
 */
bool fixed_ram_thread_create(QemuThread *thread, const char *name,
                             void *(*run)(void *opaque), void *opaque,
                             int mode, Error **errp);

#endif
