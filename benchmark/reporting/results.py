"""Read the results of every row, as the validate stage writes them."""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from benchmark.params import Params, Row, row_of
from benchmark.running.errors import UserError, explained
from benchmark.stats.folds import Scatter, fold_accuracy, net_scatters
from benchmark.stats.uncertainty import (
    Interval,
    Matrix,
    accuracy_interval,
    correctness_matrix,
)
from benchmark.stats.verdicts import MIN_SEEDS

METRICS = Path("metrics")
RESULTS = Path("results")
# All other nets are compared with this one.
BASELINE = "baseline"
TEST = "test images"
# The section of params.yaml with the chapter's recipe.
CHAPTER = "train"
# The fields of Results that have one value for each row.
BY_LABEL = ("rows", "metrics", "seeds", "curves", "predictions")


@dataclass(frozen=True)
class Results:
    """Results of one family: rows of the same table, tested on the same images.

    By label, which is the row's name without the table, in the order of params.yaml.
    table: the name of a recipe, or of a table of its own. margin: up to this difference in
    accuracy, two nets are the same.
    """

    table: str
    rows: dict[str, Row]
    metrics: dict[str, dict[str, float]]
    seeds: dict[str, pd.DataFrame]
    curves: dict[str, pd.DataFrame]
    predictions: dict[str, pd.DataFrame]
    margin: float

    def only(self, names: Collection[str]) -> "Results":
        """Return the results of these rows, as if there were no others."""
        kept: dict[str, Any] = {
            part: {name: getattr(self, part)[name] for name in names} for part in BY_LABEL
        }
        return replace(self, **kept)

    @property
    def title(self) -> str:
        return "chapter" if self.table == CHAPTER else self.table

    @property
    def has_recipe(self) -> bool:
        """Whether this is the table of one recipe."""
        return all(row.own_table is None for row in self.rows.values())

    @property
    def in_words(self) -> str:
        return f"{self.title} {'recipe' if self.has_recipe else 'table'}"

    @property
    def names(self) -> list[str]:
        return list(self.metrics)

    @property
    def by_accuracy(self) -> list[str]:
        """The names, best net first; ties in the order of params.yaml."""
        return sorted(self.metrics, key=lambda name: -self.metrics[name]["val_accuracy"])

    @property
    def n_seeds(self) -> int:
        """The number of seeds; if rows differ, the smallest."""
        return min(len(seeds) for seeds in self.seeds.values())

    @property
    def max_seeds(self) -> int:
        return max(len(seeds) for seeds in self.seeds.values())

    @property
    def epochs(self) -> list[int]:
        """The numbers of epochs, without repetitions, in ascending order."""
        return sorted({int(curve["epoch"].max()) for curve in self.curves.values()})

    @property
    def n_folds(self) -> int:
        """The number of folds; 0 for the official split."""
        return int(next(iter(self.metrics.values())).get("n_folds", 0))

    @property
    def n_test(self) -> int:
        """The number of images that a row was tested on, over all its seeds."""
        return max(map(len, self.predictions.values()))

    @property
    def tested_on(self) -> str:
        """What kind of images the accuracies are for."""
        is_held_out = "holdout" in next(iter(self.metrics.values()))
        return "held-out training images" if is_held_out else TEST

    @cached_property
    def incomplete(self) -> dict[str, int]:
        """The rows that do not cover all folds, and how many folds they cover."""
        covered = {
            name: predictions["fold"].nunique()
            for name, predictions in self.predictions.items()
            if self.n_folds
        }
        return {name: n for name, n in covered.items() if n < self.n_folds}

    @cached_property
    def stuck(self) -> dict[str, list[int]]:
        """The seeds that give one class for every image, by net, if there are any."""
        stuck = {
            name: [
                int(str(seed).removeprefix("seed_"))
                for seed in predictions.filter(regex=r"^seed_\d+$")
                if predictions[seed].nunique() == 1 < predictions["label"].nunique()
            ]
            for name, predictions in self.predictions.items()
        }
        return {name: seeds for name, seeds in stuck.items() if seeds}

    @property
    def comparable(self) -> list[str]:
        """The rows that can be compared: with enough seeds, or with all folds."""
        if self.n_folds:
            return [name for name in self.names if name not in self.incomplete]
        return [name for name in self.names if len(self.seeds[name]) >= MIN_SEEDS]

    @cached_property
    def correct(self) -> dict[str, Matrix]:
        """By net, seeds × images: 1 for a correct prediction, 0 for a wrong one.

        With folds, one number per image: the share of correct predictions by the seeds that
        were tested on it.
        """
        matrices = {
            name: correctness_matrix(predictions).to_numpy(float)
            for name, predictions in self.predictions.items()
        }
        if not self.n_folds:
            return matrices
        return {name: np.nanmean(matrix, axis=0) for name, matrix in matrices.items()}

    @property
    def folds(self) -> npt.NDArray[np.int64]:
        """The fold of each image, for rows that cover all folds."""
        return self.predictions[self.comparable[0]]["fold"].to_numpy(int)

    @cached_property
    def scatters(self) -> dict[str, Scatter]:
        """How each net scatters over folds; empty without folds."""
        if not self.n_folds or not self.comparable:
            return {}
        correct = {name: self.correct[name] for name in self.comparable}
        return net_scatters(correct, self.folds)

    @cached_property
    def intervals(self) -> dict[str, Interval]:
        """The 95% interval of the accuracy of each net with several seeds, or all folds."""
        if self.n_folds:
            estimates = {
                name: fold_accuracy(self.correct[name], self.folds)
                for name in self.comparable
            }
        else:
            estimates = {
                name: accuracy_interval(self.correct[name])
                for name in self.names
                if len(self.seeds[name]) > 1
            }
        return {
            name: estimate.interval().of_shares() for name, estimate in estimates.items()
        }

    @cached_property
    def votes(self) -> dict[str, float]:
        """By net, the accuracy if all its seeds vote; empty with folds.

        If several classes have as many votes, each counts as one guess among them.
        """
        if self.n_folds:
            return {}
        return {
            name: vote_accuracy(predictions)
            for name, predictions in self.predictions.items()
            if len(self.seeds[name]) > 1
        }


