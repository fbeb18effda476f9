"""A stage runs in only one process at a time, and stops if dvc has died."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress

import psutil
import pytest

from tests.conftest import ROOT

pytestmark = pytest.mark.slow
STAGE = """
import time
from pathlib import Path
from benchmark.running import cli, stage

def main(seconds):
    print("at it", flush=True)
    time.sleep(float(seconds))
    stage.write(Path("out"), b"done")

stage.run(main, cli.argument("seconds"))
"""
# Starts the stage like dvc, then waits for it or exits at once.
DVC = """
import subprocess, sys
stage = subprocess.Popen(sys.argv[2], shell=True)
if sys.argv[1] == "waits":
    stage.wait()
"""


@pytest.fixture
def start(tmp_path):
    """A function that starts Python in an empty folder; leftover processes are killed."""
    (tmp_path / "work.py").write_text(STAGE)
    (tmp_path / "dvc.py").write_text(DVC)
    started = []

    def start(*arguments, **environment):
        process = subprocess.Popen(
            [sys.executable, *arguments],
            cwd=tmp_path,
            env=os.environ | {"PYTHONPATH": str(ROOT)} | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdout.close()


def test_the_same_stage_waits_and_another_does_not(start):
    first = start("work.py", "3")
    assert first.stdout.readline() == "at it\n"
    other = start("work.py", "0")
    assert other.communicate()[0] == "at it\n"
    second = start("work.py", "3")
    said = second.stdout.readline()
    assert said.endswith(
        "work 3: already running in another process; waiting for it to finish\n"
    )
    assert first.poll() is None
    first.kill()
    assert second.stdout.readline() == "at it\n"


def test_a_stage_writes_while_dvc_is_running(start, tmp_path):
    command = f"{sys.executable} work.py 0"
    assert start("dvc.py", "waits", command, DVC_STAGE="work").communicate()[0] == "at it\n"
    assert (tmp_path / "out").read_bytes() == b"done"


@pytest.mark.parametrize("command", ["{} work.py 2", "true; {} work.py 2; true"])
def test_a_stage_writes_nothing_once_dvc_is_gone(start, tmp_path, command):
    dvc = start("dvc.py", "waits", command.format(sys.executable), DVC_STAGE="work")
    assert dvc.stdout.readline() == "at it\n"
    dvc.kill()
    assert dvc.stdout.read() == (
        "error: the dvc process that started this stage is gone, so nothing is written; "
        "run `dvc repro` to resume\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_stage_does_nothing_if_dvc_died_before_it(start, tmp_path):
    command = f"sleep 1; {sys.executable} work.py 0"
    said = start("dvc.py", "dies", command, DVC_STAGE="work").communicate()[0]
    assert said.startswith("error: the dvc process that started this stage is gone")
    assert not (tmp_path / "out").exists()


WORKERS = """
import time
from benchmark.running import workers
import joblib

joblib.cpu_count = lambda: 2
list(workers.map_here(time.sleep, [60, 60], threads=1))
"""


def test_training_processes_exit_with_a_killed_stage(start):
    main = start("-c", WORKERS)
    process = psutil.Process(main.pid)
    deadline = time.monotonic() + 30
    while len(process.children()) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)  # two training processes and joblib's tracker
    trainers = process.children()
    assert len(trainers) >= 2
    time.sleep(1)
    main.kill()
    main.wait()
    _, alive = psutil.wait_procs(trainers, timeout=10)
    assert not alive
