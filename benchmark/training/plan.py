"""What has to be trained: the cells of a row, and which of them are finished.

A cell is one row trained with one seed. It is the unit of work. This module does not import
torch, so that a stage whose cells are finished starts quickly.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import joblib

from benchmark.params import Data, Params, Row, row_of
from benchmark.running import finished, workers
from benchmark.running.files import md5
from benchmark.running.finished import CellResult
from benchmark.training.environment import identity

if TYPE_CHECKING:
    from benchmark.data.dataset import Dataset
    from benchmark.training.recipe import Architecture

CIFAR2 = Path("data/cifar2.pt")
# The code that determines every result, besides the net's own file.
CODE = (Path(__file__).parent, Path(__file__).parents[1] / "data/dataset.py")


@dataclass(frozen=True)
class Cell:
    """A row and a seed, with the preparation of the images.

    stem: the path of the checkpoint and of the finished cell, without suffix, or None to
    keep neither. architecture, data: for workers that do not see this repository, or for a
    net that is not as in its file; by default, both are loaded when they are needed.
    """

    row: Row
    seed: int
    mean: list[float]
    std: list[float]
    holdout: float = 0.0
    stem: Path | None = None
    architecture: "Architecture | None" = None
    data: "Dataset | None" = None

    def __str__(self) -> str:
        return f"{self.row.name} seed {self.seed}"


def cells(params: Params, name: str) -> list[Cell]:
    """Return the cells of a row of params.yaml, one for each seed."""
    return cells_of(row_of(params, name), params.data)


def cells_of(row: Row, data: Data) -> list[Cell]:
    """Return the cells of a row, one for each seed from 0 to its number of seeds - 1."""
    values = {
        "settings": row.settings,
        "training": row.training.model_dump(exclude={"seeds"}),
        "images": (data.mean, data.std, data.holdout),
    }
    code = fingerprint(values, [*CODE, row.file])
    machine = machine_of(row.training.device)
    stem = finished.folder() / f"{row.net}-{code}-seed-0-{machine}"
    first = Cell(row, 0, data.mean, data.std, data.holdout, stem)
    return [with_seed(first, seed) for seed in range(row.training.seeds)]


def with_seed(cell: Cell, seed: int) -> Cell:
    """Return the cell of another seed."""
    if cell.stem is None:
        return replace(cell, seed=seed)
    start, _, machine = cell.stem.name.rsplit("-", 2)
    return replace(cell, seed=seed, stem=cell.stem.with_name(f"{start}-{seed}-{machine}"))


def fingerprint(values: dict[str, Any], code: Iterable[Path]) -> str:
    """Return a hash of the values, the images and the code (files and folders)."""
    files = [
        f for path in code for f in ([path] if path.is_file() else path.glob("[!.]*.py"))
    ]
    contents = {f"{file.parent.name}/{file.name}": file.read_bytes() for file in files}
    images = _md5_of(CIFAR2.absolute(), CIFAR2.stat().st_mtime_ns)
    return joblib.hash((values, images, contents), hash_name="sha1")[:16]


@cache
def _md5_of(path: Path, _modified: int) -> str:
    return md5(path.read_bytes())


def machine_of(device: str) -> str:
    """Return a hash of everything about this machine that can change a result."""
    return hashlib.sha256(repr(identity(device)).encode()).hexdigest()[:8]


def result_of(cell: Cell) -> CellResult | None:
    """Return the stored result of a cell; None if it is not finished."""
    return finished.read(finished.find(cell.stem, finished.FINISHED)) if cell.stem else None


def is_finished(cell: Cell) -> bool:
    path = cell.stem and finished.find(cell.stem, finished.FINISHED)
    return bool(path and path.exists())


def keeps_checkpoints() -> bool:
    """Return whether the training processes see the folder of checkpoints.

    The workers of a cluster do only if CHECKPOINTS names a folder that they share.
    """
    return not os.environ.get(workers.SCHEDULER) or bool(os.environ.get(finished.SHARED))
