"""Rehearse a training run: refuse a net that cannot keep the benchmark's promises.

A rehearsal trains a cell for a few small batches with the real training function, so it
meets the same net, loss, penalty, optimizer, schedule and precision as the real run, but
takes a fraction of a second. It is repeated, interrupted and resumed, saved and loaded.
Whatever differs then would later give wrong results without a word.
"""

import io
import math
from collections.abc import Mapping
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import replace
from warnings import catch_warnings

import torch

from benchmark.data.dataset import Dataset
from benchmark.rehearsal.parts import unusable_parts
from benchmark.rehearsal.promises import broken_promise
from benchmark.rehearsal.settings import THREADS, changed_settings, torch_settings
from benchmark.running import errors, finished
from benchmark.running.errors import UserError
from benchmark.running.finished import CellResult
from benchmark.training import cell as training
from benchmark.training.plan import Cell
from benchmark.training.recipe import Architecture

# Two full batches and a smaller one, in each of two epochs.
EPOCHS, BATCH_SIZE, N_IMAGES = 2, 8, 20
# The number of training images of the real run, for the schedule; about right is enough.
USUAL_IMAGES = 10_000
MAX_CAUSE = 300
# If the loss of the random images diverges, the promises are checked with lr times this.
GENTLE = 1e-3


def train_cell(cell: Cell) -> CellResult:
    """Rehearse a cell, unless it was trained in part before; then train and score it.

    Raises UserError if that fails, or if the saved model does not score as the trained one.
    """
    if not cell.stem or not finished.find(cell.stem, finished.CHECKPOINT).exists():
        usual = torch_settings()
        architecture, data = training.complete(cell)
        rehearse(cell, architecture, len(data.class_names), usual)
    result = training.train_cell(cell)
    scores = result["scores"]
    pairs = list(zip(scores["predictions"], scores["labels"], strict=True))
    saved = sum(predicted == label for predicted, label in pairs)
    trained = round(result["val_accuracies"][-1] * len(pairs))
    # Rounding can change a few predictions.
    if abs(saved - trained) > 2 + len(pairs) / 500:
        raise UserError(
            f"{cell}: the saved model gets {saved} of {len(pairs)} images right, but got "
            f"{trained} at the end of its training; what {cell.row.file.as_posix()} needs "
            "must be in parameters and buffers"
        )
    return result


def rehearse(
    cell: Cell,
    architecture: Architecture,
    n_classes: int,
    usual: Mapping[str, object] | None = None,
) -> None:
    """Raise UserError, with the net's file and the cause, if the cell breaks a promise.

    usual: torch's settings before the net's file was imported.
    """
    file = cell.row.file.as_posix()
    usual = usual or torch_settings()
    # A net may print and warn; its real run will repeat that.
    with redirect_stderr(io.StringIO()), redirect_stdout(io.StringIO()), catch_warnings():
        try:
            with errors.blame_architecture(cell.row.name):
                problem = _rehearse(cell, architecture, n_classes, usual)
        except UserError:
            raise
        except Exception as error:  # a user's file can raise anything
            problem = f"{type(error).__name__}: {errors.cause_of(error)[:MAX_CAUSE]}"
    if problem:
        raise UserError(f"{file}: {problem}")


def small(cell: Cell, architecture: Architecture, n_classes: int) -> Cell:
    """Return the cell with a few random images, in two epochs of a few small batches."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(256, (2 * N_IMAGES, 3, 32, 32), generator=generator)
    train, val = images.to(torch.uint8).split(N_IMAGES)
    labels = torch.arange(N_IMAGES) % n_classes
    names = [str(i) for i in range(n_classes)]
    data = Dataset(names, train, labels, val, labels, cell.mean, cell.std)
    cell = replace(cell, architecture=architecture, data=data, holdout=0.0, stem=None)
    return training.with_training(
        cell,
        epochs=EPOCHS,
        batch_size=BATCH_SIZE,
        averaged_epochs=min(1, cell.row.training.averaged_epochs),
        split="official",
        device="cpu",
    )


def _rehearse(
    cell: Cell, architecture: Architecture, n_classes: int, usual: Mapping[str, object]
) -> str:
    """Return what is wrong; empty if nothing is."""
    training_of = cell.row.training
    steps = training_of.epochs * math.ceil(USUAL_IMAGES / training_of.batch_size)
    usual = {**usual, THREADS: training_of.threads}
    cell = small(cell, architecture, n_classes)
    problem = unusable_parts(cell, architecture, steps)
    # Real images may be kinder than random ones, so a loss that diverges is no problem.
    for lr in (training_of.lr, training_of.lr * GENTLE):
        with suppress(errors.DivergedError):
            gentle = training.with_training(cell, lr=lr)
            problem = problem or broken_promise(gentle, architecture, steps)
            break
    return problem or changed_settings(usual)
