"""Kill the pipeline at random moments, start it again, and compare the end.

A small pipeline on generated images runs once undisturbed. Then it runs again and again,
each time from nothing: in every stage it is killed at a random moment and started anew,
until it is through. In the end dvc.lock has to be the undisturbed run's and true of every
file, nothing may lie about, and a kill may have cost no training more than one epoch.
"""

import platform
import random
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from tqdm import tqdm

from benchmark.reporting.render import render
from benchmark.running import cli, errors
from benchmark.running.files import write_whole
from studies.kills.pipeline import ARCHITECTURES, Pipeline

STAGES = ("download", "filter", "train", "export", "validate", "compare")
HOWS = {
    "all": "SIGKILL to dvc, the stage and its workers",
    "dvc": "SIGKILL to dvc alone; the stage is left behind",
    "worker": "SIGKILL to one process that trains, else to the stage",
    "interrupt": "SIGINT to all, as Ctrl-C sends it",
}
EPOCHS = 60


@dataclass
class Outcome:
    """What the kills that landed, by stage and how, have led to."""

    landed: Counter[tuple[str, str]] = field(default_factory=Counter)
    missed: int = 0
    passes: int = 0
    differing: list[str] = field(default_factory=list)
    repeated: list[float] = field(default_factory=list)

    def of(self, stage: str) -> int:
        return sum(n for (kind, _), n in self.landed.items() if kind == stage)


def main(kills: int, seed: int, report: Path | None) -> None:
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    outcome = drill(folder, kills, random.Random(seed))
    text = page(outcome, seed, time.monotonic() - started)
    print(text)
    if outcome.differing:
        raise errors.UserError(f"the last pass is in {folder}")
    shutil.rmtree(folder)
    if report:
        write_whole(report, text.encode())


def drill(folder: Path, kills: int, chance: random.Random) -> Outcome:
    """Kill until `kills` have landed, at least a tenth of them in each stage."""
    pipeline = Pipeline(folder, EPOCHS)
    _, durations = pipeline.run({})
    expected = pipeline.state()
    outcome = Outcome()
    bar = tqdm(total=kills, unit="kill", desc="kills that landed")
    while not outcome.differing and (
        outcome.landed.total() < kills
        or any(outcome.of(stage) < kills // 10 for stage in STAGES)
    ):
        pipeline.wipe()
        planned = {
            stage: (chance.choice(list(HOWS)), chance.random() * durations[stage])
            for stage in stages_to_kill(chance)
        }
        landed, _ = pipeline.run(planned)
        outcome.passes += 1
        outcome.missed += len(planned) - len(landed)
        outcome.landed.update((stage.partition("@")[0], how) for stage, how in landed)
        bar.update(len(landed))
        found = pipeline.state()
        outcome.differing += [what for what in expected if expected[what] != found[what]]
        in_stage = Counter(stage for stage, _ in landed)
        for (name, seed), repeated in pipeline.repeated_epochs().items():
            outcome.repeated.append(repeated)
            if repeated > in_stage[f"train@{name}"]:
                outcome.differing.append(f"{name} seed {seed}: {repeated:.2f} epochs twice")
    bar.close()
    return outcome


def stages_to_kill(chance: random.Random) -> list[str]:
    """Every stage as DVC names it, both trainings, and one of the two validations."""
    validated = chance.choice(ARCHITECTURES)
    names = {"train": [f"train@{name}" for name in ARCHITECTURES]}
    names["validate"] = [f"validate@{validated}"]
    return [name for stage in STAGES for name in names.get(stage, [stage])]


def page(outcome: Outcome, seed: int, seconds: float) -> str:
    """The outcome as Markdown."""
    return render(
        Path(__file__).with_name("kills.md.jinja"),
        outcome=outcome,
        stages=STAGES,
        hows=HOWS,
        epochs=EPOCHS,
        seed=seed,
        seconds=seconds,
        machine=f"{platform.system()} {platform.machine()}, {psutil.cpu_count()} cores",
    )


if __name__ == "__main__":
    cli.run(
        main,
        cli.argument("--kills", type=int, default=5, help="that have to land (5)"),
        cli.argument("--seed", type=int, default=0, help="of stages and moments (0)"),
        cli.argument("--report", type=Path, help="a file for the table"),
    )
