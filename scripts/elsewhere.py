"""How far results move where the bytes are not promised: docs/elsewhere.md.

The same seeds are trained as params.yaml has it and in other ways: with another number of
threads, with the vector instructions of an older processor, on a GPU where there is one.
Every training is a process of its own, for some of this is chosen at its start.
"""

import argparse
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from joblib.externals.loky import ProcessPoolExecutor
from torch.backends.cpu import get_cpu_capability
from tqdm import tqdm

from benchmark import dataset, errors, params, recipe
from benchmark.cell import Cell, train_cell
from benchmark.environment import describe
from benchmark.files import write_whole
from benchmark.scoring import accuracy, predict
from stages.train import cells

REPORT = Path("docs/elsewhere.md")
# Of those in params.yaml, unless told otherwise.
SEEDS = 3


@dataclass(frozen=True)
class Way:
    """What is other than usual: fields of the cell, variables of its process."""

    cell: Mapping[str, Any] = field(default_factory=dict)
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
    "2 threads": Way(cell={"threads": 2}),
    **OLDER.get(get_cpu_capability(), {}),
}
GPU = {"GPU": Way(cell={"device": "cuda"})}


@dataclass(frozen=True)
class Outcome:
    """weights: all in one vector. predicted: a class an image."""

    weights: torch.Tensor
    predicted: torch.Tensor
    accuracy: float


def main() -> None:
    loaded = params.load()
    parser = argparse.ArgumentParser(
        prog="python -m scripts.elsewhere", description=__doc__
    )
    parser.add_argument("--architectures", nargs="+", default=["baseline"],
                        choices=list(loaded.architectures), metavar="NAME")  # fmt: skip
    parser.add_argument("--seeds", type=int, default=min(SEEDS, loaded.train.seeds),
                        choices=range(1, loaded.train.seeds + 1), metavar="N")  # fmt: skip
    arguments = parser.parse_args()
    ways = WAYS | (GPU if torch.cuda.is_available() else {})
    found = [
        cell
        for name in arguments.architectures
        for cell in cells(loaded, name)
        if cell.seed < arguments.seeds
    ]
    rows = []
    for cell in tqdm(found, unit="seed"):
        outcomes = {
            (way, epochs): train_by(ways[way], replace(cell, epochs=epochs))
            for way in ways
            for epochs in sorted({1, cell.epochs})
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
    cell = replace(cell, checkpoint=None, **way.cell)
    with ProcessPoolExecutor(max_workers=1, env=dict(way.environment)) as process:
        trained = process.submit(train_cell, cell).result()
    model = recipe.build_model(cell.architecture, cell.n_classes, cell.settings)
    model.load_state_dict(torch.load(io.BytesIO(trained["model"]), weights_only=True))
    predicted = predict(model, dataset.normalize(cell.val_images, cell.mean, cell.std))
    weights = torch.cat([p.detach().flatten() for p in model.parameters()])
    return Outcome(weights, predicted, accuracy(predicted, cell.val_labels))


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
    environment = describe(torch.device("cpu"), threads=1)
    lines = [
        "# Where the bytes are not promised",
        "",
        f"The same seeds, trained in other ways than usual, on {environment['processor']}, "
        f"torch {environment['torch']}. Other ways round otherwise, and training makes "
        "roundings larger. Whoever compares accuracies to the last digit has to train both "
        "sides in the same way; whoever compares them by `make changes` does not, as long "
        "as they move by less than they do from seed to seed.",
        "",
        "| architecture | trained | epochs | largest difference of a weight "
        "| other predictions | val accuracy moves by | its deviation over seeds |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    keys = ["architecture", "epochs", "way"]
    deviations = (rows.groupby(keys)["accuracy"].std() * 100).to_dict()
    for (name, epochs, way), group in rows.groupby(keys, sort=False):
        if way == USUAL:
            continue
        deviation = deviations[name, epochs, USUAL]
        lines.append(
            f"| {name} | {way} | {epochs} | {group['weight'].max():.1g} "
            f"| {group['image'].mean():.1%} | {group['points'].mean():.1f} points "
            f"| {'–' if math.isnan(deviation) else f'{deviation:.1f} points'} |"
        )
    seeds = int(rows.groupby(keys).size().max())
    lines += [
        "",
        f"The largest weight of {seeds} seed{'s' * (seeds > 1)}, and means over them. "
        "`make elsewhere` makes this page anew"
        + ("." if gpu else "; where there is a GPU, it has rows too."),
    ]
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    errors.run(main)
