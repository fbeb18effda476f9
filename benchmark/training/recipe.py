"""Load a net by its name, and build everything that its training needs."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LRScheduler

from benchmark.params import ARCHITECTURES, Params, Train
from benchmark.running.errors import UserError, explained

Loss = Callable[[Tensor, Tensor], Tensor]


def plain_sgd(parameters: Iterable[nn.Parameter], lr: float) -> torch.optim.Optimizer:
    """Return the book's optimizer. Fused: one kernel updates all weights."""
    return torch.optim.SGD(parameters, lr=lr, fused=True)


@dataclass(frozen=True)
class Architecture:
    """The definitions in an architecture's file, with defaults for the optional ones."""

    name: str
    file: str
    net: Callable[..., nn.Module]
    optimizer: Callable[..., torch.optim.Optimizer]
    loss: Loss
    penalty: Callable[..., Tensor] | None
    schedule: Callable[..., LRScheduler] | None


@dataclass(frozen=True)
class TrainingSetup:
    """A model with the optimizer, loss, penalty and scheduler that train it."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss_fn: Loss
    penalty: Callable[[], Tensor] | None
    lr_scheduler: LRScheduler | None = None


def load_architecture(name: str) -> Architecture:
    """Import architectures/<name>.py. Raises UserError if it has no Net or bad syntax."""
    file = ARCHITECTURES / f"{name}.py"
    with explained(f"{file} is not valid Python: {{}}", SyntaxError):
        module = import_module(f"architectures.{name}")
    if not inspect.isclass(getattr(module, "Net", None)):
        raise UserError(f"{file} does not define a class Net")
    return Architecture(
        name,
        file=str(module.__file__),
        net=module.Net,
        optimizer=getattr(module, "optimizer", plain_sgd),
        loss=getattr(module, "loss", cross_entropy),
        penalty=getattr(module, "penalty", None),
        schedule=getattr(module, "schedule", None),
    )


def build_model(
    architecture: Architecture, n_classes: int, settings: Mapping[str, Any]
) -> nn.Module:
    """Build the net. Its weights come from torch's global random generator."""
    return architecture.net(
        n_classes=n_classes, **accepted_kwargs(architecture.net, settings)
    )


def n_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def build_training(
    architecture: Architecture,
    n_classes: int,
    settings: Mapping[str, Any],
    lr: float,
    seed: int,
    device: torch.device | str = "cpu",
    steps: int = 1,
) -> TrainingSetup:
    """Build model and optimizer together, so that the optimizer has the right weights.

    Sets torch's global seed. The weights are initialized on the CPU, so they do not depend
    on the device. steps: the number of batches in all epochs, for the schedule.
    """
    torch.manual_seed(seed)
    model = build_model(architecture, n_classes, settings).to(device)
    parameters = list(model.parameters())
    penalty, schedule = architecture.penalty, architecture.schedule
    optimizer = architecture.optimizer(
        parameters, lr=lr, **accepted_kwargs(architecture.optimizer, settings)
    )
    return TrainingSetup(
        model,
        optimizer,
        architecture.loss,
        partial(penalty, parameters, **accepted_kwargs(penalty, settings))
        if penalty
        else None,
        schedule(optimizer, steps, **accepted_kwargs(schedule, settings))
        if schedule
        else None,
    )


def accepted_kwargs(
    function: Callable[..., Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings that `function` takes as arguments."""
    arguments = inspect.signature(function).parameters
    return {key: value for key, value in settings.items() if key in arguments}


def settings_of(params: Params, architecture: str) -> dict[str, Any]:
    """Return a net's settings: the sizes that sized_by selects, and those in its entry."""
    entry = params.architectures[architecture]
    sizes = {
        key: value
        for key, value in params.model.model_dump().items()
        if entry.sized_by in ("model", f"model.{key}")
    }
    return sizes | entry.settings


def training_of(params: Params, architecture: str) -> Train:
    """Return params.train with the overrides from the architecture's entry applied."""
    overrides = params.architectures[architecture].overrides
    return params.train.model_copy(update=overrides)
