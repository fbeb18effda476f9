"""A small pipeline that can be killed: what it makes, and one run of it."""

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

# What needs all of them, and none of those that only draw.
TARGETS = ("export", "compare")
ARCHITECTURES = ("baseline", "dropout")  # dropout draws random numbers as it trains
TRAIN_IMAGES = 600
SETTINGS = {
    "data.source": "synthetic",
    "data.synthetic.train_images": TRAIN_IMAGES,
    "data.synthetic.val_images": 100,
    "model.n_chans": 8,
    "train.seeds": 2,
}
MADE = ("data", "models", "metrics", "results", "plots", "checkpoints", "dvc.lock")
# Counts, independently of the pipeline, what every net sees while it trains.
COUNTER = """

import os
import torch
from torch.nn.modules.module import register_module_forward_pre_hook


def _count(module, inputs):
    if module.training and type(module).__name__ == "Net":
        name = module.__module__.split(".")[-1]
        with open(os.environ["DRILL_SEEN"], "a") as seen:
            seen.write(f"{name} {torch.initial_seed()} {len(inputs[0])}\\n")


register_module_forward_pre_hook(_count)
"""
# Seconds in which a small run, or a process left behind, has to end.
LONGEST_WAIT = 300.0


class Pipeline:
    """A copy of the project with small params, and what it makes there."""

    def __init__(
        self,
        folder: Path,
        epochs: int,
        rows: Sequence[str] = ARCHITECTURES,
        targets: Sequence[str] = TARGETS,
    ) -> None:
        self.folder, self.epochs, self.targets = folder / "pipeline", epochs, targets
        self.logs, self.seen = folder / "logs", folder / "seen"
        self.logs.mkdir()
        copy_project(self.folder)
        self.wipe()
        with (self.folder / "architectures/__init__.py").open("a") as file:
            file.write(COUNTER)
        every = params.load(self.folder / "params.yaml").architectures
        few = {name: every[name].model_dump() for name in ("baseline", *rows)}
        edit_params(self.folder, SETTINGS | {"train.epochs": epochs, "architectures": few})

    def wipe(self) -> None:
        """Go back to where nothing has run; DVC's cache goes too."""
        for name in (*MADE, ".dvc/cache", ".dvc/tmp"):
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
        self.seen.unlink(missing_ok=True)

    def run(
        self, kills: Mapping[str, tuple[str, float]]
    ) -> tuple[list[tuple[str, str]], dict[str, float]]:
        """Run until it is through, with every kill once.

        kills: by stage, how, and after how many seconds. Returns stage and how of those
        that landed, and how many seconds each stage took.
        """
        landed: list[tuple[str, str]] = []
        began: dict[str, float] = {}
        planned = dict(kills)
        run = Run(self)
        while True:
            while run.goes_on() and run.stage not in planned:
                began.setdefault(run.stage, time.monotonic())
            if run.process.returncode == 0:
                break
            if run.process.returncode is not None:
                raise errors.UserError(f"not killed, and yet it stopped: see {run.log}")
            stage = run.stage
            how, seconds = planned.pop(stage)
            time.sleep(seconds)
            if run.strike(stage, how):
                landed.append((stage, how))
                run = Run(self)
        times = [*began.values(), time.monotonic()]
        return landed, {stage: times[i + 1] - times[i] for i, stage in enumerate(began)}

    def repeated_epochs(self) -> dict[tuple[str, int], float]:
        """For each training, how many epochs it saw beyond those that it had to."""
        images: Counter[tuple[str, int]] = Counter()
        for line in self.seen.read_text().splitlines():
            name, seed, n_images = line.split()
            images[name, int(seed)] += int(n_images)
        return {cell: n / TRAIN_IMAGES - self.epochs for cell, n in images.items()}

    def state(self) -> dict[str, object]:
        """Every file's hash, whether it is true, and what else is there."""
        deadline = time.monotonic() + LONGEST_WAIT
        while self.processes() and time.monotonic() < deadline:
            time.sleep(0.1)
        return {
            "dvc.lock": params.read_yaml(self.folder / "dvc.lock"),
            "dvc status": dvc("status", "--json", *self.targets, cwd=self.folder),
            "files": sorted(
                str(path) for name in MADE for path in (self.folder / name).rglob("*")
            ),
            "processes": self.processes(),
        }

    def processes(self) -> list[list[str]]:
        """The commands that run in the pipeline's folder."""
        commands = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.cwd() == str(self.folder):
                    commands.append(process.cmdline())
        return commands


class Run:
    """One `dvc repro`."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.log = pipeline.logs / f"{time.monotonic_ns()}.log"
        # A shell lets what it starts in the background ignore SIGINT, and so do children.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        here = str(Path(sys.executable).parent)
        path = os.pathsep.join([here, os.environ["PATH"]])
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dvc", "repro", *pipeline.targets],
                cwd=pipeline.folder,
                env=os.environ | {"PATH": path, "DRILL_SEEN": str(pipeline.seen)},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.deadline = time.monotonic() + LONGEST_WAIT

    def goes_on(self) -> bool:
        """Whether it still runs, asked every few milliseconds."""
        try:
            time.sleep(0.01)
        except KeyboardInterrupt:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise
        if time.monotonic() > self.deadline:
            os.killpg(self.process.pid, signal.SIGKILL)
            raise errors.UserError(f"it hangs: see {self.log}")
        return self.process.poll() is None

    @property
    def stage(self) -> str:
        """The stage that runs, or the last one that did."""
        return next(reversed(re.findall(r"Running stage '(.+)'", self.log.read_text())), "")

    def strike(self, stage: str, how: str) -> bool:
        """Kill as told. Whether it landed: in the stage that was meant, and dvc fell."""
        process = psutil.Process(self.process.pid)
        kind, *name = stage.split("@")
        command = ["-m", f"stages.{kind}", *name]
        stages = [
            child
            for child in children(process)
            if child.cmdline()[-len(command) :] == command
        ]
        if self.stage != stage or not stages:
            return False
        if how == "all":
            os.killpg(process.pid, signal.SIGKILL)
        elif how == "dvc":
            process.kill()
        elif how == "interrupt":
            os.killpg(process.pid, signal.SIGINT)
        else:
            trainers = [c for c in children(stages[0]) if "loky" in " ".join(c.cmdline())]
            with suppress(psutil.NoSuchProcess):
                (trainers[-1] if trainers else stages[0]).kill()
        while self.goes_on() and self.stage == stage:
            pass
        return self.process.poll() not in (None, 0)


def children(process: psutil.Process) -> list[psutil.Process]:
    """All that the process has started, and those that these have, as far as they live."""
    found = []
    with suppress(psutil.NoSuchProcess):
        for child in process.children(recursive=True):
            with suppress(psutil.Error):
                if child.status() != psutil.STATUS_ZOMBIE and child.cmdline():
                    found.append(child)
    return found
