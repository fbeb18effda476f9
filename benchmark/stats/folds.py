"""Differences between nets that were tested in folds.

With folds, each seed is tested on a different part of the images and trained on the rest.
So seeds, test images and training sets vary together. After the effects of nets and folds
are removed, what remains is how differently the nets react to a fold: the net × fold
interaction. Each net has its own variance of it (Shukla, Heredity 29, 1972), so a net that
scatters more widens its own intervals, not those of other nets. The degrees of freedom
follow Welch (1947) and Satterthwaite (1946). No variance is smaller than the variance over
images alone.

The intervals hold for training runs like these, whose training sets overlap.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from benchmark.stats.uncertainty import Estimate, Matrix, Variance, variance_over_images

# With fewer, the variance over folds is too uncertain.
MIN_FOLDS = 3
Folds = npt.NDArray[np.int64]


def fold_accuracy(correct: Matrix, folds: Folds) -> Estimate:
    """Estimate the accuracy of a net, from its accuracies in the folds.

    correct, folds: as in fold_differences. The folds also differ in difficulty, which
    cancels in a difference of two nets but not here.
    """
    means = fold_means(correct, folds)
    return _estimate(correct, [means.var(ddof=1)], len(means), [len(means)])


def fold_differences(
    correct: Mapping[str, Matrix],
    folds: Folds,
    pairs: Iterable[tuple[str, str]],
    n_seeds: Mapping[str, int] | None = None,
) -> list[Estimate]:
    """Estimate how much more accurate the first net of each pair is than the second.

    correct: by net, N numbers from 0 to 1, one per image: the share of correct predictions
    by the seeds that were tested on it. folds: N, the fold of each image, from 0. All nets
    are tested on all images. n_seeds: by net; by default, one for each fold. Raises
    ValueError if there are fewer than three folds.
    """
    n_folds = int(folds.max()) + 1
    if n_folds < MIN_FOLDS:
        raise ValueError(f"needs {MIN_FOLDS} folds, got {n_folds}")
    means = {name: fold_means(images, folds) for name, images in correct.items()}
    variances = interaction_variances(means)
    counts = n_seeds or dict.fromkeys(correct, n_folds)
    estimates = []
    for a, b in pairs:
        images = correct[a] - correct[b]
        if variances:
            both, n = [variances[a], variances[b]], [counts[a], counts[b]]
        else:  # with two nets, only their difference can be estimated
            both, n = [(means[a] - means[b]).var(ddof=1)], [min(counts[a], counts[b])]
        estimates.append(_estimate(images, both, n_folds, n))
    return estimates


def fold_means(images: Matrix, folds: Folds) -> Matrix:
    """Return the mean over the images of each fold."""
    return np.bincount(folds, weights=images) / np.bincount(folds)


def interaction_variances(means: Mapping[str, Matrix]) -> dict[str, float]:
    """Estimate each net's variance over folds, by Shukla's unbiased estimator.

    means: by net, its accuracy in each fold. An estimate below 0 counts as 0. The result is
    empty for fewer than three nets, whose variances cannot be separated.
    """
    n_nets = len(means)
    if n_nets < 3:
        return {}
    table = np.stack(list(means.values()))
    residual = table - table.mean(axis=1, keepdims=True) - table.mean(axis=0) + table.mean()
    squares = np.square(residual).sum(axis=1)
    df = table.shape[1] - 1
    variances = n_nets * (n_nets - 1) * squares - squares.sum()
    variances /= (n_nets - 1) * (n_nets - 2) * df
    return dict(zip(means, variances.clip(min=0.0).tolist(), strict=True))


@dataclass(frozen=True)
class Scatter:
    """How differently a net does from fold to fold, beside the other nets.

    Both are standard deviations of its accuracy in a fold. images: what the images alone
    would give.
    """

    folds: float
    images: float


def net_scatters(correct: Mapping[str, Matrix], folds: Folds) -> dict[str, Scatter]:
    """Estimate each net's scatter. correct, folds: as in fold_differences.

    The result is empty for fewer than three nets.
    """
    over_folds = interaction_variances(
        {name: fold_means(images, folds) for name, images in correct.items()}
    )
    over_images = interaction_variances(correct)
    size = np.bincount(folds).mean()
    return {
        name: Scatter(np.sqrt(variance), np.sqrt(over_images[name] / size))
        for name, variance in over_folds.items()
    }


def _estimate(
    images: Matrix, variances: list[float], n_folds: int, n_seeds: list[int]
) -> Estimate:
    """images: a number for each image. variances: by net, the variance over folds."""
    least = variance_over_images(images)
    return Estimate(
        float(images.mean()),
        Variance(
            images=0.0,
            seeds=tuple(float(v) / n_folds for v in variances),
            least=tuple(least / len(variances) for _ in variances),
            n_seeds=tuple(n_seeds),
            n_images=len(images),
            n_folds=n_folds,
        ),
    )
