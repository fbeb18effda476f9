"""Which recipe for modern? A section of docs/tuning.md.

Size and epochs, learning rate, weight decay, cutout and label smoothing are chosen on
held-out training images, one part after another: each part tries a few values, and the best
one is kept for the next part. The test images have no say. Each candidate is also scored on
them, but only to show how much a choice on them would have flattered the result.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from math import sqrt
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmark import params
from benchmark.reporting.render import render
from benchmark.running.errors import UserError
from benchmark.running.finished import CellResult
from benchmark.stats.verdicts import format_points
from benchmark.training import plan
from benchmark.training.environment import merge
from benchmark.training.scoring import accuracy, predict
from studies import trainings
from studies.trainings import Record

ROW = "modern"
MEASURED = Path("docs/tuning_modern.json")
Candidate = Mapping[str, float]
# From first trials, which were scored on test images. The row trains for twice as long.
START: Candidate = {
    "n_chans": 64,
    "epochs": 32,
    "lr": 0.1,
    "weight_decay": 0.0005,
    "cutout": 0,
    "label_smoothing": 0.1,
}
LONGER = 2
# What each part tries instead of the best so far, in this order.
PARTS: Mapping[str, tuple[Candidate, ...]] = {
    # A smaller net that trains for longer takes about the same time.
    "size": ({"n_chans": 48, "epochs": 51},),
    "learning rate": ({"lr": 0.05}, {"lr": 0.2}),
    "weight decay": ({"weight_decay": 0.001}, {"weight_decay": 0.002}),
    "cutout": ({"cutout": 8},),
    "label smoothing": ({"label_smoothing": 0}, {"label_smoothing": 0.2}),
}
# How much better a candidate must be to replace the best so far: about the standard error
# of the difference between two candidates, with two seeds each.
NEEDED = 0.003
# The key of a record's accuracy on the test images.
ON_TEST = "test_accuracy"


@dataclass(frozen=True)
class Part:
    """A part of the recipe, and the candidates that differ in it.

    The first candidate is the best one of all earlier parts.
    """

    name: str
    candidates: tuple[Candidate, ...]

    def best(self, scores: Mapping[str, float]) -> Candidate:
        """Return the candidate with the highest score, if it gains what is needed."""
        first = self.candidates[0]
        best = max(self.candidates, key=lambda each: scores[name_of(each)])
        return best if self.gain(scores) >= NEEDED else first

    def gain(self, scores: Mapping[str, float]) -> float:
        """Return how much higher the highest score is than that of the first."""
        found = [scores[name_of(each)] for each in self.candidates]
        return round(max(found) - found[0], 9)  # 0.003, not 0.00299…


def section(loaded: params.Params, n_seeds: int, holdout: float) -> str:
    """Train all candidates that are missing; return the section as Markdown.

    Raises UserError if the row in params.yaml does not have the recipe that was chosen.
    """
    data = loaded.data.model_copy(update={"holdout": holdout})
    variants = {key_of(each): variant(loaded, each) for each in every_candidate()}
    records = trainings.read(MEASURED, variants, data)
    while runs := missing(records, n_seeds):
        records = trainings.train_runs(MEASURED, variants, data, runs, on_test_images)
    chosen = list(parts(held_out(records)))[-1].best(held_out(records))
    refuse_other_recipe(loaded, chosen)
    return page(records)


def page(records: list[Record]) -> str:
    scores, on_test = held_out(records), test_accuracies(records)
    found = list(parts(scores))
    chosen = name_of(found[-1].best(scores))
    # Of equal ones, the chosen one.
    flattering = max(on_test, key=lambda name: (on_test[name], name == chosen))
    runs = trainings.correct_of(records).values()
    n_seeds, n_images = next(iter(runs)).shape
    # Without candidates of which a seed diverged: all answers of that seed count as wrong.
    variances = [m.mean(axis=1).var(ddof=1) for m in runs if m.any(axis=1).all()]
    return render(
        Path(__file__).with_suffix(".md.jinja"),
        parts=[
            (part.name, [name_of(c) for c in part.candidates], name_of(part.best(scores)))
            for part in found
        ],
        scores=scores,
        on_test=on_test,
        chosen=chosen,
        flattering=flattering,
        gain=format_points(on_test[flattering] - on_test[chosen], digits=2),
        changed=[part.name for part in found if part.gain(scores) >= NEEDED],
        needed=NEEDED,
        spread=sqrt(fmean(variances)),
        n_seeds=n_seeds,
        n_images=n_images,
        start=START,
        longer=LONGER,
        environment=merge(record["environment"] for record in records),
    )


def every_candidate() -> Iterator[Candidate]:
    """Yield every combination that the choice can come to."""
    for changes in product(*(({}, *changes) for changes in PARTS.values())):
        candidate = dict(START)
        for change in changes:
            candidate |= change
        yield candidate


def parts(scores: Mapping[str, float]) -> Iterator[Part]:
    """Yield the parts, up to the first with a candidate that has no score yet.

    scores: by the candidate's name.
    """
    best = START
    for name, changes in PARTS.items():
        part = Part(name, (best, *({**best, **change} for change in changes)))
        yield part
        if any(name_of(each) not in scores for each in part.candidates):
            return
        best = part.best(scores)


def missing(records: list[Record], n_seeds: int) -> list[tuple[trainings.Key, int]]:
    """Return the runs that the next part needs; empty if the recipe is chosen."""
    known = {(record["net"], record["seed"]) for record in records}
    complete = {
        name: score
        for name, score in held_out(records).items()
        if all((name, seed) in known for seed in range(n_seeds))
    }
    *_, part = parts(complete)
    return [
        (key_of(each), seed)
        for seed in range(n_seeds)
        for each in part.candidates
        if (name_of(each), seed) not in known
    ]


def name_of(candidate: Candidate) -> str:
    """Name a candidate by what differs from START."""
    changed = [f"{key} {candidate[key]:g}" for key in START if candidate[key] != START[key]]
    return ", ".join(changed) or "start"


def key_of(candidate: Candidate) -> trainings.Key:
    return name_of(candidate), candidate["lr"]


def variant(loaded: params.Params, candidate: Candidate) -> params.Row:
    row = params.row_of(loaded, ROW)
    recipe_of = {key: value for key, value in candidate.items() if key != "n_chans"}
    return replace(
        row,
        name=f"{ROW} ({name_of(candidate)})",
        settings=row.settings | {"n_chans": int(candidate["n_chans"])},
        training=row.training.model_copy(update=recipe_of),
    )


def held_out(records: list[Record]) -> dict[str, float]:
    """Return each candidate's mean accuracy on the held-out images."""
    return {
        name: float(correct.mean())
        for (name, _), correct in trainings.correct_of(records).items()
    }


def test_accuracies(records: list[Record]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for record in records:
        # A run whose loss was not finite has no model to score.
        found.setdefault(record["net"], []).append(record.get(ON_TEST, 0.0))
    return {name: fmean(accuracies) for name, accuracies in found.items()}


def on_test_images(cell: plan.Cell, result: CellResult) -> Record:
    """Score a trained candidate on the official test images, for the comparison only."""
    model, data = trainings.trained_model(cell, result)
    images, flip = data.normalized(data.val_images), cell.row.training.flip_at_test
    return {ON_TEST: accuracy(predict(model, images, flip=flip), data.val_labels)}


def refuse_other_recipe(loaded: params.Params, chosen: Candidate) -> None:
    """Raise UserError if the row does not have the recipe that was chosen."""
    row = params.row_of(loaded, ROW)
    have: dict[str, Any] = row.training.model_dump() | row.settings
    for key, value in ({**chosen, "epochs": LONGER * chosen["epochs"]}).items():
        if have[key] != value:
            raise UserError(
                f"{params.PARAMS}: {ROW}: {key} is {have[key]}, but {value:g} is what the "
                "held-out images chose; set it, and run again"
            )
