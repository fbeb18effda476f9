"""Hold the rows against what the notebook printed, and against the mended runs."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.stats import t as student

from benchmark import errors, params, stage
from benchmark.results import METRICS, decimal
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

WHY = {
    "gpu_loop": "The loop over batches stands behind the one over epochs, not in it: one "
    "epoch is trained, whatever `n_epochs` says. (`datetime`, which it prints, is not "
    "imported either.) Mended: the one loop of `benchmark/training.py`.",
    "width": "The optimizer was made for `model`, the training is that of `model1`: no "
    "weight of it ever moves, and what is scored is its initialization. Mended: one "
    "function makes a model and its optimizer together.",
    "l2_reg": "`loss + l2_lambda + l2_norm`, where `l2_lambda * l2_norm` was meant: Σp² "
    "weighs a thousand times as much, every weight goes to 0, every image gets the same "
    "answer, and the loss stands at ln 2 + λ. Mended: the penalty is multiplied.",
    "dropout": "Scored with dropout on, so two in five channels are missing in every "
    "answer; the train accuracy suffers most. Mended: scoring is in eval mode.",
    "batch_norm": "Scored with the statistics of each batch of 64, which are its own "
    "images', and the running statistics move meanwhile. Mended: scoring is in eval mode, "
    "and changes nothing in the model.",
    "depth": "Only the order is fixed: the loader that was made for scoring, without "
    "`shuffle`, trains every net after the baseline. Mended: a new order each epoch.",
    "res": "As depth: only the order is fixed.",
    "res_deep": "`n_blocks * [ResBlock()]` repeats one block, so all of them share one set "
    "of weights; the depth adds no parameter. Batch norm's running statistics are those of "
    "all blocks in turn and fit none, which scoring in train mode hides. Mended: each "
    "block has weights of its own.",
}


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


def main() -> None:
    stage.write(REPORT, report(read()).encode())


def read() -> list[Repeated]:
    printed = pd.read_csv(PRINTED, index_col="row").to_dict("index")
    found = []
    for name, row in rows.load(params.load()).rows.items():
        result = of_json(RESULTS / f"{name}.json")
        mended = name if (METRICS / f"{name}.json").is_file() else row.architecture
        metrics = of_json(METRICS / f"{mended}.json")
        found.append(
            Repeated(
                name,
                row,
                pd.DataFrame(result["seeds"]),
                {str(key): value for key, value in printed.get(name, {}).items()},
                metrics["val_accuracy"],
            )
        )
    return found


def of_json(path: Path) -> dict[str, Any]:
    try:
        return dict(json.loads(path.read_text("utf-8")))
    except (TypeError, ValueError) as error:
        raise errors.UserError(f"{path}: {error}; take it from git") from None


def report(found: list[Repeated]) -> str:
    """The page, as Markdown."""
    printed = [each for each in found if each.printed]
    same = sum(each.is_reproduced for each in printed)
    n_seeds = len(found[0].seeds)
    lines = [
        "# The notebook as it was printed",
        "",
        "The notebook's table has seven rows, and two of them are chance. Here its "
        "defects are repeated, with the benchmark's own loop, by what is passed to it "
        "(`notebook/defects.py`): `make notebook` trains each row with "
        f"{n_seeds} seeds. {same} of {len(printed)} val accuracies come out again: within "
        f"{CLOSE * 100:g} points of the mean, or inside the interval in which one more run "
        "falls with 95%.",
        "",
        "| row | val, printed | val, repeated | one more run, 95% | loss, printed "
        "| loss, repeated | same? | val, mended |",
        "|---|---:|---:|---|---:|---:|---|---:|",
        *(table_row(each) for each in found),
        "",
        *shortened(found),
        "*repeated* is the mean of the seeds with the defects, *mended* that of the "
        "benchmark's seeds without them. The notebook prints the loss with its penalty, "
        "so that is repeated too. Where the interval holds chance and the mended value, "
        "nothing that could have been printed would be outside, and only the mean counts.",
        "",
        "## Why",
        "",
        *(f"- **{each.name}**: {WHY.get(each.name, '')}{facts(each)}" for each in found),
        "",
        "## What train mode hides",
        "",
        "The same models, scored once in eval mode and once as the notebook does, which "
        "never calls `model.eval()`:",
        "",
        "| row | val, train mode | val, eval mode |",
        "|---|---:|---:|",
        *(
            f"| {each.name} | {decimal(each.mean)} "
            f"| {decimal(each.seeds['val_accuracy_in_eval_mode'].mean())} |"
            for each in found
        ),
        "",
        "## The Sequential without Flatten",
        "",
        "The first net of the notebook has nothing between its last pooling and its first "
        "fully connected layer, and stops at the first image:",
        "",
        f"    RuntimeError: {message_without_flatten()}",
        "",
        "`architectures/l2_reg.py` is that net with `nn.Flatten`.",
        "",
        "## What only its text or its chart shows",
        "",
        "- The table is made anew before the second run of width, so the baseline is "
        "missing from it and from the chart. Here a result is a file of its own.",
        "- The chart begins at .7, so the two bars of .5 do not show. Here it begins at 0.",
        "- The line that prints the loss stands outside the loop, so only the last epoch's "
        "is seen. Here every epoch's is in `results/<architecture>/loss_curve.csv`.",
        "",
    ]
    return "\n".join(lines)


def table_row(each: Repeated) -> str:
    low, high = each.interval
    is_printed = bool(each.printed)
    cells = [
        each.name,
        decimal(each.printed["val"]) if is_printed else "–",
        decimal(each.mean),
        f"{decimal(low)} to {decimal(high)}",
        decimal(each.printed["loss"]) if is_printed else "–",
        decimal(each.seeds["loss"].mean()),
        verdict(each),
        decimal(each.mended),
    ]
    return f"| {' | '.join(cells)} |"


def verdict(each: Repeated) -> str:
    if not each.printed:
        return "not run there"
    if each.is_reproduced:
        said = "yes"
    else:
        said = "**no**" if each.is_telling else "cannot be told"
    return said if each.is_whole else f"{said}, after {each.row.epochs} epochs"


def shortened(found: list[Repeated]) -> list[str]:
    """Which rows have fewer epochs than the notebook's 100."""
    few = [
        f"{each.name} has {each.row.epochs} epochs in place of {EPOCHS}"
        for each in found
        if not each.is_whole
    ]
    if not few:
        return []
    return [
        f"**{'; '.join(few)}**: what was printed is held against an earlier point of the "
        "same training.",
        "",
    ]


def facts(each: Repeated) -> str:
    """What of the explanation was seen in the trained models."""
    seeds, n = each.seeds, len(each.seeds)
    seen = []
    if not seeds["weights_moved"].any():
        seen.append(f"after {each.row.epochs} epochs the weights of {n} of {n} seeds are "
                    "those of their initialization, to the byte")  # fmt: skip
    if (seeds["epochs_trained"] < each.row.epochs).all():
        seen.append(f"asked for {each.row.epochs} epochs, it trained "
                    f"{seeds['epochs_trained'].iloc[0]}")  # fmt: skip
    if "shared_block" in each.row.defects:
        seen.append(f"with {each.row.blocks} blocks it has "
                    f"{seeds['parameters'].iloc[0]:,} parameters, as with one")  # fmt: skip
    return f" Seen: {'; '.join(seen)}." if seen else ""


def message_without_flatten() -> str:
    from architectures.l2_reg import Net

    net: Any = Net(n_classes=2)
    return defects.without_flatten(net.layers, torch.zeros(1, 3, 32, 32))


if __name__ == "__main__":
    stage.run(main)
