"""Kill the pipeline at random moments, start it again, and compare the end.

A small pipeline on drawn images runs once undisturbed. Then it runs again and again,
each time from nothing: in every stage it is killed at a random moment and started anew,
until it is through. In the end every file has to be the undisturbed run's to the byte,
nothing may lie about, and a kill may have cost no training more than one epoch.
"""

import argparse
import hashlib
import os
import platform
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tqdm import tqdm

from benchmark import errors, params
from benchmark.files import write_whole
from scripts.copy_project import copy_project, edit_params

STAGES = ("download", "filter", "train", "export", "validate", "compare")
# What needs all of them, and none of those that only draw.
TARGETS = ("export", "compare")
ARCHITECTURES = ("baseline", "dropout")  # dropout draws random numbers as it trains
HOWS = {
    "all": "SIGKILL to dvc, the stage and its workers",
    "dvc": "SIGKILL to dvc alone; the stage is left behind",
    "worker": "SIGKILL to one process that trains, else to the stage",
    "interrupt": "SIGINT to all, as Ctrl-C sends it",
}
TRAIN_IMAGES, EPOCHS = 600, 60
SETTINGS = {
    "data.source": "synthetic",
    "data.synthetic.train_images": TRAIN_IMAGES,
    "data.synthetic.val_images": 100,
    "model.n_chans": 8,
    "train.epochs": EPOCHS,
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


@dataclass(frozen=True)
class Kill:
    """stage: as DVC names it. moment: from 0, its start, to 1, its end undisturbed."""

    stage: str
    how: str
    moment: float

    @property
    def kind(self) -> str:
        return self.stage.partition("@")[0]


@dataclass
class Outcome:
    """What the kills that landed have led to."""

    landed: Counter[tuple[str, str]] = field(default_factory=Counter)
    missed: int = 0
    passes: int = 0
    differing: list[str] = field(default_factory=list)
    repeated: list[float] = field(default_factory=list)

    def of(self, stage: str) -> int:
        return sum(n for (kind, _), n in self.landed.items() if kind == stage)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.drill", description=__doc__)
    parser.add_argument("--kills", type=int, default=5, help="that have to land (5)")
    parser.add_argument("--seed", type=int, default=0, help="of stages and moments (0)")
    parser.add_argument("--report", type=Path, help="a file for the table")
    arguments = parser.parse_args()
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="drill-"))
    outcome = drill(folder, arguments.kills, random.Random(arguments.seed))
    text = report(outcome, arguments.seed, time.monotonic() - started)
    print(text)
    if outcome.differing:
        raise errors.UserError(f"the last pass is in {folder}")
    shutil.rmtree(folder)
    if arguments.report:
        write_whole(arguments.report, text.encode())


