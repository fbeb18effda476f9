"""Keep the chosen classes of CIFAR-10, as tensors, in data/cifar2.pt."""

import io
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmark import params
from benchmark.data import cifar10
from benchmark.data.dataset import CIFAR2
from benchmark.running import errors, stage


def main() -> None:
    data = params.load().data
    official = data.source == "cifar10"
    class_names = cifar10.read_class_names(read(cifar10.META_FILE, official))
    labels = [class_names.index(name) for name in data.classes]
    train_images, train_labels = select(cifar10.TRAIN_FILES, labels, official)
    val_images, val_labels = select(cifar10.VAL_FILES, labels, official)
    for split, found in (("training", train_labels), ("validation", val_labels)):
        for label, name in enumerate(data.classes):
            if label not in found:
                raise errors.UserError(f"{cifar10.FOLDER}: no {split} image of a {name}")

    buffer = io.BytesIO()
    torch.save(
        {
            "class_names": list(data.classes),
            "train_images": train_images,
            "train_labels": train_labels,
            "val_images": val_images,
            "val_labels": val_labels,
        },
        buffer,
    )
    stage.write(CIFAR2, buffer.getvalue())
    print(f"{CIFAR2}: {len(train_labels):,} + {len(val_labels):,} images", end=" ")
    print(f"of {', '.join(data.classes)}")


def read(name: str, official: bool) -> bytes:
    """The file's bytes; with `official`, only where their MD5 is the published one."""
    path: Path = cifar10.FOLDER / name
    with errors.explained(
        f"{path}: cannot be read ({{}}); bring it with `dvc repro download`", OSError
    ):
        content = path.read_bytes()
    if official and not cifar10.is_genuine(name, content):
        raise errors.UserError(
            f"{path}: is not the official file (its MD5 differs); "
            "bring it anew with `dvc repro --force download`"
        )
    return content


def select(files: list[str], labels: list[int], official: bool) -> tuple[Tensor, Tensor]:
    """The images with one of `labels`, in the files' order: N×3×32×32 and N.

    The new label of an image is the place of its old one in `labels`.
    """
    images: list[Tensor] = []
    new_labels: list[int] = []
    for name in files:
        batch = cifar10.read_batch(name, read(name, official))
        old = np.array(batch.labels, dtype=np.int64)
        chosen = np.isin(old, labels)
        images.append(torch.from_numpy(batch.images[chosen]))
        new_labels.extend(labels.index(label) for label in old[chosen])
    return torch.cat(images).contiguous(), torch.tensor(new_labels, dtype=torch.int64)


if __name__ == "__main__":
    stage.run(main)
