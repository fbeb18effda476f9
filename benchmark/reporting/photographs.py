"""The validation images themselves, for pictures that stay on this machine."""

import io

import torch
from torch import Tensor

from benchmark.data.dataset import CIFAR2
from benchmark.reporting import dvc_lock
from benchmark.running import errors
from benchmark.running.files import md5


def load() -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Images N×3×32×32, uint8, labels N, and the names of those.

    Raises UserError where they are not the ones that dvc.lock has results of.
    """
    content = CIFAR2.read_bytes()
    if md5(content) != dvc_lock.md5s().get(CIFAR2.as_posix()):
        raise errors.UserError(
            f"{CIFAR2}: is not the data that {dvc_lock.LOCK} has results of; "
            "bring both up to date with `dvc repro`"
        )
    stored = torch.load(io.BytesIO(content), weights_only=True)
    return stored["val_images"], stored["val_labels"], tuple(stored["class_names"])
