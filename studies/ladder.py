"""What is each step from the baseline to modern worth? docs/ladder.md.

Reads the results of all rows and trains nothing. Training times are measured only with
--measure, because nothing else may run meanwhile.
"""

import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle, pairwise
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter

from benchmark import params
from benchmark.reporting.charts import PERCENT, RECIPE_COLOURS
from benchmark.reporting.costs import front
from benchmark.reporting.figures import png
from benchmark.reporting.render import render
from benchmark.reporting.results import Results, read_families, read_json, vote_correct
from benchmark.reporting.tables import idea_of, in_words
from benchmark.running import cli
from benchmark.running.errors import UserError
from benchmark.running.files import write_atomic
from benchmark.running.progress import format_time
from benchmark.stats.folds import fold_differences
from benchmark.stats.uncertainty import Estimate, compare_models
from benchmark.stats.verdicts import BETTER, SAME, UNKNOWN, WORSE, Verdict, verdicts
from studies import trainings

TABLE, TOP, BOOK = "ladder", "modern", "annealed"
# Half of the margin of the other tables: the steps at the top have little left to gain.
MARGIN = 0.005
# What each step adds to the one before it, by label.
STEPS = {
    "baseline": "the chapter's baseline, with the chapter's recipe",
    "annealed": "momentum, and a higher learning rate that falls to 0; fewer epochs",
    "normalized": "batch norm",
    "wider": "more channels",
    "deeper": "modern without skip connections: seven convolutions instead of two, more "
    "channels, GELU, no hidden layer; and bfloat16",
    "skip": "skip connections",
    "augmented": "flipped and shifted training images",
    "recipe": "the recipe of modern, with as many epochs as before",
    "flips": "at test time, each image is scored together with its mirror image",
    "modern": "more epochs",
}
# A step that has the models of another and scores them differently.
SAME_MODELS = {"flips": "recipe"}
# Where labels go in the picture, in points from their marks, if not on the right of them.
LABELS = {"annealed": (7, -8), "wider": (5, -12), "recipe": (-7, -6)} | dict.fromkeys(
    ("baseline", "normalized", "deeper", "flips"), (-4, 5)
)
# Not a row of params.yaml: modern in float32, only for its time.
IN_FP32 = "modern in fp32"
PAGE, PICTURE, TIMES = (
    Path(f"docs/{name}") for name in ("ladder.md", "ladder.png", "ladder_times.json")
)


def main(measure: bool) -> None:
    loaded = trainings.load_params() if measure else params.load()
    families = read_families(loaded)
    timed = rows_to_time(loaded)
    if measure:
        trainings.write_times(TIMES, timed, loaded)
    times = read_times(timed, loaded.data)
    write_atomic(PAGE, page(families, times).encode())
    write_atomic(PICTURE, png(chart(families, times["seconds"])))


def rows_to_time(loaded: params.Params) -> dict[str, params.Row]:
    rows = {name: params.row_of(loaded, name) for name in loaded.rows}
    top = params.row_of(loaded, TOP)
    fp32 = top.training.model_copy(update={"precision": "fp32"})
    return rows | {IN_FP32: replace(top, name=IN_FP32, training=fp32)}


def read_times(rows: Mapping[str, params.Row], data: params.Data) -> dict[str, Any]:
    """Read how many seconds a run of each row takes.

    A row that was not measured with these params and this net has no time. Raises UserError
    if the page needs it; otherwise, it is only missing in the picture, and a note says so.
    """
    measure = "measure on an idle machine, with `python -m studies.ladder --measure`"
    if not TIMES.exists():
        raise UserError(f"{TIMES}: missing; {measure}")
    found = read_json(TIMES, measure)
    for name, row in rows.items():
        if trainings.is_timed(found, name, row, data):
            continue
        problem = f"{TIMES}: {name}: not measured with its params and its net; {measure}"
        if row.table == TABLE or name in (TOP, IN_FP32):
            raise UserError(problem)
        print(f"note: {problem}; the picture leaves it out", file=sys.stderr)
        found["seconds"].pop(name, None)
    return found


def the_family(families: Sequence[Results], table: str) -> Results:
    """Return the results of a table. Raises UserError if it has no rows, or two splits."""
    found = [results for results in families if results.table == table]
    if len(found) != 1:
        raise UserError(
            f"{params.PARAMS}: the ladder needs rows with table {table}, all with one split"
        )
    return found[0]


def compare(ladder: Results) -> list[Verdict]:
    """Compare each step with the one before it. These pairs are one family of tests."""
    pairs = [(after, before) for before, after in pairwise(STEPS)]
    n_seeds = {name: len(seeds) for name, seeds in ladder.seeds.items()}
    estimates: list[Estimate] = []
    for pair in pairs:
        correct = {name: ladder.correct[name] for name in alike(pair)}
        estimates += fold_differences(correct, ladder.folds, [pair], n_seeds)
    return verdicts(pairs, estimates, ladder.margin)


def alike(pair: tuple[str, str]) -> list[str]:
    """Return the steps that are compared to see how much a net varies over folds.

    Steps with the same models vary together. So they enter only one at a time, or alone if
    they are the pair.
    """
    if SAME_MODELS.get(pair[0]) == pair[1]:
        return list(pair)
    left_out = {SAME_MODELS[step] for step in pair if step in SAME_MODELS}
    return [step for step in STEPS if step not in (left_out or SAME_MODELS)]


