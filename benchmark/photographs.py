"""The validation images themselves, for pictures that stay on this machine."""

import hashlib
import io

import torch
from torch import Tensor

from benchmark import dataset, dvc_lock, errors


def load() -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Images N×3×32×32, uint8, labels N, and the names of those.

    Raises UserError where they are not the ones that dvc.lock has results of.
    """
    path = dataset.CIFAR2
    content = path.read_bytes()
    md5 = hashlib.md5(content, usedforsecurity=False).hexdigest()
    if md5 != dvc_lock.md5s().get(path.as_posix()):
        raise errors.UserError(
            f"{path}: is not the data that {dvc_lock.LOCK} has results of; "
            "bring both up to date with `dvc repro`"
        )
    stored = torch.load(io.BytesIO(content), weights_only=True)
    return stored["val_images"], stored["val_labels"], tuple(stored["class_names"])
