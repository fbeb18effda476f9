"""baseline, with an L1 penalty, λ·Σ|w| over all weights (8.5.2).

L2 shrinks large weights most; L1 pushes every weight towards zero by the same amount. The
net is the baseline written with one module per step (8.3.1).
"""

from collections.abc import Iterable
from typing import Annotated

import torch
from annotated_types import Interval
from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, kernel_size=3, padding=1)
        self.pool1 = nn.MaxPool2d(2)
        self.act1 = nn.Tanh()
        self.conv2 = nn.Conv2d(16, 8, kernel_size=3, padding=1)
        self.pool2 = nn.MaxPool2d(2)
        self.act2 = nn.Tanh()
        self.fc1 = nn.Linear(8 * 8 * 8, 32)
        self.act3 = nn.Tanh()
        self.fc2 = nn.Linear(32, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images, N×3×32×32, to logits, N×n_classes."""
        out = self.act1(self.pool1(self.conv1(images)))
        out = self.act2(self.pool2(self.conv2(out)))
        out = self.act3(self.fc1(out.flatten(1)))
        return self.fc2(out)


def penalty(
    parameters: Iterable[nn.Parameter],
    l1_lambda: Annotated[float, Interval(ge=0, le=1)],
) -> Tensor:
    """Return l1_lambda·Σ|w|, a scalar that is added to the loss of each batch."""
    return l1_lambda * torch.stack([p.abs().sum() for p in parameters]).sum()
