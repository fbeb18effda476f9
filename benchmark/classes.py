"""The classes of CIFAR-10, by label, and those that the synthetic images show."""

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
DRAWN_CLASSES = ("airplane", "bird")
