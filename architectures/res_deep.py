"""Many residual blocks (skip connections) with batch norm (8.5.3)."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class ResBlock(nn.Module):
    """Convolution, batch norm and ReLU; the input is added to the result."""

    def __init__(self, n_chans: int) -> None:
        super().__init__()
        # Batch norm subtracts the mean, so a bias would have no effect.
        self.conv = nn.Conv2d(n_chans, n_chans, kernel_size=3, padding=1, bias=False)
        self.batch_norm = nn.BatchNorm2d(n_chans)
        nn.init.kaiming_normal_(self.conv.weight, nonlinearity="relu")
        nn.init.constant_(self.batch_norm.weight, 0.5)
        nn.init.zeros_(self.batch_norm.bias)

    def forward(self, features: Tensor) -> Tensor:
        return torch.relu(self.batch_norm(self.conv(features))) + features


class Net(nn.Module):
    def __init__(self, n_classes: int, n_chans: int, n_blocks: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, n_chans, kernel_size=3, padding=1)
        self.resblocks = nn.Sequential(*(ResBlock(n_chans) for _ in range(n_blocks)))
        self.fc1 = nn.Linear(n_chans * 8 * 8, 32)
        self.fc2 = nn.Linear(32, n_classes)

    def forward(self, images: Tensor) -> Tensor:
        """Map images, N×3×32×32, to logits, N×n_classes."""
        out = torch.relu(F.max_pool2d(self.conv1(images), 2))
        out = F.max_pool2d(self.resblocks(out), 2)
        out = torch.relu(self.fc1(out.flatten(1)))
        return self.fc2(out)
