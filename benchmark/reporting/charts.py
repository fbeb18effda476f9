"""The ranking, the book's bar chart, and the loss curves."""

import itertools
import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from benchmark.reporting import figures  # noqa: F401, sets the style
from benchmark.reporting.comparison import Comparison
from benchmark.reporting.results import BASELINE, TEST, Results
from benchmark.stats.verdicts import BETTER, SAME, UNKNOWN, WORSE, format_percent

TRAIN_COLOUR, TEST_COLOUR = "#9fb8d0", "#1f4e79"
# One for each recipe, in turn.
RECIPE_COLOURS = ("#1f4e79", "#c8651b", "#4b8b3b", "#7b4ea3")
NOT_TESTED = "no verdict"
# As in the legend. Each colour has a contrast of at least 4.5:1 on white.
STATES = {
    BASELINE: "#111111",
    BETTER: "#0b62a8",
    WORSE: "#b4470c",
    SAME: "#0f766e",
    UNKNOWN: "#6b7280",
    NOT_TESTED: "#6b7280",
}
# A second difference, for those who see few colours: the same, and two kinds of grey.
FACES = {SAME: "white", NOT_TESTED: "white"}
LEGEND = {
    BETTER: "better than baseline",
    WORSE: "worse than baseline",
    SAME: "the same as baseline",
    UNKNOWN: "cannot tell",
}
PERCENT = FuncFormatter(lambda share, _: f"{round(100 * share, 6):g}%")


def ranking(comparisons: Sequence[Comparison]) -> Figure:
    """Draw the accuracy and interval of each net, one panel per recipe.

    The nets are in the order of the last recipe, best first. For a width of 700 pixels.
    """
    families = [comparison.results for comparison in comparisons]
    names = list(dict.fromkeys(n for f in reversed(families) for n in f.by_accuracy))
    figure, panels = plt.subplots(
        1, len(families), figsize=(7, 0.42 * len(names) + 1.9), sharey=True, sharex=True,
        squeeze=False,
    )  # fmt: skip
    shown: dict[str, None] = {}
    for axes, comparison in zip(panels[0], comparisons, strict=True):
        shown |= _rank(axes, comparison, names)
        several = len(families) > 1
        said = headline(comparison, is_short=several)
        title = f"{comparison.results.title}: {said}" if several else said
        axes.set_title(title, fontsize=12)
        axes.xaxis.set_major_locator(MaxNLocator(4 if several else 6, steps=[1, 2, 5, 10]))
    panels[0, 0].set_yticks(range(len(names)), names, fontsize=12)
    panels[0, 0].invert_yaxis()
    has_seeds = any(results.intervals for results in families)
    tested_on = families[0].tested_on
    what = "test accuracy" if tested_on == TEST else f"accuracy on {tested_on}"
    figure.supxlabel(
        f"{what}: each seed (|), mean (•), 95% interval (—)"
        if has_seeds
        else f"{what} of one seed",
        fontsize=12,
    )
    for state in (state for state in STATES if state in shown and has_seeds):
        panels[0, 0].plot(
            [], [], "o-", color=STATES[state], mfc=FACES.get(state), ms=8, lw=3,
            label=LEGEND.get(state, state),
        )  # fmt: skip
    if has_seeds:
        figure.legend(loc="outside upper center", fontsize=11, ncols=2, frameon=False)
    return figure


