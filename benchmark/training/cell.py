"""A cell: one architecture trained with one seed. The unit of work."""

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
from benchmark.training.loop import shuffled, train
from benchmark.training.scoring import accuracy, predict
from benchmark.training.state_dict import to_bytes

# The last epochs, after each of which the validation images are scored.
SCORED_EPOCHS = 10
# What every training's bytes depend on, beside its architecture's file.
CODE = (Path(__file__).parent, Path(dataset.__file__))

Batches = Callable[
    [int, int, torch.Generator, torch.device], Callable[[], Iterable[Tensor]]
]
Progress = Callable[..., Callable[[int, float], None]]


@dataclass(frozen=True)
class Cell:
    """All that one training needs: it reads no file, so it can be sent anywhere.

    settings: the arguments of the architecture's file. checkpoint: the file that keeps
    the training while it lasts; None: nothing is kept.
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
class Trained:
    """A training that has come to its end. losses: one an epoch.

    images, val_images: normalized, as the model saw them. val_accuracies: after each of
    the last SCORED_EPOCHS epochs, from 0 to 1.
    """

    recipe: recipe.Recipe
    images: Tensor
    val_images: Tensor
    losses: list[float]
    val_accuracies: list[float]
    environment: Environment


class Result(TypedDict):
    """What is kept of a Trained. model: a state dict, as torch.save writes it."""

    seed: int
    model: bytes
    losses: list[float]
    val_accuracies: list[float]
    environment: Environment


def cells(params: Params, name: str) -> list[Cell]:
    """An architecture's cells, one for each seed from 0 to train.seeds - 1."""
    data = dataset.load(params.data.mean, params.data.std)
    architecture = recipe.find(name)
    settings = recipe.settings_of(params, name)
    training = recipe.training_of(params, name)
    what = {**vars(data), **training.model_dump(exclude={"seeds"}), "settings": settings}
    code = (*CODE, Path(architecture.file))
    return [
        Cell(
            architecture,
            settings,
            seed,
            training,
            data,
            checkpoint.path_of(f"{name}-seed-{seed}", what, code),
        )
        for seed in range(training.seeds)
    ]


def train_cell(cell: Cell, progress: Progress = EpochProgress) -> Result:
    """Train one seed, or resume it where its checkpoint ends.

    Raises UserError where the loss is not finite or the architecture's file raises.
    """
    with checkpoint.held(cell.checkpoint, str(cell)), errors.naming(str(cell)):
        trained = fit(cell, progress=progress)
    return {
        "seed": cell.seed,
        "model": to_bytes(trained.recipe.model.state_dict()),
        "losses": trained.losses,
        "val_accuracies": trained.val_accuracies,
        "environment": trained.environment,
    }


def fit(
    cell: Cell, batches: Batches = shuffled, progress: Progress = EpochProgress
) -> Trained:
    """Train the cell in this process; its lock has to be held.

    batches: makes the order of the loop, from the number of images, the batch size, a
    generator and a device. progress: makes what is called after each epoch, with the
    arguments of EpochProgress.
    """
    from torch.backends import cudnn  # no global, for those are sent with the function

    keep_freed_memory()
    training, data = cell.training, cell.data
    torch.set_num_threads(training.threads)
    cudnn.allow_tf32 = False  # fp32 is to be fp32 on a GPU too
    device = choose_device(training.device)
    n_images = len(data.train_images)
    made = recipe.assemble(
        cell.architecture,
        len(data.class_names),
        cell.settings,
        training.lr,
        cell.seed,
        device,
        steps=training.epochs * math.ceil(n_images / training.batch_size),
    )
    # Convolutions are faster with the channels innermost.
    made.model.to(memory_format=torch.channels_last)
    images, val_images = (
        data.normalized(each).to(device, memory_format=torch.channels_last)
        for each in (data.train_images, data.val_images)
    )
    generator = torch.Generator().manual_seed(cell.seed)
    resumable = checkpoint.Resumable(
        made.model, made.optimizer, made.schedule, generator, device
    )
    environment = describe(device, training.threads)
    curve: dict[str, list[float]] = {"losses": [], "val_accuracies": []}
    saved = checkpoint.load(cell.checkpoint, environment)
    if saved:
        resumable.restore(saved)
        curve = {key: saved[key] for key in curve}
    losses = curve["losses"]
    show = progress(str(cell), training.epochs, done=len(losses), place=cell.seed)

    def on_epoch_end(epoch: int, loss: float) -> None:
        if not math.isfinite(loss):
            raise errors.UserError(
                f"{cell}: the loss is {loss} in epoch {epoch} with lr {training.lr}; "
                "try a smaller lr"
            )
        losses.append(loss)
        if epoch > training.epochs - SCORED_EPOCHS:
            predicted = predict(made.model, val_images)
            curve["val_accuracies"].append(accuracy(predicted, data.val_labels))
        if cell.checkpoint:
            state = {"environment": environment, **curve, **resumable.state()}
            checkpoint.save(cell.checkpoint, state)
        show(epoch, loss)

    train(
        made.model,
        made.optimizer,
        images,
        data.train_labels.to(device),
        epochs=training.epochs,
        order=batches(n_images, training.batch_size, generator, device),
        loss=made.loss,
        penalty=made.penalty,
        schedule=made.schedule,
        precision=training.precision,
        on_epoch_end=on_epoch_end,
        first_epoch=len(losses) + 1,
    )
    return Trained(made, images, val_images, **curve, environment=environment)
