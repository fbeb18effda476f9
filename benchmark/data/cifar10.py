"""The seven files of CIFAR-10's python version: names, official MD5s, reading."""

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
# As https://www.cs.toronto.edu/~kriz/cifar.html published them and torchvision
# checks them.
OFFICIAL_MD5: dict[str, str] = {
    **dict(CIFAR10.train_list),
    **dict(CIFAR10.test_list),
    META_FILE: str(CIFAR10.meta["md5"]),
}

_PARTS_OF_ARRAYS = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    ("numpy._core.multiarray", "_reconstruct"),
    ("_codecs", "encode"),
}


@dataclass(frozen=True)
class Batch:
    """Images N×3×32×32, uint8, and the CIFAR-10 label, 0 to 9, of each."""

    images: npt.NDArray[np.uint8]
    labels: list[int]


def is_genuine(name: str, content: bytes) -> bool:
    """Whether `content` has the MD5 that CIFAR-10 publishes for the file `name`."""
    return md5(content) == OFFICIAL_MD5[name]


def read_batch(name: str, content: bytes) -> Batch:
    """A data batch, checked for its form. Raises UserError where it has another."""
    entry = _unpickle(name, content)
    with explained(_damaged(name), AttributeError, KeyError, TypeError, ValueError):
        images = entry["data"].reshape(-1, 3, 32, 32)
        labels = [int(label) for label in entry["labels"]]
    if images.dtype != np.uint8 or len(images) != len(labels):
        raise UserError(_damaged(name))
    return Batch(images, labels)


def read_class_names(content: bytes) -> list[str]:
    """The names of the classes, by label, from batches.meta."""
    with explained(_damaged(META_FILE), KeyError, TypeError):
        return [str(name) for name in _unpickle(META_FILE, content)["label_names"]]


def write_pickle(entry: dict[str, Any]) -> bytes:
    """An entry as the official files hold it: pickle protocol 2."""
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
        f"{FOLDER / name}: is no CIFAR-10 batch file; "
        "bring it anew with `dvc repro --force download`"
    )


class _ArraysOnly(pickle.Unpickler):
    """Rebuilds NumPy arrays and nothing else, so no pickle can run code."""

    def __init__(self, file: BinaryIO, *, encoding: str) -> None:
        super().__init__(file, encoding=encoding)

    def find_class(self, module: str, name: str) -> Any:
        # The official files were written when NumPy's core had its old name.
        module = module.replace("numpy.core", "numpy._core")
        if (module, name) not in _PARTS_OF_ARRAYS:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return super().find_class(module, name)
