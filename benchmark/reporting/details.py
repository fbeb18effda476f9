"""What the report shows about one net: its loss curves, its errors, a paired count."""

import math
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.reporting.results import BASELINE, Results
from benchmark.reporting.tables import confusion_counts
from benchmark.stats.uncertainty import Matrix, correctness_matrix

# The most numbers of images to list.
MAX_LISTED = 30
# The size of the loss curves, in the units of the SVG.
WIDTH, HEIGHT = 300, 90


@dataclass(frozen=True)
class PairedCount:
    """How often one net is right and the other wrong, for the same seeds and images."""

    only_first: int
    only_second: int
    answers: int


@dataclass(frozen=True)
class LossCurves:
    """One line per seed, as the points of SVG polylines, and what their axes span."""

    lines: list[str]
    lowest: float
    highest: float
    epochs: int


@dataclass(frozen=True)
class Details:
    """curves: None if all losses are the same. shares: true classes × predicted classes;
    each row sums to 1. count: against the baseline. only_wrong: the numbers of the images
    that most of its seeds get wrong, and most of the baseline's get right.
    """

    curves: LossCurves | None
    shares: Matrix
    count: PairedCount | None
    only_wrong: list[int]


def details_of(name: str, results: Results, n_classes: int) -> Details:
    predictions = results.predictions[name]
    seeds = [str(seed) for seed in predictions.filter(like="seed_")]
    counts = confusion_counts(predictions, seeds, n_classes)
    shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
    curves = loss_curves(name, results)
    baseline = results.predictions.get(BASELINE)
    if name == BASELINE or baseline is None:
        return Details(curves, shares, None, [])
    pair = in_common(predictions, baseline)
    return Details(curves, shares, paired_count(*pair), only_wrong(*pair))


def in_common(
    first: pd.DataFrame, second: pd.DataFrame
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the predictions for the images that both have; a net can miss some folds."""
    one, other = (
        mine[mine["example"].isin(theirs["example"])].reset_index(drop=True)
        for mine, theirs in ((first, second), (second, first))
    )
    return one, other


def paired_count(first: pd.DataFrame, second: pd.DataFrame) -> PairedCount:
    """Count the answers of the seeds that both nets have, on the images that both saw."""
    one, other = (correctness_matrix(p).to_numpy(float) for p in (first, second))
    n_seeds = min(len(one), len(other))
    difference = one[:n_seeds] - other[:n_seeds]  # NaN where a seed was not tested
    return PairedCount(
        int((difference == 1).sum()),
        int((difference == -1).sum()),
        int(np.isfinite(difference).sum()),
    )


def only_wrong(predictions: pd.DataFrame, baseline: pd.DataFrame) -> list[int]:
    """Return the images that most of its seeds get wrong, and most of baseline's right."""
    is_wrong, baseline_is_wrong = (
        correctness_matrix(p).mean() < 0.5 for p in (predictions, baseline)
    )
    return [int(i) for i in predictions["example"][is_wrong & ~baseline_is_wrong]]


def loss_curves(name: str, results: Results) -> LossCurves | None:
    """Place the losses of every seed on a logarithmic scale, the same for all nets."""
    every = pd.concat(results.curves.values())["loss"]
    lowest, highest = float(every[every > 0].min()), float(every.max())
    curve, epochs = results.curves[name], max(results.epochs)
    if not lowest < highest:
        return None
    span = math.log(highest / lowest)

    def point(epoch: int, loss: float) -> str:
        x = WIDTH * (epoch - 1) / max(1, epochs - 1)
        y = HEIGHT * math.log(highest / max(loss, lowest)) / span
        return f"{x:.4g},{y:.4g}"

    lines = [
        " ".join(map(point, seed["epoch"], seed["loss"]))
        for _, seed in curve.groupby("seed")
    ]
    return LossCurves(lines, lowest, highest, epochs)
