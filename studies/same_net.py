"""How often is a net called different from itself? docs/same_net.md.

Trains the annealed baseline 240 times: 120 runs with folds, and 120 on the official test
images. Groups of six of them are what the table has for one net. Every difference between
two groups is then a false alarm. The study counts them over many random groupings, and how
often the interval of a group contains the mean of all runs. An interrupted run can resume.
"""

from collections.abc import Mapping
from dataclasses import replace
from itertools import combinations
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
import numpy as np
from joblib import Parallel, delayed
from matplotlib.figure import Figure

from benchmark.reporting.charts import PERCENT, RECIPE_COLOURS
from benchmark.reporting.figures import png
from benchmark.reporting.render import render
from benchmark.reporting.results import BASELINE
from benchmark.running import cli
from benchmark.running.files import write_atomic
from benchmark.stats.folds import fold_accuracy, fold_differences
from benchmark.stats.uncertainty import (
    LEVEL,
    Estimate,
    Interval,
    Matrix,
    ScoredNet,
    accuracy_interval,
    compare_nets,
)
from benchmark.stats.verdicts import ALPHA
from studies import trainings

RECIPE = "annealed"
SPLITS = ("official", "folds")
RUNS, SEEDS = 120, 6
# No seed of the tables. A multiple of six, so that six runs in a row have all six folds.
FIRST_SEED = 600
# Random groupings of all runs, and of each random half of them.
GROUPINGS, HALVES, GROUPINGS_OF_HALF = 500, 200, 10
MEASURED = {split: Path(f"docs/same_net_{split}.json") for split in SPLITS}
PAGE, PICTURE = Path("docs/same_net.md"), Path("docs/same_net.png")


class Rate(NamedTuple):
    """A share of pairs or groups, and its 95% interval."""

    share: float
    interval: Interval


class Group(NamedTuple):
    mean: float
    interval: Interval


def main() -> None:
    loaded = trainings.load_params()
    [row] = [r for r in trainings.rows_of(loaded, RECIPE) if r.label == BASELINE]
    seeds = range(FIRST_SEED, FIRST_SEED + RUNS)
    correct, environment = {}, {}
    for split, path in MEASURED.items():
        training = row.training.model_copy(update={"split": split})
        variants = {(row.label, training.lr): replace(row, training=training)}
        records = trainings.train(path, variants, loaded.data, seeds, at_once=2 * SEEDS)
        [correct[split]] = trainings.correct_of(records).values()
        environment = records[0]["environment"]
    margin = loaded.compare.margin
    write_atomic(PAGE, page(correct, environment, margin).encode())
    write_atomic(PICTURE, png(chart(correct)))


def by_fold(correct: Matrix, split: str) -> Matrix:
    """Return folds × runs × images. With the official split, all runs are one fold."""
    n_folds = SEEDS if split == "folds" else 1
    return correct.reshape(-1, n_folds, correct.shape[1]).swapaxes(0, 1)


def grouping(runs: Matrix, generator: np.random.Generator) -> list[Matrix]:
    """Put the runs into random groups of six: each has six runs × images.

    runs: folds × runs × images. With folds, a group has one run of each fold.
    """
    shuffled = np.stack([fold[generator.permutation(len(fold))] for fold in runs])
    n_groups = shuffled.shape[0] * shuffled.shape[1] // SEEDS
    together = shuffled.swapaxes(0, 1).reshape(n_groups, SEEDS, -1)
    return list(together)


def differences(groups: list[Matrix], split: str) -> list[Estimate]:
    """Compare every two groups, as the tables compare two nets."""
    pairs = list(combinations(range(len(groups)), 2))
    if split == "official":
        nets = [ScoredNet.from_matrix(group) for group in groups]
        return [compare_nets(nets[a], nets[b]) for a, b in pairs]
    names = {str(i): group.ravel() for i, group in enumerate(groups)}
    return fold_differences(
        names, folds_of(groups[0]), [(str(a), str(b)) for a, b in pairs]
    )


def accuracy_of(group: Matrix, split: str) -> Group:
    if split == "official":
        estimate = accuracy_interval(group)
    else:
        estimate = fold_accuracy(group.ravel(), folds_of(group))
    return Group(estimate.mean, estimate.interval())


def folds_of(group: Matrix) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """Return the fold of each image, if run k of the group was tested on fold k."""
    return np.repeat(np.arange(len(group), dtype=np.int64), group.shape[1])


