"""Run commands in processes that have already imported torch and DVC.

Importing them takes longer than most commands in the tests. So one process imports them and
is forked for every command; DVC's process is forked again for every stage.
"""

import multiprocessing
import os
import runpy
import shlex
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
ARE_POSSIBLE = sys.platform == "linux"  # on macOS, system libraries do not survive a fork
# Nothing from the project, because copies of it run their own code.
IMPORTED = [
    "celery", "dvc.api", "dvc.cli.parser", "dvc.repo.experiments.queue.celery",
    "filelock", "jinja2", "joblib", "matplotlib.pyplot", "networkx", "pandas", "pydantic",
    "ruamel.yaml", "scipy.stats", "statsmodels.stats.multitest", "torch._dynamo",
]  # fmt: skip


def run(
    module: str, *arguments: str, cwd: Path, environment: Mapping[str, str]
) -> tuple[int | None, str]:
    """Run `python -m module …`; return its exit code and output."""
    forks = multiprocessing.get_context("forkserver")
    forks.set_forkserver_preload(IMPORTED)
    with tempfile.NamedTemporaryFile() as output:
        given = (module, arguments, cwd, dict(environment), output.name)
        process = forks.Process(target=_command, args=given)
        process.start()
        process.join()
        return process.exitcode, output.read().decode()


def _command(
    module: str,
    arguments: Sequence[str],
    cwd: Path,
    environment: dict[str, str],
    output: str,
) -> None:
    for stream, flags, fd in (
        (os.devnull, os.O_RDONLY, 0),
        (output, os.O_WRONLY | os.O_APPEND, 1),
        (output, os.O_WRONLY | os.O_APPEND, 2),
    ):
        os.dup2(os.open(stream, flags), fd)
    sys.stdout, sys.stderr = (os.fdopen(fd, "w", encoding="utf-8") for fd in (1, 2))
    if module == "dvc":
        import dvc.stage.run

        dvc.stage.run._run = _stage
    _module(module, arguments, cwd, environment)


def _module(
    module: str, arguments: Sequence[str], cwd: Path, environment: dict[str, str]
) -> None:
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    named = environment.get("PYTHONPATH", "").split(os.pathsep)
    installed = [path for path in sys.path if path and Path(path) != ROOT]
    sys.path[:] = [str(cwd), *filter(None, named), *installed]
    for name in [name for name in sys.modules if name.partition(".")[0] == "tests"]:
        del sys.modules[name]
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _stage(executable: str, command: str, cwd: str, env: dict[str, str], **_: Any) -> None:
    """Replaces DVC's function, which starts a shell for the command."""
    from dvc.stage.exceptions import StageCmdFailedError

    _, _, module, *arguments = shlex.split(command)
    sys.stdout.flush()
    forked = multiprocessing.get_context("fork").Process(
        target=_module, args=(module, arguments, Path(cwd), env)
    )
    forked.start()
    forked.join()
    if forked.exitcode:
        raise StageCmdFailedError(command, forked.exitcode)
