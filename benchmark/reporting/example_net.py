"""The baseline that pictures and the report show: trained here, or the benchmark's own.

The first is trained on generated images within seconds. It needs no data and no models, so
what shows it can be in git.
"""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmark.classes import SYNTHETIC_CLASSES
from benchmark.data import dataset
from benchmark.data.scenes import scene
from benchmark.params import Params, Setting, row_of
from benchmark.reporting.real_images import load_real_images
from benchmark.running import errors
from benchmark.training import recipe, state_dict
from benchmark.training.loop import shuffled_batches, train
from benchmark.training.step import make_step

# Not from results.py, so that pictures do not depend on the statistics.
BASELINE = "baseline"
MODEL = Path(f"models/{BASELINE}/seed-0.pt")
# With more images or epochs, it would learn more than 80%, but take longer.
SEED, N_IMAGES, EPOCHS, LR, BATCH_SIZE = 0, 2000, 10, 0.1, 32


@dataclass(frozen=True)
class Example:
    """A trained baseline in eval mode, and images of the kind that it was trained on.

    kind: generated, or real. images: N×3×32×32, uint8. labels: N. mean, std: how images
    are normalized.
    """

    kind: str
    model: nn.Module
    images: Tensor
    labels: Tensor
    class_names: tuple[str, ...]
    mean: list[float]
    std: list[float]

    def normalized(self, images: Tensor) -> Tensor:
        return dataset.normalize(images, self.mean, self.std)


def example(loaded: Params, real_images: bool) -> Example:
    """Return the net to show. real_images: the benchmark's own, with CIFAR-10 images.

    Raises UserError if those images are not those of the results, or if the net raises.
    """
    row, data = row_of(loaded, BASELINE), loaded.data
    settings = tuple(sorted(row.settings.items()))
    with errors.blame_architecture(BASELINE):
        if not real_images:
            return trained(row.net, settings, tuple(data.mean), tuple(data.std))
        images, labels, names = load_real_images()
        architecture = recipe.load_architecture(row.net)
        model = recipe.build_model(architecture, len(names), dict(settings))
    state_dict.load(model, MODEL.read_bytes(), MODEL)
    return Example("real", model.eval(), images, labels, names, data.mean, data.std)


@cache
def trained(
    net: str,
    settings: tuple[tuple[str, Setting], ...],
    mean: tuple[float, ...],
    std: tuple[float, ...],
) -> Example:
    """Train the baseline on generated images. Takes seconds, so once per process."""
    torch.set_num_threads(1)
    images, labels = generate_images(N_IMAGES, SEED)
    torch.manual_seed(SEED)
    architecture = recipe.load_architecture(net)
    model = recipe.build_model(architecture, len(SYNTHETIC_CLASSES), dict(settings))
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, fused=True)
    shown = Example(
        "generated", model, images, labels, SYNTHETIC_CLASSES, list(mean), list(std)
    )
    train(
        model,
        make_step(model, optimizer, cross_entropy),
        shown.normalized(images),
        labels,
        epochs=EPOCHS,
        batches=shuffled_batches(
            len(images), BATCH_SIZE, torch.Generator().manual_seed(SEED)
        ),
    )
    model.eval()
    return shown


def generate_images(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return generated images, N×3×32×32, uint8, and labels, N: the classes in turn."""
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % len(SYNTHETIC_CLASSES)
    pixels = np.stack([scene(SYNTHETIC_CLASSES[label], generator) for label in labels])
    return torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy()), torch.from_numpy(labels)