def vote_accuracy(predictions: pd.DataFrame) -> float:
    """Return the accuracy of the majority vote of all seeds; ties are guesses."""
    return float(vote_correct(predictions).mean())


def vote_correct(predictions: pd.DataFrame) -> Matrix:
    """Return for each image 1 if the vote is correct, 0 if not; for a tie, the chance."""
    # Up to as many columns as there are ties; NaN elsewhere.
    modes = predictions.filter(regex=r"^seed_\d+$").mode(axis=1)
    is_won = modes.eq(predictions["label"], axis=0).any(axis=1)
    return (is_won / modes.notna().sum(axis=1)).to_numpy(float)


def read_families(loaded: Params) -> list[Results]:
    """Read the results of all rows, by family; that of the row `baseline` comes first.

    Raises UserError if some are missing, or are for other images than the rest.
    """
    rows = [row_of(loaded, name) for name in loaded.rows]
    first = row_of(loaded, BASELINE)
    families = {row.family: None for row in (first, *rows)}
    return [
        read([row for row in rows if row.family == family], loaded.compare.margin / 100)
        for family in families
    ]


def read(rows: Sequence[Row], margin: float) -> Results:
    """Read the results of these rows, which are one family. Raises UserError.

    margin: up to this difference in accuracy, two nets are the same.
    """
    labels = [row.label for row in rows]
    by_label = {
        row.label if labels.count(row.label) == 1 else row.name: row for row in rows
    }
    metrics, seeds, curves, predictions = {}, {}, {}, {}
    for label, row in by_label.items():
        name = row.name
        with explained(
            f"results of {name}: {{}}; make them with `dvc repro validate@{name}`",
            OSError,
            ValueError,
        ):
            metrics[label] = json.loads((METRICS / f"{name}.json").read_text())
            seeds[label] = pd.read_csv(RESULTS / name / "seeds.csv")
            curves[label] = pd.read_csv(RESULTS / name / "loss_curve.csv")
            predictions[label] = pd.read_csv(RESULTS / name / "predictions.csv")
    results = Results(rows[0].table, by_label, metrics, seeds, curves, predictions, margin)
    refuse_other_images(results)
    return results


def merged(first: Results, second: Results) -> Results:
    """Add the rows of the second to the first, as one family. Raises UserError.

    A label that both have is replaced by the row's name in the second.
    """
    labels = {
        label: second.rows[label].name if label in first.rows else label
        for label in second.rows
    }

    def both(field: str) -> Any:
        mine, other = getattr(first, field), getattr(second, field)
        return {**mine, **{labels[label]: value for label, value in other.items()}}

    results = replace(first, **{field: both(field) for field in BY_LABEL})
    refuse_other_images(results)
    return results


def refuse_other_images(results: Results) -> None:
    """Raise UserError unless all rows were tested on the same images."""
    images = {
        name: predictions.filter(["example", "fold", "label"])
        for name, predictions in results.predictions.items()
    }
    first = max(images, key=lambda name: len(images[name]))
    for name, tested in images.items():
        expected = images[first]
        if "fold" in expected and "fold" in tested:  # a row need not cover all folds
            expected = expected[expected["fold"].isin(tested["fold"])]
        if not tested.reset_index(drop=True).equals(expected.reset_index(drop=True)):
            raise UserError(
                f"results of {results.rows[name].name}: not the same images as "
                f"{results.rows[first].name}; update all results with `dvc repro`"
            )


def read_json(path: Path, what_to_do: str) -> dict[str, Any]:
    """Read a JSON object. Raises UserError, with what to do, if that fails."""
    with explained(f"{path}: {{}}; {what_to_do}", TypeError, ValueError):
        return dict(json.loads(path.read_text("utf-8")))


def environment_of(row: str) -> dict[str, str]:
    """Read the environment a row was trained in: processor, versions. Raises UserError."""
    return read_json(
        RESULTS / row / "environment.json", f"make it with `dvc repro validate@{row}`"
    )
