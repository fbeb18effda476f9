"""Finished cells: what a training run leaves, stored under its fingerprint.

One file per cell, a zip of the model and of result.json. Reading it needs no torch.

Finished cells and checkpoints are in one folder. Their names contain the fingerprint of
everything that determines the result, and that of the machine. Results of other machines
are used only if OTHER_PROCESSORS is set, or with a cluster.
"""

import io
import json
import os
import time
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import TypedDict, cast

from filelock import Timeout

from benchmark.running import locks, workers
from benchmark.running.files import write_atomic

# The environment variable that names a folder shared by all workers of a cluster.
SHARED = "CHECKPOINTS"
FOLDER = "checkpoints"
# If this environment variable is set, results of other machines are used.
OTHERS = "OTHER_PROCESSORS"
FINISHED, CHECKPOINT = ".zip", ".pt"
# In place of the machine, if a training run was resumed on another one.
MIXED = "mixed"
SECONDS_OF_A_MONTH = 30 * 24 * 3600


class Scores(TypedDict):
    """What a new net that loaded a saved model says.

    predictions, labels, examples: for each tested image, the predicted and the true class,
    and the image's number. fold, n_folds: see dataset.Split.
    """

    train_accuracy: float
    predictions: list[int]
    labels: list[int]
    examples: list[int]
    fold: int | None
    n_folds: int | None
    parameters: int


class CellResult(TypedDict):
    """What a trained cell leaves.

    model: the content of a model file. losses: one per epoch. val_accuracies: from 0 to 1,
    for the last epochs. machine: its fingerprint.
    """

    seed: int
    model: bytes
    losses: list[float]
    val_accuracies: list[float]
    scores: Scores
    environment: dict[str, str | int]
    machine: str


def folder() -> Path:
    """Return the folder of this repository, even if DVC runs an experiment in a copy."""
    named = os.environ.get(SHARED) or FOLDER
    return Path(os.environ.get("DVC_ROOT", "."), named).absolute()


def find(stem: Path, suffix: str) -> Path:
    """Return the file to read: this machine's, or else another's, if that is allowed."""
    own = stem.with_suffix(suffix)
    if not own.exists() and (os.environ.get(OTHERS) or os.environ.get(workers.SCHEDULER)):
        others = stem.parent.glob(f"{stem.name.rpartition('-')[0]}-*{suffix}")
        return max(others, key=lambda path: path.stat().st_mtime, default=own)
    return own


def on_machine(stem: Path, machine: str) -> Path:
    """Return the stem of the same cell, trained on another machine."""
    return stem.with_name(f"{stem.name.rpartition('-')[0]}-{machine}")


def store(stem: Path, result: CellResult) -> None:
    """Store a finished cell in place of its checkpoint. Raises OSError."""
    path = on_machine(stem, result["machine"]).with_suffix(FINISHED)
    path.parent.mkdir(parents=True, exist_ok=True)
    with locks.lock_of(stem):  # another process may have trained the same cell
        if read(path) is None:
            write(path, result)
    discard_checkpoint(stem)


def write(path: Path, result: CellResult) -> None:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("model.pt", result["model"])
        rest = {key: value for key, value in result.items() if key != "model"}
        archive.writestr("result.json", json.dumps(rest))
    write_atomic(path, content.getbuffer())


def read(path: Path) -> CellResult | None:
    """Read a finished cell; None if there is none, or if the file is damaged."""
    with suppress(OSError, KeyError, ValueError, zipfile.BadZipFile):
        with zipfile.ZipFile(path) as archive:
            rest = json.loads(archive.read("result.json"))
            result = {"model": archive.read("model.pt"), **rest}
        if result.keys() == CellResult.__required_keys__:
            os.utime(path)  # for prune: it was used
            return cast(CellResult, result)
    return None


def prune() -> None:
    """Delete finished cells and checkpoints that have not been used for a month."""
    month_ago = time.time() - SECONDS_OF_A_MONTH
    for file in folder().glob("*-seed-*"):
        with suppress(FileNotFoundError):  # another process may delete it, too
            is_ours = file.suffix in (FINISHED, CHECKPOINT)
            if is_ours and file.stat().st_mtime < month_ago:
                file.unlink()


def discard_checkpoint(stem: Path) -> None:
    """Delete a cell's checkpoint and lock, unless another process has locked the cell."""
    lock = locks.lock_of(stem)
    lock_file = Path(lock.lock_file)
    if lock_file.exists():
        with suppress(Timeout), lock.acquire(timeout=0):
            stem.with_suffix(CHECKPOINT).unlink(missing_ok=True)
            with suppress(PermissionError):  # Windows does not delete open files
                lock_file.unlink()
