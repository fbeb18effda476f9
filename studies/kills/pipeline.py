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
        self.log, self.seen = folder / "log", folder / "seen"
        copy_project(self.folder)
        self.wipe()
        with (self.folder / "architectures/__init__.py").open("a") as file:
            file.write(COUNTER)
        every = params.load(self.folder / "params.yaml").architectures
        few = {name: every[name].model_dump() for name in ("baseline", *rows)}
        edit_params(self.folder, SETTINGS | {"train.epochs": epochs, "architectures": few})

    def wipe(self) -> None:
        """Go back to where nothing has run; DVC's cache goes too."""
        for name in (*MADE, ".dvc/cache", ".dvc/tmp", self.log, self.seen):
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)

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
        process = self.start()
        while self.goes_on(process) or process.returncode:
            if process.returncode:
                raise errors.UserError(f"not killed, and yet it stopped: see {self.log}")
            stage = self.stage
            began.setdefault(stage, time.monotonic())
            if stage in planned:
                how, seconds = planned.pop(stage)
                time.sleep(seconds)
                if self.strike(process, stage, how):
                    landed.append((stage, how))
                    process = self.start()
        times = [*began.values(), time.monotonic()]
        return landed, {stage: times[i + 1] - times[i] for i, stage in enumerate(began)}

    def start(self) -> "subprocess.Popen[bytes]":
        """Start `dvc repro`. What an earlier one printed is gone."""
        # A shell lets what it starts in the background ignore SIGINT, and so do children.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        here = str(Path(sys.executable).parent)
        path = os.pathsep.join([here, os.environ["PATH"]])
        with self.log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "dvc", "repro", *self.targets],
                cwd=self.folder,
                env=os.environ | {"PATH": path, "DRILL_SEEN": str(self.seen)},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def goes_on(self, process: "subprocess.Popen[bytes]") -> bool:
        """Whether it still runs, asked every few milliseconds."""
        try:
            process.wait(0.01)
        except subprocess.TimeoutExpired:
            if time.time() - psutil.Process(process.pid).create_time() < LONGEST_WAIT:
                return True
            os.killpg(process.pid, signal.SIGKILL)
            raise errors.UserError(f"it hangs: see {self.log}") from None
        except KeyboardInterrupt:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        return False

    @property
    def stage(self) -> str:
        """The stage that runs, or the last one that did."""
        return next(reversed(re.findall(r"Running stage '(.+)'", self.log.read_text())), "")

    def strike(self, process: "subprocess.Popen[bytes]", stage: str, how: str) -> bool:
        """Kill as told. Whether it landed: in the stage that was meant, and dvc fell."""
        kind, *name = stage.split("@")
        command = ["-m", f"stages.{kind}", *name]
        alive = self.processes()
        stages = [p for p, line in alive.items() if line[-len(command) :] == command]
        if self.stage != stage or not stages:
            return False
        if how == "all":
            os.killpg(process.pid, signal.SIGKILL)
        elif how == "dvc":
            process.kill()
        elif how == "interrupt":
            os.killpg(process.pid, signal.SIGINT)
        else:
            trainers = [p for p, line in alive.items() if "loky" in " ".join(line)]
            with suppress(psutil.NoSuchProcess):
                (trainers or stages)[-1].kill()
        while self.goes_on(process) and self.stage == stage:
            pass
        return process.poll() not in (None, 0)

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
            "processes": list(self.processes().values()),
        }

    def processes(self) -> dict[psutil.Process, list[str]]:
        """What runs in the pipeline's folder, and the command of each."""
        found = {}
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                if process.cwd() == str(self.folder) and process.cmdline():
                    found[process] = process.cmdline()
        return found
