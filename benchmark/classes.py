"""The classes of CIFAR-10, in the order of their labels, and those we can generate."""

from typing import Literal, get_args

ClassName = Literal[
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
]
CLASS_NAMES: tuple[str, ...] = get_args(ClassName)
SYNTHETIC_CLASSES = ("airplane", "bird")
