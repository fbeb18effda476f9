"""How far an accuracy, and a difference of two, is known.

An accuracy is measured with some seeds on some images, and every seed is scored on the
same images: seeds and images are crossed, and both are samples of many. The variance is
that of a two-way layout with random effects, as in studies where several readers judge
the same cases: Dorfman, Berbaum and Metz (1992), Obuchowski and Rockette (1995), with the
degrees of freedom of Hillis, "A comparison of denominator degrees of freedom methods for
multiple observer ROC analysis", Statistics in Medicine 26 (2007).

Two things are other than there, for docs/significance.md shows that so the tests hold
their level better. In a difference, images are paired but seeds are not: the same seed
draws other weights for another net, so each net has a variance over seeds of its own, and
the degrees of freedom are those of Satterthwaite (1946) and Welch (1947). And no variance
is below that of other images with the same seeds, however alike a few seeds are.

What no interval here covers is another training set: every seed saw the same images.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import t as student

LEVEL = 0.95
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean, its interval at LEVEL, and the p value of the hypothesis that it is 0."""

    mean: float
    low: float
    high: float
    p: float

    @property
    def interval(self) -> tuple[float, float]:
        return self.low, self.high


def of_accuracy(right: Matrix) -> Estimate:
    """The accuracy of one net.

    right: seeds × images, of at least two each; 1 where right, 0 where wrong.
    """
    net = Net.of(right)
    return _estimate(net.images, [net.seeds])


def of_difference(first: Matrix, second: Matrix) -> Estimate:
    """How much more accurate the first net is than the second.

    Each seeds × images, of at least two each, as in of_accuracy; the images are the same,
    the numbers of seeds may differ.
    """
    return of_nets(Net.of(first), Net.of(second))


@dataclass(frozen=True)
class Net:
    """What a net has a part in whatever it is compared with. images: means over seeds."""

    images: Matrix
    seeds: "_Seeds"

    @classmethod
    def of(cls, right: Matrix) -> "Net":
        return cls(right.mean(axis=0), _of_seeds(right))


def of_nets(first: Net, second: Net) -> Estimate:
    """The difference of two nets that were scored on the same images."""
    return _estimate(first.images - second.images, [first.seeds, second.seeds])


@dataclass(frozen=True)
class _Seeds:
    """What seeds add to the variance of a net's accuracy, and what they leave over.

    residual: what images differ in from seed to seed; both others hold it too.
    """

    variance: float
    residual: float
    df: int


def _of_seeds(right: Matrix) -> _Seeds:
    n_seeds, n_images = right.shape
    if min(right.shape) < 2:
        raise ValueError(f"two seeds and two images are needed, here are {right.shape}")
    of_seeds = right.mean(axis=1, keepdims=True) - right.mean()
    residual = right - right.mean(axis=0) - of_seeds
    df = n_seeds - 1
    return _Seeds(
        np.square(of_seeds).sum() / df / n_seeds,
        np.square(residual).sum() / (df * (n_images - 1)) / right.size,
        df,
    )


def _estimate(of_images: Matrix, nets: list[_Seeds]) -> Estimate:
    """of_images: the mean over seeds of each image."""
    mean = of_images.mean()
    images = of_images.var(ddof=1) / len(of_images)
    seeds = sum(net.variance for net in nets)
    # The residual is in both: once is enough.
    both = seeds + max(images - sum(net.residual for net in nets), 0.0)
    variance = max(both, images)
    if variance == 0:  # no seed and no image is unlike another
        return Estimate(float(mean), float(mean), float(mean), p=1.0 if mean == 0 else 0.0)
    error = np.sqrt(variance)
    spread = sum(net.variance**2 / net.df for net in nets)
    df = variance**2 / spread if spread else np.inf
    half = student.ppf((1 + LEVEL) / 2, df) * error
    p = 2 * student.sf(abs(mean) / error, df)
    return Estimate(float(mean), float(mean - half), float(mean + half), float(p))


def right_of(predictions: pd.DataFrame) -> pd.DataFrame:
    """1 where a prediction is right, else 0: a row a seed, a column an image.

    predictions: as validate writes them, a row an image, with the columns label,
    seed_0, seed_1, …
    """
    seeds = predictions.filter(regex=r"^seed_\d+$")
    right = seeds.eq(predictions["label"], axis=0).astype(int).T
    right.index = right.index.str.removeprefix("seed_").astype(int)
    return right
