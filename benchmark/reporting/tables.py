"""Tables for `dvc plots`, ideas of the nets, and the images that most nets get wrong."""

import ast
import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from benchmark.params import ARCHITECTURES
from benchmark.reporting.results import Results
from benchmark.running.errors import explained


def loss_curves(results: Results) -> pd.DataFrame:
    """Return the mean loss over seeds for each net and epoch."""
    return pd.concat(
        curve.groupby("epoch", as_index=False)["loss"].mean().assign(architecture=name)
        for name, curve in results.curves.items()
    )[["architecture", "epoch", "loss"]]


def confusion(results: Results, class_names: Sequence[str]) -> pd.DataFrame:
    """Return true and predicted class for each net and test image, for the first seed."""
    return pd.concat(
        pd.DataFrame(
            {
                "architecture": name,
                "actual": predictions["label"].map(class_names.__getitem__),
                "predicted": predictions["seed_0"].map(class_names.__getitem__),
            }
        )
        for name, predictions in results.predictions.items()
    )


@dataclass(frozen=True)
class Idea:
    """A one-line description of a net, and the section of the book that introduces it."""

    text: str
    section: str


def idea_of(name: str) -> Idea:
    """Read a net's idea from the first line of its file's docstring: "Idea (8.5.2)."

    Raises UserError if the file is not valid Python.
    """
    file = ARCHITECTURES / f"{name}.py"
    with explained(f"{file} is not valid Python: {{}}", SyntaxError, ValueError):
        source = file.read_text("utf-8") if file.is_file() else ""
        line = (ast.get_docstring(ast.parse(source)) or "–").splitlines()[0]
    [(text, section)] = re.findall(r"^(.*?)(?: \((\d[\d.]*)\))?\.?$", line)
    return Idea(text, section or "–")


@dataclass(frozen=True)
class HardImage:
    """A test image that most nets get wrong.

    index: among the test images. votes: by net, the majority vote of its seeds; ties go to
    the true class. wrong: by net, the share of its seeds that are wrong.
    """

    index: int
    label: int
    votes: dict[str, int]
    wrong: dict[str, float]

    @property
    def correct(self) -> list[str]:
        """The nets whose vote is correct."""
        return [name for name, vote in self.votes.items() if vote == self.label]


def majority_vote(answers: pd.DataFrame, labels: "pd.Series[int]") -> "pd.Series[int]":
    """Return the class that most seeds predict for each image; ties go to the true class.

    answers: one row per image, one column per seed.
    """
    vote = answers.mode(axis=1)[0].astype(int)
    is_equal = answers.eq(vote, axis=0).sum(axis=1) == answers.eq(labels, axis=0).sum(
        axis=1
    )
    return vote.mask(is_equal, labels)


def hardest(results: Results, limit: int) -> list[HardImage]:
    """Return up to `limit` images that most nets get wrong, the hardest first."""
    labels = next(iter(results.predictions.values()))["label"]
    answers = {n: p.filter(like="seed_") for n, p in results.predictions.items()}
    votes = {name: majority_vote(a, labels) for name, a in answers.items()}
    wrong = {name: a.ne(labels, axis=0).mean(axis=1) for name, a in answers.items()}
    images = [
        HardImage(
            i,
            int(label),
            {name: int(vote[i]) for name, vote in votes.items()},
            {name: float(share[i]) for name, share in wrong.items()},
        )
        for i, label in enumerate(labels)
    ]
    images = [image for image in images if 2 * len(image.correct) < len(wrong)]
    images.sort(key=lambda image: (len(image.correct), -sum(image.wrong.values())))
    return images[:limit]
