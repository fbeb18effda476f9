"""Which parts of a training run can the training loop not use?"""

import inspect

from torch import Tensor, nn
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from benchmark.training import recipe
from benchmark.training.plan import Cell
from benchmark.training.recipe import Architecture


def unusable_parts(cell: Cell, architecture: Architecture, steps: int) -> str:
    """Build everything for the training; say which part the training loop cannot use."""
    dataset = cell.data
    assert dataset
    n_classes = len(dataset.class_names)
    settings = cell.row.settings
    net = recipe.build_model(architecture, n_classes, settings)
    if not recipe.n_parameters(net):
        return "the net has no parameters to train"
    if lists := plain_lists(net):
        return (
            f"{lists[0]} is a plain list or dict of layers, which PyTorch does not see; "
            "use nn.ModuleList or nn.ModuleDict"
        )
    setup = recipe.build_training(
        architecture, n_classes, settings, cell.row.training, cell.seed, steps=steps
    )
    if not all(p.isfinite().all() for p in setup.model.parameters()):
        return "some weights are not finite numbers before training; initialize all of them"
    saved = {name: value.shape for name, value in tensors_of(setup.model).items()}
    images = dataset.normalized(dataset.val_images)
    scores = setup.model(images)
    shape = (len(images), n_classes)
    if not isinstance(scores, Tensor) or scores.shape != shape:
        returned = (
            f"of shape {tuple(scores.shape)}"
            if isinstance(scores, Tensor)
            else f"of type {type(scores).__name__}"
        )
        return (
            f"for {len(images)} images, the net returns a result {returned}; it must be a "
            f"tensor of shape {shape}, one score per class"
        )
    numbers = {"loss": setup.loss_fn(scores.float(), dataset.val_labels)}
    if setup.penalty:
        numbers["penalty"] = setup.penalty()
    for name, number in numbers.items():
        if not isinstance(number, Tensor) or number.numel() != 1:
            returned = (
                f"shape {tuple(number.shape)}"
                if isinstance(number, Tensor)
                else type(number).__name__
            )
            return f"{name} returns {returned}; it must return a tensor with one number"
    if not numbers["loss"].requires_grad:
        return (
            "the loss has no gradient; it must depend on the net's parameters through "
            "differentiable operations"
        )
    for name, part in {
        "optimizer": setup.optimizer,
        "schedule": setup.lr_scheduler,
    }.items():
        if part and needs_arguments(part):
            return (
                f"{name}: {type(part).__name__}.step() needs arguments, which the training "
                f"loop does not have; choose another {name}"
            )
    if len(tensors_of(setup.model)) < len(setup.model.state_dict()):
        return "get_extra_state: only tensors are saved with a model; use register_buffer"
    now = {name: value.shape for name, value in tensors_of(setup.model).items()}
    if changed := sorted(name for name, _ in now.items() ^ saved.items()):
        return f"forward creates or resizes {changed[0]}; create all layers in __init__"
    return ""


def tensors_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the tensors in a model's state dict."""
    state = model.state_dict()
    return {name: value for name, value in state.items() if isinstance(value, Tensor)}


def plain_lists(net: nn.Module) -> list[str]:
    """Return the attributes that hold layers which are not part of the net."""
    known = set(net.modules())

    def holds_unknown(value: object) -> bool:
        if isinstance(value, dict):
            value = list(value.values())
        if isinstance(value, list | tuple):
            return any(map(holds_unknown, value))
        return isinstance(value, nn.Module) and value not in known

    return [name for name, value in attributes_of(net).items() if holds_unknown(value)]


def attributes_of(net: nn.Module) -> dict[str, object]:
    """Return the public attributes of all modules, but not their weights and buffers."""
    return {
        ".".join(["self", *filter(None, [path, key])]): value
        for path, module in net.named_modules()
        for key, value in vars(module).items()
        if not key.startswith("_")
    }


def needs_arguments(part: Optimizer | LRScheduler) -> bool:
    """Return whether its step() cannot be called without arguments."""
    # Of the class: a schedule replaces the method of its optimizer.
    _, *arguments = inspect.signature(type(part).step).parameters.values()
    positional = (
        inspect.Parameter.POSITIONAL_ONLY,
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
    )
    return any(a.default is a.empty and a.kind in positional for a in arguments)
