"""Run a stage under a lock, and refuse to write its outputs once dvc is gone."""

import os
import re
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import psutil

from benchmark.running import cli, errors, locks
from benchmark.running.files import write_atomic

LOCKS = Path(".dvc/tmp/stages")
SHELLS = {"ash", "bash", "csh", "dash", "fish", "ksh", "nu", "sh", "tcsh", "zsh"}


def run(main: Callable[..., None], *arguments: cli.Argument) -> None:
    """Run a stage's main function with the arguments from the command line.

    If `dvc repro` is killed, its stage may keep running. The same stage, started again,
    waits until that one has finished.
    """

    def locked(**given: Any) -> None:
        script = Path(sys.argv[0]).resolve()
        name = " ".join([f"{script.parent.name}.{script.stem}", *sys.argv[1:]])
        lock = LOCKS / re.sub(r"\W+", "-", name)
        with locks.take(lock, busy=f"{name}: already running in another process"):
            ensure_dvc_alive()
            main(**given)

    cli.run(wraps(main)(locked), *arguments)


def write(path: Path, content: bytes | str) -> None:
    """Write an output of this stage, unless dvc is gone. Raises UserError if it is."""
    ensure_dvc_alive()
    write_atomic(path, content.encode() if isinstance(content, str) else content)


def ensure_dvc_alive() -> None:
    """Raise UserError if the `dvc` process that started this stage is gone.

    Another run may have started since, and it must not pick up files written now.
    """
    if "DVC_STAGE" in os.environ and _DVC not in psutil.Process().parents():
        raise errors.UserError(
            "the dvc process that started this stage is gone, so nothing is written; "
            "run `dvc repro` to resume"
        )


def _dvc() -> psutil.Process | None:
    """Return the nearest ancestor that is not a shell: dvc, if dvc started this stage.

    On POSIX, only ancestors in this process group count. None if there is none.
    """
    for parent in psutil.Process().parents():
        # dvc and its stages are in one process group.
        if os.name == "posix" and os.getpgid(parent.pid) != os.getpgrp():
            return None
        if Path(parent.name()).stem not in SHELLS:
            return parent
    return None


_DVC = _dvc()
