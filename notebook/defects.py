"""What the notebook does that it does not mean to: each defect, as a thing to be passed.

The training loop is the benchmark's own. An architecture is given another optimizer,
penalty or net; the loop another order of batches; the score another mode.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmark.training.recipe import Architecture, plain_sgd


def stale_optimizer(architecture: Architecture) -> Architecture:
    """The optimizer holds the parameters of a model that was made before this one."""

    def optimizer(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
        of_another = [nn.Parameter(each.detach().clone()) for each in parameters]
        return plain_sgd(of_another, lr)

    return replace(architecture, optimizer=optimizer)


def added_penalty(architecture: Architecture) -> Architecture:
    """`loss + λ + Σp²`, where `loss + λ * Σp²` was meant; λ is .001."""

    def penalty(parameters: Iterable[nn.Parameter]) -> Tensor:
        return 0.001 + torch.stack([p.square().sum() for p in parameters]).sum()

    return replace(architecture, penalty=penalty)


def shared_block(architecture: Architecture) -> Architecture:
    """`n_blocks * [ResBlock()]`: one block, passed n_blocks times."""

    def net(n_classes: int, n_chans: int, n_blocks: int) -> nn.Module:
        model: Any = architecture.net(n_classes=n_classes, n_chans=n_chans, n_blocks=1)
        model.resblocks = nn.Sequential(*(n_blocks * [model.resblocks[0]]))
        return model

    return replace(architecture, net=net)


# The defects that an architecture has; the others are in how it is trained and scored.
OF_ARCHITECTURE: dict[str, Callable[[Architecture], Architecture]] = {
    each.__name__: each for each in (stale_optimizer, added_penalty, shared_block)
}


def fixed_order(
    n_images: int,
    batch_size: int,
    _generator: torch.Generator,
    device: torch.device,
) -> Callable[[], Iterable[Tensor]]:
    """An order for the loop: every epoch the images as they are stored, never shuffled."""
    return lambda: torch.arange(n_images, device=device).split(batch_size)


@torch.no_grad()
def predict_in_train_mode(model: nn.Module, images: Tensor, batch_size: int) -> Tensor:
    """The predicted class of each image, without `model.eval()`.

    Dropout is on, batch norm takes the statistics of each batch, and its running
    statistics move as it scores.
    """
    model.train()
    return torch.cat([model(batch).argmax(dim=1) for batch in images.split(batch_size)])


def without_flatten(model: nn.Sequential, images: Tensor) -> str:
    """What torch says where no nn.Flatten stands before the first nn.Linear."""
    layers = [each for each in model if not isinstance(each, nn.Flatten)]
    try:
        nn.Sequential(*layers)(images)
    except RuntimeError as error:
        return str(error)
    return ""


def parts(model: nn.Module) -> Iterator[tuple[str, bytes]]:
    """Every parameter's name and bytes, to tell whether training has moved any."""
    for name, parameter in model.named_parameters():
        yield name, parameter.detach().contiguous().numpy().tobytes()
