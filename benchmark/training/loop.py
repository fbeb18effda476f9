"""The one training loop."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from benchmark.training.step import Step


def train(
    model: nn.Module,
    step: Step,
    images: Tensor,
    labels: Tensor,
    *,
    epochs: int,
    batches: Callable[[], Iterable[Tensor]],
    augment: Callable[[Tensor], Tensor] | None = None,
    lr_scheduler: LRScheduler | None = None,
    on_epoch_end: Callable[[int, float], None] | None = None,
    first_epoch: int = 1,
) -> list[float]:
    """Train `model` in place. Return the loss of each epoch trained here.

    step: updates the model with a batch, and returns the batch's loss (see step.py).
    images: N×3×32×32, normalized; labels: N. Both are on the model's device.
    batches: called once per epoch; returns the indices of each batch.
    augment: changes the images of each batch.
    lr_scheduler: stepped after each batch.
    on_epoch_end: called after each epoch with the epoch, counted from 1, and its loss.
    first_epoch: 1, or the epoch to resume at.

    The loss of an epoch is the mean loss of its batches, as the book prints it, but without
    the penalty, so that the losses of all nets can be compared.
    """
    model.train()
    losses = []
    for epoch in range(first_epoch, epochs + 1):
        batch_losses = []
        for batch in batches():
            inputs = images[batch] if augment is None else augment(images[batch])
            batch_losses.append(step(inputs, labels[batch]))
            if lr_scheduler is not None:
                lr_scheduler.step()
        # Read the losses once per epoch: every read has to wait for the GPU.
        losses.append(torch.stack(batch_losses).mean().item())
        if on_epoch_end is not None:
            on_epoch_end(epoch, losses[-1])
    return losses


def shuffled_batches(
    n_images: int,
    batch_size: int,
    generator: torch.Generator,
    device: torch.device | str = "cpu",
) -> Callable[[], Iterable[Tensor]]:
    """Return a `batches` function for `train` that reshuffles the images on every call.

    generator: a CPU generator that is used only here, so that the permutations are the same
    for every net and device. The last batch is smaller if batch_size does not divide
    n_images.
    """

    def one_epoch() -> Iterable[Tensor]:
        permutation = torch.randperm(n_images, generator=generator).to(device)
        return permutation.split(batch_size)

    return one_epoch
