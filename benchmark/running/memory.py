"""Keep freed memory in the process. Changes the speed of training, never its bytes."""

import ctypes
import sys

M_TRIM_THRESHOLD = -1
M_MMAP_THRESHOLD = -3
ONE_GIB = 1 << 30
MOST_OF_OLD_GLIBC = 1 << 25  # before 2.35


def keep_freed_memory() -> None:
    """Tell glibc not to hand the memory of activations back after every batch.

    By default each large tensor is mapped and unmapped anew, and the kernel
    zeroes its pages every time: a fifth to a third of the training time of the
    wide nets. Elsewhere than on Linux with glibc this does nothing.
    See mallopt(3).
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    # The second call alone would fix the first threshold at its small default.
    if mallopt(M_MMAP_THRESHOLD, ONE_GIB) or mallopt(M_MMAP_THRESHOLD, MOST_OF_OLD_GLIBC):
        mallopt(M_TRIM_THRESHOLD, ONE_GIB)
