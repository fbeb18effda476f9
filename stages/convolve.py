"""Draw what convolutions do (8.1, 8.2), and what a trained baseline sees.

Of drawn images, with a baseline that is trained on drawn images here, so the pictures can
be in git and are made without data or models. `--photographs`: of CIFAR-10 and the
benchmark's own baseline.
"""

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from benchmark import params
from benchmark.classes import DRAWN_CLASSES
from benchmark.data import dataset
from benchmark.data.scenes import scene
from benchmark.reporting import convolutions
from benchmark.reporting import photographs as photographed
from benchmark.reporting.figures import png
from benchmark.running import cli, errors, stage
from benchmark.training import recipe, state_dict
from benchmark.training.loop import shuffled, train

DRAWN, PHOTOGRAPHS = Path("plots/convolution"), Path("pictures/convolution")
MODEL = Path("models/baseline/seed-0.pt")
BASELINE = "baseline"
LAYERS = ("conv1", "conv2", "fc1", "fc2")
# The training on drawn images: a few seconds.
SEED, N_IMAGES, EPOCHS, LR, BATCH_SIZE = 0, 1000, 20, 0.1, 32


def main(photographs: bool = False) -> None:
    loaded = params.load()
    torch.set_num_threads(1)
    if photographs:
        folder, name = PHOTOGRAPHS, "a photographed"
        images, labels, names = photographed.load()
        model = benchmarks_baseline(len(names))
    else:
        folder, name = DRAWN, "a drawn"
        images, labels, names = drawings()
        model = baseline_of_drawings(loaded.data, images, labels)
    what = f"{name} {names[labels[0]]}"
    title = f"A trained baseline looks at {what}: blue is above 0, red below"
    found = figures(loaded.data, model.eval(), images[0], int(labels[0]), title)
    for file, figure in found.items():
        stage.write(folder / f"{file}.png", png(figure))


def drawings() -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Drawn images N×3×32×32, uint8, their labels, and the names of those."""
    generator = np.random.default_rng(SEED)
    labels = np.arange(N_IMAGES) % len(DRAWN_CLASSES)
    pixels = np.stack([scene(DRAWN_CLASSES[label], generator) for label in labels])
    images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    return images, torch.from_numpy(labels), DRAWN_CLASSES


def baseline_of_drawings(data: params.Data, images: Tensor, labels: Tensor) -> nn.Module:
    made = recipe.assemble(recipe.find(BASELINE), len(DRAWN_CLASSES), {}, LR, SEED)
    train(
        made.model,
        made.optimizer,
        dataset.normalize(images, data.mean, data.std),
        labels,
        epochs=EPOCHS,
        order=shuffled(len(images), BATCH_SIZE, torch.Generator().manual_seed(SEED)),
        loss=made.loss,
    )
    return made.model


def benchmarks_baseline(n_classes: int) -> nn.Module:
    """The baseline as the benchmark's first seed left it."""
    model = recipe.build_model(recipe.find(BASELINE), n_classes, {})
    state_dict.load(model, MODEL.read_bytes(), MODEL)
    return model


def figures(
    data: params.Data, model: nn.Module, image: Tensor, label: int, title: str
) -> dict[str, Figure]:
    """By file name. image: 3×32×32, uint8."""
    lacking = set(LAYERS) - dict(model.named_modules()).keys()
    if lacking:
        raise errors.UserError(
            f"architectures/{BASELINE}.py: has no {', '.join(sorted(lacking))}; convolve "
            "draws those layers, so name them so, or others in stages/convolve.py"
        )
    scaled = image.float() / 255
    normalized = dataset.normalize(image[None], data.mean, data.std)[0]
    seen = convolutions.look_inside(model, LAYERS, normalized, label)
    return {
        "kernels": convolutions.kernels(scaled),
        "padding": convolutions.padding(scaled),
        "downsampling": convolutions.downsampling(scaled),
        "parameters": convolutions.parameters(),
        "filters": convolutions.filters(
            model.get_parameter(f"{LAYERS[0]}.weight").detach()
        ),
        "layers": convolutions.layers(scaled, seen, title),
    }


if __name__ == "__main__":
    stage.run(main, cli.PHOTOGRAPHS)
