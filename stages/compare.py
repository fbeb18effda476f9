"""Compare the nets, and say which of them really differ: plots/."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd

from benchmark import params
from benchmark.reporting import charts, tables
from benchmark.reporting.comparison import Comparison, compare, split_tables, warning
from benchmark.reporting.figures import png
from benchmark.reporting.render import TEMPLATES, render
from benchmark.reporting.results import Results, read_families
from benchmark.running import stage
from benchmark.stats.planning import could_be_found, in_full, needed
from benchmark.stats.verdicts import WORDS

PLOTS = Path("plots")
# Accuracies published in the notebook and in both editions of the book.
PUBLISHED = Path(tables.__file__).with_name("published.csv")


def main() -> None:
    # Ignore results of rows that params.yaml no longer contains.
    loaded = params.load()
    families = read_families(loaded)
    comparisons = [compare(results) for results in families]
    is_published = tables.is_of_the_book(loaded.data)
    stage.write(PLOTS / "results.md", results_table(comparisons, is_published))
    stage.write(PLOTS / "pairs.md", pairs_table(comparisons))
    for name, table in (
        ("loss_curves", tables.loss_curves(families)),
        ("confusion", tables.confusion(families, loaded.data.classes)),
    ):
        stage.write(PLOTS / f"{name}.csv", table.to_csv(index=False, lineterminator="\n"))
    # Other nets have tables of their own, and are not in the pictures.
    beside, _ = split_tables(comparisons)
    n_classes = len(loaded.data.classes)
    stage.write(PLOTS / "ranking.png", png(charts.ranking(beside), dpi=200))
    for name, figure in (
        (
            "accuracy_comparison",
            charts.accuracy_comparison(families[0], n_classes),
        ),
        ("loss_curves", charts.loss_curves([each.results for each in beside])),
    ):
        stage.write(PLOTS / f"{name}.png", png(figure))


def results_table(comparisons: list[Comparison], is_published: bool = True) -> str:
    """Render accuracies and verdicts as Markdown, beside published numbers, if any."""
    families = [comparison.results for comparison in comparisons]
    beside, others = split_tables(comparisons)
    first = [each.results for each in beside]
    names = dict.fromkeys(name for results in first for name in results.names)
    return render(
        TEMPLATES / "results.md.jinja",
        families=families,
        # The first family that has the net describes it: the chapter's.
        ideas={name: tables.idea_of(first_row(first, name)) for name in names},
        comparisons=comparisons,
        beside=beside,
        others=others,
        in_full=in_full,
        # How many of the last epochs were scored on the test images.
        n_scored=[
            max(
                int(curve.groupby("seed")["val_accuracy"].count().max())
                for curve in results.curves.values()
            )
            for results in families
        ],
        published=published(families[0].names) if is_published else {},
        warning=warning,
    )


def first_row(families: list[Results], name: str) -> params.Row:
    return next(results.rows[name] for results in families if name in results.rows)


def pairs_table(comparisons: list[Comparison]) -> str:
    """Render every pair, best nets first, as Markdown."""
    return render(
        TEMPLATES / "pairs.md.jinja",
        comparisons=comparisons,
        warnings=[warning(comparison.results) for comparison in comparisons],
        could_be_found=could_be_found,
        words=WORDS,
        needed=needed,
    )


def published(names: list[str]) -> dict[Any, dict[Any, str]]:
    """Return the published accuracies, "train / test" by source, and a note or ""."""
    # As strings, so that .93 becomes 93% and not 93.00%.
    table = pd.read_csv(PUBLISHED, index_col="architecture", dtype=str).reindex(names)
    for source in ("notebook", "first_edition", "second_edition"):
        train, test = (
            table[f"{source}_{split}"].map(percent) for split in ("train", "val")
        )
        table[source] = (train + " / " + test).replace("– / –", "–")
    return table.fillna({"note": ""}).to_dict("index")


def percent(share: Any) -> str:
    """Format a published share with the digits it has: ".8995" as 89.95%."""
    return "–" if pd.isna(share) else f"{(Decimal(share) * 100).normalize():f}%"


if __name__ == "__main__":
    stage.run(main)
