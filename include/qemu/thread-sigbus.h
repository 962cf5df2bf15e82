/*
 * Threads that may meet memory which a handler of SIGBUS mends
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */

#ifndef QEMU_THREAD_SIGBUS_H
#define QEMU_THREAD_SIGBUS_H

/**
 * qemu_threads_allow_sigbus(): new threads do not block SIGBUS from now on
 *
 * The kernel ends a process whose thread blocks SIGBUS and makes an access that
 * raises it.  The caller has installed a handler.  Any thread.
 */
void qemu_threads_allow_sigbus(void);

#endif
