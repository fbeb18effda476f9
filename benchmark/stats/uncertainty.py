"""Intervals for an accuracy and for the difference between two accuracies.

We train a net with several seeds and score every seed on the same images. Seeds and images
are crossed, and both are random samples. The variance is therefore that of a two-way layout
with random effects, as in studies where several readers judge the same cases: Dorfman,
Berbaum and Metz (1992); Obuchowski and Rockette (1995). The degrees of freedom follow
Hillis, "A comparison of denominator degrees of freedom methods for multiple observer ROC
analysis", Statistics in Medicine 26 (2007).

We differ from these papers in two ways; docs/significance.md shows by simulation that the
error rates are closer to the nominal 5%. First, we pair images but not seeds: the same seed
gives two nets unrelated weights, so each net has its own variance over seeds, and the
degrees of freedom follow Satterthwaite (1946) and Welch (1947). Second, no variance is
smaller than the variance over images alone, even if a few seeds happen to agree.

No interval here covers the choice of training set: every seed sees the same training
images.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import stdtr, stdtrit

LEVEL = 0.95
Matrix = npt.NDArray[np.float64]


class Interval(NamedTuple):
    low: float
    high: float

    def of_shares(self) -> "Interval":
        """Return the part between 0 and 1, where an accuracy lies."""
        return Interval(max(0.0, self.low), min(1.0, self.high))


@dataclass(frozen=True)
class Variance:
    """The variance of a mean, or of a difference of two means, by its causes.

    images: the part that remains, however many seeds there are. seeds: by net, the part
    that each net's seeds add, which is divided by N with N times as many seeds. least: by
    net, a lower limit; all seeds' parts add up to at least the sum of these. n_seeds: by
    net. n_images: the number of tested images. n_folds: with folds, `images` is unknown,
    here 0, and `least` contains it.
    """

    images: float
    seeds: tuple[float, ...]
    least: tuple[float, ...]
    n_seeds: tuple[int, ...]
    n_images: int
    n_folds: int = 0

    @property
    def total(self) -> float:
        # If all seeds and images agree, it is as if one more image could have come out
        # otherwise: no result on a few images is certain.
        least = 1 / self.n_images**2
        return max(self.images + max(sum(self.seeds), sum(self.least)), least)

    @property
    def df(self) -> float:
        """The degrees of freedom of the total, by Satterthwaite and Welch."""
        # A variance over few seeds is itself uncertain. With folds, it is one over folds.
        spread = sum(
            part**2 / ((self.n_folds or n) - 1)
            for part, n in zip(self.seeds, self.n_seeds, strict=True)
        )
        return self.total**2 / spread if spread else np.inf

    def with_seeds(self, *n_seeds: int) -> "Variance":
        """Return the variance to expect with these numbers of seeds, one for each net."""
        shares = [old / new for old, new in zip(self.n_seeds, n_seeds, strict=True)]
        return replace(
            self,
            seeds=tuple(v * share for v, share in zip(self.seeds, shares, strict=True)),
            least=tuple(v * share for v, share in zip(self.least, shares, strict=True)),
            n_seeds=n_seeds,
        )


@dataclass(frozen=True)
class Estimate:
    """A mean, or a difference of two means, and its variance."""

    mean: float
    variance: Variance

    @property
    def error(self) -> float:
        """The standard error."""
        return float(np.sqrt(self.variance.total))

    @property
    def p(self) -> float:
        """The p-value of the hypothesis that the true value is 0."""
        # Far faster than scipy.stats.t, and the same.
        return float(2 * stdtr(self.variance.df, -abs(self.mean) / self.error))

    def interval(self, level: float = LEVEL) -> Interval:
        """Return the confidence interval, from Student's t."""
        half = stdtrit(self.variance.df, (1 + level) / 2) * self.error
        return Interval(float(self.mean - half), float(self.mean + half))


def accuracy_interval(correct: Matrix) -> Estimate:
    """Estimate the accuracy of a net.

    correct: seeds × images, at least two of each; 1 for a correct prediction, 0 for a wrong
    one.
    """
    net = ScoredNet.from_matrix(correct)
    return _estimate(net.image_means, [net])


def difference_interval(first: Matrix, second: Matrix) -> Estimate:
    """Estimate how much more accurate the first net is than the second.

    Both are matrices as in accuracy_interval, for the same images. The numbers of seeds may
    differ.
    """
    return compare_nets(ScoredNet.from_matrix(first), ScoredNet.from_matrix(second))


@dataclass(frozen=True)
class ScoredNet:
    """The part of the computation that does not depend on the other net of a pair.

    image_means: for each image, the mean over seeds. seeds: how much the choice of seeds
    adds to the variance of the accuracy. residual: the part of it that comes from the
    interaction of seeds and images; the variance over images contains it, too.
    """

    image_means: Matrix
    seeds: float
    residual: float
    n_seeds: int

    @classmethod
    def from_matrix(cls, correct: Matrix) -> "ScoredNet":
        n_seeds, n_images = correct.shape
        if min(correct.shape) < 2:
            raise ValueError(f"needs two seeds and two images, got {correct.shape}")
        image_means = correct.mean(axis=0)
        seed_effects = correct.mean(axis=1, keepdims=True) - correct.mean()
        residual = correct - image_means - seed_effects
        df = n_seeds - 1
        return cls(
            image_means,
            float(np.square(seed_effects).sum() / df / n_seeds),
            float(np.square(residual).sum() / (df * (n_images - 1)) / correct.size),
            n_seeds,
        )


def compare_nets(first: ScoredNet, second: ScoredNet) -> Estimate:
    """Estimate the difference in accuracy between two nets scored on the same images."""
    return _estimate(first.image_means - second.image_means, [first, second])


def compare_models(first: Matrix, second: Matrix) -> Estimate:
    """Estimate the difference between two models, of one seed each.

    first, second: for each image, 1 if the model is correct, else 0. Only the images vary,
    so this says nothing about other training runs.
    """
    return _estimate(first - second, [])


def _estimate(image_means: Matrix, nets: list[ScoredNet]) -> Estimate:
    """image_means: for each image, the mean over seeds, or the difference of two means."""
    over_images = variance_over_images(image_means)
    # Both the seeds' part and the images' part contain the residual, so subtract it once.
    residual = sum(net.residual for net in nets)
    images = max(over_images - residual, 0.0)
    # Seeds may agree by chance, so the variance over images is the lower limit.
    limit = min(1.0, over_images / residual) if residual else 0.0
    return Estimate(
        float(image_means.mean()),
        Variance(
            images,
            seeds=tuple(net.seeds for net in nets),
            least=tuple(net.residual * limit for net in nets),
            n_seeds=tuple(net.n_seeds for net in nets),
            n_images=len(image_means),
        ),
    )


def variance_over_images(images: Matrix) -> float:
    """Return the variance of the mean over these images."""
    return float(images.var(ddof=1)) / len(images)


def correctness_matrix(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return 1 for a correct prediction and 0 for a wrong one: seeds × images.

    predictions: as validate writes them, one row per image, with the columns label, seed_0,
    seed_1, … The result is NaN where a seed was not tested on an image.
    """
    seeds = predictions.filter(regex=r"^seed_\d+$")
    correct = seeds.eq(predictions["label"], axis=0).astype(float).where(seeds.notna()).T
    correct.index = correct.index.str.removeprefix("seed_").astype(int)
    return correct
