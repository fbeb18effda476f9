"""Locks between processes. When a process dies, even by SIGKILL, its locks are released."""

import sys
from contextlib import AbstractContextManager
from pathlib import Path

from filelock import FileLock, Timeout


def lock_of(path: Path) -> FileLock:
    """Return the lock of `path`, not yet acquired. Its file is next to `path`."""
    # On a file system without locks, an error is better than a lock file that stays.
    return FileLock(path.with_suffix(".lock"), fallback_to_soft=False)


def take(path: Path, busy: str) -> AbstractContextManager[FileLock]:
    """Acquire the lock of `path`; if another process has it, print `busy` and wait.

    The lock is released when the returned context exits.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = lock_of(path)
    try:
        return lock.acquire(timeout=0)
    except Timeout:
        print(f"{busy}; waiting for it to finish", file=sys.stderr, flush=True)
        return lock.acquire()
