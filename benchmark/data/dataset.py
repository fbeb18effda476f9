"""data/cifar2.pt, the tensors that the filter stage writes and training reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

CIFAR2 = Path("data/cifar2.pt")


@dataclass(frozen=True)
class Dataset:
    """Images, N×3×32×32, uint8; labels, N, int64, counted from 0; and the normalization.

    mean, std: three numbers, for red, green and blue, on the scale from 0 to 1.
    """

    class_names: list[str]
    train_images: Tensor
    train_labels: Tensor
    val_images: Tensor
    val_labels: Tensor
    mean: list[float]
    std: list[float]

    def normalized(self, images: Tensor) -> Tensor:
        return normalize(images, self.mean, self.std)


def load(mean: list[float], std: list[float]) -> Dataset:
    """Read data/cifar2.pt."""
    return Dataset(**torch.load(CIFAR2, weights_only=True), mean=mean, std=std)


def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Normalize uint8 images, N×3×32×32, to float32, bit for bit as torchvision does."""
    scaled = images.float().div_(255)
    return scaled.sub_(_per_channel(mean)).div_(_per_channel(std))


def _per_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(3, 1, 1)
