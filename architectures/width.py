"""baseline, with more channels per convolution (8.5.1)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self, n_classes: int, n_chans: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, n_chans, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(n_chans, n_chans // 2, kernel_size=3, padding=1)
        self.fc1 = nn.Linear(n_chans // 2 * 8 * 8, 32)
        self.fc2 = nn.Linear(32, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images, N×3×32×32, to logits, N×n_classes."""
        out = torch.tanh(F.max_pool2d(self.conv1(images), 2))
        out = torch.tanh(F.max_pool2d(self.conv2(out), 2))
        out = torch.tanh(self.fc1(out.flatten(1)))
        return self.fc2(out)
