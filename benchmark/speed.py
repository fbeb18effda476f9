"""Measure how fast a row trains, to tell how long its cells will take."""

import math
import sys
import time
from collections.abc import Sequence
from statistics import median

import torch

from benchmark.running import checkpoint, errors, finished
from benchmark.running.memory import keep_freed_memory
from benchmark.training import recipe
from benchmark.training.cell import SCORED_EPOCHS, complete
from benchmark.training.environment import choose_device, computes_in_bf16, describe
from benchmark.training.plan import Cell
from benchmark.training.step import make_step

# How long to measure, and at least how many steps.
SECONDS, MIN_STEPS = 0.15, 5
# Not the seed of any cell.
SEED = 1 << 31
# A forward pass takes about a third of a training step.
PASSES_PER_STEP = 3


def estimate(cells: Sequence[Cell]) -> list[float]:
    """Return how many seconds each cell will take on this machine.

    cells: of one row; the speed is that of the first. A cell with a checkpoint takes less.
    Raises UserError if the architecture's file raises.
    """
    say_if_emulated(cells[0])
    with errors.blame_architecture(str(cells[0])):
        seconds = seconds_of(cells[0])
    return [seconds * share_left(cell) for cell in cells]


def say_if_emulated(cell: Cell) -> None:
    """Say so if the row needs bfloat16 and this machine computes it in software."""
    training = cell.row.training
    if training.precision == "bf16" and not computes_in_bf16(
        choose_device(training.device)
    ):
        print(
            f"note: {cell.row.name} trains in bfloat16, but this machine seems to have no "
            "hardware for it: fp32 may be faster",
            file=sys.stderr,
        )


def share_left(cell: Cell) -> float:
    """Return which share of its epochs a cell has not trained yet."""
    if cell.stem is None:
        return 1.0
    training = cell.row.training
    environment = describe(choose_device(training.device), training.threads)
    path = finished.find(cell.stem, finished.CHECKPOINT)
    saved, _ = checkpoint.read(path, environment)
    return 1 - len(saved["losses"]) / training.epochs if saved else 1.0


def seconds_of(cell: Cell) -> float:
    """Time a few steps; return the seconds of the whole run."""
    architecture, data = complete(cell)
    training = cell.row.training
    keep_freed_memory()
    torch.set_num_threads(training.threads)
    device = choose_device(training.device)
    n_classes = len(data.class_names)
    n_train, n_test = len(data.train_labels), len(data.val_labels)
    size = min(training.batch_size, n_train)
    steps = training.epochs * math.ceil(n_train / size)
    setup = recipe.build_training(
        architecture, n_classes, cell.row.settings, training, SEED, device, steps
    )
    setup.model.to(memory_format=torch.channels_last).train()
    step = make_step(
        setup.model, setup.optimizer, setup.loss_fn, setup.penalty, training.precision
    )
    images = torch.zeros(size, 3, 32, 32, device=device)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.zeros(size, dtype=torch.int64, device=device)
    step(images, labels).item()  # the first step takes longer
    seconds: list[float] = []
    while len(seconds) < MIN_STEPS or sum(seconds) < SECONDS:
        start = time.monotonic()
        step(images, labels).item()
        seconds.append(time.monotonic() - start)
    # The median, because something else may start at the same time.
    per_step = median(seconds)
    scored = n_train + n_test * (1 + min(SCORED_EPOCHS, training.epochs))
    scored *= 1 + training.flip_at_test
    return per_step * (steps + scored / size / PASSES_PER_STEP)
