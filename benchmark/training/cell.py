"""Train one cell, and score it."""

import math
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, update_bn

from benchmark.data import dataset
from benchmark.params import Row
from benchmark.running import checkpoint, errors, finished
from benchmark.running.finished import CellResult, Scores
from benchmark.running.memory import keep_freed_memory
from benchmark.training import recipe, state_dict
from benchmark.training.augmentation import augmentation
from benchmark.training.environment import (
    Environment,
    choose_device,
    describe,
    is_merged,
    merge,
)
from benchmark.training.loop import shuffled_batches, train
from benchmark.training.plan import Cell, machine_of, result_of
from benchmark.training.scoring import accuracy, predict
from benchmark.training.step import make_step

# Score the tested images after each of this many last epochs.
SCORED_EPOCHS = 10
# Added to a cell's seed, so that shuffling and augmentation use other random numbers.
AUGMENTING = 1 << 31

MakeBatches = Callable[
    [int, int, torch.Generator, torch.device], Callable[[], Iterable[Tensor]]
]
Progress = Callable[[int, float], None]


@dataclass(frozen=True)
class TrainResult:
    """The result of a training run, in memory.

    images, val_images: normalized, as the model saw them. losses: one per epoch.
    val_accuracies: from 0 to 1, one for each of the last SCORED_EPOCHS epochs.
    """

    setup: recipe.TrainingSetup
    split: dataset.Split
    images: Tensor
    val_images: Tensor
    losses: list[float]
    val_accuracies: list[float]
    environment: Environment


def complete(cell: Cell) -> tuple[recipe.Architecture, dataset.Dataset]:
    """Return the cell's net and images; load them if they are not in the cell."""
    return (
        cell.architecture or recipe.load_architecture(cell.row.net),
        cell.data or dataset.load(cell.mean, cell.std),
    )


def train_cell(cell: Cell) -> CellResult:
    """Train a cell, resuming from its checkpoint if there is one, and score it.

    Raises UserError if the loss is not finite, or if the architecture's file raises.
    """
    with checkpoint.locked(cell.stem, str(cell)), errors.blame_architecture(str(cell)):
        if finished_meanwhile := result_of(cell):
            return finished_meanwhile
        trained = fit(cell)
        model = state_dict.to_bytes(trained.setup.model.state_dict())
        scores = score(cell, trained.split, model, Path(f"{cell}"))
    machine = machine_of(cell.row.training.device)
    if is_merged(trained.environment):
        machine = finished.MIXED
    return {
        "seed": cell.seed,
        "model": model,
        "losses": trained.losses,
        "val_accuracies": trained.val_accuracies,
        "scores": scores,
        "environment": trained.environment,
        "machine": machine,
    }


def score(cell: Cell, split: dataset.Split, content: bytes, path: Path) -> Scores:
    """Score a saved model with a new net.

    content: of the model file. path: for error messages.
    """
    training = cell.row.training
    torch.set_num_threads(training.threads)
    device = choose_device(training.device)
    architecture, data = complete(cell)
    model = recipe.build_model(architecture, len(data.class_names), cell.row.settings)
    state_dict.load(model, content, path)
    model.to(device)
    on_train, on_test = (
        predict(model, data.normalized(images).to(device), flip=training.flip_at_test)
        for images in (split.train_images, split.val_images)
    )
    return {
        "train_accuracy": accuracy(on_train, split.train_labels),
        "predictions": on_test.tolist(),
        "labels": split.val_labels.tolist(),
        "examples": split.examples.tolist(),
        "fold": split.fold,
        "n_folds": split.n_folds,
        "parameters": recipe.n_parameters(model),
    }