def _rank(axes: Axes, comparison: Comparison, names: list[str]) -> dict[str, None]:
    """Draw one panel of the ranking; return the states that it shows."""
    results = comparison.results
    states = {name: state_of(name, comparison) for name in results.names}
    for name, state in states.items():
        row, colour = names.index(name), STATES[state]
        if name in results.intervals:
            axes.plot(
                results.intervals[name], [row] * 2, color=colour, lw=3,
                solid_capstyle="butt",
            )  # fmt: skip
        accuracies = results.seeds[name]["val_accuracy"]
        axes.plot(accuracies, [row] * len(accuracies), "|", color=colour, ms=9, mew=1)
        accuracy = results.metrics[name]["val_accuracy"]
        axes.plot(accuracy, row, "o", color=colour, mfc=FACES.get(state), ms=8)
        axes.annotate(
            format_percent(accuracy), (1.02, row), xycoords=axes.get_yaxis_transform(),
            va="center", color=colour, fontsize=12,
        )  # fmt: skip
    if comparison.vs_baseline:
        axes.axvline(
            results.metrics[BASELINE]["val_accuracy"], color="#999999", lw=1, ls=":",
            zorder=0,
        )  # fmt: skip
    axes.tick_params(axis="x", labelsize=12)
    axes.xaxis.set_major_formatter(PERCENT)
    axes.grid(False, axis="y")
    return dict.fromkeys(states.values())


def headline(comparison: Comparison, is_short: bool = False) -> str:
    """Say in one line, or in a few words, what the ranking shows."""
    if words := [verdict.word for verdict in comparison.vs_baseline.values()]:
        n_better, n_worse = words.count(BETTER), words.count(WORSE)
        if is_short:
            return f"{n_better} better, {n_worse} worse"
        nets = "net is" if n_better == 1 else "nets are"
        return f"{n_better} {nets} better than the baseline, {n_worse} worse"
    if comparison.results.n_seeds > 1:
        return "no comparison" if is_short else "No net can be compared with the baseline"
    return "one seed" if is_short else "One seed cannot show which differences are real"


def state_of(name: str, comparison: Comparison) -> str:
    """Return the net's key in STATES."""
    if name == BASELINE:
        return BASELINE
    verdict = comparison.vs_baseline.get(name)
    return verdict.word if verdict else NOT_TESTED


def accuracy_comparison(results: Results, n_classes: int) -> Figure:
    """Draw the book's bar chart. It starts at 0, to show nets that only guess, too."""
    names = results.names
    positions = np.arange(len(names))
    width = 0.42
    figure, axes = plt.subplots(figsize=(10, 5.6))
    for column, label, offset, colour in (
        ("train_accuracy", "training images", -width / 2, TRAIN_COLOUR),
        ("val_accuracy", results.tested_on, width / 2, TEST_COLOUR),
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
    axes.axhline(1 / n_classes, color="#888888", lw=0.8, ls=":", zorder=0)
    axes.set_xticks(positions, names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_ylim(0, 1.02)
    axes.set_xlim(-0.7, len(names) + 2.1)  # leaves room for the legend
    axes.set_ylabel("accuracy")
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_title(
        "Accuracy after training, drawn as in the book; "
        f"guessing gives {100 / n_classes:.3g}%"
    )
    axes.legend(loc="lower right", framealpha=0.95)
    axes.grid(False, axis="x")
    return figure


def loss_curves(families: Sequence[Results]) -> Figure:
    """Draw one panel per net: every seed, in a colour for each recipe."""
    names = list(dict.fromkeys(name for results in families for name in results.names))
    columns = 4
    rows = math.ceil(len(names) / columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(10, 2.2 * rows + 0.9), sharex=True, sharey=True,
        squeeze=False,
    )  # fmt: skip
    plain = FuncFormatter(lambda loss, _: f"{loss:g}")
    for axes, name in zip(grid.flat, names, strict=False):
        for results, colour in zip(families, itertools.cycle(RECIPE_COLOURS), strict=False):
            curve = results.curves.get(name, pd.DataFrame(columns=["seed"]))
            for _, seed in curve.groupby("seed"):
                axes.plot(seed["epoch"], seed["loss"], color=colour, lw=1.1)
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
    for results, colour in zip(families, itertools.cycle(RECIPE_COLOURS), strict=False):
        grid[0, 0].plot([], [], color=colour, lw=2, label=results.title)
    if len(families) > 1:
        figure.legend(loc="outside upper right", ncols=len(families), frameon=False)
    figure.supxlabel("epoch")
    figure.supylabel("training loss")
    figure.suptitle("Training loss of every seed")
    return figure
