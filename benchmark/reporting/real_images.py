"""Load CIFAR-10 images, for pictures that stay on this machine."""

import io

import torch
from torch import Tensor

from benchmark.data.dataset import CIFAR2
from benchmark.reporting import dvc_lock
from benchmark.running import errors
from benchmark.running.files import md5


def load_real_images() -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Return all images, N×3×32×32, uint8, their labels, N, and the class names.

    The test images come first, as in the column `example` of the predictions. Raises
    UserError if the results in dvc.lock are for other images.
    """
    content = CIFAR2.read_bytes()
    if md5(content) != dvc_lock.md5s().get(CIFAR2.as_posix()):
        raise errors.UserError(
            f"{CIFAR2}: the results in {dvc_lock.LOCK} are for other images; "
            "update both with `dvc repro`"
        )
    stored = torch.load(io.BytesIO(content), weights_only=True)
    images, labels = (
        torch.cat([stored[f"{part}_{kind}"] for part in ("val", "train")])
        for kind in ("images", "labels")
    )
    return images, labels, tuple(stored["class_names"])
