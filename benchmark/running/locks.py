"""Locks between processes. The lock of a process that dies, however it dies, is free."""

import sys
from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock, Timeout


def lock_of(path: Path) -> FileLock:
    """The lock of `path`, not yet taken; its file lies beside `path`."""
    # Where the file system has no locks, an error is better than a file that stays.
    return FileLock(path.with_suffix(".lock"), fallback_to_soft=False)


def take(path: Path, busy: str) -> AbstractContextManager[FileLock]:
    """Take the lock of `path`; while another process has it, print `busy` and wait.

    It is given back where the context that this returns ends.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = lock_of(path)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        print(f"{busy}; waiting for it to end", file=sys.stderr, flush=True)
        return lock.acquire()
