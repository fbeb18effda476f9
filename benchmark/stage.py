"""Running a stage: alone in its place, and only while somebody waits for it."""

import os
import re
import sys
from collections.abc import Callable
from pathlib import Path

import psutil
from filelock import FileLock, Timeout

from benchmark import errors

LOCKS = Path(".dvc/tmp/stages")
SHELLS = {"sh", "ash", "bash", "dash", "fish", "ksh", "zsh"}


def run(stage: Callable[[], None]) -> None:
    """Run a stage's main function; what a user can cause ends it with one line.

    A stage that a killed `dvc repro` left behind is still at work: the same stage,
    started again, waits for it to end, so that the two never write one file at once.
    """

    def alone() -> None:
        name = " ".join([Path(sys.argv[0]).stem, *sys.argv[1:]])
        LOCKS.mkdir(parents=True, exist_ok=True)
        file = re.sub(r"\W+", "-", name)
        lock, holder = FileLock(LOCKS / f"{file}.lock"), LOCKS / f"{file}.pid"
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(
                f"{name}: process {holder.read_text()} is at it for another run; "
                "waiting for it to end",
                file=sys.stderr,
                flush=True,
            )
            lock.acquire()
        holder.write_text(str(os.getpid()))
        check_wanted()
        stage()

    errors.run(alone)


def check_wanted() -> None:
    """Raise UserError where the `dvc` that started this stage is gone.

    What a stage writes after that could fall into the hands of another run.
    """
    if _STARTED_BY is not None and not _STARTED_BY.is_running():
        raise errors.UserError(
            "dvc, which started this stage, is gone, so nothing is written; "
            "`dvc repro` goes on from here"
        )


def _dvc() -> psutil.Process | None:
    """The process of dvc that runs this one as a stage, perhaps through a shell."""
    if "DVC_ROOT" in os.environ:
        for parent in psutil.Process().parents():
            if parent.name() not in SHELLS:
                return parent
    return None


_STARTED_BY = _dvc()
