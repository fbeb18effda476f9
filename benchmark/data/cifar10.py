"""The seven files of CIFAR-10's Python version: names, official MD5s, reading."""

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from torchvision.datasets import CIFAR10

from benchmark.running.errors import UserError, explained
from benchmark.running.files import md5

URL: str = CIFAR10.url
FOLDER = Path("data") / CIFAR10.base_folder
TRAIN_FILES = [name for name, _ in CIFAR10.train_list]
VAL_FILES = [name for name, _ in CIFAR10.test_list]
META_FILE = str(CIFAR10.meta["filename"])
# Published at https://www.cs.toronto.edu/~kriz/cifar.html; torchvision has a copy.
OFFICIAL_MD5: dict[str, str] = {
    **dict(CIFAR10.train_list),
    **dict(CIFAR10.test_list),
    META_FILE: str(CIFAR10.meta["md5"]),
}

_ALLOWED_IN_PICKLES = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}


@dataclass(frozen=True)
class Batch:
    """Images, N×3×32×32, uint8, and their CIFAR-10 labels, 0 to 9."""

    images: npt.NDArray[np.uint8]
    labels: list[int]


def is_genuine(name: str, content: bytes) -> bool:
    """Return whether `content` has the official MD5 of the file `name`."""
    return md5(content) == OFFICIAL_MD5[name]


def read_batch(name: str, content: bytes) -> Batch:
    """Read a data batch and check its form. Raises UserError if it is damaged."""
    entry = _unpickle(name, content)
    with explained(_damaged(name), AttributeError, KeyError, TypeError, ValueError):
        images = entry["data"].reshape(-1, 3, 32, 32)
        labels = [int(label) for label in entry["labels"]]
    if images.dtype != np.uint8 or len(images) != len(labels):
        raise UserError(_damaged(name))
    return Batch(images, labels)


def read_class_names(content: bytes) -> list[str]:
    """Read the class names, in the order of their labels, from batches.meta."""
    with explained(_damaged(META_FILE), KeyError, TypeError):
        return [str(name) for name in _unpickle(META_FILE, content)["label_names"]]


def write_pickle(entry: dict[str, Any]) -> bytes:
    """Pickle an entry as in the official files: protocol 2."""
    return pickle.dumps(entry, protocol=2)


def _unpickle(name: str, content: bytes) -> dict[str, Any]:
    # A damaged pickle can raise nearly anything.
    with explained(f"{_damaged(name)} ({{}})", Exception):
        entry = _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    if not isinstance(entry, dict):
        raise UserError(_damaged(name))
    return entry


def _damaged(name: str) -> str:
    return (
        f"{FOLDER / name}: not a valid CIFAR-10 file; "
        "download it again with `dvc repro --force download`"
    )


class _ArraysOnly(pickle.Unpickler):
    """Unpickles only NumPy arrays and plain values, so that no pickle can run code."""

    def __init__(self, file: BinaryIO, *, encoding: str) -> None:
        super().__init__(file, encoding=encoding)

    def find_class(self, module: str, name: str) -> Any:
        # The official files use the old name of NumPy's core.
        module = module.replace("numpy.core", "numpy._core")
        if (module, name) not in _ALLOWED_IN_PICKLES:
            raise pickle.UnpicklingError(f"it refers to {module}.{name}")
        return super().find_class(module, name)
