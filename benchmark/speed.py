"""Measure how fast a row trains, to tell how long its cells will take."""

import math
import time

import torch

from benchmark.running import errors
from benchmark.training import recipe
from benchmark.training.cell import SCORED_EPOCHS, complete
from benchmark.training.environment import choose_device
from benchmark.training.plan import Cell
from benchmark.training.step import make_step

# How long to measure.
SECONDS = 0.15
# Not the seed of any cell.
SEED = 1 << 31
# A forward pass takes about a third of a training step.
PASSES_PER_STEP = 3


def estimate(cell: Cell) -> float:
    """Return how many seconds the cell will take on this machine.

    Raises UserError if the architecture's file raises.
    """
    with errors.blame_architecture(str(cell)):
        return _estimate(cell)


def _estimate(cell: Cell) -> float:
    architecture, data = complete(cell)
    training = cell.row.training
    torch.set_num_threads(training.threads)
    device = choose_device(training.device)
    n_classes = len(data.class_names)
    setup = recipe.build_training(
        architecture, n_classes, cell.row.settings, training, SEED, device
    )
    setup.model.to(memory_format=torch.channels_last).train()
    step = make_step(
        setup.model, setup.optimizer, setup.loss_fn, setup.penalty, training.precision
    )
    n_train, n_test = len(data.train_labels), len(data.val_labels)
    size = min(training.batch_size, n_train)
    images = torch.zeros(size, 3, 32, 32, device=device)
    images = images.to(memory_format=torch.channels_last)
    labels = torch.zeros(size, dtype=torch.int64, device=device)
    step(images, labels).item()  # the first step takes longer
    start, n_steps = time.monotonic(), 0
    while n_steps < 2 or time.monotonic() - start < SECONDS:
        step(images, labels).item()
        n_steps += 1
    per_step = (time.monotonic() - start) / n_steps
    steps = training.epochs * math.ceil(n_train / size)
    scored = n_train + n_test * (1 + min(SCORED_EPOCHS, training.epochs))
    return per_step * (steps + scored / size / PASSES_PER_STEP)
