"""What is the annealed recipe worth? docs/recipes.md.

Trains every row of the annealed recipe on CIFAR-10's official split, and compares it with
the same net in the chapter's recipe, whose results are those of the table. An interrupted
run can resume.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.figure import Figure

from benchmark import params
from benchmark.reporting.charts import PERCENT, RECIPE_COLOURS
from benchmark.reporting.figures import png
from benchmark.reporting.render import render
from benchmark.reporting.results import CHAPTER, Results, read
from benchmark.running import cli
from benchmark.running.files import write_atomic
from benchmark.stats.planning import in_full
from benchmark.stats.uncertainty import Matrix, accuracy_interval, difference_interval
from benchmark.stats.verdicts import Verdict, verdicts
from studies import trainings

RECIPE = "annealed"
SEEDS = 6
MEASURED, PAGE, PICTURE = (Path(f"docs/recipes.{kind}") for kind in ("json", "md", "png"))


def main() -> None:
    loaded = trainings.load_params()
    chapter = read(trainings.rows_of(loaded, CHAPTER), loaded.compare.margin / 100)
    variants = variants_of(loaded)
    rows = {net: row for (net, _), row in variants.items()}
    records = trainings.train(MEASURED, variants, loaded.data, range(SEEDS))
    trained = trainings.correct_of(records)
    annealed = {net: trained[net, rate] for net, rate in variants}
    write_atomic(PAGE, page(chapter, annealed, rows, records[0]["environment"]).encode())
    write_atomic(PICTURE, png(chart(chapter, annealed)))


def variants_of(loaded: params.Params) -> dict[trainings.Key, params.Row]:
    """Return the rows of the annealed recipe, on the official split, by label and rate.

    Only those of nets that the chapter's table has, too.
    """
    known = {row.label for row in trainings.rows_of(loaded, CHAPTER)}
    rows = trainings.rows_of(loaded, RECIPE)
    return {
        (row.label, row.training.lr): on_official_split(row)
        for row in rows
        if row.label in known
    }


def on_official_split(row: params.Row) -> params.Row:
    return replace(row, training=row.training.model_copy(update={"split": "official"}))


def page(
    chapter: Results,
    annealed: Mapping[str, Matrix],
    rows: Mapping[str, params.Row],
    environment: Mapping[str, object],
) -> str:
    """Render the table as Markdown."""
    tested = compare(chapter, annealed)
    gains = {net: verdict.estimate.mean for net, verdict in tested.items()}
    spreads = [
        max(correct[net].mean(axis=1).std(ddof=1) for net in annealed)
        for correct in (chapter.correct, annealed)
    ]
    return render(
        Path(__file__).with_suffix(".md.jinja"),
        in_full=in_full,
        rows=[
            {
                "net": net,
                "chapter": chapter.correct[net].mean(axis=1),
                "annealed": annealed[net].mean(axis=1),
                "verdict": tested[net],
            }
            for net in annealed
        ],
        higher=sum(gain > 0 for gain in gains.values()),
        mean_gain=np.mean(list(gains.values())),
        clear=[net for net, verdict in tested.items() if verdict.is_difference],
        spreads=spreads,
        chapter=chapter,
        seeds=SEEDS,
        epochs=sorted({row.training.epochs for row in rows.values()}),
        environment=environment,
    )


def compare(chapter: Results, annealed: Mapping[str, Matrix]) -> dict[str, Verdict]:
    """Test for each net how much more accurate the annealed recipe makes it."""
    pairs = [(net, net) for net in annealed]
    estimates = [
        difference_interval(annealed[net], chapter.correct[net]) for net in annealed
    ]
    tested = verdicts(pairs, estimates, chapter.margin)
    return dict(zip(annealed, tested, strict=True))


def chart(chapter: Results, annealed: Mapping[str, Matrix]) -> Figure:
    """Draw the seeds and the interval of every net, with both recipes. 700 pixels wide."""
    names = sorted(annealed, key=lambda net: -annealed[net].mean())
    figure, axes = plt.subplots(figsize=(7, 0.5 * len(names) + 1.3))
    for offset, title, correct, colour in (
        (-0.17, "chapter", chapter.correct, RECIPE_COLOURS[0]),
        (0.17, RECIPE, annealed, RECIPE_COLOURS[1]),
    ):
        axes.plot([], [], "o-", color=colour, lw=3, label=title)
        for i, net in enumerate(names):
            seeds, y = correct[net].mean(axis=1), i + offset
            axes.plot(
                accuracy_interval(correct[net]).interval(), [y] * 2, color=colour, lw=3
            )
            axes.plot(seeds, [y] * len(seeds), "|", color=colour, ms=8)
            axes.plot(seeds.mean(), y, "o", color=colour, ms=7)
    axes.set_yticks(range(len(names)), names, fontsize=12)
    axes.invert_yaxis()
    axes.xaxis.set_major_formatter(PERCENT)
    axes.set_xlabel("accuracy on the official test images: seeds, mean, 95% interval")
    figure.legend(loc="outside upper center", fontsize=12, ncols=2, frameon=False)
    return figure


if __name__ == "__main__":
    cli.run(main)
