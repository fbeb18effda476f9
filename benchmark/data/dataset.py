"""data/cifar2.pt, the tensors that the filter stage writes, and how they are split."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmark.running.errors import UserError

CIFAR2 = Path("data/cifar2.pt")
# Determines which training images are in which fold, and which are held out.
SPLIT_SEED = 0
# With fewer folds, it is too uncertain how much nets differ between folds.
MIN_FOLDS = 3


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


@dataclass(frozen=True)
class Split:
    """The images that a seed is trained on, and those that it is tested on.

    examples: the number of each tested image. The official test images come first, from 0;
    the training images follow. fold: the fold of the tested images, of n_folds, or None.
    """

    train_images: Tensor
    train_labels: Tensor
    val_images: Tensor
    val_labels: Tensor
    examples: Tensor
    fold: int | None = None
    n_folds: int | None = None


def load(mean: list[float], std: list[float]) -> Dataset:
    """Read data/cifar2.pt."""
    return Dataset(**torch.load(CIFAR2, weights_only=True), mean=mean, std=std)


def split(data: Dataset, kind: str, seed: int, holdout: float = 0.0) -> Split:
    """Return the images for a seed. Raises UserError if there are too few.

    kind: official, or folds. With folds, seed k is tested on fold k (modulo the number of
    folds) and trained on all other images. holdout: if it is above 0, every seed is tested
    on this share of the training images and trained on the rest. The test images are then
    not used at all.
    """
    if holdout:
        held_out = _hold_out(data.train_labels, holdout)
        not_used = torch.zeros(len(data.val_labels), dtype=torch.bool)
        return _select(
            data, torch.cat([not_used, ~held_out]), torch.cat([not_used, held_out])
        )
    if kind == "folds":
        folds = folds_of(data.train_labels, data.val_labels)
        n_folds = int(folds.max()) + 1
        fold = seed % n_folds
        return _select(data, folds != fold, folds == fold, fold, n_folds)
    return Split(
        data.train_images,
        data.train_labels,
        data.val_images,
        data.val_labels,
        torch.arange(len(data.val_labels)),
    )


def folds_of(train_labels: Tensor, val_labels: Tensor) -> Tensor:
    """Assign images to folds: first the test images, which are fold 0, then the others.

    Every fold has as many images of each class as the test images. A remainder of the
    training images is in no fold, which is -1: they are never tested. Raises UserError if
    there are too few images for three folds.
    """
    sizes = val_labels.bincount(minlength=int(train_labels.max()) + 1)
    n_folds = 1 + int((train_labels.bincount(minlength=len(sizes)) // sizes).min())
    if n_folds < MIN_FOLDS:
        raise UserError(
            f"split: folds needs {MIN_FOLDS - 1} training images per test image, but there "
            f"are only {len(train_labels)} for {len(val_labels)}; use split: official"
        )
    folds = torch.full((len(val_labels) + len(train_labels),), -1)
    folds[: len(val_labels)] = 0
    for label, indices in enumerate(_shuffled_by_class(train_labels)):
        size = int(sizes[label])
        for fold in range(1, n_folds):
            folds[len(val_labels) + indices[(fold - 1) * size : fold * size]] = fold
    return folds


def _hold_out(labels: Tensor, share: float) -> Tensor:
    """Return which images are held out: this share of each class, at least one image."""
    held_out = torch.zeros(len(labels), dtype=torch.bool)
    for indices in _shuffled_by_class(labels):
        n_held_out = max(1, round(share * len(indices)))
        if n_held_out == len(indices):
            raise UserError(
                f"data.holdout: {share} of {len(indices)} images of a class leaves none to "
                "train on; use a smaller share"
            )
        held_out[indices[:n_held_out]] = True
    return held_out


def _shuffled_by_class(labels: Tensor) -> list[Tensor]:
    """Return the indices of each class, in random order."""
    generator = torch.Generator().manual_seed(SPLIT_SEED)
    by_class = [(labels == c).nonzero().flatten() for c in range(int(labels.max()) + 1)]
    return [
        indices[torch.randperm(len(indices), generator=generator)] for indices in by_class
    ]


def _select(
    data: Dataset,
    train: Tensor,
    test: Tensor,
    fold: int | None = None,
    n_folds: int | None = None,
) -> Split:
    """train, test: booleans, for the test images and then the training images."""
    images = torch.cat([data.val_images, data.train_images])
    labels = torch.cat([data.val_labels, data.train_labels])
    return Split(
        images[train],
        labels[train],
        images[test],
        labels[test],
        test.nonzero().flatten(),
        fold,
        n_folds,
    )


def normalize(images: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Normalize uint8 images, N×3×32×32, to float32, bit for bit as torchvision does."""
    scaled = images.float().div_(255)
    return scaled.sub_(_per_channel(mean)).div_(_per_channel(std))


def _per_channel(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(3, 1, 1)
