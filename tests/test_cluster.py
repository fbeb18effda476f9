"""Cells on a real Dask cluster on loopback: a scheduler and two workers."""

import dataclasses
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

import cloudpickle
import pytest
from distributed import Client

from benchmark import params
from benchmark.running import cluster, errors
from benchmark.training import cell as cell_module
from benchmark.training.cell import train_cell
from notebook import train as notebook_train
from stages import train as stage_train
from tests.conftest import ROOT, edit_params, run

# Where neither the project nor a clone of it is found.
ENVIRONMENT = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}


pytestmark = pytest.mark.slow


def dask(role, *arguments):
    return [sys.executable, "-m", f"distributed.cli.dask_{role}", *arguments]


@contextmanager
def started(command, folder, log):
    """A process in a folder of its own, its output in a file; ended at the end."""
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


@pytest.fixture(scope="module")
def scheduler(folder):
    log = folder / "scheduler.log"
    command = dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    with started(command, folder, log):
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


def train(folder, name, check=True, **environment):
    return run(
        "python", "-m", "stages.train", name,
        cwd=folder, check=check, PYTHONPATH=str(ROOT), **environment,
    )  # fmt: skip


def cells(name):
    """The cells of an architecture, with no checkpoints."""
    found = cell_module.cells(params.load(), name)
    return [dataclasses.replace(cell, checkpoint=None) for cell in found]


