"""width, with dropout: training zeroes channels at random (8.5.2)."""

from typing import Annotated

import torch
import torch.nn.functional as F
from annotated_types import Interval
from torch import Tensor, nn


class Net(nn.Module):
    def __init__(
        self, n_classes: int, n_chans: int, p: Annotated[float, Interval(ge=0, lt=1)] = 0.4
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, n_chans, kernel_size=3, padding=1)
        self.conv1_dropout = nn.Dropout2d(p)
        self.conv2 = nn.Conv2d(n_chans, n_chans // 2, kernel_size=3, padding=1)
        self.conv2_dropout = nn.Dropout2d(p)
        self.fc1 = nn.Linear(n_chans // 2 * 8 * 8, 32)
        self.fc2 = nn.Linear(32, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images, N×3×32×32, to logits, N×n_classes."""
        out = self.conv1_dropout(torch.tanh(F.max_pool2d(self.conv1(images), 2)))
        out = self.conv2_dropout(torch.tanh(F.max_pool2d(self.conv2(out), 2)))
        out = torch.tanh(self.fc1(out.flatten(1)))
        return self.fc2(out)
