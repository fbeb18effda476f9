"""The table and the pictures of what `make bench` measured, in docs/."""

import math
import statistics
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from benchmark import params
from benchmark.reporting.figures import png
from benchmark.reporting.render import render
from benchmark.running.files import write_whole
from benchmark.training import recipe

DOCS = Path("docs")
IMAGES_A_CLASS = 5000
NOTEBOOK_COLOUR, PIPELINE_COLOUR = "#9fb8d0", "#1f4e79"
# Work that a processor is made for in blue, what only moves memory in warm colours.
KIND_COLOURS = {
    "convolutions": "#1f4e79",
    "matrix products": "#5b8db8",
    "batch norm": "#e08e45",
    "pooling": "#edb458",
    "activations": "#f3d69b",
    "rest": "#d9d9d9",
}
# Title, unit, and how many of the unit are in a second.
GROWTH = {
    "blocks": ("res_deep: residual blocks", "ms an image", 1000),
    "images": ("baseline: training images", "s an epoch", 1),
    "seeds": ("baseline: seeds, on two cores", "s", 1),
}

Measured = dict[str, Any]
median = statistics.median


def write(measured: Measured) -> None:
    """Write docs/speed.md and three pictures beside it."""
    write_whole(DOCS / "speed.md", table(measured).encode())
    for name, figure in (
        ("speed", speed(measured)),
        ("profile", time_by_kind(measured)),
        ("growth", growth(measured)),
    ):
        write_whole(DOCS / f"{name}.png", png(figure))


def ratio(one: Measured, way: str = "pipeline") -> float:
    """How many times as fast as the notebook's way; the median of the rounds."""
    pairs = zip(one["rates"][way], one["rates"]["notebook"], strict=True)
    return median(rate / notebook for rate, notebook in pairs)


def geometric_mean(measured: Measured, way: str = "pipeline") -> float:
    each = measured["architectures"].values()
    return statistics.geometric_mean(ratio(one, way) for one in each)


def share_of_peak(one: Measured) -> float:
    """The time that the operations take at the machine's peak, to the time taken."""
    return median(
        rate * sum(one["flops"][kind] / peak[kind] for kind in peak)
        for rate, peak in zip(one["rates"]["pipeline"], one["peaks"], strict=True)
    )


def table(measured: Measured) -> str:
    """What was measured, as Markdown."""
    loaded = params.load()
    each = measured["architectures"]
    n_images = IMAGES_A_CLASS * len(loaded.data.classes)
    peaks = [peak for one in each.values() for peak in one["peaks"]]
    ways = next(iter(each.values()))["rates"]
    is_whole = set(loaded.architectures) <= set(each)
    return render(
        Path(__file__).with_name("speed.md.jinja"),
        **measured,
        with_bf16=all("bf16" in one["rates"] for one in each.values()),
        rates={
            name: {way: median(rates) for way, rates in one["rates"].items()}
            for name, one in each.items()
        },
        ratio=ratio,
        mean={way: geometric_mean(measured, way) for way in ways},
        share_of_peak=share_of_peak,
        peak={kind: median(peak[kind] for peak in peaks) for kind in peaks[0]},
        n_images=n_images,
        minutes={
            way: training_minutes(loaded, measured, way, seeds, n_images)
            for way, seeds in (("two_threads", 1), ("pipeline", 2))
            if is_whole
        },
        curves={
            kind: (title, unit, at, [s * scale for s in seconds], farthest(seconds, line))
            for kind, (title, unit, scale) in GROWTH.items()
            for at, seconds, line in [grown(measured, kind)]
        },
    )


def training_minutes(
    loaded: params.Params, measured: Measured, way: str, seeds: int, n_images: int
) -> float:
    """How long all trainings of `make repro` take at the measured rates."""
    seconds = 0.0
    for name, one in measured["architectures"].items():
        images = seeds * n_images * recipe.training_of(loaded, name).epochs
        seconds += images / median(one["rates"][way])
    return seconds / 60


