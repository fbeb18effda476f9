"""Kill the pipeline at random moments, restart it, and compare the final result.

First, a small pipeline on generated images runs undisturbed. Then it runs again and again
from the start. In every stage, it is killed at a random moment and restarted. The final
dvc.lock must equal the undisturbed run's and match every file, no other files may remain,
and a kill may cost a training run at most one epoch.
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
from benchmark.running.files import write_atomic
from studies.kills.pipeline import ARCHITECTURES, Pipeline

STAGES = ("download", "filter", "train", "export", "validate", "compare")
METHODS = {
    "all": "SIGKILL to dvc, the stage and its workers",
    "dvc": "SIGKILL to dvc alone; its stage keeps running",
    "worker": "SIGKILL to one training process, or to the stage if there is none",
    "interrupt": "SIGINT to all processes, as Ctrl-C sends it",
}
EPOCHS = 60


@dataclass
class Outcome:
    """Counts of kills and of their effects.

    hits: by stage and method. missed: kills after their stage had finished. passes: through
    the pipeline. differing: what differed in the last pass. repeated: epochs per training
    run that were trained twice.
    """

    hits: Counter[tuple[str, str]] = field(default_factory=Counter)
    missed: int = 0
    passes: int = 0
    differing: list[str] = field(default_factory=list)
    repeated: list[float] = field(default_factory=list)

    def hits_in(self, stage: str) -> int:
        return sum(n for (kind, _), n in self.hits.items() if kind == stage)


def main(kills: int, seed: int, report: Path | None) -> None:
    started = time.monotonic()
    folder = Path(tempfile.mkdtemp(prefix="kills-"))
    outcome = run_test(folder, kills, random.Random(seed))
    text = page(outcome, seed, time.monotonic() - started)
    print(text)
    if outcome.differing:
        raise errors.UserError(f"results differ; the last pass is in {folder}")
    shutil.rmtree(folder)
    if report:
        write_atomic(report, text.encode())


def run_test(folder: Path, kills: int, chance: random.Random) -> Outcome:
    """Kill until `kills` have hit, at least a tenth of them in each stage."""
    pipeline = Pipeline(folder, EPOCHS)
    _, durations = pipeline.run({})
    expected = pipeline.state()
    outcome = Outcome()
    bar = tqdm(total=kills, unit="kill", desc="kills")
    while not outcome.differing and (
        outcome.hits.total() < kills
        or any(outcome.hits_in(stage) < kills // 10 for stage in STAGES)
    ):
        pipeline.wipe()
        planned = {
            stage: (chance.choice(list(METHODS)), chance.random() * durations[stage])
            for stage in stages_to_kill(chance)
        }
        hits, _ = pipeline.run(planned)
        outcome.passes += 1
        outcome.missed += len(planned) - len(hits)
        outcome.hits.update((stage.partition("@")[0], method) for stage, method in hits)
        bar.update(len(hits))
        state = pipeline.state()
        outcome.differing += [key for key in expected if expected[key] != state[key]]
        in_stage = Counter(stage for stage, _ in hits)
        for (name, seed), repeated in pipeline.repeated_epochs().items():
            outcome.repeated.append(repeated)
            if repeated > in_stage[f"train@{name}"]:
                outcome.differing.append(
                    f"{name} seed {seed}: {repeated:.2f} epochs repeated"
                )
    bar.close()
    return outcome


def stages_to_kill(chance: random.Random) -> list[str]:
    """Choose the stages: both train stages, but only one validate stage."""
    validated = chance.choice(ARCHITECTURES)
    names = {"train": [f"train@{name}" for name in ARCHITECTURES]}
    names["validate"] = [f"validate@{validated}"]
    return [name for stage in STAGES for name in names.get(stage, [stage])]


def page(outcome: Outcome, seed: int, seconds: float) -> str:
    """Render the outcome as Markdown."""
    return render(
        Path(__file__).with_name("kill_test.md.jinja"),
        outcome=outcome,
        stages=STAGES,
        methods=METHODS,
        epochs=EPOCHS,
        seed=seed,
        seconds=seconds,
        machine=f"{platform.system()} {platform.machine()}, {psutil.cpu_count()} cores",
    )


if __name__ == "__main__":
    cli.run(
        main,
        cli.argument("--kills", type=int, default=5, help="how many kills must hit (5)"),
        cli.argument("--seed", type=int, default=0, help="seed of the random choices (0)"),
        cli.argument("--report", type=Path, help="a file for the report"),
    )
