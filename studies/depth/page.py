"""docs/depth.md: the words and tables."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from benchmark import params
from benchmark.reporting.render import render
from benchmark.running.progress import format_time
from benchmark.stats.verdicts import WORSE
from benchmark.training.environment import merge
from studies import trainings
from studies.depth import PRECISION, folds, hundred
from studies.depth.compare import Comparison, accuracy_of
from studies.depth.folds import Depth
from studies.tuning import GUESSING


def page(
    loaded: params.Params,
    comparison: Comparison,
    rates: Sequence[trainings.Record],
    tested: Sequence[trainings.Record],
    records: Sequence[hundred.Record],
    *,
    times: Mapping[str, Any],
    parameters: Mapping[int, int],
    published: float,
) -> str:
    """Render the page as Markdown.

    rates, tested: the records of the learning rates and of the folds. times: what
    times.json contains. parameters: of the nets, by their number of blocks. published: the
    accuracy of the notebook's net.
    """
    *corrected, printed = records
    best, tried = folds.best_rates(list(rates)), folds.accuracies(list(rates))
    epochs = range(hundred.EVERY, hundred.EPOCHS + 1, hundred.EVERY)
    row, ends = params.row_of(loaded, folds.ROW), (folds.GRID[0], folds.GRID[-1])
    return render(
        Path(__file__).with_name("depth.md.jinja"),
        answer=comparison.answer(),
        row=row,
        default_blocks=loaded.model.n_blocks,
        enough=comparison.enough,
        depths=[row_of(comparison, each, times, parameters) for each in comparison.depths],
        fits_worse=fits_worse(comparison),
        margin=100 * comparison.margin,
        grid=folds.GRID,
        tried=tried,
        best=best,
        at_the_end=[n for n, rate in best.items() if rate in ends],
        held_out=rates[0]["images"],
        seeds_of_best=folds.SEEDS_OF_BEST,
        precision=PRECISION,
        lr=params.row_of(loaded, hundred.ROW).training.lr,
        table=[(epoch, accuracies_after(epoch, corrected, printed)) for epoch in epochs],
        corrected=corrected,
        printed=printed,
        guessing=GUESSING * comparison.chance,
        published=published,
        processor=times["environment"]["processor"],
        machines={
            "rates": machines(rates),
            "folds": machines(tested),
            "100 blocks for 100 epochs": machines(records),
        },
    )


def fits_worse(comparison: Comparison) -> bool:
    """Return whether depth raises the training loss, and most depth costs accuracy."""
    losses = [depth.losses.mean() for depth in comparison.depths]
    deepest = comparison.depths[-1]
    return (
        all(a < b for a, b in pairwise(losses))  # not if a loss is NaN
        and comparison.enough not in (None, deepest.blocks)
        and not comparison.n_dead(deepest)
        and comparison.verdict(deepest.blocks, comparison.enough).word == WORSE
    )


def row_of(
    comparison: Comparison,
    depth: Depth,
    times: Mapping[str, Any],
    parameters: Mapping[int, int],
) -> dict[str, Any]:
    """Return what the table says about a depth."""
    n_dead, enough = comparison.n_dead(depth), comparison.enough
    verdict = None
    if enough is not None and not n_dead and depth.blocks != enough:
        verdict = comparison.verdict(depth.blocks, enough)
    return {
        "blocks": depth.blocks,
        "parameters": parameters[depth.blocks],
        "rate": depth.rate,
        "estimate": accuracy_of(depth),
        "n_dead": n_dead,
        "folds": depth.correct.mean(axis=1),
        "loss": depth.losses.mean(),
        "verdict": verdict,
        "time": format_time(times["seconds"][str(depth.blocks)]),
    }


def accuracies_after(
    epoch: int, corrected: Sequence[hundred.Record], printed: hundred.Record
) -> list[float]:
    """Return the accuracies of all runs, the last one also in eval mode."""
    columns = [(record, "accuracy") for record in corrected]
    columns += [(printed, "accuracy_in_train_mode"), (printed, "accuracy")]
    return [
        next(e[key] for e in record["epochs"] if e["epoch"] == epoch)
        for record, key in columns
    ]


def machines(records: Sequence[Mapping[str, Any]]) -> str:
    """Name the processors and the versions of torch that made these records."""
    both = merge(record["environment"] for record in records)
    return f"{both['processor']} ({both['cpu_capability']}), torch {both['torch']}"
