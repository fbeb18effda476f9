"""From an architecture's name and the params to everything its training needs."""

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
    """The chapter's optimizer. One fused step for all parameters, on every device."""
    return torch.optim.SGD(parameters, lr=lr, fused=True)


@dataclass(frozen=True)
class Architecture:
    """What a file of architectures/ defines, and the defaults for what it leaves out."""

    name: str
    file: str
    net: Callable[..., nn.Module]
    optimizer: Callable[..., torch.optim.Optimizer]
    loss: Loss
    penalty: Callable[..., Tensor] | None
    schedule: Callable[..., LRScheduler] | None


@dataclass(frozen=True)
class Recipe:
    """A model, and the optimizer, loss, penalty and schedule that train this very model."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    loss: Loss
    penalty: Callable[[], Tensor] | None
    schedule: LRScheduler | None = None


def find(name: str) -> Architecture:
    """The architecture of the file architectures/<name>.py. Raises UserError."""
    file = ARCHITECTURES / f"{name}.py"
    with explained(f"{file} is not valid Python: {{}}", SyntaxError):
        module = import_module(f"architectures.{name}")
    if not inspect.isclass(getattr(module, "Net", None)):
        raise UserError(f"{file} defines no class Net")
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
    """The architecture's net, initialized from torch's global generator."""
    return architecture.net(n_classes=n_classes, **taken_by(architecture.net, settings))


def n_parameters(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


def assemble(
    architecture: Architecture,
    n_classes: int,
    settings: Mapping[str, Any],
    lr: float,
    seed: int,
    device: torch.device | str = "cpu",
    steps: int = 1,
) -> Recipe:
    """Model and optimizer, made together so that they cannot be mismatched.

    Sets torch's global seed. The weights are drawn on the CPU, so they do not
    depend on the device. steps: all batches of all epochs, for the schedule.
    """
    torch.manual_seed(seed)
    model = build_model(architecture, n_classes, settings).to(device)
    parameters = list(model.parameters())
    penalty, schedule = architecture.penalty, architecture.schedule
    optimizer = architecture.optimizer(
        parameters, lr=lr, **taken_by(architecture.optimizer, settings)
    )
    return Recipe(
        model,
        optimizer,
        architecture.loss,
        partial(penalty, parameters, **taken_by(penalty, settings)) if penalty else None,
        schedule(optimizer, steps, **taken_by(schedule, settings)) if schedule else None,
    )


def taken_by(function: Callable[..., Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are arguments of `function`."""
    arguments = inspect.signature(function).parameters
    return {key: value for key, value in settings.items() if key in arguments}


def settings_of(params: Params, architecture: str) -> dict[str, Any]:
    """What an architecture's file takes: the sizes that sized_by names, and its own."""
    entry = params.architectures[architecture]
    sizes = {
        key: value
        for key, value in params.model.model_dump().items()
        if entry.sized_by in ("model", f"model.{key}")
    }
    return sizes | entry.settings


def training_of(params: Params, architecture: str) -> Train:
    """params.train with what the architecture's entry overrides."""
    overrides = params.architectures[architecture].overrides
    return params.train.model_copy(update=overrides)
