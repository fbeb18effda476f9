"""What validate left of every architecture, read for comparing and drawing."""

import json
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from benchmark import errors

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


def read(architectures: list[str]) -> Results:
    """The results of these architectures. Raises UserError where they lack or differ."""
    metrics, seeds, curves, predictions = {}, {}, {}, {}
    for name in architectures:
        try:
            metrics[name] = json.loads((METRICS / f"{name}.json").read_text())
            seeds[name] = pd.read_csv(RESULTS / name / "seeds.csv")
            curves[name] = pd.read_csv(RESULTS / name / "loss_curve.csv")
            predictions[name] = pd.read_csv(RESULTS / name / "predictions.csv")
        except (OSError, ValueError) as error:
            raise errors.UserError(
                f"results of {name}: {error}; bring them with `dvc repro validate@{name}`"
            ) from None
        first = predictions[architectures[0]]
        same_seeds = list(predictions[name]) == list(first)
        if not same_seeds or not predictions[name]["label"].equals(first["label"]):
            raise errors.UserError(
                f"results of {name}: other seeds or images than those of "
                f"{architectures[0]}; bring all up to date with `dvc repro`"
            )
    return Results(metrics, seeds, curves, predictions)


def environment_of(architecture: str) -> dict[str, str]:
    """Where it was trained: processor, versions. Raises UserError."""
    path = RESULTS / architecture / "environment.json"
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (TypeError, ValueError) as error:
        raise errors.UserError(
            f"{path}: {error}; bring it with `dvc repro validate@{architecture}`"
        ) from None


def decimal(value: float) -> str:
    """An accuracy without the leading zero: .8948."""
    return f"{value:.4f}".removeprefix("0")
