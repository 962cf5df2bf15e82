# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs without transparent huge pages."""

from contextlib import contextmanager
import ctypes
import os

from .qmp import Failure

PR_SET_THP_DISABLE = 41


def _disable(on):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_THP_DISABLE, int(on), 0, 0, 0):
        raise Failure("the kernel cannot disable huge pages: "
                      + os.strerror(ctypes.get_errno()))


@contextmanager
def without_huge_pages():
    """Those that are started meanwhile get none"""
    _disable(True)
    try:
        yield
    finally:
        _disable(False)
