"""Tables for `dvc plots`, ideas of the nets, and the images that most nets get wrong."""

import ast
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from benchmark.params import Data, Row
from benchmark.reporting.results import BASELINE, Results
from benchmark.running.errors import explained
from benchmark.stats.uncertainty import Matrix


def question(classes: Sequence[str]) -> str:
    """Return what the nets have to decide: Airplane or bird?"""
    if len(classes) > 4:
        return f"Which of {len(classes)} classes?"
    return f"{', '.join(classes[:-1])} or {classes[-1]}?".capitalize()


def is_of_the_book(data: Data) -> bool:
    """Return whether results can be compared with those of the book and the notebook."""
    is_whole = data.source == "cifar10" and not data.holdout
    return is_whole and data.classes == ["airplane", "bird"]


def loss_curves(families: Sequence[Results]) -> pd.DataFrame:
    """Return the mean loss over seeds for each row and epoch."""
    return pd.concat(
        curve.groupby("epoch", as_index=False)["loss"]
        .mean()
        .assign(row=results.rows[name].name)
        for results in families
        for name, curve in results.curves.items()
    )[["row", "epoch", "loss"]]


def confusion(families: Sequence[Results], class_names: Sequence[str]) -> pd.DataFrame:
    """Return how many images of a class each row takes for each class, with seed 0."""
    return pd.DataFrame(
        [
            (results.rows[name].name, class_names[actual], class_names[predicted], int(n))
            for results in families
            for name, predictions in results.predictions.items()
            for (actual, predicted), n in np.ndenumerate(
                confusion_counts(predictions, ["seed_0"], len(class_names))
            )
        ],
        columns=["row", "actual", "predicted", "images"],
    )


def confusion_counts(
    predictions: pd.DataFrame, seeds: Sequence[str], n_classes: int
) -> Matrix:
    """Count the answers of these seeds: true classes × predicted classes."""
    # One line per image and seed that was tested on it.
    answers = predictions.melt("label", seeds).dropna()[["label", "value"]].astype(int)
    counts = np.zeros((n_classes, n_classes))
    np.add.at(counts, (answers["label"], answers["value"]), 1)
    return counts


IDEA = r"^(.*?)(?: \((\d[\d.]*)\))?\.?$"


@dataclass(frozen=True)
class Idea:
    """A one-line description of a net, and the section of the book that introduces it."""

    text: str
    section: str


# For rows that add a penalty to a net.
PENALTIES = {
    "l2_lambda": "an L2 penalty, λ·Σw² over all weights (8.5.2)",
    "l1_lambda": "an L1 penalty, λ·Σ|w| over all weights (8.5.2)",
}


def idea_of(row: Row) -> Idea:
    """Read a net's idea from the first line of its file's docstring: "Idea (8.5.2)."

    If the row has a penalty, that is its idea. If it has a table and settings of its own,
    these say more. Raises UserError if the file is not valid Python.
    """
    for key, penalty in PENALTIES.items():
        if getattr(row.training, key):
            [(text, section)] = re.findall(IDEA, f"{BASELINE}, with {penalty}")
            return Idea(text, section)
    if row.own_table and row.settings:
        return Idea(f"{row.net}, with {in_words(row.settings)}", "–")
    file = row.file
    with explained(f"{file} is not valid Python: {{}}", SyntaxError, ValueError):
        source = file.read_text("utf-8") if file.is_file() else ""
        line = (ast.get_docstring(ast.parse(source)) or "–").splitlines()[0]
    [(text, section)] = re.findall(IDEA, line)
    return Idea(text, section or "–")


def in_words(settings: Mapping[str, object]) -> str:
    """List settings with their values as in params.yaml: n_chans 64, skip false."""
    return ", ".join(f"{key} {str(value).lower()}" for key, value in settings.items())


@dataclass(frozen=True)
class HardImage:
    """A tested image that most nets get wrong.

    index: its number, `example` in the predictions. votes: by net, the majority vote of its
    seeds; ties go to the true class. wrong: by net, the share of its seeds that are wrong.
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
    tested = {
        # With folds, the official test images are fold 0.
        name: p[p["fold"] == 0].dropna(axis=1) if results.n_folds else p
        for name, p in results.predictions.items()
    }
    first = next(iter(tested.values()))
    labels, examples = first["label"], first["example"]
    answers = {name: p.filter(like="seed_") for name, p in tested.items()}
    votes = {name: majority_vote(a, labels) for name, a in answers.items()}
    wrong = {name: a.ne(labels, axis=0).mean(axis=1) for name, a in answers.items()}
    images = [
        HardImage(
            int(examples[i]),
            int(label),
            {name: int(vote[i]) for name, vote in votes.items()},
            {name: float(share[i]) for name, share in wrong.items()},
        )
        for i, label in enumerate(labels)
    ]
    images = [image for image in images if 2 * len(image.correct) < len(wrong)]
    images.sort(key=lambda image: (len(image.correct), -sum(image.wrong.values())))
    return images[:limit]
