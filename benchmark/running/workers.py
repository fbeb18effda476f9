"""Where cells are trained: processes of this machine, or the workers of a Dask cluster.

Where they are trained changes no byte of what they give.
"""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from benchmark.running.errors import UserError

SCHEDULER = "DASK_SCHEDULER_ADDRESS"
SECONDS_BETWEEN_LOOKS = 1.0

Task = TypeVar("Task")
Result = TypeVar("Result")


def run(
    function: Callable[[Task], Result], tasks: Iterable[Task], threads: int
) -> Iterator[Result]:
    """Give function(task) of every task, each as soon as it is there.

    threads: what one task uses; as many run side by side as the processors allow,
    or on a cluster its workers. Raises the UserError that the function raised.
    """
    address = os.environ.get(SCHEDULER)
    if address:
        from benchmark.running import (
            cluster,  # Dask takes a second, so only where it is used
        )

        return cluster.run(function, tasks, address)
    return run_here(function, list(tasks), threads)


def run_here(
    function: Callable[[Task], Result], tasks: list[Task], threads: int
) -> Iterator[Result]:
    """The same, by processes of this machine."""
    processes = min(len(tasks), max(1, joblib.cpu_count() // threads))
    try:
        yield from joblib.Parallel(n_jobs=processes, return_as="generator_unordered")(
            joblib.delayed(_for_parent)(function, task, os.getpid()) for task in tasks
        )
    except TerminatedWorkerError as error:
        raise UserError(
            f"a training process died ({str(error).splitlines()[0]}); "
            "was it killed, or was memory short?"
        ) from None


def _for_parent(function: Callable[[Task], Result], task: Task, parent: int) -> Result:
    """function(task), in a process that ends when `parent` does, were it by SIGKILL.

    joblib's processes would work on, for nobody, till the end of the task.
    """
    if os.getpid() != parent:
        threading.Thread(target=_end_with, args=[parent], daemon=True).start()
    return function(task)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(1)
