"""Compare the architectures, and say which differ by more than noise: plots/."""

from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark import charts, params, stage, tables
from benchmark.figures import png
from benchmark.results import BASELINE, Results, decimal, read
from benchmark.significance import Difference, differences, in_points, letters
from benchmark.uncertainty import Matrix, right_of

PLOTS = Path("plots")
# What the notebook and both editions of the book print.
PRINTED = Path(__file__).with_name("printed.csv")
# docs/significance.md: with fewer, a table of this size has more false alarms than 5%.
ENOUGH_SEEDS = 5
FEW_SEEDS = f"**With fewer than {ENOUGH_SEEDS} seeds, false alarms can be more than 5%.** "
ONE_SEED = "With one seed no difference can be told from noise."


def main() -> None:
    # Only what params.yaml names counts, whatever else lies in the folders.
    loaded = params.load()
    results = read(list(loaded.architectures))
    against = against_baseline(results)
    pairs = all_pairs(results)
    stage.write(PLOTS / "results.md", results_table(results, against).encode())
    stage.write(PLOTS / "pairs.md", pairs_table(results, pairs).encode())
    for name, table in (
        ("loss_curves", tables.loss_curves(results)),
        ("confusion", tables.confusion(results, loaded.data.classes)),
    ):
        text = table.to_csv(index=False, lineterminator="\n")
        stage.write(PLOTS / f"{name}.csv", text.encode())
    for name, figure in (
        ("accuracy_comparison", charts.accuracy_comparison(results)),
        ("loss_curves", charts.loss_curves(results)),
        ("ranking", charts.ranking(results, against, pairs)),
    ):
        stage.write(PLOTS / f"{name}.png", png(figure))


def against_baseline(results: Results) -> dict[str, Difference]:
    """Each architecture's difference from the baseline, as one family of tests."""
    others = [name for name in results.names if name != BASELINE]
    if results.n_seeds < 2:
        return {}
    found = differences(right(results), [(name, BASELINE) for name in others])
    return dict(zip(others, found, strict=True))


def all_pairs(results: Results) -> list[Difference]:
    """Every pair's difference, the better one first, as a second family."""
    if results.n_seeds < 2:
        return []
    return differences(right(results), combinations(results.by_accuracy, 2))


def right(results: Results) -> dict[str, Matrix]:
    return {
        name: right_of(each).to_numpy(float) for name, each in results.predictions.items()
    }


def results_table(results: Results, against: dict[str, Difference]) -> str:
    """Accuracies, intervals and differences, and what was printed, as Markdown."""
    scored = n_scored_epochs(results)
    lines = [
        "| architecture | parameters | train | val | 95% interval | against baseline "
        f"| val, last {scored} epochs |",
        "|---|---:|---:|---:|---|---|---:|",
    ]
    for name in results.names:
        row = results.metrics[name]
        cells = [
            name,
            f"{int(row['params']):,}",
            decimal(row["train_accuracy"]),
            f"**{decimal(row['val_accuracy'])}**",
            interval(row),
            str(against.get(name, "–")),
            last_epochs(results.curves[name]),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += ["", notes(results), "", *printed_table(results), ""]
    return "\n".join(lines)


def notes(results: Results) -> str:
    """What the columns are, and what they do not cover."""
    seeds = results.n_seeds
    epochs = sorted({int(curve["epoch"].max()) for curve in results.curves.values()})
    least = f"{epochs[0]} to " if len(epochs) > 1 else ""
    text = (
        (f"Means over seeds 0 to {seeds - 1}" if seeds > 1 else "Seed 0")
        + f", {least}{epochs[-1]} epochs, scored on {results.n_val:,} validation images. "
        f"The mean of the last {n_scored_epochs(results)} epochs shows how much the last "
        "step of a training swings; it chooses nothing. "
    )
    if seeds < 2:
        return text + ONE_SEED
    return text + (
        "Intervals cover both what other seeds and what other images would give, but not "
        "another training set. A difference is called better or worse where p < .05 after "
        "Holm's correction for all rows; its interval is its own. "
        + ("" if seeds >= ENOUGH_SEEDS else FEW_SEEDS)
        + "`plots/pairs.md` has all pairs, `docs/significance.md` how well the method "
        "keeps its word."
    )


def printed_table(results: Results) -> list[str]:
    """What the notebook and the book print, beside what came out here."""
    # As strings, so that .93 is not shown as if it were .9300.
    table = pd.read_csv(PRINTED, index_col="architecture", dtype=str)
    printed = table.reindex(results.names).fillna("–").to_dict("index")
    remarks = [f"{name}: {p['note']}." for name, p in printed.items() if p["note"] != "–"]
    return [
        "| train/val | here | notebook | book, 1st ed. | book, 2nd ed. |",
        "|---|---:|---:|---:|---:|",
        *(
            f"| {name} | {decimal(row['train_accuracy'])}/{decimal(row['val_accuracy'])} "
            f"| {train_val(printed[name], 'notebook')} "
            f"| {train_val(printed[name], 'first_edition')} "
            f"| {train_val(printed[name], 'second_edition')} |"
            for name, row in results.metrics.items()
        ),
        "",
        "The notebook and the book print one run each. " + " ".join(remarks),
    ]


def pairs_table(results: Results, pairs: list[Difference]) -> str:
    """Every pair in words, best nets first, as Markdown."""
    if not pairs:
        return f"{ONE_SEED if results.n_seeds < 2 else 'There is nothing to compare.'}\n"
    names = results.by_accuracy
    groups = letters(names, pairs)
    real = sum(pair.is_significant for pair in pairs)
    lines = [
        "# All pairs",
        "",
        f"{real} of {len(pairs)} differences are more than noise: p < .05 after Holm's "
        "correction for all of them. Nets that share a letter cannot be told apart. "
        "The last interval is that of one difference alone, in points, not corrected. "
        + ("" if results.n_seeds >= ENOUGH_SEEDS else FEW_SEEDS),
        "",
        "| architecture | val | letters |",
        "|---|---:|---|",
        *(
            f"| {name} | {decimal(results.metrics[name]['val_accuracy'])} "
            f"| {groups[name]} |"
            for name in names
        ),
        "",
        "| architecture | against | is | p, Holm | 95% interval alone |",
        "|---|---|---|---:|---|",
        *(
            f"| {p.first} | {p.second} | {p} | {p_value(p.p)} "
            f"| {in_points(p.points.low)} to {in_points(p.points.high)} |"
            for p in pairs
        ),
        "",
    ]
    return "\n".join(lines)


def interval(row: dict[str, float]) -> str:
    if "val_accuracy_ci_low" not in row:
        return "–"
    return (
        f"{decimal(row['val_accuracy_ci_low'])} to {decimal(row['val_accuracy_ci_high'])}"
    )


def n_scored_epochs(results: Results) -> int:
    """After how many epochs, the last ones, the validation images were scored."""
    return max(
        int(curve.groupby("seed")["val_accuracy"].count().max())
        for curve in results.curves.values()
    )


def last_epochs(curve: pd.DataFrame) -> str:
    """The mean val accuracy of the scored epochs, which are the last of each seed."""
    return decimal(curve["val_accuracy"].mean())


def train_val(row: dict[Any, str], source: str) -> str:
    train, val = row[f"{source}_train"], row[f"{source}_val"]
    return "–" if train == val == "–" else f"{train}/{val}"


def p_value(p: float) -> str:
    return "< .001" if p < 0.001 else f"{p:.3f}".removeprefix("0")


if __name__ == "__main__":
    stage.run(main)
