"""Compare the architectures, and say which differ by more than noise: plots/."""

from pathlib import Path
from typing import Any

import pandas as pd

from benchmark import params
from benchmark.reporting import charts, tables
from benchmark.reporting.comparison import against_baseline, all_pairs
from benchmark.reporting.figures import png
from benchmark.reporting.render import TEMPLATES, render
from benchmark.reporting.results import Results, read
from benchmark.running import stage
from benchmark.stats.significance import Difference, letters

PLOTS = Path("plots")
# What the notebook and both editions of the book print.
PRINTED = Path(tables.__file__).with_name("printed.csv")
# docs/significance.md: with fewer, a table of this size has more false alarms than 5%.
ENOUGH_SEEDS = 5
FEW_SEEDS = f"**With fewer than {ENOUGH_SEEDS} seeds, false alarms can be more than 5%.** "
ONE_SEED = "With one seed no difference can be told from noise."


def main() -> None:
    # Only what params.yaml names counts, whatever else lies in the folders.
    loaded = params.load()
    results = read(list(loaded.architectures))
    against, pairs = against_baseline(results), all_pairs(results)
    stage.write(PLOTS / "results.md", results_table(results, against))
    stage.write(PLOTS / "pairs.md", pairs_table(results, pairs))
    for name, table in (
        ("loss_curves", tables.loss_curves(results)),
        ("confusion", tables.confusion(results, loaded.data.classes)),
    ):
        stage.write(PLOTS / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    for name, figure in (
        ("accuracy_comparison", charts.accuracy_comparison(results)),
        ("loss_curves", charts.loss_curves(results)),
        ("ranking", charts.ranking(results, against, pairs)),
    ):
        stage.write(PLOTS / f"{name}.png", png(figure))


def results_table(results: Results, against: dict[str, Difference]) -> str:
    """Accuracies, intervals and differences, and what was printed, as Markdown."""
    curves = results.curves.values()
    return render(
        TEMPLATES / "results.md.jinja",
        results=results,
        against=dict.fromkeys(results.names) | against,
        epochs=sorted({int(curve["epoch"].max()) for curve in curves}),
        # After each of these last epochs the validation images were scored.
        n_scored=max(
            int(curve.groupby("seed")["val_accuracy"].count().max()) for curve in curves
        ),
        printed=printed(results.names),
        **warnings(results),
    )


def pairs_table(results: Results, pairs: list[Difference]) -> str:
    """Every pair in words, best nets first, as Markdown."""
    return render(
        TEMPLATES / "pairs.md.jinja",
        results=results,
        pairs=pairs,
        letters=letters(results.by_accuracy, pairs) if pairs else {},
        **warnings(results),
    )


def warnings(results: Results) -> dict[str, str]:
    few = FEW_SEEDS if results.n_seeds < ENOUGH_SEEDS else ""
    return {"one_seed": ONE_SEED, "few_seeds": few}


def printed(names: list[str]) -> dict[Any, dict[Any, str]]:
    """What the notebook and the book print: train/val, and a note, or nothing."""
    # As strings, so that .93 is not shown as if it were .9300.
    table = pd.read_csv(PRINTED, index_col="architecture", dtype=str).reindex(names)
    for source in ("notebook", "first_edition", "second_edition"):
        both = [table[f"{source}_{split}"].fillna("–") for split in ("train", "val")]
        table[source] = (both[0] + "/" + both[1]).replace("–/–", "–")
    return table.fillna({"note": ""}).to_dict("index")


if __name__ == "__main__":
    stage.run(main)
