"""How fast is training, compared with the notebook's code? docs/speed.md.

All variants take turns in one run. If the speed of the machine drifts, it affects them
equally, so the ratios are reliable. Writes docs/speed.json, docs/speed.md and
docs/speed.png.
"""

import json
import statistics
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import joblib
import matplotlib.pyplot as plt
import numpy as np
import torch
from matplotlib.figure import Figure
from tqdm import tqdm

from benchmark import params
from benchmark.reporting.charts import TEST_COLOUR, TRAIN_COLOUR
from benchmark.reporting.costs import IMAGES_PER_CLASS
from benchmark.reporting.figures import png
from benchmark.reporting.render import render
from benchmark.reporting.results import CHAPTER
from benchmark.running import cli, errors
from benchmark.running.files import write_atomic
from benchmark.training.environment import computes_in_bf16, describe
from studies import trainings
from studies.speed.variants import CORES, make_cell, make_variants

DOCS = Path("docs")
# By net and variant, images per second in each round.
Rates = dict[str, dict[str, list[float]]]


def main(rounds: int, images: int, bf16: bool, only: list[str] | None) -> None:
    if joblib.cpu_count() < CORES:
        raise errors.UserError(f"make bench needs {CORES} cores")
    loaded = params.load()
    names = only or chapter_rows(loaded)
    settings = {name: params.row_of(loaded, name).settings for name in names}
    cpu = torch.device("cpu")
    with_bf16 = bf16 or computes_in_bf16(cpu)
    # One process per core; each runs one task at a time.
    with ProcessPoolExecutor(CORES, get_context("spawn")) as pool:
        rates = {
            name: measure(pool, loaded, name, rounds, images, with_bf16)
            for name in tqdm(names, desc="rows", unit="net")
        }
    environment = describe(cpu, threads=1) | {"cores": CORES}
    measured = {
        "environment": environment,
        "images": images,
        "settings": settings,
        "rates": rates,
    }
    print(page(measured))
    if not only:
        write_atomic(DOCS / "speed.json", (json.dumps(measured, indent=1) + "\n").encode())
        write_atomic(DOCS / "speed.md", page(measured).encode())
        write_atomic(DOCS / "speed.png", png(chart(rates)))


def chapter_rows(loaded: params.Params) -> list[str]:
    return [row.name for row in trainings.rows_of(loaded, CHAPTER)]


def measure(
    pool: Executor,
    loaded: params.Params,
    name: str,
    rounds: int,
    images: int,
    with_bf16: bool,
) -> dict[str, list[float]]:
    """Measure one net: images per second by variant, in each round."""
    variants = make_variants(make_cell(loaded, name, images), with_bf16)
    rates: dict[str, list[float]] = {variant: [] for variant in variants}
    for _ in range(rounds):
        for variant, (train, cells) in variants.items():
            rates[variant].append(sum(images / s for s in pool.map(train, cells)))
    return rates


def ratio(rates: dict[str, list[float]], variant: str = "pipeline") -> float:
    """Return the variant's speed relative to the notebook's: the median over rounds."""
    pairs = zip(rates[variant], rates["notebook"], strict=True)
    return statistics.median(rate / notebook for rate, notebook in pairs)


def mean_ratio(rates: Rates, variant: str = "pipeline") -> float:
    """Return the geometric mean of the nets' ratios."""
    return statistics.geometric_mean(ratio(net, variant) for net in rates.values())


def page(measured: dict[str, Any]) -> str:
    """Render the measurements as Markdown."""
    loaded, rates = params.load(), measured["rates"]
    first = next(iter(rates.values()))
    return render(
        Path(__file__).with_name("speed.md.jinja"),
        **measured,
        rounds=len(first["notebook"]),
        median=statistics.median,
        ratio=ratio,
        means={variant: mean_ratio(rates, variant) for variant in first},
        minutes={
            variant: training_minutes(loaded, rates, variant, seeds)
            for variant, seeds in (("two_threads", 1), ("pipeline", 2))
            if set(chapter_rows(loaded)) <= set(rates)
        },
    )


def training_minutes(
    loaded: params.Params, rates: Rates, variant: str, seeds: int
) -> float:
    """Return how many minutes it takes to train all nets at the measured rates."""
    n_images = seeds * IMAGES_PER_CLASS * len(loaded.data.classes)
    seconds = (
        n_images
        * params.row_of(loaded, name).training.epochs
        / statistics.median(net[variant])
        for name, net in rates.items()
    )
    return sum(seconds) / 60


def chart(rates: Rates) -> Figure:
    """Draw two bars per net, and how many times as fast the pipeline is."""
    positions = np.arange(len(rates))
    figure, axes = plt.subplots(figsize=(9, 0.5 * len(rates) + 1.6))
    for variant, label, offset, colour in (
        ("notebook", "notebook: one seed on two cores", -0.2, TRAIN_COLOUR),
        ("pipeline", "pipeline: two seeds side by side", 0.2, TEST_COLOUR),
    ):
        medians = [statistics.median(net[variant]) for net in rates.values()]
        bars = axes.barh(positions + offset, medians, 0.38, label=label, color=colour)
    ratios = [f" {ratio(net):.1f} ×" for net in rates.values()]
    axes.bar_label(bars, ratios, fontsize=9.5, color=TEST_COLOUR)
    axes.set_yticks(positions, list(rates))
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:,.0f}")
    axes.set_xlabel("training images per second, both cores")
    axes.set_title(f"Training is {mean_ratio(rates):.1f} times as fast as in the notebook")
    axes.legend(loc="lower right")
    axes.grid(False, axis="y")
    return figure


if __name__ == "__main__":
    cli.run(
        main,
        cli.argument(
            "--rounds", type=int, default=5, help="how often each variant is measured (5)"
        ),
        cli.argument("--images", type=int, default=1280, help="images per epoch (1280)"),
        cli.argument(
            "--bf16",
            action="store_true",
            help="measure bf16 even if this processor emulates it",
        ),
        cli.argument(
            "--only", nargs="+", metavar="NET", help="only these nets; writes no files"
        ),
    )
