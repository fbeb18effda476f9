"""How much do results differ on other hardware? docs/portability.md.

Trains the same seeds with the settings of params.yaml and with several variants: another
number of threads, the vector instructions of an older processor, and a GPU if there is one.
Each training run is a new process, because some variants can only be chosen when a process
starts.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from joblib.externals.loky import ProcessPoolExecutor
from torch.backends.cpu import get_cpu_capability
from tqdm import tqdm

from benchmark import params
from benchmark.reporting.render import render
from benchmark.running import cli, errors
from benchmark.running.files import write_atomic
from benchmark.training import plan, recipe, state_dict
from benchmark.training.cell import complete, train_cell, with_training
from benchmark.training.environment import describe
from benchmark.training.plan import Cell
from benchmark.training.scoring import accuracy

REPORT = Path("docs/portability.md")


@dataclass(frozen=True)
class Variant:
    """Changes to the training params, and to the environment variables of the process."""

    training: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


USUAL = "as in params.yaml"
# For each instruction set, the variant that imitates the previous generation.
OLDER = {
    "AVX512": {
        "without AVX-512": Variant(
            environment={"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
        )
    },
    "AVX2": {
        "without AVX2": Variant(
            environment={"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "AVX"}
        )
    },
}
VARIANTS = {
    USUAL: Variant(),
    "the same again": Variant(),
    "2 threads": Variant(training={"threads": 2}),
    **OLDER.get(get_cpu_capability(), {}),
}
GPU = {"GPU": Variant(training={"device": "cuda"})}


@dataclass(frozen=True)
class Outcome:
    """weights: all of them in one vector. predicted: a class per image."""

    weights: torch.Tensor
    predicted: torch.Tensor
    accuracy: float


def main(rows: list[str], seeds: int) -> None:
    loaded = params.load()
    planned = [plan.cells(loaded, name) for name in rows]
    most = min(map(len, planned))
    if not 1 <= seeds <= most:
        raise errors.UserError(f"--seeds: {seeds} is not allowed; use 1 to {most}")
    variants = VARIANTS | (GPU if torch.cuda.is_available() else {})
    compared = []
    for cell in tqdm([cell for row in planned for cell in row[:seeds]], unit="seed"):
        full = cell.row.training.epochs
        outcomes = {
            (name, epochs): train_as(variants[name], with_training(cell, epochs=epochs))
            for name in variants
            for epochs in sorted({1, full})
        }
        compared += [
            compare(cell, name, epochs, outcomes[USUAL, epochs], outcomes[name, epochs])
            for name, epochs in outcomes
        ]
    text = report(pd.DataFrame(compared), torch.cuda.is_available())
    print(text)
    write_atomic(REPORT, text.encode())


def train_as(variant: Variant, cell: Cell) -> Outcome:
    """Train the cell with the variant."""
    cell = with_training(replace(cell, stem=None), **variant.training)
    with ProcessPoolExecutor(max_workers=1, env=dict(variant.environment)) as pool:
        trained = pool.submit(train_cell, cell).result()
    architecture, data = complete(cell)
    model = recipe.build_model(architecture, len(data.class_names), cell.row.settings)
    state_dict.load(model, trained["model"], Path(f"{cell}"))
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    predicted, labels = (
        torch.tensor(trained["scores"][key]) for key in ("predictions", "labels")
    )
    return Outcome(weights, predicted, accuracy(predicted, labels))


def compare(
    cell: Cell, variant: str, epochs: int, usual: Outcome, other: Outcome
) -> dict[str, Any]:
    return {
        "architecture": cell.row.name,
        "variant": variant,
        "epochs": epochs,
        "accuracy": other.accuracy,
        "weight": (usual.weights - other.weights).abs().max().item(),
        "image": (usual.predicted != other.predicted).float().mean().item(),
        "points": 100 * abs(usual.accuracy - other.accuracy),
    }


def report(rows: pd.DataFrame, gpu: bool) -> str:
    """Render the differences as Markdown: maximum over seeds for weights, else means."""
    keys = ["architecture", "epochs", "variant"]
    groups = rows.groupby(keys, sort=False)
    table = groups.agg({"weight": "max", "image": "mean", "points": "mean"})
    deviations = (groups["accuracy"].std() * 100).to_dict()
    records = table.reset_index().to_dict("records")
    return render(
        Path(__file__).with_suffix(".md.jinja"),
        environment=describe(torch.device("cpu"), threads=1),
        rows=[
            row | {"deviation": deviations[row["architecture"], row["epochs"], USUAL]}
            for row in records
            if row["variant"] != USUAL
        ],
        seeds=int(groups.size().max()),
        gpu=gpu,
    )


if __name__ == "__main__":
    cli.run(
        main,
        cli.argument("--rows", nargs="+", default=["baseline"], metavar="NAME"),
        cli.argument("--seeds", type=int, default=3, help="how many seeds (3)"),
    )
