"""Keep the chosen classes of CIFAR-10, and save them as tensors: data/cifar2.pt."""

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
    for split, present in (("training", train_labels), ("test", val_labels)):
        for label, name in enumerate(data.classes):
            if label not in present:
                raise errors.UserError(
                    f"{cifar10.FOLDER}: no {split} images of class {name}"
                )

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
    """Read a file. If `official`, raise UserError unless its MD5 is the official one."""
    path: Path = cifar10.FOLDER / name
    with errors.explained(
        f"{path}: cannot be read ({{}}); get it with `dvc repro download`", OSError
    ):
        content = path.read_bytes()
    if official and not cifar10.is_genuine(name, content):
        raise errors.UserError(
            f"{path}: not the official file (its MD5 differs); "
            "download it again with `dvc repro --force download`"
        )
    return content


def select(files: list[str], labels: list[int], official: bool) -> tuple[Tensor, Tensor]:
    """Select the images with one of `labels`: N×3×32×32, and their new labels, N.

    An image's new label is the index of its old label in `labels`.
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
