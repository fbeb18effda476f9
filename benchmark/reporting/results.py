"""Read the results of every net, as the validate stage writes them."""

import json
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark.running.errors import UserError, explained
from benchmark.stats.uncertainty import (
    Estimate,
    Matrix,
    accuracy_interval,
    correctness_matrix,
)

METRICS = Path("metrics")
RESULTS = Path("results")
# All other nets are compared with this one.
BASELINE = "baseline"


@dataclass(frozen=True)
class Results:
    """Results by net, in the order of params.yaml: same seeds and images for all nets."""

    metrics: dict[str, dict[str, float]]
    seeds: dict[str, pd.DataFrame]
    curves: dict[str, pd.DataFrame]
    predictions: dict[str, pd.DataFrame]

    @property
    def names(self) -> list[str]:
        return list(self.metrics)

    @property
    def by_accuracy(self) -> list[str]:
        """The names, best net first; ties in the order of params.yaml."""
        return sorted(self.metrics, key=lambda name: -self.metrics[name]["val_accuracy"])

    @property
    def n_seeds(self) -> int:
        return len(next(iter(self.seeds.values())))

    @property
    def n_test(self) -> int:
        return len(next(iter(self.predictions.values())))

    @cached_property
    def correct(self) -> dict[str, Matrix]:
        """By net, seeds × images: 1 for a correct prediction, 0 for a wrong one."""
        return {
            name: correctness_matrix(predictions).to_numpy(float)
            for name, predictions in self.predictions.items()
        }

    @cached_property
    def intervals(self) -> dict[str, Estimate]:
        """The 95% interval of each net's accuracy. Empty if there is only one seed."""
        if self.n_seeds < 2:
            return {}
        estimates = {name: accuracy_interval(c) for name, c in self.correct.items()}
        return {
            name: replace(e, low=max(0.0, e.low), high=min(1.0, e.high))
            for name, e in estimates.items()
        }


def read(architectures: list[str]) -> Results:
    """Read the results of these nets.

    Raises UserError if some are missing, or are for other seeds or images than the rest.
    """
    metrics, seeds, curves, predictions = {}, {}, {}, {}
    for name in architectures:
        with explained(
            f"results of {name}: {{}}; make them with `dvc repro validate@{name}`",
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
                f"results of {name}: not the same seeds or images as {architectures[0]}; "
                "update all results with `dvc repro`"
            )
    return Results(metrics, seeds, curves, predictions)


def read_json(path: Path, what_to_do: str) -> dict[str, Any]:
    """Read a JSON object. Raises UserError, with what to do, if that fails."""
    with explained(f"{path}: {{}}; {what_to_do}", TypeError, ValueError):
        return dict(json.loads(path.read_text("utf-8")))


def environment_of(architecture: str) -> dict[str, str]:
    """Read the environment a net was trained in: processor, versions. Raises UserError."""
    return read_json(
        RESULTS / architecture / "environment.json",
        f"make it with `dvc repro validate@{architecture}`",
    )
