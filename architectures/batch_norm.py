"""width, with batch normalization after each convolution (8.5.2)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self, n_classes: int, n_chans: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, n_chans, kernel_size=3, padding=1)
        self.conv1_batchnorm = nn.BatchNorm2d(n_chans)
        self.conv2 = nn.Conv2d(n_chans, n_chans // 2, kernel_size=3, padding=1)
        self.conv2_batchnorm = nn.BatchNorm2d(n_chans // 2)
        self.fc1 = nn.Linear(n_chans // 2 * 8 * 8, 32)
        self.fc2 = nn.Linear(32, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images, N×3×32×32, to logits, N×n_classes."""
        out = self.conv1_batchnorm(self.conv1(images))
        out = torch.tanh(F.max_pool2d(out, 2))
        out = self.conv2_batchnorm(self.conv2(out))
        out = torch.tanh(F.max_pool2d(out, 2))
        out = torch.tanh(self.fc1(out.flatten(1)))
        return self.fc2(out)
