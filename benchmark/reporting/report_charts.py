"""Pictures that only the report has: accuracy against cost, confusion, pairs."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from benchmark.reporting.charts import PERCENT, STATES, state_of
from benchmark.reporting.comparison import Comparison, ranked
from benchmark.reporting.costs import Cost
from benchmark.reporting.figures import frame
from benchmark.reporting.results import Results
from benchmark.reporting.tables import confusion_counts
from benchmark.stats.verdicts import SAME, format_points


def accuracy_against_cost(comparison: Comparison, costs: Mapping[str, Cost]) -> Figure:
    """Draw accuracy with its interval against parameters and against multiply-adds."""
    results = comparison.results
    colour = {name: STATES[state_of(name, comparison)] for name in results.names}
    figure, panels = plt.subplots(1, 2, figsize=(10, 4.6), sharey=True)
    for axes, kind, label in (
        (panels[0], "parameters", "parameters"),
        (panels[1], "multiply_adds", "multiply-adds per image"),
    ):
        values = {name: getattr(cost, kind) for name, cost in costs.items()}
        for name in results.names:
            if name in results.intervals:
                interval = results.intervals[name]
                axes.plot(
                    [values[name]] * 2, interval, color=colour[name], lw=1.4, alpha=0.6
                )
            accuracy = results.metrics[name]["val_accuracy"]
            axes.plot(values[name], accuracy, "o", color=colour[name], ms=6)
        for name, height in label_heights(results, values).items():
            axes.annotate(
                name, (values[name], results.metrics[name]["val_accuracy"]),
                xytext=(values[name] * 1.35, height), fontsize=8.5, color=colour[name],
                va="center", arrowprops={"arrowstyle": "-", "lw": 0.5, "color": "#bbbbbb"},
            )  # fmt: skip
        axes.set_xscale("log")
        axes.margins(x=0.2)
        axes.set_xlabel(label)
    panels[0].set_ylabel("test accuracy, 95% interval")
    panels[0].yaxis.set_major_formatter(PERCENT)
    return figure


def label_heights(results: Results, costs: Mapping[str, int]) -> dict[str, float]:
    """Choose a height for each name, so that no two names overlap."""
    accuracy = {name: row["val_accuracy"] for name, row in results.metrics.items()}
    gap = 0.055 * max(max(accuracy.values()) - min(accuracy.values()), 0.02)
    heights: dict[str, float] = {}
    for name in sorted(results.names, key=accuracy.__getitem__, reverse=True):
        near = [h for other, h in heights.items() if 0.4 < costs[other] / costs[name] < 2.5]
        heights[name] = min([accuracy[name] + gap, *(height - gap for height in near)])
    return heights


def confusion(results: Results, class_names: Sequence[str]) -> Figure:
    """Draw one confusion matrix per net, over all seeds."""
    names, n_classes = results.names, len(class_names)
    columns = 6
    rows = -(-len(names) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(10, 2.05 * rows), squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        predictions = results.predictions[name]
        seeds = [str(seed) for seed in predictions.filter(like="seed_")]
        counts = confusion_counts(predictions, seeds, n_classes)
        shares = counts / counts.sum(axis=1, keepdims=True).clip(min=1)
        axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
        if n_classes <= 4:
            for (i, j), share in np.ndenumerate(shares):
                axes.text(
                    j, i, f"{share:.1%}", ha="center", va="center", fontsize=8,
                    color="white" if share > 0.5 else "#333333",
                )  # fmt: skip
        frame(axes, "", "")
        ticks = range(n_classes)
        axes.set_xticks(ticks, class_names, fontsize=7)
        axes.set_yticks(ticks, class_names, fontsize=7, rotation=90, va="center")
        axes.set_title(name, fontsize=9)
    for axes in grid.flat[len(names) :]:
        axes.remove()
    figure.supxlabel("predicted class", fontsize=9)
    figure.supylabel("true class", fontsize=9)
    return figure


def pairs(comparison: Comparison) -> Figure:
    """Draw how many points more accurate each row's net is than each column's.

    Better and worse are coloured and bold. The same is framed.
    """
    names = ranked(comparison.results)
    points = pd.DataFrame(np.nan, names, names)
    is_clear = pd.DataFrame(False, names, names)
    is_same = pd.DataFrame(False, names, names)
    for pair in comparison.pairs:
        for verdict in (pair, pair.reversed):
            place = verdict.first, verdict.second
            points.loc[place] = verdict.estimate.mean
            is_clear.loc[place] = verdict.is_difference
            is_same.loc[place] = verdict.word == SAME
    largest = np.nanmax(np.abs(points.to_numpy()))
    side = 0.62 * len(names) + 1.6
    figure, axes = plt.subplots(figsize=(side * 1.15, side))
    axes.imshow(points.where(is_clear), cmap="RdBu", vmin=-largest, vmax=largest)
    for (i, j), value in np.ndenumerate(points.to_numpy()):
        if i != j:
            clear = is_clear.iat[i, j]
            dark = clear and abs(value) > 0.6 * largest
            axes.text(
                j, i, format_points(value), ha="center", va="center", fontsize=8.5,
                color="white" if dark else "#222222" if clear else "#767676",
                fontweight="bold" if clear else "normal",
            )  # fmt: skip
    for i, j in np.argwhere(is_same.to_numpy()):
        axes.add_patch(
            Rectangle((j - 0.42, i - 0.42), 0.84, 0.84, fill=False, ec=STATES[SAME], lw=1.4)
        )
    axes.set_xticks(
        range(len(names)), names, rotation=45, ha="left", rotation_mode="anchor"
    )
    axes.set_yticks(range(len(names)), names)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return figure
