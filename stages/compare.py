"""Compare the architectures: two pictures and a table in plots/."""

import io
import json
import math
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import (
    FuncFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)

from benchmark import errors, params, stage

matplotlib.use("agg")  # files only, no window

METRICS = Path("metrics")
RESULTS = Path("results")
PLOTS = Path("plots")
# What the notebook and both editions of the book print.
PRINTED = Path(__file__).with_name("printed.csv")

TRAIN_COLOUR, VAL_COLOUR, REST_COLOUR = "#9fb8d0", "#1f4e79", "#d9d9d9"


@dataclass(frozen=True)
class Results:
    """metrics: a row an architecture. seeds, curves: a row a seed, and an epoch."""

    metrics: pd.DataFrame
    seeds: dict[str, pd.DataFrame]
    curves: dict[str, pd.DataFrame]
    n_val: int


def main() -> None:
    # Only what params.yaml names counts, whatever else lies in the folders.
    architectures = list(params.load().architectures)
    results = read(architectures)
    save(accuracy_comparison(results), PLOTS / "accuracy_comparison.png")
    save(loss_curves(results), PLOTS / "loss_curves.png")
    stage.write(PLOTS / "results.md", results_table(results).encode())


def read(architectures: list[str]) -> Results:
    """What validate left of these architectures. Raises UserError where it lacks."""
    metrics, seeds, curves = [], {}, {}
    n_val = 0
    for name in architectures:
        try:
            metrics.append(json.loads((METRICS / f"{name}.json").read_text()))
            seeds[name] = pd.read_csv(RESULTS / name / "seeds.csv")
            curves[name] = pd.read_csv(RESULTS / name / "loss_curve.csv")
            n_val = len(pd.read_csv(RESULTS / name / "predictions.csv"))
        except (OSError, ValueError) as error:
            raise errors.UserError(
                f"results of {name}: {error}; bring them with `dvc repro validate@{name}`"
            ) from None
    table = pd.DataFrame(metrics, index=pd.Index(architectures, name="architecture"))
    return Results(table, seeds, curves, n_val)


def accuracy_comparison(results: Results) -> Figure:
    """The chapter's bar chart, from 0 up so that a net at chance shows too."""
    names = list(results.metrics.index)
    places = np.arange(len(names))
    width = 0.42
    figure, axes = plt.subplots(figsize=(10, 5.6), layout="constrained")
    for column, label, offset, colour in (
        ("train_accuracy", "train", -width / 2, TRAIN_COLOUR),
        ("val_accuracy", "val", width / 2, VAL_COLOUR),
    ):
        axes.bar(places + offset, results.metrics[column], width, label=label, color=colour)
        for place, name in zip(places, names, strict=True):
            each = results.seeds[name][column]
            axes.plot(
                np.full(len(each), place + offset), each, "o", ms=3.5, mfc="white",
                mec="#333333", mew=0.8, label="_nolegend_",
            )  # fmt: skip
    for place, value in zip(places, results.metrics["val_accuracy"], strict=True):
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
    axes.set_title("Airplane or bird: accuracy after training", loc="left")
    axes.legend(loc="lower right", framealpha=0.95)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis="y", color="#eeeeee")
    return figure


def loss_curves(results: Results) -> Figure:
    """A panel an architecture: its seeds in colour, all the others in grey."""
    names = list(results.metrics.index)
    columns = 4
    rows = math.ceil(len(names) / columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(10, 2.2 * rows + 0.6), sharex=True, sharey=True,
        layout="constrained", squeeze=False,
    )  # fmt: skip
    plain = FuncFormatter(lambda loss, _: f"{loss:g}")
    for axes, name in zip(grid.flat, names, strict=False):
        for other in names:
            curve = results.curves[other].groupby("epoch")["loss"].mean()
            axes.plot(curve.index, curve, color=REST_COLOUR, lw=0.8)
        for _, of_seed in results.curves[name].groupby("seed"):
            axes.plot(of_seed["epoch"], of_seed["loss"], color=VAL_COLOUR, lw=1.2)
        axes.set_title(name, fontsize=10, loc="left")
        axes.set_yscale("log")
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.yaxis.set_major_formatter(plain)
        axes.yaxis.set_minor_formatter(NullFormatter())
        axes.xaxis.set_major_locator(MaxNLocator(4, integer=True))
        axes.spines[["top", "right"]].set_visible(False)
    for axes in grid.flat[max(0, len(names) - columns) : len(names)]:
        axes.tick_params(labelbottom=True)
    for axes in grid.flat[len(names) :]:
        axes.remove()
    figure.supxlabel("epoch")
    figure.supylabel("training loss")
    figure.suptitle("Training loss, every seed; the other architectures in grey")
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write the picture whole, without the version that Matplotlib would put in."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    plt.close(figure)
    stage.write(path, buffer.getvalue())


def results_table(results: Results) -> str:
    """Accuracies beside what the notebook and the book print, as Markdown."""
    # As strings, so that .93 is not shown as if it were .9300.
    printed = pd.read_csv(PRINTED, index_col="architecture", dtype=str)
    printed = printed.reindex(results.metrics.index).fillna("–")
    seeds = max(len(each) for each in results.seeds.values())
    over = f"Means over seeds 0 to {seeds - 1}" if seeds > 1 else "Seed 0"
    epochs = sorted({int(curve["epoch"].max()) for curve in results.curves.values()})
    least = f"{epochs[0]} to " if len(epochs) > 1 else ""
    lines = [
        "| architecture | parameters | train | val | val, lowest to highest seed "
        "| notebook | book, 1st ed. | book, 2nd ed. |",
        "|---|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for name in results.metrics.index:
        row = results.metrics.loc[name]
        each = results.seeds[name]["val_accuracy"]
        cells = [
            name,
            f"{int(row['params']):,}",
            decimal(row["train_accuracy"]),
            f"**{decimal(row['val_accuracy'])}**",
            f"{decimal(each.min())} to {decimal(each.max())}",
            *(
                train_val(printed.loc[name], source)
                for source in ("notebook", "first_edition", "second_edition")
            ),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    noise = 1.96 * math.sqrt(0.89 * 0.11 / results.n_val) * 100
    notes = [f"{name}: {note}." for name, note in printed["note"].items() if note != "–"]
    lines += [
        "",
        f"{over}, {least}{epochs[-1]} epochs, scored on "
        f"{results.n_val:,} validation images. The notebook's and the book's columns are "
        "train/val, one run each, as printed. " + " ".join(notes),
        "",
        f"From {results.n_val:,} images an accuracy of .89 is known to ±{noise:.1f} "
        "points: this table cannot tell rows apart that differ by less.",
        "",
    ]
    return "\n".join(lines)


def train_val(row: "pd.Series[str]", source: str) -> str:
    train, val = row[f"{source}_train"], row[f"{source}_val"]
    return "–" if train == val == "–" else f"{train}/{val}"


def decimal(value: float) -> str:
    """An accuracy without the leading zero: .8948."""
    return f"{value:.4f}".removeprefix("0")


if __name__ == "__main__":
    stage.run(main)
