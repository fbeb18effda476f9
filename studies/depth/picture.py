"""docs/depth.png: accuracy by depth, and a hundred blocks over a hundred epochs."""

from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmark.reporting.charts import PERCENT, RECIPE_COLOURS
from studies.depth.compare import Comparison, accuracy_of
from studies.depth.hundred import Record

BLUE, ORANGE, _, PURPLE = RECIPE_COLOURS
GREY = "#888888"


def chart(comparison: Comparison, records: Sequence[Record]) -> Figure:
    """Draw both panels, for a width of 900 pixels."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4))
    by_depth(left, comparison)
    over_epochs(right, records)
    right.axhline(comparison.chance, color=GREY, lw=1, ls=":")
    for axes in (left, right):
        axes.yaxis.set_major_formatter(PERCENT)
    left.set_ylabel("accuracy on images not trained on")
    return figure


def by_depth(axes: Axes, comparison: Comparison) -> None:
    """Draw each depth, if all its runs learned something; else say how many did not."""
    for depth in comparison.depths:
        if n_dead := comparison.n_dead(depth):
            said = f"{n_dead} of {len(depth.correct)} runs learned nothing"
            axes.text(
                depth.blocks, 0.03, said,
                transform=axes.get_xaxis_transform(), rotation=90, ha="center", color=GREY,
            )  # fmt: skip
    for depth in comparison.alive:
        folds, estimate = depth.correct.mean(axis=1), accuracy_of(depth)
        n = depth.blocks
        axes.plot([n] * len(folds), folds, "_", color=GREY, ms=9, mew=1)
        axes.plot([n, n], estimate.interval(), color=BLUE, lw=3, solid_capstyle="butt")
    blocks = [depth.blocks for depth in comparison.alive]
    means = [depth.correct.mean() for depth in comparison.alive]
    axes.plot(blocks, means, "o-", color=BLUE, ms=6, lw=1)
    axes.set_xscale("log")
    axes.set_xticks([depth.blocks for depth in comparison.depths], minor=False)
    axes.set_xticks([], minor=True)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("residual blocks")
    axes.set_title("Annealed recipe: six folds (–), mean (•), 95% interval", fontsize=11)


def over_epochs(axes: Axes, records: Sequence[Record]) -> None:
    *corrected, printed = records
    for record in corrected:
        draw(axes, record, "accuracy", BLUE, f"corrected, seed {record['seed']}")
    draw(
        axes, printed, "accuracy_in_train_mode", ORANGE, "the notebook's net, in train mode"
    )
    draw(axes, printed, "accuracy", PURPLE, "the notebook's net, in eval mode")
    axes.set_xlabel("epoch")
    axes.set_title("Chapter's recipe, 100 blocks, every tenth epoch", fontsize=11)
    # Just above the line of guessing, where few runs end up.
    axes.legend(loc="lower right", bbox_to_anchor=(1, 0.06), fontsize=10, frameon=False)


def draw(axes: Axes, record: Record, key: str, colour: str, label: str) -> None:
    epochs = record["epochs"]
    xs, ys = [e["epoch"] for e in epochs], [e[key] for e in epochs]
    style = "s--" if record["seed"] else "o-"
    axes.plot(xs, ys, style, color=colour, ms=4, label=label)
