"""The chapter's bar chart, the loss curves, and the ranking."""

import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)

from benchmark.reporting import figures  # noqa: F401, for its style
from benchmark.reporting.results import BASELINE, Results, decimal
from benchmark.stats.significance import Difference, letters

TRAIN_COLOUR, VAL_COLOUR, REST_COLOUR = "#9fb8d0", "#1f4e79", "#d9d9d9"
ALIKE_COLOUR, APART_COLOUR, BASELINE_COLOUR = "#8a99a8", "#1f4e79", "#333333"


def accuracy_comparison(results: Results) -> Figure:
    """The chapter's bar chart, from 0 up so that a net at chance shows too."""
    names = results.names
    places = np.arange(len(names))
    width = 0.42
    figure, axes = plt.subplots(figsize=(10, 5.6))
    for column, label, offset, colour in (
        ("train_accuracy", "train", -width / 2, TRAIN_COLOUR),
        ("val_accuracy", "val", width / 2, VAL_COLOUR),
    ):
        means = [results.metrics[name][column] for name in names]
        axes.bar(places + offset, means, width, label=label, color=colour)
        for place, name in zip(places, names, strict=True):
            each = results.seeds[name][column]
            axes.plot(
                np.full(len(each), place + offset), each, "o", ms=3.5, mfc="white",
                mec="#333333", mew=0.8, label="_nolegend_",
            )  # fmt: skip
    for place, name in zip(places, names, strict=True):
        value = results.metrics[name]["val_accuracy"]
        axes.text(
            place + width / 2, 0.02, decimal(round(value, 3))[:4], color="white",
            ha="center", va="bottom", fontsize=8.5,
        )  # fmt: skip
    axes.plot([], [], "o", ms=3.5, mfc="white", mec="#333333", mew=0.8, label="one seed")
    axes.axhline(0.5, color="#888888", lw=0.8, ls=":", zorder=0)
    axes.set_xticks(places, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_ylim(0, 1.02)
    axes.set_xlim(-0.7, len(names) + 1.1)  # room for the legend beside the bars
    axes.set_ylabel("accuracy")
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.set_title("Airplane or bird: accuracy after training")
    axes.legend(loc="lower right", framealpha=0.95)
    axes.grid(False, axis="x")
    return figure


def loss_curves(results: Results) -> Figure:
    """A panel an architecture: its seeds in colour, all the others in grey."""
    names = results.names
    columns = 4
    rows = math.ceil(len(names) / columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(10, 2.2 * rows + 0.6), sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
    plain = FuncFormatter(lambda loss, _: f"{loss:g}")
    means = [each.groupby("epoch")["loss"].mean() for each in results.curves.values()]
    for axes, name in zip(grid.flat, names, strict=False):
        for mean in means:
            axes.plot(mean.index, mean, color=REST_COLOUR, lw=0.8)
        for _, of_seed in results.curves[name].groupby("seed"):
            axes.plot(of_seed["epoch"], of_seed["loss"], color=VAL_COLOUR, lw=1.2)
        axes.set_title(name, fontsize=10)
        axes.grid(False)
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(plain)
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
    for axes in grid.flat[max(0, len(names) - columns) : len(names)]:
        axes.tick_params(labelbottom=True)
    for axes in grid.flat[len(names) :]:
        axes.remove()
    figure.supxlabel("epoch")
    figure.supylabel("training loss")
    figure.suptitle("Training loss, every seed; the other architectures in grey")
    return figure


def ranking(
    results: Results, against: dict[str, Difference], pairs: list[Difference]
) -> Figure:
    """Intervals in order of accuracy; letters for those that cannot be told apart."""
    names = results.by_accuracy
    groups = letters(names, pairs) if pairs else dict.fromkeys(names, "")
    figure, axes = plt.subplots(figsize=(9, 0.44 * len(names) + 1.7))
    for place, name in enumerate(names):
        colour = colour_of(name, against)
        if name in results.intervals:
            axes.plot(
                results.intervals[name].interval, [place] * 2, color=colour, lw=2.2,
                solid_capstyle="butt",
            )  # fmt: skip
        seeds = results.seeds[name]["val_accuracy"]
        axes.plot(seeds, [place] * len(seeds), "|", color=colour, ms=8, mew=0.9)
        axes.plot(results.metrics[name]["val_accuracy"], place, "o", color=colour, ms=7)
        axes.annotate(
            groups[name], (1.01, place), xycoords=axes.get_yaxis_transform(),
            va="center", family="monospace", fontsize=11,
        )  # fmt: skip
    if against:
        axes.axvline(
            results.metrics[BASELINE]["val_accuracy"], color="#bbbbbb", lw=1, ls=":",
            zorder=0,
        )  # fmt: skip
        for colour, label in (
            (APART_COLOUR, "more than noise"),
            (ALIKE_COLOUR, "not distinguishable"),
        ):
            axes.plot([], [], "o-", color=colour, ms=7, lw=2.2, label=label)
        axes.legend(
            title="difference from baseline", alignment="left", loc="upper left",
            framealpha=0.95,
        )  # fmt: skip
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.xaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{round(100 * x, 6):g}%"))
    axes.set_xlabel(
        "validation accuracy of one seed"
        if results.n_seeds < 2
        else "validation accuracy: mean, 95% interval, and each seed"
    )
    axes.set_title(
        "One seed: no difference can be told from noise"
        if results.n_seeds < 2
        else "Which nets differ? Of all pairs, "
        "those that share a letter are not distinguishable"
    )
    axes.grid(False, axis="y")
    return figure


def colour_of(name: str, against: Mapping[str, Difference]) -> str:
    """Of the baseline, of what differs from it by more than noise, and of the rest."""
    if name == BASELINE:
        return BASELINE_COLOUR
    apart = name in against and against[name].is_significant
    return APART_COLOUR if apart else ALIKE_COLOUR