def vote_of(top: Results) -> Estimate:
    """Return how much better the vote of all seeds is than one of them, on average.

    For other images and the same models. Raises UserError if there is only one model, or if
    they were tested on different images.
    """
    if TOP not in top.votes:
        raise UserError(
            f"{params.PARAMS}: rows.{TOP}: the vote needs split: official, and two seeds "
            "or more"
        )
    return compare_models(vote_correct(top.predictions[TOP]), top.correct[TOP].mean(axis=0))


def new_settings(before: params.Row | None, after: params.Row) -> str:
    """List the net, and the parts of its recipe and settings that a step changes."""
    if before is None:
        return ""
    old, new = (
        {"net": row.net}
        | row.training.model_dump(exclude={"split", "seeds", "threads", "device"})
        | row.settings
        for row in (before, after)
    )
    return in_words({key: value for key, value in new.items() if old.get(key) != value})


def page(families: Sequence[Results], times: Mapping[str, Any]) -> str:
    """Render the page as Markdown. Raises UserError if results are missing."""
    ladder = replace(the_family(families, TABLE), margin=MARGIN)
    top, book = the_family(families, TOP), the_family(families, BOOK)
    for step in STEPS:
        if not ladder.n_folds or step not in ladder.comparable:
            raise UserError(
                f"{params.PARAMS}: rows.{step}_{TABLE}: missing, or not tested in all "
                "folds; it needs split: folds, seeds: 6"
            )
    for step, other in SAME_MODELS.items():
        if not ladder.curves[step]["loss"].equals(ladder.curves[other]["loss"]):
            raise UserError(
                f"{step}_{TABLE}: its models are not those of {other}_{TABLE}; train both "
                "on the same kind of processor"
            )
    judged = compare(ladder)
    words = {
        word: [v.first for v in judged if v.word == word]
        for word in (BETTER, SAME, WORSE, UNKNOWN)
    }
    before: list[params.Row | None] = [None, *(ladder.rows[step] for step in STEPS)]
    return render(
        Path(__file__).with_suffix(".md.jinja"),
        steps=STEPS,
        verdicts={verdict.first: verdict for verdict in judged},
        accuracy={step: row["val_accuracy"] for step, row in ladder.metrics.items()},
        intervals=ladder.intervals,
        settings={
            step: new_settings(previous, ladder.rows[step])
            for previous, step in zip(before, STEPS, strict=False)
        },
        n_folds=ladder.n_folds,
        n_images=ladder.n_test,
        words=words,
        margin=100 * MARGIN,
        same_models=SAME_MODELS,
        book=max(
            book.metrics[label]["val_accuracy"]
            for label, row in book.rows.items()
            if idea_of(row).section != "–"  # a net of somebody else is not in the book
        ),
        time={row: format_time(seconds) for row, seconds in times["seconds"].items()},
        fp32=IN_FP32,
        vote=vote_of(top),
        together=top.votes[TOP],
        top=top.metrics[TOP]["val_accuracy"],
        top_seeds=sorted(top.seeds[TOP]["val_accuracy"]),
        top_interval=top.intervals[TOP],
        environment=times["environment"],
    )


def chart(families: Iterable[Results], seconds: Mapping[str, float]) -> Figure:
    """Draw the accuracy of every row over its training time. 900 pixels wide."""
    figure, axes = plt.subplots(figsize=(9, 5.5))
    minutes: dict[str, float] = {}
    accuracy: dict[str, float] = {}
    for colour, results in zip(cycle(RECIPE_COLOURS), families, strict=False):
        marker = "o" if results.n_folds else "^"
        images = f"{results.n_folds} folds" if results.n_folds else "official test images"
        axes.plot([], [], marker, color=colour, label=f"{results.title}, {images}")
        timed = {label: r for label, r in results.rows.items() if r.name in seconds}
        for label, row in timed.items():
            point = seconds[row.name] / 60, results.metrics[label]["val_accuracy"]
            style = "none" if row.training.precision == "bf16" else "full"
            axes.plot(*point, marker, color=colour, fillstyle=style)
            if results.n_folds:
                minutes[row.name], accuracy[row.name] = point
            if results.table == TABLE:
                offset = LABELS.get(label, (7, -4))
                side = "left" if offset[0] > 0 else "right"
                axes.annotate(
                    label, point, offset, textcoords="offset points", ha=side, fontsize=10,
                    color=colour,
                )  # fmt: skip
    axes.plot([], [], "o", color="#888888", fillstyle="none", label="hollow: bfloat16")
    best = front(minutes, accuracy)
    axes.plot(
        [minutes[name] for name in best], [accuracy[name] for name in best], "-",
        color="#888888", lw=1, zorder=0, label="Pareto front, in folds",
    )  # fmt: skip
    axes.set_xscale("log")
    axes.set_xticks([0.2, 0.5, 1, 2, 5, 10, 20, 50])
    axes.xaxis.set_major_formatter("{x:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(PERCENT)
    axes.set_xlabel("minutes per training run, on one core")
    axes.set_ylabel("test accuracy")
    figure.legend(loc="outside upper center", fontsize=10, ncols=3, frameon=False)
    return figure


if __name__ == "__main__":
    cli.run(
        main,
        cli.argument(
            "--measure",
            action="store_true",
            help="measure the training times again; the machine should be idle",
        ),
    )
