"""Pool before a monotone activation: the same numbers for a quarter of the activations.

tanh and ReLU never change the order of two numbers, so the largest activation is
the activation of the largest number: max_pool2d(tanh(x)) = tanh(max_pool2d(x)).
The chapter pools last, and so do the files in architectures/; `PoolFirst` exchanges
the two while a net trains.
"""

from collections.abc import Callable
from typing import Any, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_map_only

MONOTONE = (torch.tanh, Tensor.tanh, torch.relu, Tensor.relu, F.relu)
POOLINGS = (F.max_pool2d, torch.max_pool2d)

Function = Callable[..., Any]


class PoolFirst(nn.Module):
    """`model` with every activation that a pooling follows done after the pooling.

    Its parameters and modules are those of `model`. Values and gradients are the
    same to the bit, but for windows whose largest numbers differ and have the same
    tanh in float32: there the gradient goes to the larger one, not to the first.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor) -> Tensor:
        with _DeferActivations():
            output = self.model(images)
        return _computed(output)


class _DeferActivations(TorchFunctionMode):
    """Puts off every monotone activation until it is known what comes next."""

    def __torch_function__(
        self,
        func: Function,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in MONOTONE and len(args) == 1 and not any(kwargs.values()):
            return _Activation.of(func, _computed(args[0]))
        return func(*args, **kwargs)


class _Activation(Tensor):
    """`function(source)`, not computed until something but a pooling wants it."""

    function: Function
    source: Tensor
    version: int
    value: Tensor | None

    @classmethod
    def of(cls, function: Function, source: Tensor) -> Self:
        activation = source.as_subclass(cls)
        activation.function, activation.source, activation.value = function, source, None
        activation.version = source._version
        return activation

    def unchanged_source(self) -> Tensor:
        if self.source._version != self.version:
            raise RuntimeError(
                f"the input of {self.function.__name__} was changed in place after it; "
                "use an operation that makes a new tensor"
            )
        return self.source

    @classmethod
    def __torch_function__(
        cls,
        func: Function,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in POOLINGS and isinstance(args[0], cls) and args[0].value is None:
            before = args[0]
            return before.function(func(before.unchanged_source(), *args[1:], **kwargs))
        return func(*_computed(args), **_computed(kwargs))


def _computed(values: Any) -> Any:
    """`values` with every activation in it computed, once."""
    return tree_map_only(_Activation, _compute, values)


def _compute(activation: _Activation) -> Tensor:
    if activation.value is None:
        activation.value = activation.function(activation.unchanged_source())
    return activation.value
