"""Keep freed memory in the process. This makes training faster and changes no result."""

import ctypes
import sys

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
ONE_GIB = 1 << 30
MAXIMUM_OF_OLD_GLIBC = 1 << 25  # before 2.35


def keep_freed_memory() -> None:
    """Tell glibc not to return the memory of activations after every batch.

    By default, glibc maps and unmaps each large tensor, and the kernel zeroes its pages
    each time. That takes a fifth to a third of the training time of the wide nets. Does
    nothing unless the system is Linux with glibc. See mallopt(3).
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    # Setting the trim threshold alone would freeze the mmap threshold at its low default.
    if mallopt(M_MMAP_THRESHOLD, ONE_GIB) or mallopt(
        M_MMAP_THRESHOLD, MAXIMUM_OF_OLD_GLIBC
    ):
        mallopt(M_TRIM_THRESHOLD, ONE_GIB)
