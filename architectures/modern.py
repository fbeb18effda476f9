"""Seven convolutions with batch norm and GELU, three of them with a skip connection."""

from itertools import pairwise

import torch.nn.functional as F
from torch import Tensor, nn


class Unit(nn.Module):
    """Convolution, batch norm and GELU; `pool` also halves the width and height."""

    def __init__(self, in_chans: int, out_chans: int, pool: bool = False) -> None:
        super().__init__()
        # Batch norm subtracts the mean, so a bias would have no effect.
        self.conv = nn.Conv2d(in_chans, out_chans, kernel_size=3, padding=1, bias=False)
        self.batch_norm = nn.BatchNorm2d(out_chans)
        self.pool = pool

    def forward(self, features: Tensor) -> Tensor:
        out = self.conv(features)
        if self.pool:
            out = F.max_pool2d(out, 2)
        return F.gelu(self.batch_norm(out))


class Net(nn.Module):
    """The net of our own recipe.

    n_chans: channels of the second and third convolution. The first has half as many, the
    next two have twice as many, the last two four times as many. skip: whether each
    convolution that keeps the size, except the first, has a skip connection.
    """

    def __init__(self, n_classes: int, n_chans: int, skip: bool = True) -> None:
        super().__init__()
        # At full size, each channel is expensive.
        widths = (n_chans // 2, n_chans, 2 * n_chans, 4 * n_chans)
        self.first = Unit(3, widths[0])
        self.halving = nn.ModuleList(
            Unit(before, after, pool=True) for before, after in pairwise(widths)
        )
        self.keeping = nn.ModuleList(Unit(width, width) for width in widths[1:])
        self.fc = nn.Linear(widths[-1], n_classes)
        self.skip = skip

    def forward(self, images: Tensor) -> Tensor:
        """Map images, N×3×32×32, to logits, N×n_classes."""
        out = self.first(images)
        for halve, keep in zip(self.halving, self.keeping, strict=True):
            out = halve(out)
            out = keep(out) + out if self.skip else keep(out)
        # Not mean(): its gradient is not in channels-last order, and slows earlier layers.
        return self.fc(F.avg_pool2d(out, 4).flatten(1))
