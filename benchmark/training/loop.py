"""The one training loop."""

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler


def train(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    images: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    order: Callable[[], Iterable[Tensor]],
    loss: Callable[[Tensor, Tensor], Tensor],
    penalty: Callable[[], Tensor] | None = None,
    schedule: LRScheduler | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
    on_epoch_end: Callable[[int, float], None] | None = None,
    first_epoch: int = 1,
) -> list[float]:
    """Train `model` in place and return the loss of every epoch that it did.

    images: N×3×32×32, normalized; labels: N. Both on the model's device.
    order: called once an epoch; gives the indices of each batch in turn.
    penalty: a scalar added to each batch's loss before the gradient is taken.
    schedule: stepped after each batch.
    precision: bf16 runs the model by autocast, its convolutions and matrix products
    in bfloat16; weights, loss and optimizer stay float32.
    on_epoch_end: called after each epoch with its number, from 1, and its loss.
    first_epoch: 1, or the epoch to resume at.

    An epoch's loss is the mean of its batches' losses, as the chapter prints
    it, without the penalty, so that it means the same for every architecture.
    The losses stay on the device until the epoch's end: reading one earlier would
    make a GPU wait.
    """
    model.train()
    in_bf16 = precision == "bf16"
    losses = []
    for epoch in range(first_epoch, epochs + 1):
        batch_losses = []
        for batch in order():
            with torch.autocast(images.device.type, torch.bfloat16, enabled=in_bf16):
                outputs = model(images[batch])
            batch_loss = loss(outputs.float(), labels[batch])
            objective = batch_loss if penalty is None else batch_loss + penalty()
            optimizer.zero_grad()
            objective.backward()
            optimizer.step()
            if schedule is not None:
                schedule.step()
            batch_losses.append(batch_loss.detach())
        losses.append(torch.stack(batch_losses).mean().item())
        if on_epoch_end is not None:
            on_epoch_end(epoch, losses[-1])
    return losses


def shuffled(
    n_images: int,
    batch_size: int,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> Callable[[], Iterable[Tensor]]:
    """An order for `train`: every call gives a new permutation, cut into batches.

    generator: on the CPU and used for nothing else, so that the permutations are the
    same for every architecture and on every device. The last batch is smaller where
    batch_size does not divide n_images.
    """

    def one_epoch() -> Iterable[Tensor]:
        permutation = torch.randperm(n_images, generator=generator).to(device)
        return permutation.split(batch_size)

    return one_epoch
