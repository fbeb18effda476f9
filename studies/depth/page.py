"""docs/depth.md: the words and tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmark import params
from benchmark.reporting.render import render
from benchmark.running.progress import format_time
from benchmark.training.environment import merge
from studies import trainings
from studies.depth import folds, hundred
from studies.depth.compare import Comparison, accuracy_of


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
    accuracy of the net as printed.
    """
    *corrected, printed = records
    enough = comparison.enough.blocks
    rows = []
    for depth in comparison.depths:
        n_dead = comparison.n_dead(depth)
        rows.append(
            {
                "blocks": depth.blocks,
                "parameters": parameters[depth.blocks],
                "rate": depth.rate,
                "estimate": accuracy_of(depth),
                "n_dead": n_dead,
                "folds": depth.correct.mean(axis=1),
                "loss": depth.losses.mean(),
                "verdict": None
                if n_dead or depth.blocks == enough
                else comparison.verdict(depth.blocks, enough),
                "time": format_time(times["seconds"][str(depth.blocks)]),
            }
        )
    epochs = range(hundred.EVERY, hundred.EPOCHS + 1, hundred.EVERY)
    last = [value for record in corrected for value in record["final"]["last_epochs"]]
    return render(
        Path(__file__).with_name("depth.md.jinja"),
        answer=comparison.answer(),
        enough=enough,
        rows=rows,
        margin=100 * comparison.margin,
        tried=folds.accuracies(list(rates)),
        best=folds.best_rates(list(rates)),
        held_out=rates[0]["images"],
        seeds_of_best=folds.SEEDS_OF_BEST,
        precision=folds.PRECISION,
        grid=folds.GRID,
        epochs=params.row_of(loaded, folds.ROW).training.epochs,
        default_blocks=loaded.model.n_blocks,
        published=published,
        table=[(epoch, accuracies_after(epoch, corrected, printed)) for epoch in epochs],
        corrected=corrected,
        printed=printed,
        span=(min(last), max(last)),
        epochs_of_span=len(corrected[0]["final"]["last_epochs"]),
        processor=times["environment"]["processor"],
        machines={
            "the learning rates": machines(rates),
            "the folds": machines(tested),
            "the chapter's recipe": machines(records),
        },
    )


def accuracies_after(
    epoch: int, corrected: Sequence[hundred.Record], printed: hundred.Record
) -> list[float | None]:
    """Return the accuracies of all runs, the last one also in eval mode.

    None where a run has no record, because something else than this study trained it.
    """
    columns = [(record, "accuracy") for record in corrected]
    columns += [(printed, "accuracy_in_train_mode"), (printed, "accuracy")]
    return [
        next((e[key] for e in record["epochs"] if e["epoch"] == epoch), None)
        for record, key in columns
    ]


def machines(records: Sequence[Mapping[str, Any]]) -> str:
    """Name the processors and the versions of torch that made these records."""
    both = merge(record["environment"] for record in records)
    return f"{both['processor']} ({both['cpu_capability']}), torch {both['torch']}"
