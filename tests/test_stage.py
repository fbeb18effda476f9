"""One stage at a time, and none that works for nobody."""

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
# Starts the stage as dvc does, and waits for it, or dies at once.
DVC = """
import subprocess, sys
stage = subprocess.Popen(sys.argv[2], shell=True)
if sys.argv[1] == "waits":
    stage.wait()
"""


@pytest.fixture
def start(tmp_path):
    """A function that starts a Python in an empty folder; what still runs is ended."""
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
    assert said.endswith("work 3: another run is at this stage; waiting for it to end\n")
    assert first.poll() is None
    first.kill()
    assert second.stdout.readline() == "at it\n"


def test_while_dvc_is_there_the_stage_writes(start, tmp_path):
    command = f"{sys.executable} work.py 0"
    assert start("dvc.py", "waits", command, DVC_STAGE="work").communicate()[0] == "at it\n"
    assert (tmp_path / "out").read_bytes() == b"done"


@pytest.mark.parametrize("command", ["{} work.py 2", "true; {} work.py 2; true"])
def test_once_dvc_is_gone_the_stage_writes_nothing(start, tmp_path, command):
    dvc = start("dvc.py", "waits", command.format(sys.executable), DVC_STAGE="work")
    assert dvc.stdout.readline() == "at it\n"
    dvc.kill()
    assert dvc.stdout.read() == (
        "error: dvc, which started this stage, is gone, so nothing is written; "
        "`dvc repro` goes on from here\n"
    )
    assert not (tmp_path / "out").exists()


def test_a_stage_that_dvc_did_not_live_to_see_does_nothing(start, tmp_path):
    command = f"sleep 1; {sys.executable} work.py 0"
    said = start("dvc.py", "dies", command, DVC_STAGE="work").communicate()[0]
    assert said.startswith("error: dvc, which started this stage, is gone")
    assert not (tmp_path / "out").exists()


WORKERS = """
import time
from benchmark.running import workers
import joblib

joblib.cpu_count = lambda: 2
list(workers.run_here(time.sleep, [60, 60], threads=1))
"""


def test_processes_that_train_end_with_the_stage_that_was_killed(start):
    main = start("-c", WORKERS)
    process = psutil.Process(main.pid)
    deadline = time.monotonic() + 30
    while len(process.children()) < 3 and time.monotonic() < deadline:
        time.sleep(0.1)  # two that train, and joblib's tracker
    trainers = process.children()
    assert len(trainers) >= 2
    time.sleep(1)
    main.kill()
    main.wait()
    _, alive = psutil.wait_procs(trainers, timeout=10)
    assert not alive
