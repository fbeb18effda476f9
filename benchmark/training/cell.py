"""A cell is one net trained with one seed. It is the unit of work."""

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypedDict

import torch
from torch import Tensor

from benchmark.data import dataset
from benchmark.params import Params, Train
from benchmark.running import checkpoint, errors
from benchmark.running.memory import keep_freed_memory
from benchmark.running.progress import EpochProgress
from benchmark.training import recipe
from benchmark.training.environment import Environment, choose_device, describe
from benchmark.training.loop import shuffled_batches, train
from benchmark.training.scoring import accuracy, predict
from benchmark.training.state_dict import to_bytes

# Score the test images after each of this many last epochs.
SCORED_EPOCHS = 10
# The code that determines every result, besides the net's own file.
CODE = (Path(__file__).parent, Path(dataset.__file__))

MakeBatches = Callable[
    [int, int, torch.Generator, torch.device], Callable[[], Iterable[Tensor]]
]
Progress = Callable[..., Callable[[int, float], None]]


@dataclass(frozen=True)
class Cell:
    """Everything that a training run needs, images included, so that it can run anywhere.

    settings: arguments of the functions in the architecture's file. checkpoint: the file to
    resume from, or None to keep no checkpoint.
    """

    architecture: recipe.Architecture
    settings: Mapping[str, Any]
    seed: int
    training: Train
    data: dataset.Dataset
    checkpoint: Path | None = None

    def __str__(self) -> str:
        return f"{self.architecture.name} seed {self.seed}"

    def with_training(self, **changes: Any) -> "Cell":
        return replace(self, training=self.training.model_copy(update=changes))


@dataclass(frozen=True)
class TrainResult:
    """The result of a training run, in memory.

    images, val_images: normalized, as the model saw them. losses: one per epoch.
    val_accuracies: from 0 to 1, one for each of the last SCORED_EPOCHS epochs.
    """

    setup: recipe.TrainingSetup
    images: Tensor
    val_images: Tensor
    losses: list[float]
    val_accuracies: list[float]
    environment: Environment


class CellResult(TypedDict):
    """The part of a TrainResult that is saved. model: the content of a model file."""

    seed: int
    model: bytes
    losses: list[float]
    val_accuracies: list[float]
    environment: Environment


def cells(params: Params, name: str) -> list[Cell]:
    """Return the cells of an architecture, one for each seed from 0 to train.seeds - 1."""
    data = dataset.load(params.data.mean, params.data.std)
    architecture = recipe.load_architecture(name)
    settings = recipe.settings_of(params, name)
    training = recipe.training_of(params, name)
    values = {**vars(data), **training.model_dump(exclude={"seeds"}), "settings": settings}
    code = (*CODE, Path(architecture.file))
    return [
        Cell(
            architecture,
            settings,
            seed,
            training,
            data,
            checkpoint.path_of(f"{name}-seed-{seed}", values, code),
        )
        for seed in range(training.seeds)
    ]


def train_cell(cell: Cell, progress: Progress = EpochProgress) -> CellResult:
    """Train one seed, resuming from its checkpoint if there is one.

    Raises UserError if the loss is not finite, or if the architecture's file raises.
    """
    with (
        checkpoint.locked(cell.checkpoint, str(cell)),
        errors.blame_architecture(str(cell)),
    ):
        trained = fit(cell, progress=progress)
    return {
        "seed": cell.seed,
        "model": to_bytes(trained.setup.model.state_dict()),
        "losses": trained.losses,
        "val_accuracies": trained.val_accuracies,
        "environment": trained.environment,
    }


def fit(
    cell: Cell,
    make_batches: MakeBatches = shuffled_batches,
    progress: Progress = EpochProgress,
) -> TrainResult:
    """Train the cell in this process. The caller must hold the cell's lock.

    make_batches: called with the number of images, the batch size, a generator and a
    device; returns the `batches` argument of the training loop. progress: called with the
    arguments of EpochProgress; returns a function that is called after each epoch.
    """
    from torch.backends import (
        cudnn,
    )  # imported here: a cluster cannot pickle it as a global

    keep_freed_memory()
    training, data = cell.training, cell.data
    torch.set_num_threads(training.threads)
    cudnn.allow_tf32 = False  # keep fp32 exact on a GPU, too
    device = choose_device(training.device)
    n_images = len(data.train_images)
    setup = recipe.build_training(
        cell.architecture,
        len(data.class_names),
        cell.settings,
        training.lr,
        cell.seed,
        device,
        steps=training.epochs * math.ceil(n_images / training.batch_size),
    )
    # Convolutions are faster if the channels come last in memory.
    setup.model.to(memory_format=torch.channels_last)
    images, val_images = (
        data.normalized(split).to(device, memory_format=torch.channels_last)
        for split in (data.train_images, data.val_images)
    )
    generator = torch.Generator().manual_seed(cell.seed)
    state = checkpoint.TrainingState(
        setup.model, setup.optimizer, setup.lr_scheduler, generator, device
    )
    environment = describe(device, training.threads)
    curve: dict[str, list[float]] = {"losses": [], "val_accuracies": []}
    saved = checkpoint.load(cell.checkpoint, environment)
    if saved:
        state.restore(saved)
        curve = {key: saved[key] for key in curve}
    losses = curve["losses"]
    show = progress(str(cell), training.epochs, done=len(losses), position=cell.seed)

    def on_epoch_end(epoch: int, loss: float) -> None:
        if not math.isfinite(loss):
            raise errors.UserError(
                f"{cell}: the loss is {loss} in epoch {epoch} with lr {training.lr}; "
                "try a smaller lr"
            )
        losses.append(loss)
        if epoch > training.epochs - SCORED_EPOCHS:
            predicted = predict(setup.model, val_images)
            curve["val_accuracies"].append(accuracy(predicted, data.val_labels))
        if cell.checkpoint:
            now = {"environment": environment, **curve, **state.state()}
            checkpoint.save(cell.checkpoint, now)
        show(epoch, loss)

    train(
        setup.model,
        setup.optimizer,
        images,
        data.train_labels.to(device),
        epochs=training.epochs,
        batches=make_batches(n_images, training.batch_size, generator, device),
        loss_fn=setup.loss_fn,
        penalty=setup.penalty,
        lr_scheduler=setup.lr_scheduler,
        precision=training.precision,
        on_epoch_end=on_epoch_end,
        first_epoch=len(losses) + 1,
    )
    return TrainResult(setup, images, val_images, **curve, environment=environment)
