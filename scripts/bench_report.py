"""The table and the pictures of what `make bench` measured, in docs/."""

import io
import math
import statistics
from pathlib import Path
from typing import Any

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from benchmark import params, recipe
from benchmark.files import write_whole

matplotlib.use("agg")  # files only, no window

DOCS = Path("docs")
TABLE = DOCS / "speed.md"
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
GROWTH = {
    "blocks": ("res_deep: residual blocks", "ms an image", 1000),
    "images": ("baseline: training images", "s an epoch", 1),
    "seeds": ("baseline: seeds, on two cores", "s", 1),
}

Measured = dict[str, Any]


def write(measured: Measured) -> str:
    """Write docs/speed.md and three pictures beside it; return the table."""
    text = table(measured)
    write_whole(TABLE, text.encode())
    save(speed(measured), DOCS / "speed.png")
    save(time_by_kind(measured), DOCS / "profile.png")
    save(growth(measured), DOCS / "growth.png")
    return text


def ratios(of_one: Measured, way: str = "pipeline") -> list[float]:
    """How many times as fast as the notebook's way, round by round."""
    pairs = zip(of_one["rates"][way], of_one["rates"]["notebook"], strict=True)
    return [rate / notebook for rate, notebook in pairs]


def share_of_peak(of_one: Measured) -> float:
    """The time that the operations take at the machine's peak, to the time taken."""
    return statistics.median(
        rate * sum(of_one["flops"][kind] / peak[kind] for kind in peak)
        for rate, peak in zip(of_one["rates"]["pipeline"], of_one["peaks"], strict=True)
    )


def share_of_checkpoints(of_one: Measured, n_images: int) -> float:
    """What a checkpoint adds to an epoch of one of the seeds side by side."""
    of_each = statistics.median(of_one["rates"]["pipeline"]) / 2
    return of_one["checkpoint_seconds"] * of_each / n_images


def geometric_mean(measured: Measured, way: str = "pipeline") -> float:
    each = measured["architectures"].values()
    return statistics.geometric_mean(statistics.median(ratios(one, way)) for one in each)