def fit(
    cell: Cell,
    make_batches: MakeBatches = shuffled_batches,
    progress: Progress = lambda *_: None,
    steps: int | None = None,
) -> TrainResult:
    """Train the cell in this process. The caller must hold the cell's lock.

    make_batches: called with the number of images, the batch size, a generator and a
    device; returns the `batches` argument of the training loop. progress: called after
    each epoch with the epoch, counted from 1, and its loss. steps: for the schedule; by
    default, the number of batches in all epochs.
    """
    from torch.backends import (
        cudnn,
    )  # imported here: a cluster cannot pickle it as a global

    keep_freed_memory()
    training = cell.row.training
    torch.set_num_threads(training.threads)
    cudnn.allow_tf32 = False  # keep fp32 exact on a GPU, too
    device = choose_device(training.device)
    architecture, data = complete(cell)
    split = dataset.split(data, training.split, cell.seed, cell.holdout)
    n_images = len(split.train_images)
    setup = recipe.build_training(
        architecture,
        len(data.class_names),
        cell.row.settings,
        training,
        cell.seed,
        device,
        steps=steps or training.epochs * math.ceil(n_images / training.batch_size),
    )
    model = setup.model
    # Convolutions are faster if the channels come last in memory.
    model.to(memory_format=torch.channels_last)
    averaged = AveragedModel(model) if training.averaged_epochs else None
    images, val_images = (
        data.normalized(part).to(device, memory_format=torch.channels_last)
        for part in (split.train_images, split.val_images)
    )
    shuffling = torch.Generator().manual_seed(cell.seed)
    augmenting = torch.Generator().manual_seed(cell.seed + AUGMENTING)
    state = checkpoint.TrainingState(
        model, setup.optimizer, setup.lr_scheduler, shuffling, augmenting, device, averaged
    )
    environment = describe(device, training.threads)
    curve: dict[str, list[float]] = {"losses": [], "val_accuracies": []}
    stem = cell.stem
    saved = stem and checkpoint.load(finished.find(stem, finished.CHECKPOINT), environment)
    if stem and saved:
        state.restore(saved)
        curve = {key: saved[key] for key in curve}
        if saved["environment"] != environment:
            environment = merge([saved["environment"], environment])
            stem = finished.on_machine(stem, finished.MIXED)
        print(
            f"{cell}: resumes after epoch {len(curve['losses'])}/{training.epochs}",
            file=sys.stderr,
            flush=True,
        )
    losses = curve["losses"]

    def on_epoch_end(epoch: int, loss: float) -> None:
        if not math.isfinite(loss):
            raise errors.DivergedError(
                f"{cell}: the loss is {loss} in epoch {epoch} with lr {training.lr}; "
                "try a smaller lr"
            )
        losses.append(loss)
        if averaged and epoch > training.epochs - training.averaged_epochs:
            averaged.update_parameters(model)
            if epoch == training.epochs:
                take_average(model, averaged, images)
        if epoch > training.epochs - SCORED_EPOCHS:
            predicted = predict(model, val_images, flip=training.flip_at_test)
            curve["val_accuracies"].append(accuracy(predicted, split.val_labels))
        if stem:
            now = {"environment": environment, **curve, **state.state()}
            checkpoint.save(stem.with_suffix(finished.CHECKPOINT), now)
        progress(epoch, loss)

    train(
        model,
        make_step(model, setup.optimizer, setup.loss_fn, setup.penalty, training.precision),
        images,
        split.train_labels.to(device),
        epochs=training.epochs,
        batches=make_batches(n_images, training.batch_size, shuffling, device),
        augment=augmentation(training.flip, training.crop, training.cutout, augmenting),
        lr_scheduler=setup.lr_scheduler,
        on_epoch_end=on_epoch_end,
        first_epoch=len(losses) + 1,
    )
    return TrainResult(setup, split, images, val_images, **curve, environment=environment)


def take_average(model: nn.Module, averaged: AveragedModel, images: Tensor) -> None:
    """Load the averaged weights into the model; recompute the statistics of batch norm."""
    model.load_state_dict(averaged.module.state_dict())
    update_bn(images.split(1000), model)


def with_training(cell: Cell, **changes: object) -> Cell:
    """Return the cell with other values in its recipe."""
    row: Row = cell.row
    return replace(cell, row=replace(row, training=row.training.model_copy(update=changes)))
