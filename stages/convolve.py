"""Draw what convolutions do (8.1, 8.2), and the layers of a trained baseline.

By default, the pictures show a generated image, and a baseline that was trained on
generated images. They need no data and no models, and can be in git. With `--real-images`,
they show an image of CIFAR-10 and the benchmark's own baseline.
"""

from pathlib import Path

import torch
from matplotlib.figure import Figure

from benchmark import params
from benchmark.reporting import convolutions
from benchmark.reporting.example_net import BASELINE, Example, example
from benchmark.reporting.figures import png
from benchmark.running import cli, errors, stage

GENERATED, REAL = Path("plots/convolution"), Path("pictures/convolution")
LAYERS = ("conv1", "conv2", "fc1", "fc2")


def main(real_images: bool = False) -> None:
    torch.set_num_threads(1)
    shown = example(params.load(), real_images)
    folder = REAL if real_images else GENERATED
    for name, figure in figures(shown).items():
        stage.write(folder / f"{name}.png", png(figure))


def figures(shown: Example) -> dict[str, Figure]:
    """Return the figures by file name. They show the first image."""
    missing = set(LAYERS) - dict(shown.model.named_modules()).keys()
    if missing:
        raise errors.UserError(
            f"architectures/{BASELINE}.py has no {', '.join(sorted(missing))}; rename "
            "your layers, or change LAYERS in stages/convolve.py, which draws them"
        )
    scaled, label = shown.images[0].float() / 255, int(shown.labels[0])
    normalized = shown.normalized(shown.images[:1])[0]
    seen = convolutions.look_inside(shown.model, LAYERS, normalized, label)
    title = (
        f"A trained baseline sees a {shown.kind} {shown.class_names[label]}: "
        "blue is above 0, red below"
    )
    return {
        "kernels": convolutions.kernels(scaled),
        "padding": convolutions.padding(scaled),
        "downsampling": convolutions.downsampling(scaled),
        "parameters": convolutions.parameters(),
        "filters": convolutions.filters(
            shown.model.get_parameter(f"{LAYERS[0]}.weight").detach()
        ),
        "layers": convolutions.layers(scaled, seen, title),
    }


if __name__ == "__main__":
    stage.run(main, cli.REAL_IMAGES)