def files_in(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def trained_here(name):
    """The files that the train stage writes of what this process trains."""
    folder = Path("here") / name
    stage_train.write(folder, [train_cell(cell) for cell in cells(name)])
    return files_in(folder)


def test_the_same_bytes_as_here(small_data, scheduler, folder):
    # An own penalty, optimizer and loss.
    names = ["l1_reg", "l2_reg", "first"]
    with workers(scheduler, folder, "one", "two"):
        # Random numbers beside the weights'.
        printed = train(small_data, "dropout", DASK_SCHEDULER_ADDRESS=scheduler)
        there = {
            name: list(cluster.run(train_cell, cells(name), scheduler)) for name in names
        }
    assert f"2 tasks for the 2 workers of {scheduler}" in printed
    here = trained_here("dropout")
    assert len(here) == 4
    assert files_in(small_data / "models" / "dropout") == here
    for name in names:
        found = sorted(there[name], key=lambda each: each["seed"])
        assert found == [train_cell(cell) for cell in cells(name)]
    # What this machine's own processes are given goes by name again.
    assert not cloudpickle.list_registry_pickle_by_value()
    logs = [(folder / f"{worker}.log").read_text() for worker in ("one", "two")]
    assert all(log.count("epoch 2/2") == 4 for log in logs)


def test_a_row_of_the_notebook_too(small_data, scheduler, folder, notebook_cells):
    # An optimizer and a net that are closures of the notebook's own package.
    rows = [notebook_cells("width"), notebook_cells("res_deep", blocks=3)]
    with workers(scheduler, folder, "one", "two"):
        for made, row in rows:
            given = [dataclasses.replace(cell, checkpoint=None) for cell in made]
            train = partial(notebook_train.train_row, row=row)
            there = list(cluster.run(train, given, scheduler))
            assert sorted(there, key=lambda each: each["seed"]) == list(map(train, given))
    assert not cloudpickle.list_registry_pickle_by_value()


def test_a_worker_killed_in_the_middle_costs_its_cell_alone(small_data, scheduler, folder):
    # Long enough to be seen in the middle.
    edit_params(small_data, {"train.epochs": 200})
    with workers(scheduler, folder, "one", "two"), Client(scheduler) as client:
        pids = client.run(os.getpid)
        named = {w["name"]: a for a, w in client.scheduler_info()["workers"].items()}
        running = subprocess.Popen(
            [sys.executable, "-m", "stages.train", "baseline"],
            cwd=small_data,
            env=os.environ | {"PYTHONPATH": str(ROOT), "DASK_SCHEDULER_ADDRESS": scheduler},
        )
        logs = {name: folder / f"{name}.log" for name in ("one", "two")}
        try:
            wait_until(lambda: "epoch 1/" in logs["one"].read_text())
            os.kill(pids[named["one"]], signal.SIGKILL)
            assert running.wait(timeout=300) == 0
        finally:
            running.kill()
    assert files_in(small_data / "models" / "baseline") == trained_here("baseline")
    printed = {name: log.read_text() for name, log in logs.items()}
    [killed] = re.findall(r"baseline seed (\d): epoch 1/", printed["one"])[:1]
    other = {"0": "1", "1": "0"}[killed]
    both = "".join(printed.values())
    assert both.count(f"baseline seed {killed}: epoch 1/") == 2
    assert both.count(f"baseline seed {other}: epoch 1/") == 1
    for seed in (killed, other):
        assert both.count(f"baseline seed {seed}: epoch 200/200") == 1


def test_a_cell_that_kills_every_worker_is_one_line(scheduler, folder):
    def fall(_):
        os.kill(os.getpid(), signal.SIGKILL)

    with workers(scheduler, folder, "one"), pytest.raises(errors.UserError) as raised:
        list(cluster.run(fall, ["cell"], scheduler))
    assert "but all those workers died" in str(raised.value)
    assert "\n" not in str(raised.value)


def test_a_worker_of_many_threads_is_refused(small_data, scheduler, folder):
    with workers(scheduler, folder, "wide", threads=2):
        printed = train(small_data, "first", False, DASK_SCHEDULER_ADDRESS=scheduler)
    assert re.search(r"(?m)^error: the Dask worker tcp://\S+ runs 2 tasks in one", printed)
    assert "Traceback" not in printed
    assert not list((small_data / "models").rglob("*.pt"))


def test_one_line_where_all_cells_go_wrong_at_once(scheduler, folder, caplog):
    def fail(_):
        raise errors.UserError("no")

    with workers(scheduler, folder, "one", "two"):
        for _ in range(5):
            with pytest.raises(errors.UserError, match=r"^no$"):
                list(cluster.run(fail, range(50), scheduler))
    # By an error that nobody waits for, tornado would print a traceback.
    assert not [each for each in caplog.records if each.exc_info]


def test_a_scheduler_that_goes_away_is_one_line(small_data, folder):
    edit_params(small_data, {"train.epochs": 1000})
    log = folder / "gone.log"
    command = dask("scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard")
    with ExitStack() as running:
        process = running.enter_context(started(command, folder, log))
        address = address_in(log)
        worker = dask("worker", address, "--nthreads", "1", "--no-dashboard")
        running.enter_context(started(worker, folder, folder / "left.log"))
        training = subprocess.Popen(
            [sys.executable, "-m", "stages.train", "first"],
            cwd=small_data,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            env=os.environ
            | {
                "PYTHONPATH": str(ROOT),
                "DASK_SCHEDULER_ADDRESS": address,
                "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "1s",
            },
        )
        try:
            wait_until(lambda: "epoch 1/" in (folder / "left.log").read_text())
            process.terminate()
            _, printed = training.communicate(timeout=120)
        finally:
            training.kill()
    assert f"error: {address}: the Dask scheduler is gone" in printed
    assert "Traceback" not in printed.partition("error: ")[2]


def test_no_scheduler_is_one_line(small_data):
    printed = train(
        small_data, "first", False,
        DASK_SCHEDULER_ADDRESS="tcp://127.0.0.1:9",
        DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT="1s",
    )  # fmt: skip
    assert "error: DASK_SCHEDULER_ADDRESS: no Dask scheduler answers at tcp" in printed
    assert "Traceback" not in printed


def test_another_torch_is_refused():
    class Cluster:
        def get_versions(self, packages):
            here = {"host": {"python": "3.12"}, "packages": {"torch": "2.15.0"}}
            there = {"host": {"python": "3.12"}, "packages": {"torch": "2.9.1"}}
            return {"client": here, "workers": {"tcp://a": here, "tcp://b": there}}

    with pytest.raises(errors.UserError, match=r"tcp://b has torch 2\.9\.1"):
        cluster.check_versions(Cluster())