def table(measured: Measured) -> str:
    """What was measured, as Markdown."""
    environment = measured["environment"]
    each = measured["architectures"]
    n_images = images_of_an_epoch(params.load())
    with_bf16 = all("bf16" in one["rates"] for one in each.values())
    head = ["architecture", "notebook, images/s", "pipeline, images/s", "ratio"]
    head += ["bf16, images/s", "ratio"] if with_bf16 else []
    head += [
        "one seed, 2 threads, images/s",
        "GFLOP/s",
        "of peak",
        "checkpoints",
        "notebook, MB",
        "pipeline, MB",
    ]
    lines = [
        "# Speed, as `make bench` measured it",
        "",
        f"{environment['processor']} ({environment['cpu_capability']}), "
        f"{environment['cores']} cores, torch {environment['torch']}; medians of "
        f"{measured['rounds']} round(s) of {measured['images']:,} images, in turn.",
        "",
        f"| {' | '.join(head)} |",
        "|---|" + "---:|" * (len(head) - 1),
    ]
    for name, one in each.items():
        rate = {way: statistics.median(rates) for way, rates in one["rates"].items()}
        cells = [
            name,
            f"{rate['notebook']:,.0f}",
            f"{rate['pipeline']:,.0f}",
            f"**{statistics.median(ratios(one)):.2f}**",
        ]
        if with_bf16:
            cells += [
                f"{rate['bf16']:,.0f}",
                f"{statistics.median(ratios(one, 'bf16')):.2f}",
            ]
        cells += [
            f"{rate['two_threads']:,.0f}",
            f"{rate['pipeline'] * sum(one['flops'].values()) / 1e9:,.0f}",
            f"{share_of_peak(one):.0%}",
            f"{share_of_checkpoints(one, n_images):.1%}",
            f"{one['memory']['notebook'] / 1e6:,.0f}",
            f"{one['memory']['pipeline'] / 1e6:,.0f}",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    peaks = [peak for one in each.values() for peak in one["peaks"]]
    matrix, convolution = (
        statistics.median(peak[kind] for peak in peaks) / 1e9
        for kind in ("matrix", "convolution")
    )
    start = statistics.median(one["start_memory"] for one in each.values()) / 1e6
    lines += [
        "",
        f"Geometric mean of the ratios: **{geometric_mean(measured):.2f}**; "
        f"one seed on two threads {geometric_mean(measured, 'two_threads'):.2f}"
        + (f"; bf16 {geometric_mean(measured, 'bf16'):.2f}" if with_bf16 else "")
        + ".",
        "",
        "- notebook: one process with two threads, a DataLoader over a list of tensors. "
        "pipeline: two seeds side by side, a thread each. one seed: the pipeline's way "
        "with two threads.",
        f"- peak: {matrix:,.0f} GFLOP/s in matrix products of 1,024², "
        f"{convolution:,.0f} in the convolution of res_deep's blocks, forward, both cores; "
        "measured in every round. of peak: the time that a net's operations take at that "
        "rate, to the time that they took.",
        f"- checkpoints: what the one after each epoch adds to it, {n_images:,} images.",
        f"- memory is the peak of all processes of a way; {start:,.0f} MB of the "
        "pipeline's is two Pythons with torch imported.",
        *(["- bf16 was not timed: this processor has no instructions for it."]
          if not with_bf16 else []),
        *estimated_times(measured),
        "",
        "## Growth",
        "",
        "| what | at | time | farthest from a straight line |",
        "|---|---|---|---:|",
    ]  # fmt: skip
    for kind, (title, unit, scale) in GROWTH.items():
        at, seconds, line = grown(measured, kind)
        lines.append(
            f"| {title} | {', '.join(f'{x:,}' for x in at)} "
            f"| {', '.join(f'{s * scale:.3g}' for s in seconds)} {unit} "
            f"| {farthest(seconds, line):.1%} |"
        )
    return "\n".join([*lines, ""])


def images_of_an_epoch(loaded: params.Params) -> int:
    return IMAGES_A_CLASS * len(loaded.data.classes)


def estimated_times(measured: Measured) -> list[str]:
    """How long the training of `make repro` takes at the measured rates."""
    loaded = params.load()
    if set(loaded.architectures) - set(measured["architectures"]):
        return []
    n_images = images_of_an_epoch(loaded)

    def minutes(way: str, seeds: int) -> float:
        return sum(
            seeds * n_images * recipe.training_of(loaded, name).epochs
            / statistics.median(one["rates"][way])
            for name, one in measured["architectures"].items()
        ) / 60  # fmt: skip

    return [
        "- Training all architectures at these rates takes "
        f"{minutes('two_threads', 1):.0f} minutes with one seed on two threads, "
        f"{minutes('pipeline', 2):.0f} minutes with two seeds side by side."
    ]


def grown(
    measured: Measured, kind: str
) -> tuple[list[int], list[float], "np.ndarray[Any, Any]"]:
    """Where it was measured, the medians there, and the line (slope, intercept)."""
    at = measured["growth"][kind]["at"]
    seconds = [statistics.median(each) for each in measured["growth"][kind]["seconds"]]
    # Weighted so that what counts is the relative distance.
    slope, intercept = np.polyfit(at, seconds, 1, w=1 / np.array(seconds))
    return at, seconds, slope * np.array(at) + intercept


def farthest(seconds: list[float], line: "np.ndarray[Any, Any]") -> float:
    return float(np.max(np.abs(np.array(seconds) / line - 1)))


def speed(measured: Measured) -> Figure:
    """Two bars an architecture, and how many times as fast the pipeline is."""
    each = measured["architectures"]
    places = np.arange(len(each))
    figure, axes = plt.subplots(figsize=(9, 0.5 * len(each) + 1.6), layout="constrained")
    for way, label, offset, colour in (
        ("notebook", "the notebook's way, two threads", -0.2, NOTEBOOK_COLOUR),
        ("pipeline", "the pipeline's, two seeds side by side", 0.2, PIPELINE_COLOUR),
    ):
        rates = [statistics.median(one["rates"][way]) for one in each.values()]
        axes.barh(places + offset, rates, 0.38, label=label, color=colour)
    for place, one in zip(places, each.values(), strict=True):
        axes.annotate(
            f" {statistics.median(ratios(one)):.1f} ×",
            (statistics.median(one["rates"]["pipeline"]), place + 0.2),
            va="center", fontsize=9.5, color=PIPELINE_COLOUR,
        )  # fmt: skip
    axes.set_yticks(places, list(each))
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:,.0f}")
    axes.set_xlabel("training images a second, both cores")
    axes.set_title(
        "Training speed, two seeds side by side: in the geometric mean "
        f"{geometric_mean(measured):.1f} times the notebook's",
        loc="left",
    )
    axes.legend(loc="lower right")
    tidy(axes, "x")
    return figure


def time_by_kind(measured: Measured) -> Figure:
    """Where the time of each architecture goes, as stacked bars."""
    each = measured["architectures"]
    names = list(each)
    figure, axes = plt.subplots(figsize=(9, 0.42 * len(each) + 1.8), layout="constrained")
    left = np.zeros(len(each))
    for kind, colour in KIND_COLOURS.items():
        shares = np.array([one["time_by_kind"][kind] for one in each.values()])
        axes.barh(names, shares, 0.7, left=left, label=kind, color=colour)
        for place, share in enumerate(shares):
            if share >= 0.05:
                axes.text(
                    left[place] + share / 2, place, f"{share:.0%}", ha="center",
                    va="center", fontsize=8.5,
                    color="white" if kind == "convolutions" else "#222222",
                )  # fmt: skip
        left += shares
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_title("Where the time of torch's operations goes, one thread", loc="left")
    figure.legend(loc="outside lower center", ncols=len(KIND_COLOURS), frameon=False)
    tidy(axes, "x")
    return figure


def growth(measured: Measured) -> Figure:
    """Time against blocks, images and seeds, with the straight line through it."""
    figure, panels = plt.subplots(1, len(GROWTH), figsize=(10, 3.4), layout="constrained")
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
        axes.set_xlabel(title.partition(": ")[2])
        axes.set_ylabel(unit)
        within = math.ceil(farthest(seconds, line) * 100)
        axes.set_title(f"{title.partition(':')[0]}, within {within}%", fontsize=10)
        tidy(axes, "both")
    panels[0].legend(loc="upper left", frameon=False)
    figure.suptitle("How the time grows")
    return figure


def tidy(axes: Any, grid: str) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.grid(axis=grid, color="#eeeeee")


def save(figure: Figure, path: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    plt.close(figure)
    write_whole(path, buffer.getvalue())
