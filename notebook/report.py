"""Hold the rows against what the notebook printed, and against the mended runs."""

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
from benchmark.running import stage
from notebook import defects, rows
from notebook.rows import Row

REPORT = Path("docs/notebook.md")
RESULTS = Path("notebook/results")
PRINTED = Path(__file__).with_name("printed.csv")
# A printed value this close to the mean counts as the same, as does one in the interval.
CLOSE = 0.025
# The accuracy of guessing.
CHANCE = 0.5
# What the notebook trains each net for.
EPOCHS = 100


@dataclass(frozen=True)
class Repeated:
    """One row: printed and loss as printed; mended: val accuracy of the benchmark."""

    name: str
    row: Row
    seeds: pd.DataFrame
    printed: Mapping[str, float]
    mended: float

    @property
    def mean(self) -> float:
        return float(self.seeds["val_accuracy"].mean())

    @property
    def interval(self) -> tuple[float, float]:
        """Where one more run would be, with 95%: mean ± t·s·√(1 + 1/n).

        On the same images, so only seeds count.
        """
        values = self.seeds["val_accuracy"]
        n = len(values)
        half = student.ppf(0.975, n - 1) * values.std() * np.sqrt(1 + 1 / n)
        return max(0.0, self.mean - half), min(1.0, self.mean + half)

    @property
    def is_whole(self) -> bool:
        """Whether it has the notebook's number of epochs; else the page says so."""
        return self.row.epochs >= EPOCHS

    @property
    def is_close(self) -> bool:
        return abs(self.printed["val"] - self.mean) <= CLOSE

    @property
    def is_telling(self) -> bool:
        """Whether a printed value could be wrong: with both chance and the mended value
        in the interval, nothing that a run may give is outside.
        """
        low, high = self.interval
        return not (low <= CHANCE and self.mended <= high)

    @property
    def is_reproduced(self) -> bool:
        low, high = self.interval
        is_inside = low <= self.printed["val"] <= high
        return self.is_close or (self.is_telling and is_inside)

    @property
    def verdict(self) -> str:
        if not self.printed:
            return "not run there"
        said = "yes"
        if not self.is_reproduced:
            said = "**no**" if self.is_telling else "cannot be told"
        return said if self.is_whole else f"{said}, after {self.row.epochs} epochs"

    @property
    def seen(self) -> list[str]:
        """What of the explanation was seen in the trained models."""
        seeds, epochs = self.seeds, self.row.epochs
        facts = {
            f"after {epochs} epochs the weights of {len(seeds)} of {len(seeds)} seeds are "
            "those of their initialization, to the byte": not seeds["weights_moved"].any(),
            f"asked for {epochs} epochs, it trained {seeds['epochs_trained'].iloc[0]}": (
                seeds["epochs_trained"] < epochs
            ).all(),
            f"with {self.row.blocks} blocks it has {seeds['parameters'].iloc[0]:,} "
            "parameters, as with one": "shared_block" in self.row.defects,
        }
        return [fact for fact, is_seen in facts.items() if is_seen]


def main() -> None:
    stage.write(REPORT, report(read()))


def read() -> list[Repeated]:
    printed = pd.read_csv(PRINTED, index_col="row").to_dict("index")
    found = []
    for name, row in rows.load(params.load()).rows.items():
        result = read_json(RESULTS / f"{name}.json", "take it from git")
        mended = name if (METRICS / f"{name}.json").is_file() else row.architecture
        metrics = read_json(METRICS / f"{mended}.json", "take it from git")
        values = {str(key): value for key, value in printed.get(name, {}).items()}
        seeds = pd.DataFrame(result["seeds"])
        found.append(Repeated(name, row, seeds, values, metrics["val_accuracy"]))
    return found


def report(found: list[Repeated]) -> str:
    """The page, as Markdown."""
    return render(
        Path(__file__).with_name("report.md.jinja"),
        rows=found,
        printed=[each for each in found if each.printed],
        short=[each for each in found if not each.is_whole],
        close=CLOSE,
        epochs=EPOCHS,
        message_without_flatten=message_without_flatten(),
    )


def message_without_flatten() -> str:
    from architectures.l2_reg import Net

    net: Any = Net(n_classes=2)
    return defects.without_flatten(net.layers, torch.zeros(1, 3, 32, 32))


if __name__ == "__main__":
    stage.run(main)
