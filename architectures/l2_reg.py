"""baseline, with an L2 penalty, λ·Σw² over all weights (8.5.2).

The gradient of λ·w² is 2λ·w. SGD with a weight decay of 2λ adds it directly, so autograd
need not compute it. The net is the baseline written as nn.Sequential (8.2.4).
"""

from collections.abc import Iterable
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, kernel_size=3, padding=1),
            nn.MaxPool2d(2),
            nn.Tanh(),
            nn.Conv2d(16, 8, kernel_size=3, padding=1),
            nn.MaxPool2d(2),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(8 * 8 * 8, 32),
            nn.Tanh(),
            nn.Linear(32, n_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images, N×3×32×32, to logits, N×n_classes."""
        return self.layers(images)


def optimizer(
    parameters: Iterable[nn.Parameter],
    lr: float,
    l2_lambda: Annotated[float, Interval(ge=0, le=1)],
) -> torch.optim.Optimizer:
    """Return an SGD optimizer whose weight decay adds the gradient of l2_lambda·Σw²."""
    return torch.optim.SGD(parameters, lr=lr, weight_decay=2 * l2_lambda, fused=True)
