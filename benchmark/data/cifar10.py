"""The seven files of CIFAR-10's Python version: names, official MD5s, reading."""

import io
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from benchmark.running.errors import UserError, explained
from benchmark.running.files import md5

URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
FOLDER = Path("data/cifar-10-batches-py")
TRAIN_FILES = [f"data_batch_{i}" for i in range(1, 6)]
VAL_FILES = ["test_batch"]
META_FILE = "batches.meta"
# As published at https://www.cs.toronto.edu/~kriz/cifar.html. torchvision has a copy of
# these constants, but its import takes seconds; a test compares them.
OFFICIAL_MD5 = {
    "data_batch_1": "c99cafc152244af753f735de768cd75f",
    "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
    "data_batch_3": "54ebc095f3ab1f0389bbae665268c751",
    "data_batch_4": "634d18415352ddfa80567beed471001a",
    "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb",
    "test_batch": "40351d587109b95175f43aff81a1287e",
    "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
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
