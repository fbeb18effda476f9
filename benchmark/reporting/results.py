"""What validate left of every architecture, read for comparing and drawing."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.running.errors import UserError, explained
from benchmark.stats.uncertainty import Estimate, Matrix, of_accuracy, right_of

METRICS = Path("metrics")
RESULTS = Path("results")
# What the others are held against.
BASELINE = "baseline"


@dataclass(frozen=True)
class Results:
    """What validate wrote, by architecture, in the order of params.yaml.

    All have the same seeds, scored on the same images.
    """

    metrics: dict[str, dict[str, float]]
    seeds: dict[str, pd.DataFrame]
    curves: dict[str, pd.DataFrame]
    predictions: dict[str, pd.DataFrame]

    @property
    def names(self) -> list[str]:
        return list(self.metrics)

    @property
    def by_accuracy(self) -> list[str]:
        """The architectures, best first; among equals, in the order of params.yaml."""
        return sorted(self.metrics, key=lambda name: -self.metrics[name]["val_accuracy"])

    @property
    def n_seeds(self) -> int:
        return len(next(iter(self.seeds.values())))

    @property
    def n_val(self) -> int:
        return len(next(iter(self.predictions.values())))

    @cached_property
    def right(self) -> dict[str, Matrix]:
        """By architecture, seeds × images: 1 where the answer is right."""
        return {
            name: right_of(each).to_numpy(float) for name, each in self.predictions.items()
        }

    @cached_property
    def intervals(self) -> dict[str, Estimate]:
        """Of each val accuracy; none with one seed, which tells nothing of others."""
        if self.n_seeds < 2:
            return {}
        found = {name: of_accuracy(right) for name, right in self.right.items()}
        return {
            name: replace(each, low=max(0.0, each.low), high=min(1.0, each.high))
            for name, each in found.items()
        }


def read(architectures: list[str]) -> Results:
    """The results of these architectures. Raises UserError where they lack or differ."""
    metrics, seeds, curves, predictions = {}, {}, {}, {}
    for name in architectures:
        with explained(
            f"results of {name}: {{}}; bring them with `dvc repro validate@{name}`",
            OSError,
            ValueError,
        ):
            metrics[name] = json.loads((METRICS / f"{name}.json").read_text())
            seeds[name] = pd.read_csv(RESULTS / name / "seeds.csv")
            curves[name] = pd.read_csv(RESULTS / name / "loss_curve.csv")
            predictions[name] = pd.read_csv(RESULTS / name / "predictions.csv")
        first = predictions[architectures[0]]
        same_seeds = list(predictions[name]) == list(first)
        if not same_seeds or not predictions[name]["label"].equals(first["label"]):
            raise UserError(
                f"results of {name}: other seeds or images than those of "
                f"{architectures[0]}; bring all up to date with `dvc repro`"
            )
    return Results(metrics, seeds, curves, predictions)


def read_json(path: Path, what_to_do: str) -> dict[str, Any]:
    """A file of JSON with keys. Raises UserError, which says what to do."""
    with explained(f"{path}: {{}}; {what_to_do}", TypeError, ValueError):
        return dict(json.loads(path.read_text("utf-8")))


def environment_of(architecture: str) -> dict[str, str]:
    """Where it was trained: processor, versions. Raises UserError."""
    return read_json(
        RESULTS / architecture / "environment.json",
        f"bring it with `dvc repro validate@{architecture}`",
    )


def decimal(value: float) -> str:
    """An accuracy without the leading zero: .8948."""
    return f"{value:.4f}".removeprefix("0")
