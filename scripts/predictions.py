"""Read and compare files of predictions, such as results/<row>/predictions.csv.

They have one row per image, with its true class in the column `label` and the predicted
classes in `seed_0`, `seed_1`, …: one column for each model, trained with another seed.
Classes are numbers. Optional columns are `example`, the number of the image, and `fold`,
for nets that were trained and tested in folds.
"""

import csv
import io
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from benchmark.running.errors import explained
from benchmark.stats.folds import fold_differences
from benchmark.stats.uncertainty import (
    Estimate,
    Matrix,
    compare_models,
    correctness_matrix,
    difference_interval,
)


@dataclass(frozen=True)
class Predictions:
    """The content of a file. path: its name in messages."""

    path: str
    table: pd.DataFrame

    @property
    def images(self) -> pd.DataFrame:
        return self.table.filter(["example", "fold", "label"])

    @property
    def in_folds(self) -> bool:
        return "fold" in self.table

    @property
    def n_folds(self) -> int:
        return self.table["fold"].nunique() if self.in_folds else 0

    @cached_property
    def correct(self) -> pd.DataFrame:
        """Seeds × images: 1 if correct, else 0; NaN where a seed was not tested."""
        return correctness_matrix(self.table)

    @property
    def n_seeds(self) -> int:
        return len(self.correct)

    @property
    def by_image(self) -> Matrix:
        """The share of correct predictions for each image."""
        return np.nanmean(self.correct.to_numpy(float), axis=0)

    @property
    def accuracy(self) -> float:
        return float(self.by_image.mean())


def parse(text: str, path: str, error: str) -> Predictions:
    """Parse a file of predictions.

    Raises UserError if it is damaged. error: its message; `{}` is for the cause.
    """
    with explained(error, ValueError, csv.Error):
        header, *rows = [row for row in csv.reader(io.StringIO(text)) if row] or [[]]
        if repeated := [name for name in header if header.count(name) > 1]:
            raise ValueError(f"two columns have the name {repeated[0]}")
        for number, row in enumerate(rows, start=1):
            if len(row) != len(header):
                raise ValueError(f"image {number} has {len(row)} values, not {len(header)}")
        table = pd.read_csv(io.StringIO(text), index_col=False)
        seeds = [str(name) for name in table.filter(regex=r"^seed_\d+$")]
        if "label" not in table or not seeds:
            raise ValueError("has no column " + ("seed_0" if "label" in table else "label"))
        if len(table) < 2:
            raise ValueError("has fewer than two images")
        in_folds = "fold" in table
        for name in ("label", *(["fold"] if in_folds else []), *seeds):
            classes = table[name].dropna() if in_folds and name in seeds else table[name]
            is_class = is_numeric_dtype(classes) and classes.notna().all()
            if not is_class or (classes % 1 != 0).any():
                raise ValueError(f"{name} is not a whole number in every row")
        if table[seeds].isna().all(axis=1).any():
            raise ValueError("there is an image without a prediction")
        if "example" in table and table["example"].duplicated().any():
            raise ValueError("example: an image has two rows")
    return Predictions(path, table)


def compare(a: Predictions, b: Predictions) -> Estimate:
    """Estimate how much more accurate A is than B, tested on the same images.

    With folds, both need at least three. Otherwise, both need one seed, or both more.
    """
    if a.in_folds:
        # The folds are numbered from 0, without a gap.
        folds = a.table["fold"].rank(method="dense").to_numpy().astype(np.int64) - 1
        nets = {"a": a.by_image, "b": b.by_image}
        n_seeds = {"a": a.n_seeds, "b": b.n_seeds}
        return fold_differences(nets, folds, [("a", "b")], n_seeds)[0]
    first, second = a.correct.to_numpy(float), b.correct.to_numpy(float)
    if a.n_seeds == b.n_seeds == 1:
        return compare_models(first[0], second[0])
    return difference_interval(first, second)
