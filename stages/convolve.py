"""Draw what convolutions do (8.1, 8.2), and the layers of a trained baseline.

By default, the pictures show a generated image, and a baseline that this script trains on
generated images. They need no data and no models, and can be in git. With `--real-images`,
they show an image of CIFAR-10 and the benchmark's own baseline.
"""

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmark import params
from benchmark.classes import SYNTHETIC_CLASSES
from benchmark.data import dataset
from benchmark.data.scenes import scene
from benchmark.reporting import convolutions
from benchmark.reporting.figures import png
from benchmark.reporting.real_images import load_real_images
from benchmark.running import cli, errors, stage
from benchmark.training import recipe, state_dict
from benchmark.training.loop import shuffled_batches, train
from benchmark.training.step import make_step

GENERATED, REAL = Path("plots/convolution"), Path("pictures/convolution")
MODEL = Path("models/baseline/seed-0.pt")
BASELINE = "baseline"
LAYERS = ("conv1", "conv2", "fc1", "fc2")
# Training on generated images takes a few seconds.
SEED, N_IMAGES, EPOCHS, LR, BATCH_SIZE = 0, 1000, 20, 0.1, 32


def main(real_images: bool = False) -> None:
    loaded = params.load()
    torch.set_num_threads(1)
    if real_images:
        folder, kind = REAL, "real"
        images, labels, names = load_real_images()
        model = load_trained_baseline(len(names))
    else:
        folder, kind = GENERATED, "generated"
        images, labels, names = generate_images()
        model = train_baseline(loaded.data, images, labels)
    title = (
        f"A trained baseline sees a {kind} {names[labels[0]]}: blue is above 0, red below"
    )
    drawn = figures(loaded.data, model.eval(), images[0], int(labels[0]), title)
    for name, figure in drawn.items():
        stage.write(folder / f"{name}.png", png(figure))


def generate_images() -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Return generated images, N×3×32×32, uint8, their labels, N, and the class names."""
    generator = np.random.default_rng(SEED)
    labels = np.arange(N_IMAGES) % len(SYNTHETIC_CLASSES)
    pixels = np.stack([scene(SYNTHETIC_CLASSES[label], generator) for label in labels])
    images = torch.from_numpy(pixels.transpose(0, 3, 1, 2).copy())
    return images, torch.from_numpy(labels), SYNTHETIC_CLASSES


def train_baseline(data: params.Data, images: Tensor, labels: Tensor) -> nn.Module:
    torch.manual_seed(SEED)
    model = recipe.build_model(
        recipe.load_architecture(BASELINE), len(SYNTHETIC_CLASSES), {}
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=LR, fused=True)
    train(
        model,
        make_step(model, optimizer, cross_entropy),
        dataset.normalize(images, data.mean, data.std),
        labels,
        epochs=EPOCHS,
        batches=shuffled_batches(
            len(images), BATCH_SIZE, torch.Generator().manual_seed(SEED)
        ),
    )
    return model


def load_trained_baseline(n_classes: int) -> nn.Module:
    """Load the benchmark's baseline, seed 0."""
    model = recipe.build_model(recipe.load_architecture(BASELINE), n_classes, {})
    state_dict.load(model, MODEL.read_bytes(), MODEL)
    return model


def figures(
    data: params.Data, model: nn.Module, image: Tensor, label: int, title: str
) -> dict[str, Figure]:
    """Return the figures by file name. image: 3×32×32, uint8."""
    missing = set(LAYERS) - dict(model.named_modules()).keys()
    if missing:
        raise errors.UserError(
            f"architectures/{BASELINE}.py has no {', '.join(sorted(missing))}; rename "
            "your layers, or change LAYERS in stages/convolve.py, which draws them"
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
    stage.run(main, cli.REAL_IMAGES)
