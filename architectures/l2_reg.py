"""The baseline held by an L2 penalty, λ·Σp² over all parameters (8.5.2).

The gradient of λ·p² is 2λ·p, which is what SGD's weight decay of 2λ adds: the
same steps, with no work for automatic differentiation. The net is the
baseline's in its first form, nn.Sequential with Flatten (8.2.4).
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
        """Logits, N×n_classes, of images N×3×32×32."""
        return self.layers(images)


def optimizer(
    parameters: Iterable[nn.Parameter],
    lr: float,
    l2_lambda: Annotated[float, Interval(ge=0, le=1)],
) -> torch.optim.Optimizer:
    """SGD whose weight decay is the gradient of l2_lambda·Σp²."""
    return torch.optim.SGD(parameters, lr=lr, weight_decay=2 * l2_lambda, fused=True)
