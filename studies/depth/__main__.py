"""How deep? docs/depth.md.

Trains residual nets with 1 to 100 blocks: with the annealed recipe in six folds, each with
the learning rate that suits it, and 100 blocks with the chapter's recipe. An interrupted
run can resume.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark import params
from benchmark.reporting.costs import cost_of
from benchmark.reporting.figures import png
from benchmark.reporting.results import read_json
from benchmark.running import cli
from benchmark.running.files import write_atomic
from benchmark.training.recipe import load_architecture
from notebook.report import PUBLISHED
from studies.depth import FOLDER, folds, hundred
from studies.depth.compare import Comparison
from studies.depth.page import page
from studies.depth.picture import chart
from studies.trainings import is_timed, load_params, write_times

PAGE, PICTURE = Path("docs/depth.md"), Path("docs/depth.png")
TIMES = FOLDER / "times.json"


def main(only: str | None) -> None:
    loaded = load_params()
    records = hundred.train(loaded) if only != "folds" else []
    rates, tested = folds.train(loaded) if only != "hundred" else ([], [])
    if only:
        return
    best = folds.best_rates(rates)
    n_classes, margin = len(loaded.data.classes), loaded.compare.margin / 100
    comparison = Comparison(folds.depths(tested, best), 1 / n_classes, margin)
    net = load_architecture(hundred.ROW)
    rows = {n: folds.variant(loaded, n, best[n], "folds") for n in best}
    costs = {n: cost_of(net, n_classes, row.settings) for n, row in rows.items()}
    text = page(
        loaded,
        comparison,
        rates,
        tested,
        records,
        times=read_times(loaded, best),
        parameters={n: cost.parameters for n, cost in costs.items()},
        published=published(),
    )
    write_atomic(PAGE, text.encode())
    write_atomic(PICTURE, png(chart(comparison, records)))


def read_times(loaded: params.Params, best: Mapping[int, float]) -> dict[str, Any]:
    """Return how long a run of each depth takes on one core; measure it if need be.

    That is, if times.json lacks a depth, or was measured with other params or another net.
    Delete it to measure again.
    """
    found = read_json(TIMES, "restore it with git") if TIMES.exists() else {}
    rows = {str(n): folds.variant(loaded, n, rate, "folds") for n, rate in best.items()}
    if all(is_timed(found, name, row, loaded.data) for name, row in rows.items()):
        return found
    return write_times(TIMES, rows, loaded)


def published() -> float:
    """Return the accuracy that the notebook prints for the very deep net."""
    return float(pd.read_csv(PUBLISHED, index_col="row")["val"][hundred.ROW])


if __name__ == "__main__":
    cli.run(
        main,
        cli.argument(
            "--only",
            choices=("folds", "hundred"),
            help="train one half, and write no page: folds (annealed recipe, all depths), "
            "or hundred (chapter's recipe, 100 blocks)",
        ),
    )