def shares(
    runs: Matrix, split: str, margin: float, groupings: int, seed: np.random.SeedSequence
) -> Matrix:
    """Return three shares, over random groupings.

    Of pairs that are called different, each pair alone; of pairs that are called the same;
    and of groups whose interval contains the mean of all runs.
    """
    generator = np.random.default_rng(seed)
    found = []
    for _ in range(groupings):
        groups = grouping(runs, generator)
        estimates = differences(groups, split)
        different = [estimate.p < 1 - LEVEL for estimate in estimates]
        within = [
            -margin < low and high < margin
            for low, high in (estimate.interval(1 - 2 * ALPHA) for estimate in estimates)
        ]
        accuracies = [accuracy_of(group, split) for group in groups]
        covered = [i.low <= runs.mean() <= i.high for _, i in accuracies]
        same = np.logical_and(within, np.logical_not(different))
        found.append([np.mean(different), np.mean(same), np.mean(covered)])
    return np.mean(found, axis=0)


def rates(correct: Matrix, split: str, margin: float) -> list[Rate]:
    """Return the three shares with their intervals.

    The standard error is that of the delete-half jackknife (Shao and Wu 1989): the standard
    deviation of the share over random halves of the runs. A bootstrap would compare runs
    with copies of themselves.
    """
    runs = by_fold(correct, split)
    first, *others = np.random.SeedSequence(0).spawn(1 + HALVES)
    share = shares(runs, split, margin, GROUPINGS, first)
    halves = Parallel(n_jobs=-1)(
        delayed(shares)(half(runs, seed), split, margin, GROUPINGS_OF_HALF, seed)
        for seed in others
    )
    errors = np.std(halves, axis=0)
    return [
        Rate(float(s), Interval(max(0.0, s - 1.96 * e), min(1.0, s + 1.96 * e)))
        for s, e in zip(share, errors, strict=True)
    ]


def half(runs: Matrix, seed: np.random.SeedSequence) -> Matrix:
    """Return a random half of the runs, of each fold."""
    generator = np.random.default_rng(seed)
    n = runs.shape[1] // 2
    return np.stack([fold[generator.permutation(len(fold))[:n]] for fold in runs])


def page(
    correct: Mapping[str, Matrix], environment: Mapping[str, object], margin: float
) -> str:
    """Render the rates as Markdown. margin: in points."""
    rows = []
    for split, matrix in correct.items():
        different, same, covered = rates(matrix, split, margin / 100)
        means = [g.mean for g in in_order(matrix, split)]
        rows.append(
            {
                "split": split,
                "span": max(means) - min(means),
                "different": different,
                "same": same,
                "covered": covered,
            }
        )
    return render(
        Path(__file__).with_suffix(".md.jinja"),
        rows=rows,
        nominal=1 - LEVEL,
        n_groups=RUNS // SEEDS,
        n_runs=RUNS,
        n_seeds=SEEDS,
        first_seed=FIRST_SEED,
        groupings=GROUPINGS,
        halves=HALVES,
        margin=margin,
        environment=environment,
    )


def in_order(correct: Matrix, split: str) -> list[Group]:
    """Return the groups of six runs in the order of their seeds."""
    return [
        accuracy_of(group, split) for group in correct.reshape(-1, SEEDS, correct.shape[1])
    ]


def chart(correct: Mapping[str, Matrix]) -> Figure:
    """Draw each group's mean and interval, one panel per split. 700 pixels wide."""
    figure, panels = plt.subplots(1, len(correct), figsize=(7, 3.6), sharey=True)
    titles = {"official": "the same test images", "folds": "six folds"}
    for axes, (split, matrix) in zip(panels, correct.items(), strict=True):
        groups = sorted(in_order(matrix, split))
        colour = RECIPE_COLOURS[0]
        for i, group in enumerate(groups):
            axes.plot([i] * 2, group.interval, color=colour, lw=2, alpha=0.5)
            axes.plot(i, group.mean, "o", color=colour, ms=5)
        axes.axhline(matrix.mean(), color="#666666", lw=1, ls=":")
        axes.set_title(titles[split], fontsize=12)
        axes.set_xticks([])
        axes.set_xlabel(f"groups of {SEEDS} runs of one net", fontsize=12)
        axes.yaxis.set_major_formatter(PERCENT)
    panels[0].set_ylabel("accuracy", fontsize=12)
    return figure


if __name__ == "__main__":
    cli.run(main)
