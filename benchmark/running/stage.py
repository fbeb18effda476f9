"""Running a stage: alone in its place, and only while somebody waits for it."""

import os
import re
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import psutil

from benchmark.running import cli, errors, locks
from benchmark.running.files import write_whole

LOCKS = Path(".dvc/tmp/stages")
SHELLS = {"ash", "bash", "csh", "dash", "fish", "ksh", "nu", "sh", "tcsh", "zsh"}


def run(main: Callable[..., None], *arguments: cli.Argument) -> None:
    """Run a stage's main function with what the command line says.

    A stage that a killed `dvc repro` left behind may still be at work: the same stage,
    started again, waits for it to end.
    """

    def alone(**given: Any) -> None:
        script = Path(sys.argv[0]).resolve()
        name = " ".join([f"{script.parent.name}.{script.stem}", *sys.argv[1:]])
        place = LOCKS / re.sub(r"\W+", "-", name)
        with locks.take(place, busy=f"{name}: another run is at this stage"):
            check_wanted()
            main(**given)

    cli.run(wraps(main)(alone), *arguments)


def write(path: Path, content: bytes | str) -> None:
    """Write an out of this stage whole, if anybody still waits for it."""
    check_wanted()
    write_whole(path, content.encode() if isinstance(content, str) else content)


def check_wanted() -> None:
    """Raise UserError where the `dvc` that started this stage is gone.

    What a stage writes after that would fall into the hands of another run.
    """
    if "DVC_STAGE" in os.environ and _DVC not in psutil.Process().parents():
        raise errors.UserError(
            "dvc, which started this stage, is gone, so nothing is written; "
            "`dvc repro` goes on from here"
        )


def _dvc() -> psutil.Process | None:
    """The process of dvc that runs this one, perhaps through a shell; None: it is gone."""
    for parent in psutil.Process().parents():
        # dvc and its stages are one group of processes.
        if os.name == "posix" and os.getpgid(parent.pid) != os.getpgrp():
            return None
        if Path(parent.name()).stem not in SHELLS:
            return parent
    return None


_DVC = _dvc()
