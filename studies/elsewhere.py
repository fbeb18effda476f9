"""How far results move where the bytes are not promised: docs/elsewhere.md.

The same seeds are trained as params.yaml has it and in other ways: with another number of
threads, with the vector instructions of an older processor, on a GPU where there is one.
Every training is a process of its own, for some of this is chosen at its start.
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
from benchmark.running.files import write_whole
from benchmark.training import recipe, state_dict
from benchmark.training.cell import Cell, cells, train_cell
from benchmark.training.environment import describe
from benchmark.training.scoring import accuracy, predict

REPORT = Path("docs/elsewhere.md")


@dataclass(frozen=True)
class Way:
    """What is other than usual: how it trains, variables of its process."""

    training: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)


USUAL = "as in params.yaml"
# By what this processor has: as on one of the generation before.
OLDER = {
    "AVX512": {
        "without AVX-512": Way(
            environment={"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
        )
    },
    "AVX2": {
        "without AVX2": Way(
            environment={"ATEN_CPU_CAPABILITY": "default", "ONEDNN_MAX_CPU_ISA": "AVX"}
        )
    },
}
WAYS = {
    USUAL: Way(),
    "the same once more": Way(),
    "2 threads": Way(training={"threads": 2}),
    **OLDER.get(get_cpu_capability(), {}),
}
GPU = {"GPU": Way(training={"device": "cuda"})}


@dataclass(frozen=True)
class Outcome:
    """weights: all in one vector. predicted: a class an image."""

    weights: torch.Tensor
    predicted: torch.Tensor
    accuracy: float


def main(architectures: list[str], seeds: int) -> None:
    loaded = params.load()
    for name in architectures:
        params.check_name(name, loaded)
    if not 1 <= seeds <= loaded.train.seeds:
        raise errors.UserError(f"--seeds: {seeds} of 1 to {loaded.train.seeds}")
    ways = WAYS | (GPU if torch.cuda.is_available() else {})
    found = [cell for name in architectures for cell in cells(loaded, name)[:seeds]]
    rows = []
    for cell in tqdm(found, unit="seed"):
        whole = cell.training.epochs
        outcomes = {
            (way, epochs): train_by(ways[way], cell.with_training(epochs=epochs))
            for way in ways
            for epochs in sorted({1, whole})
        }
        rows += [
            compare(cell, way, epochs, outcomes[USUAL, epochs], outcomes[way, epochs])
            for way, epochs in outcomes
        ]
    text = report(pd.DataFrame(rows), torch.cuda.is_available())
    print(text)
    write_whole(REPORT, text.encode())


def train_by(way: Way, cell: Cell) -> Outcome:
    """Train the cell that way, and score it as usual."""
    data = cell.data
    cell = replace(cell, checkpoint=None).with_training(**way.training)
    with ProcessPoolExecutor(max_workers=1, env=dict(way.environment)) as process:
        trained = process.submit(train_cell, cell).result()
    model = recipe.build_model(cell.architecture, len(data.class_names), cell.settings)
    state_dict.load(model, trained["model"], Path(f"{cell}"))
    predicted = predict(model, data.normalized(data.val_images))
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    return Outcome(weights, predicted, accuracy(predicted, data.val_labels))


def compare(
    cell: Cell, way: str, epochs: int, usual: Outcome, other: Outcome
) -> dict[str, Any]:
    return {
        "architecture": cell.architecture.name,
        "way": way,
        "epochs": epochs,
        "accuracy": other.accuracy,
        "weight": (usual.weights - other.weights).abs().max().item(),
        "image": (usual.predicted != other.predicted).float().mean().item(),
        "points": 100 * abs(usual.accuracy - other.accuracy),
    }


def report(rows: pd.DataFrame, gpu: bool) -> str:
    """The differences as Markdown: the largest weight's, the rest as means over seeds."""
    keys = ["architecture", "epochs", "way"]
    groups = rows.groupby(keys, sort=False)
    table = groups.agg({"weight": "max", "image": "mean", "points": "mean"})
    deviations = (groups["accuracy"].std() * 100).to_dict()
    found = table.reset_index().to_dict("records")
    return render(
        Path(__file__).with_suffix(".md.jinja"),
        environment=describe(torch.device("cpu"), threads=1),
        rows=[
            row | {"deviation": deviations[row["architecture"], row["epochs"], USUAL]}
            for row in found
            if row["way"] != USUAL
        ],
        seeds=int(groups.size().max()),
        gpu=gpu,
    )


if __name__ == "__main__":
    cli.run(
        main,
        cli.argument("--architectures", nargs="+", default=["baseline"], metavar="NAME"),
        cli.argument("--seeds", type=int, default=3, help="of those in params.yaml (3)"),
    )
