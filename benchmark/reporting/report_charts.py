"""The report's own pictures: accuracy against cost, confusion, pairs."""

from collections.abc import Mapping, Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from benchmark.reporting.charts import colour_of
from benchmark.reporting.costs import Cost
from benchmark.reporting.figures import frame
from benchmark.reporting.results import Results
from benchmark.stats.significance import Difference, in_points


def accuracy_against_cost(
    results: Results, costs: Mapping[str, Cost], against: Mapping[str, Difference]
) -> Figure:
    """Accuracy with its interval over parameters and over multiply-adds."""
    colour = {name: colour_of(name, against) for name in results.names}
    figure, panels = plt.subplots(1, 2, figsize=(10, 4.6), sharey=True)
    for axes, what, label in (
        (panels[0], "parameters", "parameters"),
        (panels[1], "multiply_adds", "multiply-adds, an image"),
    ):
        of_net = {name: getattr(cost, what) for name, cost in costs.items()}
        for name in results.names:
            if name in results.intervals:
                interval = results.intervals[name].interval
                axes.plot(
                    [of_net[name]] * 2, interval, color=colour[name], lw=1.4, alpha=0.6
                )
            accuracy = results.metrics[name]["val_accuracy"]
            axes.plot(of_net[name], accuracy, "o", color=colour[name], ms=6)
        for name, place in label_places(results, of_net).items():
            axes.annotate(
                name, (of_net[name], results.metrics[name]["val_accuracy"]),
                xytext=(of_net[name] * 1.35, place), fontsize=8.5, color=colour[name],
                va="center", arrowprops={"arrowstyle": "-", "lw": 0.5, "color": "#bbbbbb"},
            )  # fmt: skip
        axes.set_xscale("log")
        axes.margins(x=0.2)
        axes.set_xlabel(label)
    panels[0].set_ylabel("validation accuracy, 95% interval")
    panels[0].yaxis.set_major_formatter(lambda x, _: f"{100 * x:g}%")
    return figure


def label_places(results: Results, costs: Mapping[str, int]) -> dict[str, float]:
    """A height for each name, so that none is written over another that costs as much."""
    accuracy = {name: row["val_accuracy"] for name, row in results.metrics.items()}
    gap = 0.055 * max(max(accuracy.values()) - min(accuracy.values()), 0.02)
    places: dict[str, float] = {}
    for name in sorted(results.names, key=accuracy.__getitem__, reverse=True):
        near = [p for other, p in places.items() if 0.4 < costs[other] / costs[name] < 2.5]
        places[name] = min([accuracy[name] + gap, *(place - gap for place in near)])
    return places


def confusion(results: Results, class_names: Sequence[str]) -> Figure:
    """A matrix an architecture: of each class, the share of answers, over all seeds."""
    names, n_classes = results.names, len(class_names)
    columns = 6
    rows = -(-len(names) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(10, 2.05 * rows), squeeze=False)
    for axes, name in zip(grid.flat, names, strict=False):
        each = results.predictions[name]
        seeds = each.filter(like="seed_").to_numpy()
        actual = np.repeat(each["label"].to_numpy(), seeds.shape[1])
        counts = np.zeros((n_classes, n_classes))
        np.add.at(counts, (actual, seeds.ravel()), 1)
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
    figure.supxlabel("answer", fontsize=9)
    figure.supylabel("is", fontsize=9)
    return figure


def pairs(results: Results, found: list[Difference]) -> Figure:
    """Each pair: by how many points the row is better; pale where it is only noise."""
    names = results.by_accuracy
    points = pd.DataFrame(np.nan, names, names)
    is_real = pd.DataFrame(False, names, names)
    for each in found:
        for one, other, sign in (
            (each.first, each.second, 1),
            (each.second, each.first, -1),
        ):
            points.loc[one, other] = sign * each.points.mean
            is_real.loc[one, other] = each.is_significant
    largest = np.nanmax(np.abs(points.to_numpy()))
    side = 0.62 * len(names) + 1.6
    figure, axes = plt.subplots(figsize=(side * 1.15, side))
    axes.imshow(points.where(is_real), cmap="RdBu", vmin=-largest, vmax=largest)
    for (i, j), value in np.ndenumerate(points.to_numpy()):
        if i != j:
            real = is_real.iat[i, j]
            dark = real and abs(value) > 0.6 * largest
            axes.text(
                j, i, in_points(value), ha="center", va="center", fontsize=8.5,
                color="white" if dark else "#222222" if real else "#767676",
                fontweight="bold" if real else "normal",
            )  # fmt: skip
    axes.set_xticks(
        range(len(names)), names, rotation=45, ha="left", rotation_mode="anchor"
    )
    axes.set_yticks(range(len(names)), names)
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.grid(False)
    axes.spines[:].set_visible(False)
    return figure
