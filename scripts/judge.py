"""Compare two files of predictions for the same images: is A better than B?

The files may come from anywhere. They have the format of results/<row>/predictions.csv: one
row per image, with its true class in the column `label` and the predicted classes in
`seed_0`, `seed_1`, …: one column for each model, trained with another seed. Classes are
numbers. Optional columns are `example`, the number of the image, and `fold`, for nets that
were trained and tested in folds.
"""

import csv
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import is_numeric_dtype

from benchmark.reporting.render import render
from benchmark.running import cli
from benchmark.running.errors import UserError, explained
from benchmark.stats.folds import MIN_FOLDS, fold_differences
from benchmark.stats.planning import could_be_found, in_full
from benchmark.stats.uncertainty import (
    Estimate,
    Matrix,
    compare_models,
    correctness_matrix,
    difference_interval,
)
from benchmark.stats.verdicts import MIN_SEEDS, verdicts
from scripts.changes import margin

FORMAT = "it needs the columns label and seed_0, seed_1, …, with a class number in each row"


@dataclass(frozen=True)
class Predictions:
    """The content of a file."""

    path: str
    table: pd.DataFrame

    @property
    def images(self) -> pd.DataFrame:
        return self.table.filter(["example", "fold", "label"])

    @cached_property
    def correct(self) -> Matrix:
        """Seeds × images: 1 if correct, else 0; NaN where a seed was not tested."""
        return correctness_matrix(self.table).to_numpy(float)

    @property
    def n_seeds(self) -> int:
        return len(self.correct)

    @property
    def by_image(self) -> Matrix:
        return np.nanmean(self.correct, axis=0)


def main(a: str, b: str) -> None:
    print(report(*aligned(read(a), read(b)), margin()), end="")


def read(path: str) -> Predictions:
    """Read a file of predictions. Raises UserError if it is not one."""
    if not path:
        raise UserError("name two files: make judge A=theirs.csv B=ours.csv")
    with explained(f"{path}: {{}}; {FORMAT}", OSError, ValueError, csv.Error):
        with Path(path).open(encoding="utf-8-sig", newline="") as file:
            header, *rows = [row for row in csv.reader(file) if row] or [[]]
        if repeated := [name for name in header if header.count(name) > 1]:
            raise ValueError(f"two columns have the name {repeated[0]}")
        for number, row in enumerate(rows, start=1):
            if len(row) != len(header):
                raise ValueError(f"image {number} has {len(row)} values, not {len(header)}")
        table = pd.read_csv(Path(path), encoding="utf-8-sig", index_col=False)
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
        raise UserError(f"{path}: example: an image has two rows; remove one")
    return Predictions(path, table)


def aligned(a: Predictions, b: Predictions) -> tuple[Predictions, Predictions]:
    """Bring the images into the same order, if both files have their numbers."""
    if "example" not in a.table or "example" not in b.table:
        return a, b
    first, second = (
        replace(each, table=each.table.sort_values("example", ignore_index=True))
        for each in (a, b)
    )
    return first, second


def refuse_other_images(a: Predictions, b: Predictions) -> None:
    """Raise UserError unless both files are about the same images, in the same order."""
    if len(a.images) != len(b.images):
        raise UserError(
            f"{a.path} has {len(a.images):,} images and {b.path} {len(b.images):,}; both "
            "need the same images"
        )
    if ("fold" in a.images) != ("fold" in b.images):
        raise UserError(
            f"only one of {a.path} and {b.path} has folds; nets that were tested in "
            "different ways cannot be compared"
        )
    for name in a.images.columns.intersection(b.images.columns):
        different = (a.images[name] != b.images[name]).to_numpy()
        if different.any():
            raise UserError(
                f"{a.path} and {b.path} differ in the column {name}, first for image "
                f"{different.argmax() + 1}; both need the same images, in the same order "
                "or with their numbers in the column example"
            )


def report(a: Predictions, b: Predictions, margin: float) -> str:
    """Render the difference, its interval and the word. Raises UserError."""
    refuse_other_images(a, b)
    in_folds = "fold" in a.images
    estimate = compare(a, b)
    [verdict] = verdicts([(a.path, b.path)], [estimate], margin)
    fewest = min(a.n_seeds, b.n_seeds)
    won = [
        int(((x.correct[0] == 1) & (y.correct[0] == 0)).sum()) for x, y in ((a, b), (b, a))
    ]
    return render(
        Path(__file__).with_name("judge.txt.jinja"),
        a=a,
        b=b,
        verdict=in_full(verdict),
        mean=estimate.mean,
        could_be_found=could_be_found(verdict),
        interval=estimate.interval(),
        n_images=len(a.images),
        in_folds=in_folds,
        one_seed=fewest == 1 and not in_folds,
        has_word=in_folds or fewest == 1 or fewest >= MIN_SEEDS,
        won=won if a.n_seeds == b.n_seeds == 1 else None,
        margin=margin,
        min_seeds=MIN_SEEDS,
    )


def compare(a: Predictions, b: Predictions) -> Estimate:
    """Estimate how much more accurate A is than B. Raises UserError."""
    if "fold" in a.images:
        # The folds are numbered from 0, without a gap.
        folds = a.images["fold"].rank(method="dense").to_numpy().astype(np.int64) - 1
        if folds.max() + 1 < MIN_FOLDS:
            raise UserError(f"{a.path}: fold: a comparison needs {MIN_FOLDS} folds")
        nets = {"a": a.by_image, "b": b.by_image}
        n_seeds = {"a": a.n_seeds, "b": b.n_seeds}
        return fold_differences(nets, folds, [("a", "b")], n_seeds)[0]
    if a.n_seeds == b.n_seeds == 1:
        return compare_models(a.correct[0], b.correct[0])
    if min(a.n_seeds, b.n_seeds) == 1:
        one = a if a.n_seeds == 1 else b
        raise UserError(
            f"{one.path} has one seed, and the other file has more; keep one column there, "
            f"or train {MIN_SEEDS} seeds here"
        )
    return difference_interval(a.correct, b.correct)


if __name__ == "__main__":
    cli.run(
        main,
        cli.argument("a", metavar="A.csv", help="a file of predictions"),
        cli.argument("b", metavar="B.csv", help="another one, for the same images"),
    )
