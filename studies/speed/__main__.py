"""How fast is training, compared with the notebook's way?

The ways take turns in one run, so that a machine whose speed drifts slows all of them
alike: what counts are the ratios. Writes docs/speed.json, and from it docs/speed.md and
docs/speed.png.
"""

import json
import os
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
from benchmark.reporting.charts import TRAIN_COLOUR, VAL_COLOUR
from benchmark.reporting.figures import png
from benchmark.reporting.render import render
from benchmark.running import cli, errors
from benchmark.running.files import write_whole
from benchmark.training import recipe
from benchmark.training.environment import computes_in_bf16, describe
from studies.speed.ways import CORES, make_cell, make_ways

DOCS = Path("docs")
IMAGES_A_CLASS = 5000
# By architecture and way, images a second in each round.
Rates = dict[str, dict[str, list[float]]]


def main(rounds: int, images: int, bf16: bool, only: list[str] | None) -> None:
    if joblib.cpu_count() < CORES:
        raise errors.UserError(f"make bench needs {CORES} cores")
    os.environ["LOKY_MAX_CPU_COUNT"] = str(CORES)
    loaded = params.load()
    names = only or list(loaded.architectures)
    for name in names:
        params.check_name(name, loaded)
    cpu = torch.device("cpu")
    with_bf16 = bf16 or computes_in_bf16(cpu)
    # New processes, each of which takes one task at a time: one for each core.
    with ProcessPoolExecutor(CORES, get_context("spawn")) as pool:
        rates = {
            name: measure(pool, loaded, name, rounds, images, with_bf16)
            for name in tqdm(names, desc="architectures", unit="net")
        }
    environment = describe(cpu, threads=1) | {"cores": CORES}
    measured = {"environment": environment, "images": images, "rates": rates}
    print(page(measured))
    if not only:
        write_whole(DOCS / "speed.json", (json.dumps(measured, indent=1) + "\n").encode())
        write_whole(DOCS / "speed.md", page(measured).encode())
        write_whole(DOCS / "speed.png", png(chart(rates)))


def measure(
    pool: Executor,
    loaded: params.Params,
    name: str,
    rounds: int,
    images: int,
    with_bf16: bool,
) -> dict[str, list[float]]:
    """Training images a second of one architecture, by way, in each round."""
    ways = make_ways(make_cell(loaded, name, images), with_bf16)
    rates: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(rounds):
        for way, (train, cells) in ways.items():
            rates[way].append(sum(images / each for each in pool.map(train, cells)))
    return rates


def ratio(rates: dict[str, list[float]], way: str = "pipeline") -> float:
    """How many times as fast as the notebook's way; the median over rounds."""
    pairs = zip(rates[way], rates["notebook"], strict=True)
    return statistics.median(rate / notebook for rate, notebook in pairs)


def mean_ratio(rates: Rates, way: str = "pipeline") -> float:
    """The geometric mean over architectures."""
    return statistics.geometric_mean(ratio(each, way) for each in rates.values())


def page(measured: dict[str, Any]) -> str:
    """What was measured, as Markdown."""
    loaded, rates = params.load(), measured["rates"]
    first = next(iter(rates.values()))
    return render(
        Path(__file__).with_name("speed.md.jinja"),
        **measured,
        rounds=len(first["notebook"]),
        median=statistics.median,
        ratio=ratio,
        means={way: mean_ratio(rates, way) for way in first},
        minutes={
            way: training_minutes(loaded, rates, way, seeds)
            for way, seeds in (("two_threads", 1), ("pipeline", 2))
            if set(loaded.architectures) <= set(rates)
        },
    )


def training_minutes(loaded: params.Params, rates: Rates, way: str, seeds: int) -> float:
    """How long all trainings of `make repro` take at the measured rates."""
    n_images = seeds * IMAGES_A_CLASS * len(loaded.data.classes)
    seconds = (
        n_images * recipe.training_of(loaded, name).epochs / statistics.median(each[way])
        for name, each in rates.items()
    )
    return sum(seconds) / 60


def chart(rates: Rates) -> Figure:
    """Two bars for each architecture, and how many times as fast the pipeline is."""
    places = np.arange(len(rates))
    figure, axes = plt.subplots(figsize=(9, 0.5 * len(rates) + 1.6))
    for way, label, offset, colour in (
        ("notebook", "the notebook's way, two threads", -0.2, TRAIN_COLOUR),
        ("pipeline", "the pipeline's, two seeds side by side", 0.2, VAL_COLOUR),
    ):
        medians = [statistics.median(each[way]) for each in rates.values()]
        bars = axes.barh(places + offset, medians, 0.38, label=label, color=colour)
    ratios = [f" {ratio(each):.1f} ×" for each in rates.values()]
    axes.bar_label(bars, ratios, fontsize=9.5, color=VAL_COLOUR)
    axes.set_yticks(places, list(rates))
    axes.invert_yaxis()
    axes.margins(x=0.08)
    axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:,.0f}")
    axes.set_xlabel("training images per second, both cores")
    axes.set_title(
        f"Training speed: {mean_ratio(rates):.1f} times the notebook's (geometric mean)"
    )
    axes.legend(loc="lower right")
    axes.grid(False, axis="y")
    return figure


if __name__ == "__main__":
    cli.run(
        main,
        cli.argument("--rounds", type=int, default=5, help="turns of each way (5)"),
        cli.argument("--images", type=int, default=1280, help="of an epoch (1280)"),
        cli.argument("--bf16", action="store_true", help="even if it is slower here"),
        cli.argument("--only", nargs="+", metavar="ARCHITECTURE", help="write nothing"),
    )
