"""Load a net by its name, and build everything that its training needs."""

import inspect
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.optim.lr_scheduler import LambdaLR, LRScheduler

from benchmark.params import ARCHITECTURES, Recipe
from benchmark.running.errors import UserError, explained

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Architecture:
    """The definitions in an architecture's file. All but the net are optional."""

    name: str
    file: str
    net: Callable[..., nn.Module]
    optimizer: Callable[..., torch.optim.Optimizer] | None = None
    loss: Loss | None = None
    penalty: Callable[..., Tensor] | None = None
    schedule: Callable[..., LRScheduler] | None = None


# The fields of a recipe that a definition in an architecture's file replaces.
REPLACES = {
    "optimizer": ("momentum", "nesterov", "weight_decay", "l2_lambda"),
    "loss": ("label_smoothing",),
    "penalty": ("l1_lambda",),
    "schedule": ("schedule", "warmup"),
}


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
    own = {kind: getattr(module, kind, None) for kind in REPLACES}
    return Architecture(name, str(module.__file__), module.Net, **own)


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
    recipe: Recipe,
    seed: int,
    device: torch.device | str = "cpu",
    steps: int = 1,
) -> TrainingSetup:
    """Build model and optimizer together, so that the optimizer has the right weights.

    Sets torch's global seed. The weights are initialized on the CPU, so they do not depend
    on the device. steps: the number of batches in all epochs, for the schedule. What the
    architecture's file defines replaces the recipe's (REPLACES).
    """
    torch.manual_seed(seed)
    model = build_model(architecture, n_classes, settings).to(device)
    parameters = list(model.parameters())
    if architecture.optimizer:
        own = accepted_kwargs(architecture.optimizer, settings)
        optimizer = architecture.optimizer(parameters, lr=recipe.lr, **own)
    else:
        optimizer = sgd(parameters, recipe)
    schedule = architecture.schedule
    return TrainingSetup(
        model,
        optimizer,
        architecture.loss or _cross_entropy(recipe.label_smoothing),
        _penalty(architecture, parameters, settings, recipe.l1_lambda),
        schedule(optimizer, steps, **accepted_kwargs(schedule, settings))
        if schedule
        else _schedule(optimizer, recipe, steps),
    )


def sgd(parameters: Iterable[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    """Return the optimizer of the recipe. Fused: one kernel updates all weights.

    The gradient of λ·w² is 2λ·w, so the L2 penalty is a weight decay of 2λ, which autograd
    need not compute.
    """
    parameters = list(parameters)
    optimizer = torch.optim.SGD(
        parameters,
        lr=recipe.lr,
        momentum=recipe.momentum,
        nesterov=recipe.nesterov,
        weight_decay=recipe.weight_decay + 2 * recipe.l2_lambda,
        fused=not any(parameter.is_complex() for parameter in parameters),
    )
    if recipe.momentum:
        optimizer.register_step_pre_hook(_start_late_momentum)
    return optimizer


def _start_late_momentum(optimizer: torch.optim.Optimizer, *_: object) -> None:
    """Let weights get their first gradient after others, which the fused SGD cannot do."""
    weights = [p for g in optimizer.param_groups for p in g["params"] if p.grad is not None]
    new = [p for p in weights if "momentum_buffer" not in optimizer.state[p]]
    if len(new) < len(weights):
        for weight in new:
            optimizer.state[weight]["momentum_buffer"] = torch.zeros_like(weight.grad)


def _cross_entropy(label_smoothing: float) -> Loss:
    if not label_smoothing:
        return cross_entropy
    return partial(cross_entropy, label_smoothing=label_smoothing)


def _penalty(
    architecture: Architecture,
    parameters: list[nn.Parameter],
    settings: Mapping[str, Any],
    l1_lambda: float,
) -> Callable[[], Tensor] | None:
    own = architecture.penalty
    if own:
        return partial(own, parameters, **accepted_kwargs(own, settings))
    return partial(l1_penalty, parameters, l1_lambda) if l1_lambda else None


def l1_penalty(parameters: Iterable[nn.Parameter], l1_lambda: float) -> Tensor:
    """Return l1_lambda·Σ|w|, a scalar that is added to the loss of each batch."""
    return l1_lambda * torch.stack([p.abs().sum() for p in parameters]).sum()


def _schedule(
    optimizer: torch.optim.Optimizer, recipe: Recipe, steps: int
) -> LRScheduler | None:
    if recipe.schedule == "constant" and not recipe.warmup:
        return None
    return LambdaLR(optimizer, partial(lr_factor, recipe.schedule, recipe.warmup, steps))


def lr_factor(schedule: str, warmup: float, steps: int, step: int) -> float:
    """Return what the learning rate is multiplied by in a step, counted from 0.

    During the first `warmup` (a share) of the steps, it rises linearly to 1. After that it
    stays 1 (constant) or falls to 0, which it reaches after the last step.
    """
    n_warmup = round(warmup * steps)
    if step < n_warmup:
        return (step + 1) / (n_warmup + 1)
    done = min(1.0, (step - n_warmup) / max(1, steps - n_warmup))
    factors = {"linear": 1 - done, "cosine": (1 + math.cos(math.pi * done)) / 2}
    return factors.get(schedule, 1.0)


def accepted_kwargs(
    function: Callable[..., Any], settings: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the settings that `function` takes as arguments."""
    arguments = inspect.signature(function).parameters
    return {key: value for key, value in settings.items() if key in arguments}
