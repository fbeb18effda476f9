"""Train one net with the annealed recipe, and compare it with all others.

The others need not be trained: their predictions are in git. This writes no results. It
gets the data, if they are missing, and keeps the finished training runs, which `dvc repro`
uses later.
"""

import io
from pathlib import Path

import pandas as pd

from benchmark import params, pool
from benchmark.check import arguments_of, check_rows, size_key
from benchmark.reporting.comparison import compare, warning
from benchmark.reporting.costs import cost_of
from benchmark.reporting.render import render
from benchmark.reporting.results import BASELINE, Results, merged, read
from benchmark.running import cli, errors
from benchmark.running.errors import UserError
from benchmark.running.finished import CellResult
from benchmark.stats.planning import could_be_found, in_full
from benchmark.training import plan, recipe
from scripts import verify
from scripts.repro import dvc
from stages.validate import predictions_csv, seeds_csv, summarize

RECIPE = "annealed"


def main(net: str) -> None:
    loaded, name = with_row(params.load(), net)
    row = params.row_of(loaded, name)
    others = read_others(loaded, row)
    if not plan.CIFAR2.exists():  # name a mistake before the download
        check_rows(loaded, name)
    dvc("repro", "--quiet", "filter")
    new = results_of(row, pool.train_rows(loaded, name), loaded.compare.margin / 100)
    print(report(loaded, merged(others, new) if others else new, row), end="")


def with_row(loaded: params.Params, net: str) -> tuple[params.Params, str]:
    """Return the params with a row for this net, and the row's name. Raises UserError.

    That is the net's row with the annealed recipe, if there is one. Otherwise, the row is
    made from the net's file, whose settings then need default values.
    """
    if not net:
        raise UserError("name a net: make try NET=mine")
    if RECIPE not in loaded.recipes:
        raise UserError(f"{params.PARAMS}: has no recipe {RECIPE}, which this needs")
    rows = {name: params.row_of(loaded, name) for name in loaded.rows}
    for name, row in rows.items():
        if row.table == RECIPE and net in (name, row.label):
            return loaded, name
    file = params.ARCHITECTURES / f"{net}.py"
    if not net.isidentifier() or not file.is_file():
        raise UserError(
            f"{net}: no row with the {RECIPE} recipe, and no file {file}; write that file, "
            "as in docs/adding_a_net.md"
        )
    with errors.blame_architecture(net):
        declared = arguments_of(recipe.load_architecture(net))
    entry = {"net": net, "recipe": RECIPE, "sized_by": size_key(declared)}
    name = net if net not in rows else f"{net}_{RECIPE}"
    if name in rows:
        raise UserError(
            f"{params.PARAMS}: rows.{name} has the recipe {rows[name].recipe}; rename it, "
            f"or give it the recipe {RECIPE}"
        )
    entries = {**loaded.rows, name: params.Entry.model_validate(entry)}
    return loaded.model_copy(update={"rows": entries}), name


def read_others(loaded: params.Params, row: params.Row) -> Results | None:
    """Read the committed results of the other rows of this row's family.

    Raises UserError if they are for other code or data than what is here.
    """
    rows = [params.row_of(loaded, name) for name in loaded.rows]
    others = [r for r in rows if r.family == row.family and r.name != row.name]
    refuse_stale([other.name for other in others])
    return read(others, loaded.compare.margin / 100) if others else None


def refuse_stale(names: list[str]) -> None:
    """Raise UserError unless the results of these rows match code, params and data."""
    stages = {f"{stage}@{name}" for stage in ("train", "validate") for name in names}
    changed, _ = verify.split_status(verify.dvc_status(verify.BENCHMARK))
    for line in changed:
        if line.split(": ")[0] in stages:
            raise UserError(
                f"the committed results do not match what is here ({line}), so there is "
                "nothing to compare with; undo the change, or run `dvc repro`"
            )


def results_of(row: params.Row, trained: list[CellResult], margin: float) -> Results:
    """Return the results of a row that has just been trained, without its loss curve."""
    scores = {result["seed"]: result["scores"] for result in trained}
    return Results(
        row.table,
        {row.label: row},
        {row.label: summarize(scores)},
        {row.label: pd.read_csv(io.StringIO(seeds_csv(scores)))},
        {row.label: pd.DataFrame({"epoch": [row.training.epochs]})},
        {row.label: pd.read_csv(io.StringIO(predictions_csv(scores)))},
        margin,
    )


def report(loaded: params.Params, results: Results, row: params.Row) -> str:
    """Render the new net's place, and its verdicts, as text."""
    label = next(label for label, other in results.rows.items() if other == row)
    comparison = compare(results)
    costs = {
        name: cost_of(
            recipe.load_architecture(row.net),
            len(loaded.data.classes),
            row.settings,
            row.training.flip_at_test,
        )
        for name, row in results.rows.items()
        if name in (label, BASELINE)
    }
    return render(
        Path(__file__).with_name("try.txt.jinja"),
        results=results,
        label=label,
        verdicts={
            name: verdict
            for name in results.names
            if (verdict := comparison.between(label, name))
        },
        in_full=in_full,
        could_be_found=could_be_found,
        cost=costs[label],
        baseline_cost=costs.get(BASELINE),
        baseline=BASELINE,
        warning=warning(results),
        is_in_params=row.name in params.load().rows,
    )


if __name__ == "__main__":
    cli.run(
        main, cli.argument("net", help="a file in architectures/, without .py, or a row")
    )
