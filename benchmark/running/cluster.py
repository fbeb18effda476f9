"""Run tasks on the workers of a Dask cluster.

The project's code is sent with each task. A worker therefore needs the packages of
requirements.lock, but no clone and no shared disk. If a worker dies, another one gets its
task.
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

from benchmark.running.errors import DivergedError, UserError

# The packages that are sent with a task.
PROJECT = ("architectures", "benchmark", "notebook")

Task = TypeVar("Task")
Result = TypeVar("Result")


def map_tasks(
    function: Callable[[Task], Result], tasks: Iterable[Task], address: str
) -> Iterator[Result]:
    """Yield function(task) for every task, in the order in which they finish.

    Raises UserError if the function raises one, if the scheduler does not answer, if a
    worker has other versions of Python or torch, or if a task kills its workers.
    """
    loaded = [sys.modules[name] for name in PROJECT if name in sys.modules]
    with pickled_by_value(*loaded):
        yield from _run(function, tasks, address)


@contextmanager
def pickled_by_value(*packages: ModuleType) -> Iterator[None]:
    """Send the code of these packages by value inside this context.

    Outside it, pickle sends only their names, which is enough on this machine.
    """
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
    # Pickle here, so that errors appear here, and unpickle on the worker: the scheduler
    # would unpack and repack anything but bytes.
    # Unique keys, because Dask might otherwise return an earlier result.
    pickled = {
        f"{task} {uuid4()}": cloudpickle.dumps(partial(attempt, function, task))
        for task in tasks
    }
    # Send this by value, too: the workers do not have its module.
    call = joblib.wrap_non_picklable_objects(call_pickled)
    with connect(address) as client:
        check_versions(client)
        print(
            f"{len(pickled)} tasks for the {len(client.nthreads())} workers of {address}",
            file=sys.stderr,
        )
        # Not with joblib's Dask backend, which waits forever if Dask gives up on a task.
        with dask.config.set({"distributed.admin.large-graph-warning-threshold": "1 TB"}):
            futures = [client.submit(call, each, key=k) for k, each in pickled.items()]
        try:
            # Fetch each result here: if the client closed during a transfer, Dask would
            # print a traceback.
            for future in as_completed(futures):
                result, error = future.result()
                if error:
                    # Not the worker's class, which was sent along with the code.
                    kinds = {kind.__name__: kind for kind in (UserError, DivergedError)}
                    kind, message = error
                    raise kinds[kind](message)
                yield result
        except (CancelledError, CommClosedError):
            raise UserError(
                f"{address}: lost the connection to the Dask scheduler; run again to resume"
            ) from None
        except KilledWorker as error:
            raise UserError(f"{address}: {' '.join(str(error).split())}") from None


def call_pickled(pickled: bytes) -> Any:
    return pickle.loads(pickled)()


def attempt(
    function: Callable[[Task], Result], task: Task
) -> tuple[Result | None, tuple[str, str] | None]:
    """Run the task on a worker; return the result, or the kind and message of an error."""
    worker = get_worker()
    if worker.state.nthreads > 1:
        # torch has one random state and one thread count per process.
        return None, (
            UserError.__name__,
            f"the Dask worker {worker.address} runs {worker.state.nthreads} tasks in one "
            "process; start it with `dask worker --nthreads 1 --nworkers N`",
        )
    try:
        return function(task), None
    except UserError as error:
        return None, (type(error).__name__, str(error))


def connect(address: str) -> Client:
    try:
        return Client(address)
    except (OSError, ValueError) as error:
        raise UserError(
            f"DASK_SCHEDULER_ADDRESS: no Dask scheduler at {address} ({error}); start one "
            "with `dask scheduler`, or unset the variable to train on this machine"
        ) from None


def check_versions(client: Client) -> None:
    """Raise UserError if a worker has another version of Python or torch."""
    versions: Any = client.get_versions(packages=["torch"])
    here = versions["client"]
    for worker, there in versions["workers"].items():
        for name, ours, its in (
            ("Python", here["host"]["python"], there["host"]["python"]),
            ("torch", here["packages"]["torch"], there["packages"]["torch"]),
        ):
            if ours != its:
                raise UserError(
                    f"the Dask worker {worker} has {name} {its}, this process has {ours}; "
                    "install requirements.lock on the worker"
                )