def grown(
    measured: Measured, kind: str
) -> tuple[list[int], list[float], "np.ndarray[Any, Any]"]:
    """Where it was measured, the medians there, and the straight line through them."""
    at = measured["growth"][kind]["at"]
    seconds = [median(each) for each in measured["growth"][kind]["seconds"]]
    # Weighted so that what counts is the relative distance.
    slope, intercept = np.polyfit(at, seconds, 1, w=1 / np.array(seconds))
    return at, seconds, slope * np.array(at) + intercept


def farthest(seconds: list[float], line: "np.ndarray[Any, Any]") -> float:
    return float(np.max(np.abs(np.array(seconds) / line - 1)))


def speed(measured: Measured) -> Figure:
    """Two bars an architecture, and how many times as fast the pipeline is."""
    each = measured["architectures"]
    places = np.arange(len(each))
    figure, axes = plt.subplots(figsize=(9, 0.5 * len(each) + 1.6))
    for way, label, offset, colour in (
        ("notebook", "the notebook's way, two threads", -0.2, NOTEBOOK_COLOUR),
        ("pipeline", "the pipeline's, two seeds side by side", 0.2, PIPELINE_COLOUR),
    ):
        rates = [median(one["rates"][way]) for one in each.values()]
        bars = axes.barh(places + offset, rates, 0.38, label=label, color=colour)
    ratios = [f" {ratio(one):.1f} ×" for one in each.values()]
    axes.bar_label(bars, ratios, fontsize=9.5, color=PIPELINE_COLOUR)
    axes.set_yticks(places, list(each))
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:,.0f}")
    axes.set_xlabel("training images a second, both cores")
    axes.set_title(
        "Training speed, two seeds side by side: in the geometric mean "
        f"{geometric_mean(measured):.1f} times the notebook's"
    )
    axes.legend(loc="lower right")
    axes.grid(False, axis="y")
    return figure


def time_by_kind(measured: Measured) -> Figure:
    """Where the time of each architecture goes, as stacked bars."""
    each = measured["architectures"]
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(each) + 1.8))
    left = np.zeros(len(each))
    for kind, colour in KIND_COLOURS.items():
        shares = np.array([one["time_by_kind"][kind] for one in each.values()])
        bars = axes.barh(list(each), shares, 0.7, left=left, label=kind, color=colour)
        said = [f"{share:.0%}" if share >= 0.05 else "" for share in shares]
        colour = "white" if kind == "convolutions" else "#222222"
        axes.bar_label(bars, said, label_type="center", fontsize=8.5, color=colour)
        left += shares
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_title("Where the time of torch's operations goes, one thread")
    figure.legend(loc="outside lower center", ncols=len(KIND_COLOURS), frameon=False)
    axes.grid(False, axis="y")
    return figure


def growth(measured: Measured) -> Figure:
    """Time against blocks, images and seeds, with the straight line through it."""
    figure, panels = plt.subplots(1, len(GROWTH), figsize=(10, 3.4))
    for axes, (kind, (title, unit, scale)) in zip(panels, GROWTH.items(), strict=True):
        at, seconds, line = grown(measured, kind)
        axes.plot(at, line * scale, color=NOTEBOOK_COLOUR, lw=2, label="straight line")
        times = np.array(seconds) * scale
        axes.plot(at, times, "o", color=PIPELINE_COLOUR, label="measured")
        axes.set_xlim(0, max(at) * 1.08)
        axes.set_ylim(0, max(times) * 1.15)
        axes.set_xticks(at, [f"{x:,}" for x in at])
        if max(at) >= 1000:  # long labels, side by side
            axes.tick_params("x", rotation=40)
        name, _, what = title.partition(": ")
        axes.set_xlabel(what)
        axes.set_ylabel(unit)
        within = math.ceil(farthest(seconds, line) * 100)
        axes.set_title(f"{name}, within {within}%", fontsize=10)
    panels[0].legend(loc="upper left", frameon=False)
    figure.suptitle("How the time grows")
    return figure