def drill(folder: Path, kills: int, chance: random.Random) -> Outcome:
    """Kill until `kills` have landed, at least a tenth of them in each stage."""
    pipeline = Pipeline(folder)
    durations = pipeline.run_undisturbed()
    expected = pipeline.snapshot()
    outcome = Outcome()
    bar = tqdm(total=kills, unit="kill", desc="kills that landed")
    while not outcome.differing and (
        outcome.landed.total() < kills
        or any(outcome.of(stage) < kills // 10 for stage in STAGES)
    ):
        pipeline.wipe()
        planned = plan(chance)
        landed = Counter[str]()
        outcome.passes += 1
        outcome.missed += len(planned)
        for kill in pipeline.run_disturbed(planned, durations):
            landed[kill.stage] += 1
            outcome.landed[kill.kind, kill.how] += 1
            outcome.missed -= 1
            bar.update()
        found = pipeline.snapshot()
        outcome.differing += [
            path
            for path in sorted(expected.keys() | found.keys())
            if expected.get(path) != found.get(path)
        ]
        for (name, seed), epochs in pipeline.repeated_epochs().items():
            outcome.repeated.append(epochs)
            if epochs > landed[f"train@{name}"]:
                outcome.differing.append(f"{name} seed {seed}: {epochs:.2f} epochs twice")
    bar.close()
    return outcome


def plan(chance: random.Random) -> dict[str, Kill]:
    """A kill for each stage, in a random way and at a random moment."""
    stages = [
        stage if stage not in ("train", "validate") else f"{stage}@{name}"
        for stage in STAGES
        for name in (ARCHITECTURES if stage == "train" else [chance.choice(ARCHITECTURES)])
    ]
    return {s: Kill(s, chance.choice(list(HOWS)), chance.random()) for s in stages}


class Pipeline:
    """A copy of the project with small params, and what it makes there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "pipeline"
        self.logs = folder / "logs"
        self.seen = folder / "seen"
        self.logs.mkdir()
        copy_project(self.folder)
        # With many more stages than those that run, DVC takes these in another order each
        # time (that of a set), and dvc.lock lists them in the order in which they ran.
        shutil.rmtree(self.folder / "notebook")
        self.wipe()
        with (self.folder / "architectures/__init__.py").open("a") as file:
            file.write(COUNTER)
        architectures = params.load(self.folder / "params.yaml").architectures
        few = {n: architectures[n].model_dump() for n in ARCHITECTURES}
        edit_params(self.folder, SETTINGS | {"architectures": few})

    def wipe(self) -> None:
        """Go back to where nothing has run; DVC's cache goes too."""
        for name in (*MADE, ".dvc/cache", ".dvc/tmp"):
            path = self.folder / name
            if path.is_dir():
                shutil.rmtree(path)
            path.unlink(missing_ok=True)
        self.seen.unlink(missing_ok=True)

    def run_undisturbed(self) -> dict[str, float]:
        """Run everything; give the seconds of each stage."""
        began: dict[str, float] = {}
        run = Run(self)
        while run.goes_on():
            if run.stage:
                began.setdefault(run.stage, time.monotonic())
        if run.process.returncode != 0:
            raise errors.UserError(f"undisturbed, it stopped: see {run.log}")
        times = [*began.values(), time.monotonic()]
        return {stage: times[i + 1] - times[i] for i, stage in enumerate(began)}

    def run_disturbed(
        self, kills: dict[str, Kill], durations: Mapping[str, float]
    ) -> Iterator[Kill]:
        """Run until it is through, with every kill once; give those that landed."""
        run = Run(self)
        while True:
            while run.goes_on() and run.stage not in kills:
                pass
            if run.process.returncode == 0:
                return
            if run.process.returncode is not None:
                raise errors.UserError(f"not killed, and yet it stopped: see {run.log}")
            kill = kills.pop(run.stage)
            time.sleep(kill.moment * durations[kill.stage])
            if run.strike(kill):
                yield kill
                run = Run(self)

    def repeated_epochs(self) -> dict[tuple[str, int], float]:
        """For each training, how many epochs it saw beyond those that it had to."""
        images: Counter[tuple[str, int]] = Counter()
        for line in self.seen.read_text().splitlines():
            name, seed, n_images = line.split()
            images[name, int(seed)] += int(n_images)
        return {cell: n / TRAIN_IMAGES - EPOCHS for cell, n in images.items()}

    def snapshot(self) -> dict[str, str]:
        """A digest of every file that was made, and each process that is still there."""
        deadline = time.monotonic() + LONGEST_WAIT
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.1)
        found = {f"process {' '.join(command)}": "is still there" for command in left}
        for name in MADE:
            path = self.folder / name
            for file in [path] if path.is_file() else sorted(path.rglob("*")):
                if file.is_file():
                    digest = hashlib.sha256(file.read_bytes()).hexdigest()
                    found[file.relative_to(self.folder).as_posix()] = digest
        return found

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
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "dvc", "repro", *TARGETS],
                cwd=pipeline.folder,
                env=os.environ
                | {
                    "PATH": os.pathsep.join([here, os.environ["PATH"]]),
                    "DRILL_SEEN": str(pipeline.seen),
                },
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

    def strike(self, kill: Kill) -> bool:
        """Kill as told. Whether it landed: in the stage that was meant, and dvc fell."""
        dvc = psutil.Process(self.process.pid)
        command = ["-m", f"stages.{kill.kind}", *kill.stage.split("@")[1:]]
        stages = [
            child for child in children(dvc) if child.cmdline()[-len(command) :] == command
        ]
        if self.stage != kill.stage or not stages:
            return False
        if kill.how == "all":
            os.killpg(dvc.pid, signal.SIGKILL)
        elif kill.how == "dvc":
            dvc.kill()
        elif kill.how == "interrupt":
            os.killpg(dvc.pid, signal.SIGINT)
        else:
            trainers = [c for c in children(stages[0]) if "loky" in " ".join(c.cmdline())]
            with suppress(psutil.NoSuchProcess):
                (trainers[-1] if trainers else stages[0]).kill()
        while self.goes_on() and self.stage == kill.stage:
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


def report(outcome: Outcome, seed: int, seconds: float) -> str:
    """The outcome as Markdown."""
    landed = outcome.landed.total()
    lines = [
        "# Killed, and started again",
        "",
        f"{landed} kills landed in {outcome.passes} passes through the pipeline; "
        f"{outcome.missed} came when the stage had just ended, and do not count. "
        + (
            f"All {outcome.passes} passes ended with the files of the undisturbed run, "
            "to the byte."
            if not outcome.differing
            else f"DIFFERENT in the last pass: {', '.join(outcome.differing)}."
        ),
        "",
        f"| stage | {' | '.join(HOWS)} | together |",
        f"|---|{'---:|' * (len(HOWS) + 1)}",
    ]
    for stage in STAGES:
        counts = [outcome.landed[stage, how] for how in HOWS]
        lines.append(f"| {stage} | {' | '.join(map(str, counts))} | {sum(counts)} |")
    lines += [
        "",
        *(f"- {how}: {what}" for how, what in HOWS.items()),
        f"- epochs that were trained twice: at most {max(outcome.repeated, default=0):.2f} "
        f"a training, {sum(outcome.repeated):.1f} in all {len(outcome.repeated)} trainings "
        f"of {EPOCHS} epochs; allowed is one for each kill of its stage",
        f"- {platform.system()} {platform.machine()}, {psutil.cpu_count()} cores; "
        f"{seconds / 60:.0f} minutes; stages and moments drawn with seed {seed}",
        "",
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    errors.run(main)
