"""One training step. A step that is captured on a GPU would replace this function."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

Step = Callable[[Tensor, Tensor], Tensor]


def make_step(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_fn: Callable[[Tensor, Tensor], Tensor],
    penalty: Callable[[], Tensor] | None = None,
    precision: Literal["fp32", "bf16"] = "fp32",
) -> Step:
    """Return a function that updates the model once and returns the loss of the batch.

    It takes images, B×3×32×32, and labels, B, and returns a scalar without a gradient,
    without the penalty. See loop.train for the arguments.
    """
    in_bf16 = precision == "bf16"

    def step(images: Tensor, labels: Tensor) -> Tensor:
        with torch.autocast(images.device.type, torch.bfloat16, enabled=in_bf16):
            outputs = model(images)
        loss = loss_fn(outputs.float(), labels)
        objective = loss if penalty is None else loss + penalty()
        optimizer.zero_grad()
        objective.backward()
        optimizer.step()
        return loss.detach()

    return step
