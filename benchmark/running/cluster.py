"""Tasks on the workers of a Dask cluster.

The code travels with each task, so a worker needs the environment of
requirements.lock, and neither a clone nor a shared disk. A task whose worker dies is
given to another one.
"""

import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from types import ModuleType
from typing import Any, TypeVar
from uuid import uuid4

import cloudpickle
import dask
import joblib
from distributed import CancelledError, Client, KilledWorker, as_completed, get_worker
from distributed.comm.core import CommClosedError

from benchmark.running.errors import UserError

# The packages whose code a task may need.
PROJECT = ("architectures", "benchmark", "notebook")

Task = TypeVar("Task")
Result = TypeVar("Result")


def run(
    function: Callable[[Task], Result], tasks: Iterable[Task], address: str
) -> Iterator[Result]:
    """Give function(task) of every task, each as soon as it is there.

    Raises UserError: what the function raised as such, a scheduler that does not
    answer, workers of another environment, a task that kills its workers.
    """
    loaded = [sys.modules[name] for name in PROJECT if name in sys.modules]
    with pickled_by_value(*loaded):
        yield from _run(function, tasks, address)


@contextmanager
def pickled_by_value(*packages: ModuleType) -> Iterator[None]:
    """Their code travels while this lasts; processes of this machine go by its name."""
    for package in packages:
        cloudpickle.register_pickle_by_value(package)
    try:
        yield
    finally:
        for package in packages:
            cloudpickle.unregister_pickle_by_value(package)


def _run(
    function: Callable[[Task], Result], tasks: Iterable[Task], address: str
) -> Iterator[Result]:
    # Pickled here, where an error of pickling is seen, and opened by the worker alone:
    # the scheduler takes apart and packs again whatever is not bytes.
    # The key is like no other, or Dask might answer with an earlier result.
    pickled = {
        f"{task} {uuid4()}": cloudpickle.dumps(partial(attempt, function, task))
        for task in tasks
    }
    # By value too: Dask would send the name of a module that workers lack.
    call = joblib.wrap_non_picklable_objects(call_pickled)
    with connect(address) as client:
        check_versions(client)
        print(
            f"{len(pickled)} tasks for the {len(client.nthreads())} workers of {address}",
            file=sys.stderr,
        )
        # Not by joblib's Dask backend: it waits for ever for a task that was given up.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
            futures = [client.submit(call, each, key=k) for k, each in pickled.items()]
        try:
            # Each result is asked for here: one still under way while the client closes
            # would be printed as a traceback.
            for future in as_completed(futures):
                result, error = future.result()
                if error is not None:
                    raise UserError(error)
                yield result
        except (CancelledError, CommClosedError):
            raise UserError(
                f"{address}: the Dask scheduler is gone; run it again"
            ) from None
        except KilledWorker as error:
            raise UserError(f"{address}: {' '.join(str(error).split())}") from None


def call_pickled(pickled: bytes) -> Any:
    return pickle.loads(pickled)()


def attempt(
    function: Callable[[Task], Result], task: Task
) -> tuple[Result | None, str | None]:
    """On a worker: the result, or what a UserError says."""
    worker = get_worker()
    if worker.state.nthreads > 1:
        # torch's random numbers and number of threads are those of the whole process.
        return None, (
            f"the Dask worker {worker.address} runs {worker.state.nthreads} tasks in one "
            "process; start it with `dask worker --nthreads 1 --nworkers N`"
        )
    try:
        return function(task), None
    except UserError as error:
        return None, str(error)


def connect(address: str) -> Client:
    try:
        return Client(address)
    except (OSError, ValueError) as error:
        raise UserError(
            f"DASK_SCHEDULER_ADDRESS: no Dask scheduler answers at {address} ({error}); "
            "start it with `dask scheduler`, or unset the variable to train here"
        ) from None


def check_versions(client: Client) -> None:
    """Raise UserError where a worker has another Python or torch than this process."""
    versions: Any = client.get_versions(packages=["torch"])
    here = versions["client"]
    for worker, there in versions["workers"].items():
        for name, ours, its in (
            ("Python", here["host"]["python"], there["host"]["python"]),
            ("torch", here["packages"]["torch"], there["packages"]["torch"]),
        ):
            if ours != its:
                raise UserError(
                    f"the Dask worker {worker} has {name} {its}, this process {ours}; "
                    "install requirements.lock there"
                )
