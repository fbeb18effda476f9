"""The ranking, the book's bar chart, and the loss curves."""

import math
from collections.abc import Mapping

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from benchmark.reporting import figures  # noqa: F401, sets the style
from benchmark.reporting.results import BASELINE, Results
from benchmark.stats.significance import Difference, format_percent

TRAIN_COLOUR, TEST_COLOUR, OTHERS_COLOUR = "#9fb8d0", "#1f4e79", "#d9d9d9"
# As in the legend. Each colour has a contrast of at least 4.5:1 on white.
STATES = {
    BASELINE: "#111111",
    "better than baseline": "#0b62a8",
    "worse than baseline": "#b4470c",
    "no clear difference from baseline": "#6b7280",
}
PERCENT = FuncFormatter(lambda share, _: f"{round(100 * share, 6):g}%")


def ranking(results: Results, vs_baseline: Mapping[str, Difference]) -> Figure:
    """Draw the accuracy and interval of each net, best first. For a width of 700 pixels."""
    names = results.by_accuracy
    figure, axes = plt.subplots(figsize=(7, 0.42 * len(names) + 1.4))
    states = {name: state_of(name, vs_baseline) for name in names}
    for row, name in enumerate(names):
        colour = STATES[states[name]]
        if name in results.intervals:
            axes.plot(
                results.intervals[name].interval, [row] * 2, color=colour, lw=3,
                solid_capstyle="butt",
            )  # fmt: skip
        accuracies = results.seeds[name]["val_accuracy"]
        axes.plot(accuracies, [row] * len(accuracies), "|", color=colour, ms=9, mew=1)
        accuracy = results.metrics[name]["val_accuracy"]
        axes.plot(accuracy, row, "o", color=colour, ms=8)
        axes.annotate(
            format_percent(accuracy), (1.01, row), xycoords=axes.get_yaxis_transform(),
            va="center", color=colour, fontsize=12,
        )  # fmt: skip
    if vs_baseline:
        axes.axvline(
            results.metrics[BASELINE]["val_accuracy"], color="#999999", lw=1, ls=":",
            zorder=0,
        )  # fmt: skip
        for state, colour in STATES.items():
            if state in states.values():
                axes.plot([], [], "o-", color=colour, ms=8, lw=3, label=state)
        axes.legend(loc="best", fontsize=12, framealpha=0.95)
    axes.set_yticks(range(len(names)), names, fontsize=12)
    axes.invert_yaxis()
    axes.tick_params(axis="x", labelsize=12)
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.xaxis.set_major_formatter(PERCENT)
    axes.set_xlabel(
        "test accuracy of one seed"
        if results.n_seeds < 2
        else "test accuracy: each seed (|), mean (•), 95% interval (—)",
        fontsize=12,
    )
    axes.set_title(headline(results, states), fontsize=14)
    axes.grid(False, axis="y")
    return figure


def headline(results: Results, states: Mapping[str, str]) -> str:
    """Say in one line what the ranking shows."""
    if results.n_seeds < 2:
        return "One seed cannot show which differences are real"
    n_clear = sum(state.endswith("than baseline") for state in states.values())
    subject = {0: "No net differs", 1: "One net differs"}.get(
        n_clear, f"{n_clear} of {len(states) - 1} nets differ"
    )
    return f"{subject} clearly from the baseline"


def state_of(name: str, vs_baseline: Mapping[str, Difference]) -> str:
    """Return the net's key in STATES."""
    if name == BASELINE:
        return BASELINE
    if name not in vs_baseline or not vs_baseline[name].is_significant:
        return "no clear difference from baseline"
    word = "better" if vs_baseline[name].estimate.mean > 0 else "worse"
    return f"{word} than baseline"


def accuracy_comparison(results: Results) -> Figure:
    """Draw the book's bar chart. It starts at 0, to show nets that only guess, too."""
    names = results.names
    positions = np.arange(len(names))
    width = 0.42
    figure, axes = plt.subplots(figsize=(10, 5.6))
    for column, label, offset, colour in (
        ("train_accuracy", "training images", -width / 2, TRAIN_COLOUR),
        ("val_accuracy", "test images", width / 2, TEST_COLOUR),
    ):
        means = [results.metrics[name][column] for name in names]
        axes.bar(positions + offset, means, width, label=label, color=colour)
        for position, name in zip(positions, names, strict=True):
            seeds = results.seeds[name][column]
            axes.plot(
                np.full(len(seeds), position + offset), seeds, "o", ms=3.5, mfc="white",
                mec="#333333", mew=0.8, label="_nolegend_",
            )  # fmt: skip
    for position, name in zip(positions, names, strict=True):
        axes.text(
            position + width / 2, 0.02,
            format_percent(results.metrics[name]["val_accuracy"]),
            color="white", ha="center", va="bottom", rotation=90, fontsize=9,
        )  # fmt: skip
    axes.plot([], [], "o", ms=3.5, mfc="white", mec="#333333", mew=0.8, label="one seed")
    axes.axhline(0.5, color="#888888", lw=0.8, ls=":", zorder=0)
    axes.set_xticks(positions, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_ylim(0, 1.02)
    axes.set_xlim(-0.7, len(names) + 2.1)  # leaves room for the legend
    axes.set_ylabel("accuracy")
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_title("Accuracy after training, drawn as in the book; guessing gives 50%")
    axes.legend(loc="lower right", framealpha=0.95)
    axes.grid(False, axis="x")
    return figure


def loss_curves(results: Results) -> Figure:
    """Draw one panel per net: its seeds in colour, the means of all nets in grey."""
    names = results.names
    columns = 4
    rows = math.ceil(len(names) / columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(10, 2.2 * rows + 0.6), sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
    plain = FuncFormatter(lambda loss, _: f"{loss:g}")
    means = [curve.groupby("epoch")["loss"].mean() for curve in results.curves.values()]
    for axes, name in zip(grid.flat, names, strict=False):
        for mean in means:
            axes.plot(mean.index, mean, color=OTHERS_COLOUR, lw=0.8)
        for _, curve in results.curves[name].groupby("seed"):
            axes.plot(curve["epoch"], curve["loss"], color=TEST_COLOUR, lw=1.2)
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
    figure.suptitle("Training loss of every seed; the other nets in grey")
    return figure
