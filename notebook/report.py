"""Compare the reproduced rows with the published numbers: docs/notebook.md."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import t as student

from benchmark import params
from benchmark.reporting.render import render
from benchmark.reporting.results import METRICS, read_json
from benchmark.reporting.tables import is_of_the_book
from benchmark.running import stage
from notebook import defects, rows
from notebook.rows import Row

REPORT = Path("docs/notebook.md")
RESULTS = Path("notebook/results")
PUBLISHED = Path(__file__).with_name("published.csv")
# One run of this row with all of the notebook's epochs. It takes hours, so it is made by
# `make depth`, not by `make notebook`.
LONG_ROW, LONG_RUN = "res_deep", Path("docs/depth/as_printed_seed_0.json")
# A published accuracy this close to the mean counts as reproduced.
CLOSE = 0.025
# The number of epochs in the notebook.
EPOCHS = 100


@dataclass(frozen=True)
class Reproduction:
    """A row of the notebook's table, and our results for it.

    published: val and loss, or empty. fixed: the benchmark's accuracy, without the defects,
    if params.yaml has such a row. chance: the accuracy of guessing. long: what one run with
    all of the notebook's epochs scored, if `seeds` have fewer.
    """

    name: str
    row: Row
    seeds: pd.DataFrame
    published: Mapping[str, float]
    fixed: float | None
    chance: float = 0.5
    long: Mapping[str, float] | None = None

    @property
    def mean(self) -> float:
        return float(self.seeds["val_accuracy"].mean())

    @property
    def interval(self) -> tuple[float, float]:
        """The 95% prediction interval for one more seed: mean ± t·s·√(1 + 1/n).

        The images are the same, so only the seeds are random.
        """
        values = self.seeds["val_accuracy"]
        n = len(values)
        half = student.ppf(0.975, n - 1) * values.std() * np.sqrt(1 + 1 / n)
        return max(0.0, self.mean - half), min(1.0, self.mean + half)

    @property
    def is_complete(self) -> bool:
        """Whether it has the notebook's number of epochs. If not, the page says so."""
        return self.row.epochs >= EPOCHS

    @property
    def is_close(self) -> bool:
        ours = self.long["val_accuracy"] if self.long else self.mean
        return abs(self.published["val"] - ours) <= CLOSE

    @property
    def is_telling(self) -> bool:
        """False if the interval contains both chance and the fixed value.

        Then no published value could contradict us.
        """
        low, high = self.interval
        return not (low <= self.chance and (self.fixed or 0.0) <= high)

    @property
    def is_reproduced(self) -> bool:
        if self.long:  # a single run has no interval
            return self.is_close
        low, high = self.interval
        is_inside = low <= self.published["val"] <= high
        return self.is_close or (self.is_telling and is_inside)

    @property
    def verdict(self) -> str:
        if not self.published:
            return "not published"
        answer = "yes"
        if not self.is_reproduced:
            answer = "**no**" if self.is_telling else "cannot tell"
        if self.long:
            return f"{answer}, in one run of {EPOCHS} epochs"
        return answer if self.is_complete else f"{answer}, after {self.row.epochs} epochs"

    @property
    def evidence(self) -> list[str]:
        """Facts about the trained models that confirm the explanation."""
        seeds, epochs = self.seeds, self.row.epochs
        facts = {
            f"after {epochs} epochs, the weights of all {len(seeds)} seeds still equal "
            "their initial weights, byte for byte": not seeds["weights_moved"].any(),
            f"it trained for only {seeds['epochs_trained'].iloc[0]} of {epochs} epochs": (
                seeds["epochs_trained"] < epochs
            ).all(),
            f"with {self.row.blocks} blocks, it has {seeds['parameters'].iloc[0]:,} "
            "parameters, as many as with one block": "shared_block" in self.row.defects,
        }
        return [fact for fact, is_true in facts.items() if is_true]


def main() -> None:
    stage.write(REPORT, report(read()))


def read() -> list[Reproduction]:
    loaded = params.load()
    published = pd.read_csv(PUBLISHED, index_col="row").to_dict("index")
    if not is_of_the_book(loaded.data):
        published = {}
    reproductions = []
    for name, row in rows.load().rows.items():
        result = read_json(RESULTS / f"{name}.json", "restore it with git")
        fixed = next((n for n in (name, row.architecture) if n in loaded.rows), None)
        values = {str(key): value for key, value in published.get(name, {}).items()}
        seeds = pd.DataFrame(result["seeds"])
        reproductions.append(
            Reproduction(
                name,
                row,
                seeds,
                values,
                accuracy_of(fixed) if fixed else None,
                1 / len(loaded.data.classes),
                long_run(row, loaded) if name == LONG_ROW and values else None,
            )
        )
    return reproductions


def long_run(row: Row, loaded: params.Params) -> Mapping[str, float] | None:
    """Return the last loss and accuracies of LONG_RUN.

    None if the row has all epochs itself, or if LONG_RUN is not finished or had other
    settings than the row.
    """
    if row.epochs >= EPOCHS:
        return None
    found = read_json(LONG_RUN, "restore it with git")
    return found.get("final") if found.get("row") == long_settings(row, loaded) else None


def long_settings(row: Row, loaded: params.Params) -> dict[str, Any]:
    """Return the settings with which LONG_RUN trains this row."""
    sizes = {"n_chans": loaded.model.n_chans, "epochs": EPOCHS}
    return row.model_dump(mode="json") | sizes


def accuracy_of(row: str) -> float:
    metrics = read_json(METRICS / f"{row}.json", f"make it with `dvc repro validate@{row}`")
    return float(metrics["val_accuracy"])


def report(reproductions: list[Reproduction]) -> str:
    """Render the page as Markdown."""
    return render(
        Path(__file__).with_name("report.md.jinja"),
        rows=reproductions,
        published=[row for row in reproductions if row.published],
        shorter=[row for row in reproductions if not row.is_complete],
        close=CLOSE,
        epochs=EPOCHS,
        message_without_flatten=message_without_flatten(),
    )


def message_without_flatten() -> str:
    from architectures.sequential import Net

    net: Any = Net(n_classes=2)
    return defects.without_flatten(net.layers, torch.zeros(1, 3, 32, 32))


if __name__ == "__main__":
    stage.run(main)
