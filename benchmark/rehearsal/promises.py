"""Does a net keep the promises of the benchmark? Train it, and see."""

import math
import random
import tempfile
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from benchmark.rehearsal.parts import attributes_of
from benchmark.training import cell as training
from benchmark.training import recipe, state_dict
from benchmark.training.plan import Cell
from benchmark.training.recipe import Architecture

# Scores are equal up to rounding if they differ by no more than this share of the largest.
TOLERANCE = 1e-3


def broken_promise(cell: Cell, architecture: Architecture, steps: int) -> str:
    """Train, repeat, interrupt, save and load; say what is not as it should be."""
    once = training.fit(cell, steps=steps)
    random_numbers = torch.get_rng_state()
    model, images = once.setup.model, once.val_images
    scores = scores_of(model, images)
    if not same(scores, scores_of(model, images), tolerance=0):
        return (
            "in eval mode, the scores change from call to call"
            f"{because(model.eval(), images)}; use random numbers only if self.training, "
            "and keep everything else unchanged in eval mode"
        )
    if not same(scores[:1], scores_of(model, images[:1])):
        return (
            "in eval mode, the scores of an image depend on the rest of its batch; use "
            "running statistics, or normalize each image by itself"
        )
    if not same_training(once, training.fit(cell, steps=steps)):
        return (
            "trained twice with the same seed, it becomes two different models"
            f"{because(model.train(), images)}; take random numbers from torch, initialize "
            "all weights, and keep nothing in global variables"
        )
    resumed, is_complete = interrupted(cell, steps)
    if not is_complete:
        return (
            "its checkpoint cannot be loaded; the state of the optimizer and the schedule "
            "must consist of numbers and tensors"
        )
    if not same_training(once, resumed):
        return (
            "after an interruption, training does not continue as before"
            f"{because(model.train(), images)}; state that changes during training must be "
            "a parameter, a buffer, or in the optimizer's state_dict"
        )
    if counters := changing_numbers(resumed.setup.model.train(), images):
        return (
            f"each call changes {counters[0]}, which no checkpoint keeps; make it a buffer "
            "(register_buffer), or remove it"
        )
    n_classes = scores.shape[1]
    reloaded = reload(model, cell, architecture, n_classes)
    if not same(scores, scores_of(reloaded, images)):
        return (
            "a new net that loads the saved model gives different scores; what the scores "
            "depend on must be a parameter or a buffer"
        )
    training.fit(replace(cell, seed=cell.seed + 1), steps=steps)
    if torch.equal(random_numbers, torch.get_rng_state()):
        return "it sets torch's random seed, so all seeds would be alike; remove that line"
    return ""


@torch.no_grad()
def scores_of(model: nn.Module, images: Tensor) -> Tensor:
    return model.eval()(images).clone()


def same(first: Tensor, second: Tensor, tolerance: float = TOLERANCE) -> bool:
    largest = first.abs().max().item()
    atol = tolerance * largest if math.isfinite(largest) else 0.0
    return torch.allclose(first, second, rtol=0.0, atol=atol, equal_nan=True)


def same_training(first: training.TrainResult, second: training.TrainResult) -> bool:
    """Return whether two runs have the same losses, accuracies and models, bit by bit."""
    models = [state_dict.to_bytes(run.setup.model.state_dict()) for run in (first, second)]
    curves = [(run.losses, run.val_accuracies) for run in (first, second)]
    return models[0] == models[1] and curves[0] == curves[1]


def changing_numbers(model: nn.Module, images: Tensor) -> list[str]:
    """Return the attributes with a number that changes with each call."""

    def numbers() -> dict[str, object]:
        return {k: v for k, v in attributes_of(model).items() if isinstance(v, int | float)}

    before = numbers()
    with torch.no_grad():
        model(images)
    return [name for name, value in numbers().items() if before.get(name) != value]


def because(model: nn.Module, images: Tensor) -> str:
    """Name what a net changes when it is called; empty if nothing is found."""

    def visible() -> dict[str, str]:
        attributes = attributes_of(model)
        tensors = {k: v for k, v in attributes.items() if isinstance(v, Tensor)}
        everything: dict[str, object] = {
            "Python's random numbers": random.getstate(),
            "NumPy's random numbers": np.random.get_state(),
            **{k: v for k, v in attributes.items() if k not in tensors},
            "the images": images.sum(),
            **tensors,
        }
        if not model.training:
            everything["torch's random numbers"] = torch.get_rng_state().tolist()
        return {name: repr(value) for name, value in everything.items()}

    images = images.clone()
    before = visible()
    with torch.no_grad():
        model(images)
    changed = [name for name, value in visible().items() if before.get(name) != value]
    return f", because each call changes {changed[0]}" if changed else ""


class _InterruptionError(Exception):
    pass


def interrupted(cell: Cell, steps: int) -> tuple[training.TrainResult, bool]:
    """Train, interrupted after an epoch; return the result, and whether it was resumed."""

    def interrupt(_epoch: int, _loss: float) -> None:
        raise _InterruptionError

    trained: list[int] = []
    with tempfile.TemporaryDirectory() as folder:
        cell = replace(cell, stem=Path(folder) / "rehearsal-seed-0-here")
        with suppress(_InterruptionError):
            training.fit(cell, progress=interrupt, steps=steps)
        result = training.fit(
            cell, progress=lambda epoch, _loss: trained.append(epoch), steps=steps
        )
    return result, trained == list(range(2, cell.row.training.epochs + 1))


def reload(
    model: nn.Module, cell: Cell, architecture: Architecture, n_classes: int
) -> nn.Module:
    """Return a net that starts from other random numbers and loads the saved model."""
    content = state_dict.to_bytes(model.state_dict())
    torch.manual_seed(cell.seed + 1)
    reloaded = recipe.build_model(architecture, n_classes, cell.row.settings)
    state_dict.load(reloaded, content, cell.row.file)
    return reloaded.to(memory_format=torch.channels_last)
