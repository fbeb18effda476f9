"""A small pipeline to kill, and one run of it."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from benchmark import params
from benchmark.running import errors
from benchmark.running.repository import copy_project, dvc, edit_params

# These targets need every stage of the test, but none that only draws.
TARGETS = ("export", "compare")
ARCHITECTURES = ("baseline", "dropout")  # dropout uses random numbers during training
TRAIN_IMAGES = 600
SETTINGS = {
    "data.source": "synthetic",
    "data.synthetic.train_images": TRAIN_IMAGES,
    "data.synthetic.val_images": 100,
    "model.n_chans": 8,
    "train.seeds": 2,
}
OUTPUTS = ("data", "models", "metrics", "results", "plots", "checkpoints", "dvc.lock")
# Counts, independently of the pipeline, the images that every net sees in training.
COUNTING_HOOK = """

import os
import torch
from torch.nn.modules.module import register_module_forward_pre_hook


def _count(module, inputs):
    # Larger seeds are those of speed measurements, smaller batches those of rehearsals.
    is_run = module.training and torch.initial_seed() < 1000 and len(inputs[0]) > 8
    if is_run and type(module).__name__ == "Net":
        name = module.__module__.split(".")[-1]
        with open(os.environ["KILL_TEST_SEEN"], "a") as seen:
            seen.write(f"{name} {torch.initial_seed()} {len(inputs[0])}\\n")


register_module_forward_pre_hook(_count)
"""
# In seconds: a small run, or a process left running, must end within this time.
LONGEST_WAIT = 300.0


class Pipeline:
    """A copy of the project with small params."""

    def __init__(
        self,
        folder: Path,
        epochs: int,
        names: Sequence[str] = ARCHITECTURES,
        targets: Sequence[str] = TARGETS,
    ) -> None:
        self.folder, self.epochs, self.targets = folder / "pipeline", epochs, targets
        self.log, self.seen = folder / "log", folder / "seen"
        copy_project(self.folder)
        self.wipe()
        with (self.folder / "architectures/__init__.py").open("a") as file:
            file.write(COUNTING_HOOK)
        entries = params.load(self.folder / "params.yaml").rows
        few = {name: entries[name].model_dump() for name in ("baseline", *names)}
        edit_params(self.folder, SETTINGS | {"train.epochs": epochs, "rows": few})

    def wipe(self) -> None:
        """Delete all outputs and DVC's cache."""
        for name in (*OUTPUTS, ".dvc/cache", ".dvc/tmp", self.log, self.seen):
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)

    def run(
        self, kills: Mapping[str, tuple[str, float]]
    ) -> tuple[list[tuple[str, str]], dict[str, float]]:
        """Run until complete, with each kill once.

        kills: by stage, the method, and the delay in seconds. Returns stage and method of
        the kills that hit, and the duration of each stage in seconds.
        """
        hits: list[tuple[str, str]] = []
        began: dict[str, float] = {}
        planned = dict(kills)
        process = self.start()
        while self.is_running(process) or process.returncode:
            if process.returncode:
                raise errors.UserError(
                    f"the pipeline failed without a kill: see {self.log}"
                )
            stage = self.stage
            began.setdefault(stage, time.monotonic())
            if stage in planned:
                method, seconds = planned.pop(stage)
                time.sleep(seconds)
                if self.kill(process, stage, method):
                    hits.append((stage, method))
                    process = self.start()
        times = [*began.values(), time.monotonic()]
        return hits, {stage: times[i + 1] - times[i] for i, stage in enumerate(began)}

    def start(self) -> "subprocess.Popen[bytes]":
        """Start `dvc repro`, with a new log."""
        # In a shell's background jobs, SIGINT is ignored, and children inherit that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        here = str(Path(sys.executable).parent)
        path = os.pathsep.join([here, os.environ["PATH"]])
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dvc", "repro", *self.targets],
                cwd=self.folder,
                env=os.environ | {"PATH": path, "KILL_TEST_SEEN": str(self.seen)},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def is_running(self, process: "subprocess.Popen[bytes]") -> bool:
        """Wait a few milliseconds, and return whether the process is still running."""
        try:
            process.wait(0.01)
        except subprocess.TimeoutExpired:
            if time.time() - psutil.Process(process.pid).create_time() < LONGEST_WAIT:
                return True
            os.killpg(process.pid, signal.SIGKILL)
            raise errors.UserError(f"the pipeline hangs: see {self.log}") from None
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return False

    @property
    def stage(self) -> str:
        """The stage that is running, or ran last."""
        return next(reversed(re.findall(r"Running stage '(.+)'", self.log.read_text())), "")

    def kill(self, process: "subprocess.Popen[bytes]", stage: str, method: str) -> bool:
        """Kill, and return whether it hit: the stage was running, and dvc failed."""
        kind, *name = stage.split("@")
        command = ["-m", f"stages.{kind}", *name]
        alive = self.processes()
        stages = [
            p for p, arguments in alive.items() if arguments[-len(command) :] == command
        ]
        if self.stage != stage or not stages:
            return False
        if method == "all":
            os.killpg(process.pid, signal.SIGKILL)
        elif method == "dvc":
            process.kill()
        elif method == "interrupt":
            os.killpg(process.pid, signal.SIGINT)
        else:
            trainers = [
                p for p, arguments in alive.items() if "loky" in " ".join(arguments)
            ]
            with suppress(psutil.NoSuchProcess):
                (trainers or stages)[-1].kill()
        while self.is_running(process) and self.stage == stage:
            pass
        return process.poll() not in (None, 0)

    def repeated_epochs(self) -> dict[tuple[str, int], float]:
        """Return how many epochs each training run repeated."""
        images: Counter[tuple[str, int]] = Counter()
        for line in self.seen.read_text().splitlines():
            name, seed, n_images = line.split()
            images[name, int(seed)] += int(n_images)
        return {cell: n / TRAIN_IMAGES - self.epochs for cell, n in images.items()}

    def state(self) -> dict[str, object]:
        """Return dvc.lock, DVC's status, all files, and the processes still running."""
        deadline = time.monotonic() + LONGEST_WAIT
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        return {
            "dvc.lock": params.read_yaml(self.folder / "dvc.lock"),
            "dvc status": dvc("status", "--json", *self.targets, cwd=self.folder),
            "files": sorted(
                str(path) for name in OUTPUTS for path in (self.folder / name).rglob("*")
            ),
            "processes": list(self.processes().values()),
        }

    def processes(self) -> dict[psutil.Process, list[str]]:
        """Return the processes in the pipeline's folder, with their commands."""
        running = {}
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.cwd() == str(self.folder) and process.cmdline():
                    running[process] = process.cmdline()
        return running
