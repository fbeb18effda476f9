"""depth, with a skip connection around its third convolution (8.5.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self, n_classes: int, n_chans: int) -> None:
        super().__init__()
        half = n_chans // 2
        self.conv1 = nn.Conv2d(3, n_chans, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(n_chans, half, kernel_size=3, padding=1)
        self.conv3 = nn.Conv2d(half, half, kernel_size=3, padding=1)
        self.fc1 = nn.Linear(half * 4 * 4, 32)
        self.fc2 = nn.Linear(32, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images, N×3×32×32, to logits, N×n_classes."""
        out = torch.relu(F.max_pool2d(self.conv1(images), 2))
        out = torch.relu(F.max_pool2d(self.conv2(out), 2))
        out = F.max_pool2d(torch.relu(self.conv3(out)) + out, 2)
        out = torch.relu(self.fc1(out.flatten(1)))
        return self.fc2(out)
