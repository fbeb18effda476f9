"""Tables that comparing leaves for `dvc plots`, and what the report reads of images."""

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from benchmark.reporting.results import Results


def loss_curves(results: Results) -> pd.DataFrame:
    """Of each architecture and epoch, the mean over seeds."""
    return pd.concat(
        curve.groupby("epoch", as_index=False)["loss"].mean().assign(architecture=name)
        for name, curve in results.curves.items()
    )[["architecture", "epoch", "loss"]]


def confusion(results: Results, class_names: Sequence[str]) -> pd.DataFrame:
    """A row an architecture and validation image: what it is, what the first seed said."""
    return pd.concat(
        pd.DataFrame(
            {
                "architecture": name,
                "actual": each["label"].map(class_names.__getitem__),
                "predicted": each["seed_0"].map(class_names.__getitem__),
            }
        )
        for name, each in results.predictions.items()
    )


@dataclass(frozen=True)
class HardImage:
    """index: in the validation images. By architecture, `said` is the class that most of
    its seeds answer, the right one where as many say so, and `wrong` the share that do not.
    """

    index: int
    label: int
    said: dict[str, int]
    wrong: dict[str, float]

    @property
    def right(self) -> list[str]:
        """The architectures whose answer is right."""
        return [name for name, answer in self.said.items() if answer == self.label]


def most_said(answers: pd.DataFrame, labels: "pd.Series[int]") -> "pd.Series[int]":
    """Of each image, the class that most seeds answer; among equals the right one.

    answers: a row an image, a column a seed.
    """
    most = answers.mode(axis=1)[0].astype(int)
    is_equal = answers.eq(most, axis=0).sum(axis=1) == answers.eq(labels, axis=0).sum(
        axis=1
    )
    return most.mask(is_equal, labels)


def hardest(results: Results, most: int) -> list[HardImage]:
    """The images that most architectures get wrong, the worst first, at most `most`."""
    labels = next(iter(results.predictions.values()))["label"]
    answers = {n: each.filter(like="seed_") for n, each in results.predictions.items()}
    said = {name: most_said(each, labels) for name, each in answers.items()}
    wrong = {name: each.ne(labels, axis=0).mean(axis=1) for name, each in answers.items()}
    images = [
        HardImage(
            i,
            int(label),
            {name: int(each[i]) for name, each in said.items()},
            {name: float(each[i]) for name, each in wrong.items()},
        )
        for i, label in enumerate(labels)
    ]
    images = [image for image in images if 2 * len(image.right) < len(wrong)]
    images.sort(key=lambda image: (len(image.right), -sum(image.wrong.values())))
    return images[:most]
