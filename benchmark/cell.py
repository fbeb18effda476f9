"""A cell: one architecture trained with one seed. The unit of work."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypedDict

import torch
from torch import Tensor, nn

from benchmark import dataset, errors, recipe
from benchmark.environment import Environment, choose_device, describe
from benchmark.memory import keep_freed_memory
from benchmark.pool_first import PoolFirst
from benchmark.progress import EpochProgress
from benchmark.training import shuffled, train


@dataclass(frozen=True)
class Cell:
    """All that one training needs: it reads no file, so it can be sent anywhere.

    images: N×3×32×32, uint8; labels: N, from 0 to n_classes - 1.
    """

    architecture: recipe.Architecture
    seed: int
    settings: Mapping[str, Any]
    images: Tensor
    labels: Tensor
    n_classes: int
    mean: list[float]
    std: list[float]
    lr: float
    epochs: int
    batch_size: int
    threads: int
    device: str
    precision: Literal["fp32", "bf16"]

    def __str__(self) -> str:
        return f"{self.architecture.name} seed {self.seed}"


class Trained(TypedDict):
    """model: a state dict, as torch.save writes it. losses: one an epoch."""

    seed: int
    model: bytes
    losses: list[float]
    environment: Environment


def train_cell(cell: Cell) -> Trained:
    """Train one seed. Raises UserError where the loss is not finite."""
    from torch.backends import cudnn  # no global, for those are sent with the function

    keep_freed_memory()
    torch.set_num_threads(cell.threads)
    cudnn.allow_tf32 = False  # fp32 is to be fp32 on a GPU too
    device = choose_device(cell.device)
    made = recipe.assemble(
        cell.architecture, cell.n_classes, cell.settings, cell.lr, cell.seed, device
    )
    # Convolutions are faster with the channels innermost.
    made.model.to(memory_format=torch.channels_last)
    images = dataset.normalize(cell.images, cell.mean, cell.std)
    images = images.to(device, memory_format=torch.channels_last)
    progress = EpochProgress(cell.architecture.name, cell.seed, cell.epochs)

    def report(epoch: int, loss: float) -> None:
        progress(epoch, loss)
        if not math.isfinite(loss):
            raise errors.UserError(
                f"{cell}: the loss is {loss} in epoch {epoch} with lr {cell.lr}; "
                "try a smaller lr"
            )

    losses = train(
        PoolFirst(made.model),
        made.optimizer,
        images,
        cell.labels.to(device),
        epochs=cell.epochs,
        order=shuffled(len(images), cell.batch_size, cell.seed, device),
        loss=made.loss,
        penalty=made.penalty,
        precision=cell.precision,
        report=report,
    )
    return {
        "seed": cell.seed,
        "model": state_dict_bytes(made.model),
        "losses": losses,
        "environment": describe(device, cell.threads),
    }


def state_dict_bytes(model: nn.Module) -> bytes:
    """The state dict, so that it loads anywhere and has the same bytes each time."""
    state = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    buffer = io.BytesIO()  # torch.save writes a file's name into the file
    torch.save(state, buffer)
    return buffer.getvalue()
