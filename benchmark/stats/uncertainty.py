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

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import t as student

LEVEL = 0.95
Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A mean, its interval at LEVEL, and the p-value of the hypothesis that it is 0."""

    mean: float
    low: float
    high: float
    p: float

    @property
    def interval(self) -> tuple[float, float]:
        return self.low, self.high


def accuracy_interval(correct: Matrix) -> Estimate:
    """Estimate the accuracy of a net.

    correct: seeds × images, at least two of each; 1 for a correct prediction, 0 for a wrong
    one.
    """
    net = ScoredNet.from_matrix(correct)
    return _estimate(net.image_means, [net.seed_variance])


def difference_interval(first: Matrix, second: Matrix) -> Estimate:
    """Estimate how much more accurate the first net is than the second.

    Both are matrices as in accuracy_interval, for the same images. The numbers of seeds may
    differ.
    """
    return compare_nets(ScoredNet.from_matrix(first), ScoredNet.from_matrix(second))


@dataclass(frozen=True)
class ScoredNet:
    """The part of the computation that does not depend on the other net of a pair.

    image_means: for each image, the mean over seeds.
    """

    image_means: Matrix
    seed_variance: "_SeedVariance"

    @classmethod
    def from_matrix(cls, correct: Matrix) -> "ScoredNet":
        return cls(correct.mean(axis=0), _seed_variance(correct))


def compare_nets(first: ScoredNet, second: ScoredNet) -> Estimate:
    """Estimate the difference in accuracy between two nets scored on the same images."""
    return _estimate(
        first.image_means - second.image_means,
        [first.seed_variance, second.seed_variance],
    )


@dataclass(frozen=True)
class _SeedVariance:
    """How much the choice of seeds adds to the variance of a net's accuracy.

    residual: the part of `variance` that comes from the interaction of seeds and images.
    The variance over images contains it, too.
    """

    variance: float
    residual: float
    df: int


def _seed_variance(correct: Matrix) -> _SeedVariance:
    n_seeds, n_images = correct.shape
    if min(correct.shape) < 2:
        raise ValueError(f"needs two seeds and two images, got {correct.shape}")
    seed_effects = correct.mean(axis=1, keepdims=True) - correct.mean()
    residual = correct - correct.mean(axis=0) - seed_effects
    df = n_seeds - 1
    return _SeedVariance(
        np.square(seed_effects).sum() / df / n_seeds,
        np.square(residual).sum() / (df * (n_images - 1)) / correct.size,
        df,
    )


def _estimate(image_means: Matrix, nets: list[_SeedVariance]) -> Estimate:
    """image_means: for each image, the mean over seeds, or the difference of two means."""
    mean = image_means.mean()
    image_variance = image_means.var(ddof=1) / len(image_means)
    seed_variance = sum(net.variance for net in nets)
    # Both terms contain the residual, so subtract it once.
    residual = sum(net.residual for net in nets)
    both = seed_variance + max(image_variance - residual, 0.0)
    # Seeds may agree by chance, so the variance over images alone is the lower limit.
    variance = max(both, image_variance)
    # A variance over few seeds is itself uncertain, so it lowers the degrees of freedom.
    spread = sum(net.variance**2 / net.df for net in nets)
    return t_estimate(mean, variance, variance**2 / spread if spread else np.inf)


def t_estimate(mean: float, variance: float, df: float) -> Estimate:
    """Return the interval and p-value of a mean, from Student's t with df."""
    if variance == 0:  # all seeds and images agree
        return Estimate(float(mean), float(mean), float(mean), p=1.0 if mean == 0 else 0.0)
    error = np.sqrt(variance)
    half = student.ppf((1 + LEVEL) / 2, df) * error
    p = 2 * student.sf(abs(mean) / error, df)
    return Estimate(float(mean), float(mean - half), float(mean + half), float(p))


def correctness_matrix(predictions: pd.DataFrame) -> pd.DataFrame:
    """Return 1 for a correct prediction and 0 for a wrong one: seeds × images.

    predictions: as validate writes them, one row per image, with the columns label, seed_0,
    seed_1, … The result is NaN where a seed was not tested on an image.
    """
    seeds = predictions.filter(regex=r"^seed_\d+$")
    correct = seeds.eq(predictions["label"], axis=0).astype(float).where(seeds.notna()).T
    correct.index = correct.index.str.removeprefix("seed_").astype(int)
    return correct
