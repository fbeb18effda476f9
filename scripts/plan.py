"""How many seeds would show a difference? For every pair of nets, from its own variances.

Prints the seeds per net that find the difference in 80% of cases, if all seeds are tested
on the same images, or in folds, and the training time. No number of seeds finds a
difference below the floor, which the images set. The times are for one core of the
processor of docs/speed.md.
"""

from collections.abc import Mapping
from dataclasses import replace

import pandas as pd
from scipy.stats import norm

from benchmark import params
from benchmark.reporting.comparison import Comparison, compare
from benchmark.reporting.costs import training_seconds
from benchmark.reporting.results import Results, read_families
from benchmark.running import cli
from benchmark.running.errors import UserError, explained
from benchmark.stats.planning import POWER, format_seeds, seeds_to_find
from benchmark.stats.uncertainty import Variance
from benchmark.stats.verdicts import Verdict, format_points

OFFICIAL, FOLDS = "same test images", "in folds"
# The number of folds, for results without folds.
N_FOLDS = 6
MIN_DIFF, MAX_DIFF = 0.01, 50


def main(diff: str, row: str | None) -> None:
    points = parse(diff)
    loaded = params.load()
    comparisons = [compare(results) for results in read_families(loaded)]
    known = {label for c in comparisons for label in c.results.rows} | {*loaded.rows}
    if row and row not in known:
        raise UserError(f"ROW: {row}: no such row; choose one of {', '.join(loaded.rows)}")
    seconds = training_seconds(loaded)
    has_pairs = False
    for comparison in comparisons:
        pairs = [pair for pair in comparison.pairs if is_about(pair, row, comparison)]
        if pairs:
            has_pairs = True
            rows = [plan(pair, points / 100, comparison, seconds) for pair in pairs]
            table = pd.DataFrame(
                [list(cells.values()) for cells in rows],
                columns=pd.MultiIndex.from_tuples(list(rows[0])),
            )
            print(f"\n{comparison.results.in_words}, to find {points:g} points:\n")
            print(table.to_string(index=False))
    if not has_pairs:
        raise UserError(
            f"{row or params.PARAMS}: there is no pair to plan for; a pair needs two nets "
            "in the same table, and three seeds or all folds each"
        )
    print(
        "\nSeeds per net, to find it in 80% of cases.\n"
        "Hours of one core, for both nets, if docs/speed.md has their times.\n"
        "Floor: the smallest difference that any number of seeds finds, in points."
    )


def parse(diff: str) -> float:
    """Return the difference in points. Raises UserError if it is not a sensible number."""
    with explained(f"DIFF: {diff!r} is not a number; write make plan DIFF=0.5", ValueError):
        points = float(diff)
    if not MIN_DIFF <= points <= MAX_DIFF:
        raise UserError(f"DIFF: {points:g} points; choose from {MIN_DIFF} to {MAX_DIFF}")
    return points


def is_about(pair: Verdict, row: str | None, comparison: Comparison) -> bool:
    rows = comparison.results.rows
    known = {pair.first, pair.second, rows[pair.first].name, rows[pair.second].name}
    return row is None or row in known


def plan(
    pair: Verdict, difference: float, comparison: Comparison, seconds: Mapping[str, float]
) -> dict[tuple[str, str], str]:
    """Return a row of the table. seconds: by row, how long a training run takes."""
    results, variance = comparison.results, pair.estimate.variance
    if results.n_folds:
        # What part of this variance the images cause is not known, so the least is shown.
        plans = {OFFICIAL: replace(variance, n_folds=0), FOLDS: variance}
    else:
        plans = {OFFICIAL: variance, FOLDS: with_folds(variance)}
    cells = {("", "net"): pair.first, ("", "compared with"): pair.second}
    for split, expected in plans.items():
        needed = seeds_to_find(difference, expected, pair.alpha)
        floor = format_points(smallest_ever(expected, pair.alpha))
        cells |= {
            (split, "seeds"): format_seeds(needed, bool(results.n_folds)),
            (split, "hours"): hours(pair, needed, results, seconds),
            (split, "floor"): "–" if results.n_folds else floor,
        }
    return cells


def with_folds(variance: Variance) -> Variance:
    """Return the variance with the same seeds in folds, from seeds on the same images."""
    return replace(
        variance,
        images=variance.images / N_FOLDS,
        n_images=variance.n_images * N_FOLDS,
        n_folds=N_FOLDS,
    )


def smallest_ever(variance: Variance, alpha: float) -> float:
    """Return the difference that infinitely many seeds find in 80% of cases."""
    least = max(variance.images, 1 / variance.n_images**2)
    return float((norm.ppf(1 - alpha / 2) + norm.ppf(POWER)) * least**0.5)


def hours(
    pair: Verdict, n_seeds: int | None, results: Results, seconds: Mapping[str, float]
) -> str:
    """Return the hours that one core trains both nets, or – if their speed is unknown."""
    names = [results.rows[net].name for net in (pair.first, pair.second)]
    if n_seeds is None or not seconds.keys() >= set(names):
        return "–"
    return f"{sum(seconds[name] for name in names) * n_seeds / 3600:,.1f}"


if __name__ == "__main__":
    cli.run(
        main,
        cli.argument("diff", help="the difference, in percentage points"),
        cli.argument("--row", help="only pairs with this row"),
    )
