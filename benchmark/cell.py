"""A cell: one architecture trained with one seed. The unit of work."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypedDict

import torch
from torch import Tensor

from benchmark import checkpoint, dataset, errors, recipe, state_dict
from benchmark.environment import Environment, choose_device, describe
from benchmark.memory import keep_freed_memory
from benchmark.pool_first import PoolFirst
from benchmark.progress import EpochProgress
from benchmark.scoring import accuracy, predict
from benchmark.training import shuffled, train

# The last epochs, after each of which the validation images are scored.
SCORED_EPOCHS = 10


@dataclass(frozen=True)
class Cell:
    """All that one training needs: it reads no data, so it can be sent anywhere.

    images: N×3×32×32, uint8; labels: N, from 0 to n_classes - 1. val_images and
    val_labels: likewise, for the curve alone. checkpoint: the file that keeps the
    training while it lasts; None: nothing is kept.
    """

    architecture: recipe.Architecture
    seed: int
    settings: Mapping[str, Any]
    images: Tensor
    labels: Tensor
    val_images: Tensor
    val_labels: Tensor
    n_classes: int
    mean: list[float]
    std: list[float]
    lr: float
    epochs: int
    batch_size: int
    threads: int
    device: str
    precision: Literal["fp32", "bf16"]
    checkpoint: Path | None = None

    def __str__(self) -> str:
        return f"{self.architecture.name} seed {self.seed}"


class Trained(TypedDict):
    """model: a state dict, as torch.save writes it. losses: one an epoch.

    val_accuracies: after each of the last SCORED_EPOCHS epochs, from 0 to 1.
    """

    seed: int
    model: bytes
    losses: list[float]
    val_accuracies: list[float]
    environment: Environment


def train_cell(cell: Cell) -> Trained:
    """Train one seed, or go on with it where its checkpoint ends.

    Raises UserError where the loss is not finite or the architecture's file raises.
    """
    with checkpoint.held(cell.checkpoint, str(cell)), errors.naming(str(cell)):
        return _train(cell)


def _train(cell: Cell) -> Trained:
    from torch.backends import cudnn  # no global, for those are sent with the function

    keep_freed_memory()
    torch.set_num_threads(cell.threads)
    cudnn.allow_tf32 = False  # fp32 is to be fp32 on a GPU too
    device = choose_device(cell.device)
    made = recipe.assemble(
        cell.architecture,
        cell.n_classes,
        cell.settings,
        cell.lr,
        cell.seed,
        device,
        steps=cell.epochs * math.ceil(len(cell.images) / cell.batch_size),
    )
    # Convolutions are faster with the channels innermost.
    made.model.to(memory_format=torch.channels_last)
    images, val_images = (
        dataset.normalize(each, cell.mean, cell.std).to(
            device, memory_format=torch.channels_last
        )
        for each in (cell.images, cell.val_images)
    )
    order = torch.Generator().manual_seed(cell.seed)
    resumable = checkpoint.Resumable(
        made.model, made.optimizer, made.schedule, order, device
    )
    environment = describe(device, cell.threads)
    losses: list[float] = []
    val_accuracies: list[float] = []
    saved = checkpoint.load(cell.checkpoint, environment)
    if saved:
        resumable.restore(saved)
        losses, val_accuracies = saved["losses"], saved["val_accuracies"]
    progress = EpochProgress(
        cell.architecture.name, cell.seed, cell.epochs, done=len(losses)
    )

    def report(epoch: int, loss: float) -> None:
        if not math.isfinite(loss):
            raise errors.UserError(
                f"{cell}: the loss is {loss} in epoch {epoch} with lr {cell.lr}; "
                "try a smaller lr"
            )
        losses.append(loss)
        if epoch > cell.epochs - SCORED_EPOCHS:
            predicted = predict(made.model, val_images)
            val_accuracies.append(accuracy(predicted, cell.val_labels))
        if cell.checkpoint:
            curve = {"losses": losses, "val_accuracies": val_accuracies}
            state = {"environment": environment, **curve, **resumable.state()}
            checkpoint.save(cell.checkpoint, state)
        progress(epoch, loss)

    train(
        PoolFirst(made.model),
        made.optimizer,
        images,
        cell.labels.to(device),
        epochs=cell.epochs,
        order=shuffled(len(images), cell.batch_size, order, device),
        loss=made.loss,
        penalty=made.penalty,
        schedule=made.schedule,
        precision=cell.precision,
        report=report,
        first_epoch=len(losses) + 1,
    )
    return {
        "seed": cell.seed,
        "model": state_dict.to_bytes(made.model.state_dict()),
        "losses": losses,
        "val_accuracies": val_accuracies,
        "environment": environment,
    }
