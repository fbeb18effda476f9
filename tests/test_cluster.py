"""Cells on a real Dask cluster on loopback: a scheduler and two workers."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import cloudpickle
import pytest
from distributed import Client

from benchmark import params
from benchmark.running import cluster, errors
from benchmark.training import plan
from benchmark.training.cell import complete, train_cell, with_training
from notebook import train as notebook_train
from stages import train as stage_train
from tests.conftest import ROOT, edit_params, run

# Without PYTHONPATH, so that the workers cannot import the project.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}


pytestmark = pytest.mark.slow


def dask(role, *arguments):
    return [sys.executable, "-m", f"distributed.cli.dask_{role}", *arguments]


@contextmanager
def started(command, folder, log):
    """Start a process in `folder`, with its output in `log`; stop it at the end."""
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=folder, stdout=output, stderr=subprocess.STDOUT, env=ENVIRONMENT
        )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            process.kill()


def wait_until(condition, seconds=60):
    end = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < end, "nothing happened"
        time.sleep(0.05)
    return found


def address_in(log):
    return wait_until(lambda: re.search(r"Scheduler at:\s+(tcp://\S+)", log.read_text()))[1]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("cluster")


SCHEDULER = dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")


@pytest.fixture(scope="module")
def scheduler(folder):
    log = folder / "scheduler.log"
    with started(SCHEDULER, folder, log):
        yield address_in(log)


@contextmanager
def workers(scheduler, folder, *names, threads=1):
    """Workers of that scheduler, ready for work; the log of each is <name>.log."""
    with ExitStack() as running:
        for name in names:
            command = dask(
                "worker", scheduler, "--name", name, "--nthreads", str(threads),
                "--no-dashboard",
            )  # fmt: skip
            running.enter_context(started(command, folder, folder / f"{name}.log"))
        with Client(scheduler) as client:
            client.wait_for_workers(len(names), timeout=120)
        yield
    with Client(scheduler) as client:
        wait_until(lambda: not client.nthreads())


@pytest.fixture(scope="module")
def two_workers(scheduler, folder):
    """Two workers for several tests."""
    with workers(scheduler, folder, "one", "two"):
        yield


def train(folder, name, check=True, **environment):
    return run(
        "python", "-m", "stages.train", name,
        cwd=folder, check=check, PYTHONPATH=str(ROOT), **environment,
    )  # fmt: skip


def cells(name):
    """The cells of a net, without checkpoints."""
    found = plan.cells(params.load(), name)
    return [for_workers(cell) for cell in found]


def for_workers(cell):
    architecture, data = complete(cell)
    return dataclasses.replace(cell, stem=None, architecture=architecture, data=data)


def by_seed(results):
    return sorted(results, key=lambda each: each["seed"])


def test_the_same_bytes_as_here(small_data, scheduler, two_workers):
    # Nets with random numbers in training, and with their own penalty, optimizer and loss.
    printed = train(small_data, "dropout", DASK_SCHEDULER_ADDRESS=scheduler)
    assert f"2 tasks for the 2 workers of {scheduler}" in printed
    assert "2 of 2 training runs done" in printed
    there = small_data / "models/dropout"
    stage_train.write(Path("here"), [train_cell(cell) for cell in cells("dropout")])
    files = sorted(path.name for path in Path("here").iterdir())
    assert len(files) == 4 and sorted(path.name for path in there.iterdir()) == files
    assert all((there / f).read_bytes() == Path("here", f).read_bytes() for f in files)
    for name in ("l1_reg", "l2_reg", "first"):
        found = by_seed(cluster.map_tasks(train_cell, cells(name), scheduler))
        assert found == [train_cell(cell) for cell in cells(name)]
    # Afterwards, code is pickled by name again.
    assert not cloudpickle.list_registry_pickle_by_value()


@pytest.mark.usefixtures("two_workers")
def test_a_row_of_the_notebook(scheduler, notebook_cells):
    # This optimizer and this net are closures from the notebook package.
    for made, row in (notebook_cells("width"), notebook_cells("res_deep", blocks=3)):
        given = [for_workers(cell) for cell in made]
        train = partial(notebook_train.train_row, row=row)
        there = by_seed(cluster.map_tasks(train, given, scheduler))
        assert there == list(map(train, given))


@pytest.mark.usefixtures("small_data")
def test_a_killed_worker_costs_only_its_cell(scheduler, two_workers):
    # Long enough to be killed in the middle.
    given = [with_training(cell, epochs=200) for cell in cells("baseline")]
    with Client(scheduler) as client, ThreadPoolExecutor(1) as thread:
        pids = client.run(os.getpid)
        named = {w["name"]: a for a, w in client.scheduler_info()["workers"].items()}
        there = thread.submit(lambda: list(cluster.map_tasks(train_cell, given, scheduler)))
        wait_until(lambda: client.processing()[named["one"]])
        time.sleep(1)
        os.kill(pids[named["one"]], signal.SIGKILL)
        found = by_seed(there.result(timeout=300))
        client.wait_for_workers(2, timeout=60)  # as before
    assert found == list(map(train_cell, given))


@pytest.mark.parametrize("kind", [errors.UserError, errors.DivergedError])
def test_many_failing_cells_give_one_line(scheduler, two_workers, caplog, kind):
    def fail(_):
        raise kind("no")

    for _ in range(5):
        # A study needs the kind: a run that diverges does not end it.
        with pytest.raises(kind, match=r"^no$"):
            list(cluster.map_tasks(fail, range(50), scheduler))
    # For an error that nobody waits for, tornado would print a traceback.
    assert not [each for each in caplog.records if each.exc_info]


@pytest.fixture(scope="module")
def other_scheduler(folder):
    log = folder / "other.log"
    with started(SCHEDULER, folder, log) as process:
        yield process, address_in(log)


def test_a_cell_that_kills_every_worker_is_one_line(other_scheduler, folder):
    def fall(_):
        os.kill(os.getpid(), signal.SIGKILL)

    address = other_scheduler[1]
    with workers(address, folder, "falls"), pytest.raises(errors.UserError) as raised:
        list(cluster.map_tasks(fall, ["cell"], address))
    assert "but all those workers died" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_worker_of_many_threads_is_refused(small_data, other_scheduler, folder):
    address = other_scheduler[1]
    with workers(address, folder, "wide", threads=2):
        printed = train(small_data, "first", False, DASK_SCHEDULER_ADDRESS=address)
    assert re.search(r"(?m)^error: the Dask worker tcp://\S+ runs 2 tasks in one", printed)
    assert "Traceback" not in printed
    assert not list((small_data / "models").rglob("*.pt"))


def test_a_lost_scheduler_is_one_line(small_data, other_scheduler, folder):
    process, address = other_scheduler
    edit_params(small_data, {"train.epochs": 1000})
    worker = dask("worker", address, "--nthreads", "1", "--no-dashboard")
    with started(worker, folder, folder / "left.log"), ThreadPoolExecutor(1) as thread:
        training = thread.submit(
            train, small_data, "first", False, DASK_SCHEDULER_ADDRESS=address,
            DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="1s",
        )  # fmt: skip
        with Client(address) as client:
            wait_until(lambda: any(client.processing().values()))
        process.terminate()
        printed = training.result(timeout=120)
    assert f"error: {address}: lost the connection to the Dask scheduler" in printed
    assert "Traceback" not in printed.partition("error: ")[2]


def test_no_scheduler_is_one_line(small_data):
    printed = train(
        small_data, "first", False,
        DASK_SCHEDULER_ADDRESS="tcp://127.0.0.1:9",
        DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="1s",
    )  # fmt: skip
    assert "error: DASK_SCHEDULER_ADDRESS: no Dask scheduler at tcp" in printed
    assert "Traceback" not in printed


def test_other_versions_of_torch_are_refused():
    class Cluster:
        def get_versions(self, packages):
            here = {"host": {"python": "3.12"}, "packages": {"torch": "2.15.0"}}
            there = {"host": {"python": "3.12"}, "packages": {"torch": "2.9.1"}}
            return {"client": here, "workers": {"tcp://a": here, "tcp://b": there}}

    with pytest.raises(errors.UserError, match=r"tcp://b has torch 2\.9\.1"):
        cluster.check_versions(Cluster())
