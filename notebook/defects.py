"""The notebook's defects, each in a form that the benchmark's own code accepts.

Three replace an architecture's optimizer, penalty or net, one keeps the images in a fixed
order, and one changes the mode in which a net is scored. The sixth, batches_outside, is in
notebook/train.py.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.training.recipe import Architecture


def stale_optimizer(architecture: Architecture) -> Architecture:
    """The optimizer updates copies of the weights, so the model itself never changes."""

    def optimizer(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
        copies = [nn.Parameter(p.detach().clone()) for p in parameters]
        return torch.optim.SGD(copies, lr=lr, fused=True)

    return replace(architecture, optimizer=optimizer)


def added_penalty(architecture: Architecture) -> Architecture:
    """`loss + λ + Σw²` instead of `loss + λ * Σw²`; λ is .001."""

    def penalty(parameters: Iterable[nn.Parameter]) -> Tensor:
        return 0.001 + torch.stack([p.square().sum() for p in parameters]).sum()

    return replace(architecture, penalty=penalty)


def shared_block(architecture: Architecture) -> Architecture:
    """`n_blocks * [ResBlock()]`: the same block, n_blocks times."""

    def net(n_classes: int, n_chans: int, n_blocks: int) -> nn.Module:
        model: Any = architecture.net(n_classes=n_classes, n_chans=n_chans, n_blocks=1)
        model.resblocks = nn.Sequential(*(n_blocks * [model.resblocks[0]]))
        return model

    return replace(architecture, net=net)


# Defects of an architecture. The others concern training and scoring.
IN_ARCHITECTURE: dict[str, Callable[[Architecture], Architecture]] = {
    defect.__name__: defect for defect in (stale_optimizer, added_penalty, shared_block)
}


def fixed_order(
    n_images: int,
    batch_size: int,
    _generator: torch.Generator,
    device: torch.device,
) -> Callable[[], Iterable[Tensor]]:
    """Return a `batches` function for the training loop. It never shuffles the images."""
    return lambda: torch.arange(n_images, device=device).split(batch_size)


@torch.no_grad()
def predict_in_train_mode(model: nn.Module, images: Tensor, batch_size: int) -> Tensor:
    """Predict the class of each image without `model.eval()`.

    Dropout is on. Batch norm uses the statistics of each batch and updates its running
    statistics while it predicts.
    """
    model.train()
    return torch.cat([model(batch).argmax(dim=1) for batch in images.split(batch_size)])


def without_flatten(model: nn.Sequential, images: Tensor) -> str:
    """Return torch's error message for the model without nn.Flatten, or an empty string."""
    layers = [layer for layer in model if not isinstance(layer, nn.Flatten)]
    try:
        nn.Sequential(*layers)(images)
    except RuntimeError as error:
        return str(error)
    return ""


def named_bytes(model: nn.Module) -> Iterator[tuple[str, bytes]]:
    """Yield every parameter's name and bytes, to check whether training changed any."""
    for name, parameter in model.named_parameters():
        yield name, parameter.detach().contiguous().numpy().tobytes()
