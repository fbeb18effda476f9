"""Random changes to the training images: flips, shifted crops, cutout."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

Augment = Callable[[Tensor], Tensor]


def augmentation(
    flip: bool, crop: int, cutout: int, generator: torch.Generator
) -> Augment | None:
    """Return a function that changes a batch of images, N×C×H×W, or None if nothing is on.

    flip: mirror every second image, on average. crop: shift each image by up to this many
    pixels in each direction; the border is a reflection of the image. cutout: set a square
    of this many pixels to 0, which is the mean colour of normalized images; the square's
    centre can be anywhere (DeVries and Taylor, arXiv 1708.04552).
    generator: a CPU generator, so that the random numbers are the same on every device.
    """
    if not (flip or crop or cutout):
        return None

    def augment(images: Tensor) -> Tensor:
        if flip:
            images = _flip(images, generator)
        if crop:
            images = _shift(images, crop, generator)
        if cutout:
            images = _cut_out(images, cutout, generator)
        # Convolutions are faster if the channels come last in memory.
        return images.contiguous(memory_format=torch.channels_last)

    return augment


def _flip(images: Tensor, generator: torch.Generator) -> Tensor:
    is_mirrored = torch.rand(len(images), 1, 1, 1, generator=generator) < 0.5
    return torch.where(is_mirrored.to(images.device), images.flip(3), images)


def _shift(images: Tensor, limit: int, generator: torch.Generator) -> Tensor:
    n, _, height, width = images.shape
    offsets = torch.randint(2 * limit + 1, (2, n, 1), generator=generator).to(images.device)
    rows = (offsets[0] + torch.arange(height, device=images.device))[:, :, None]
    columns = (offsets[1] + torch.arange(width, device=images.device))[:, None, :]
    padded = F.pad(images, (limit,) * 4, mode="reflect").permute(0, 2, 3, 1)
    image = torch.arange(n, device=images.device)[:, None, None]
    return padded[image, rows, columns].permute(0, 3, 1, 2)


def _cut_out(images: Tensor, side: int, generator: torch.Generator) -> Tensor:
    n, _, height, width = images.shape
    is_cut = torch.ones(n, 1, 1, dtype=torch.bool, device=images.device)
    for size, shape in ((height, (n, height, 1)), (width, (n, 1, width))):
        centre = torch.randint(size, (n, 1), generator=generator).to(images.device)
        first = centre - side // 2
        position = torch.arange(size, device=images.device)
        is_cut = is_cut & ((position >= first) & (position < first + side)).view(shape)
    return images.masked_fill(is_cut[:, None], 0.0)
