"""Which learning rate suits which net? docs/tuning.md.

Trains every row of the annealed recipe with several learning rates, on a part of the
training images, and scores it on the rest of them, which are held out (data.holdout). Then
it chooses the recipe of `modern` in the same way. Test images play no part in either
choice. An interrupted run can resume.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from statistics import mode
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from scipy.stats import studentized_range

from benchmark import params
from benchmark.reporting.charts import PERCENT, RECIPE_COLOURS, TEST_COLOUR
from benchmark.reporting.figures import png
from benchmark.reporting.render import render
from benchmark.running import cli
from benchmark.running.errors import UserError
from benchmark.running.files import write_atomic
from benchmark.stats.uncertainty import Matrix
from studies import trainings, tuning_modern

RECIPE = "annealed"
RATES = (0.005, 0.01, 0.02, 0.04)
HOLDOUT = 0.2
# A net that is no better than this many times chance has learned nothing.
GUESSING = 1.1
MEASURED, PAGE, PICTURE = (Path(f"docs/tuning.{kind}") for kind in ("json", "md", "png"))


def main(seeds: int) -> None:
    if seeds < 2:
        raise UserError("--seeds: 2 or more, because one seed cannot show the noise")
    loaded = trainings.load_params()
    rows = trainings.rows_of(loaded, RECIPE)
    for row in rows:
        if row.training.lr not in RATES:
            raise UserError(
                f"{params.PARAMS}: {row.name}: lr {row.training.lr} is no rate that this "
                "study compares; add it to RATES in studies/tuning.py"
            )
    data = loaded.data.model_copy(update={"holdout": HOLDOUT})
    variants: dict[trainings.Key, params.Row] = {
        (row.label, rate): with_rate(row, rate) for row in rows for rate in RATES
    }
    records = trainings.train(MEASURED, variants, data, range(seeds))
    correct: dict[str, dict[float, Matrix]] = {row.label: {} for row in rows}
    for (net, rate), matrix in trainings.correct_of(records).items():
        correct[net][rate] = matrix
    chosen = {row.label: row.training.lr for row in rows}
    chance = 1 / len(data.classes)
    modern = tuning_modern.section(loaded, seeds, HOLDOUT)
    text = page(correct, chosen, records[0]["environment"], chance, modern)
    write_atomic(PAGE, text.encode())
    write_atomic(PICTURE, png(chart(correct, chosen)))


def with_rate(row: params.Row, rate: float) -> params.Row:
    training = row.training.model_copy(update={"lr": rate})
    return replace(row, name=f"{row.label} with lr {rate}", training=training)


def noise(correct: Mapping[str, Mapping[float, Matrix]]) -> float:
    """Return what the means of equally good rates span at most, in 95% of cases.

    That is Tukey's studentized range. The variance between seeds is pooled over all nets
    and rates, because each alone would say little with few seeds.
    """
    seeds = np.array([m.mean(axis=1) for rates in correct.values() for m in rates.values()])
    n_variants, n_seeds = seeds.shape
    variance = seeds.var(axis=1, ddof=1).mean()
    quantile = studentized_range.ppf(0.95, len(RATES), n_variants * (n_seeds - 1))
    return float(quantile * np.sqrt(variance / n_seeds))


def page(
    correct: Mapping[str, Mapping[float, Matrix]],
    chosen: Mapping[str, float],
    environment: Mapping[str, object],
    chance: float = 0.5,
    modern: str = "",
) -> str:
    """Render the page. chance: the accuracy of guessing. modern: a section of its own."""
    usual = mode(chosen.values())
    rows: list[dict[str, Any]] = []
    for net, rates in correct.items():
        n_seeds, n_images = rates[chosen[net]].shape
        means = {rate: images.mean() for rate, images in rates.items()}
        best, ours = max(means, key=lambda rate: means[rate]), chosen[net]
        lost = means[best] - means[ours]
        rows.append({"net": net, "best": best, "ours": ours, "lost": lost, "means": means})
    return render(
        Path(__file__).with_suffix(".md.jinja"),
        rows=rows,
        rates=RATES,
        n_seeds=n_seeds,
        n_images=n_images,
        noise=noise(correct),
        largest=max(rows, key=lambda row: row["lost"]),
        worse=[row["net"] for row in rows if row["lost"] > noise(correct)],
        usual=usual,
        others={net: rate for net, rate in chosen.items() if rate != usual},
        dead=[
            (row["net"], rate)
            for row in rows
            for rate, accuracy in row["means"].items()
            if accuracy < GUESSING * chance
        ],
        environment=environment,
        modern=modern,
    )


def chart(
    correct: Mapping[str, Mapping[float, Matrix]], chosen: Mapping[str, float]
) -> Figure:
    """Draw the accuracy of every net over the learning rate. For a width of 700 pixels."""
    columns = 4
    n_rows = -(-len(correct) // columns)
    figure, panels = plt.subplots(
        n_rows, columns, figsize=(7, 1.55 * n_rows + 0.6), sharex=True, squeeze=False
    )
    for axes, (net, rates) in zip(panels.flat, correct.items(), strict=False):
        means = [rates[rate].mean() for rate in RATES]
        middle = np.median(means)
        axes.set_ylim(middle - 0.03, middle + 0.03)
        for rate in RATES:
            seeds = rates[rate].mean(axis=1)
            axes.plot([rate] * len(seeds), seeds, "_", color=TEST_COLOUR, ms=8)
        axes.plot(RATES, means, "-", color=TEST_COLOUR)
        ours = rates[chosen[net]].mean()
        axes.plot(chosen[net], ours, "o", color=RECIPE_COLOURS[1], ms=8)
        axes.set_xscale("log", base=2)
        axes.set_xticks(RATES, [f"{rate:g}"[1:] for rate in RATES])
        axes.yaxis.set_major_locator(MultipleLocator(0.02))
        axes.yaxis.set_major_formatter(PERCENT)
        axes.set_title(net, fontsize=11)
    for axes in panels.flat[len(correct) :]:
        axes.set_axis_off()
    figure.supxlabel("learning rate", fontsize=12)
    figure.supylabel("accuracy on held-out images", fontsize=12)
    return figure


if __name__ == "__main__":
    cli.run(main, cli.argument("--seeds", type=int, default=2, help="seeds per rate (2)"))
