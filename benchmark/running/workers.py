"""Run tasks side by side: in processes on this machine, or on a Dask cluster.

On machines of the same kind, a task returns the same bytes either way.
"""

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

import joblib
from joblib.externals.loky.process_executor import TerminatedWorkerError

from benchmark.running.errors import UserError

SCHEDULER = "DASK_SCHEDULER_ADDRESS"
SECONDS_BETWEEN_LOOKS = 1.0

Task = TypeVar("Task")
Result = TypeVar("Result")


def map_tasks(
    function: Callable[[Task], Result], tasks: Iterable[Task], threads: int
) -> Iterator[Result]:
    """Yield function(task) for every task, in the order in which they finish.

    threads: the number of threads per task. On this machine, as many tasks run in parallel
    as the cores allow; on a cluster, one per worker. Raises UserError if the function does.
    """
    address = os.environ.get(SCHEDULER)
    if address:
        from benchmark.running import (
            cluster,  # importing Dask takes a second
        )

        return cluster.map_tasks(function, tasks, address)
    return map_here(function, list(tasks), threads)


def n_processes(n_tasks: int, threads: int) -> int | None:
    """Return how many tasks run at the same time; None for a cluster, which can grow."""
    if os.environ.get(SCHEDULER):
        return None
    return min(n_tasks, max(1, joblib.cpu_count() // threads))


def map_here(
    function: Callable[[Task], Result], tasks: list[Task], threads: int
) -> Iterator[Result]:
    """Do the same with processes on this machine."""
    processes = n_processes(len(tasks), threads)
    # Not in batches of several tasks: the others would have to wait for the last.
    parallel = joblib.Parallel(
        n_jobs=processes, batch_size=1, return_as="generator_unordered"
    )
    # joblib takes the memory that training keeps (memory.py) for a leak, warns, and starts
    # a new process after a task. Nothing is lost.
    warnings.filterwarnings("ignore", "A worker stopped while some jobs")
    try:
        yield from parallel(
            joblib.delayed(_for_parent)(function, task, os.getpid()) for task in tasks
        )
    except TerminatedWorkerError as error:
        raise UserError(
            f"a training process died ({str(error).splitlines()[0]}); "
            "was it killed, or did memory run out?"
        ) from None


def _for_parent(function: Callable[[Task], Result], task: Task, parent: int) -> Result:
    """Run the task; exit if the parent process dies, even by SIGKILL.

    By default, joblib's processes would finish their task first.
    """
    if os.getpid() != parent:
        threading.Thread(target=_exit_with, args=[parent], daemon=True).start()
    return function(task)


def _exit_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(SECONDS_BETWEEN_LOOKS)
    os._exit(1)
