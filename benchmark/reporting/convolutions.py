"""Pictures of what a convolution does to an image: sections 8.1 and 8.2 of the book."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter
from torch import Tensor, nn
from torchvision.utils import make_grid

from benchmark.reporting.figures import frame
from benchmark.training.recipe import n_parameters

# One kernel each for red, green and blue; the result is their sum.
BLUR = torch.full((1, 3, 3, 3), 1 / 9)
VERTICAL_EDGES = torch.tensor([[-1.0, 0.0, 1.0]] * 3).expand(1, 3, 3, 3)

SIZES = (8, 16, 32, 64, 128, 256)
FEATURES = 16
CONVOLUTION_COLOUR, CONNECTED_COLOUR = "#1f4e79", "#b5651d"


def kernels(image: Tensor) -> Figure:
    """Draw an image, its blur and its vertical edges. image: 3×H×W, from 0 to 1."""
    # Divide by the number of colours, so that the blur is as bright as the image.
    blurred = F.conv2d(image[None], BLUR / 3)[0, 0]
    edges = F.conv2d(image[None], VERTICAL_EDGES)[0, 0]
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.6))
    show(axes[0], image, "the image", "3 channels")
    show(axes[1], blurred, "blurred", "each weight is 1/9: mean of 3×3 pixels")
    show(axes[2], edges, "vertical edges", "each row is −1, 0, 1: right minus left")
    figure.suptitle("The kernel decides what a convolution detects")
    return figure


def padding(image: Tensor) -> Figure:
    """Draw the blur without and with padding. image: 3×H×W, from 0 to 1."""
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.8))
    show(axes[0], image, "the image", size(image))
    for panel, pad, title in ((axes[1], 0, "padding=0"), (axes[2], 1, "padding=1")):
        out = F.conv2d(image[None], BLUR / 3, padding=pad)[0, 0]
        show(panel, out, title, size(out))
        panel.images[0].set_clim(0, 1)  # one scale, so that brightness can be compared
    height, width = image.shape[-2:]
    # Aligned with the image, so that the missing border shows.
    axes[1].images[0].set_extent((0.5, width - 1.5, height - 1.5, 0.5))
    for panel in axes:
        panel.set_xlim(-0.5, width - 0.5)
        panel.set_ylim(height - 0.5, -0.5)
    figure.suptitle("Without padding, a 3×3 kernel loses one pixel on each side")
    return figure


def downsampling(image: Tensor) -> Figure:
    """Draw three ways to halve width and height. image: 3×H×W, from 0 to 1."""
    batch = image[None]
    methods = (
        ("max pooling", F.max_pool2d(batch, 2), "keeps the largest of four"),
        ("average pooling", F.avg_pool2d(batch, 2), "keeps the mean of four"),
        ("stride 2", batch[..., ::2, ::2], "keeps every second pixel"),
    )
    figure, axes = plt.subplots(1, 4, figsize=(11, 3.5))
    show(axes[0], image, "the image", size(image))
    for panel, (title, out, explanation) in zip(axes[1:], methods, strict=True):
        show(panel, out[0], title, f"{explanation}: {size(out)}")
    figure.suptitle("Three ways to halve width and height")
    return figure


def parameters() -> Figure:
    """Draw how many parameters a convolution and a fully connected layer need."""
    with torch.device("meta"):  # no memory: the largest layer has billions of weights
        convolution = [n_parameters(nn.Conv2d(3, FEATURES, 3, padding=1))] * len(SIZES)
        connected = [
            n_parameters(nn.Linear(3 * side**2, FEATURES * side**2)) for side in SIZES
        ]
    figure, axes = plt.subplots(figsize=(7.5, 4.4))
    for counts, colour, label in (
        (connected, CONNECTED_COLOUR, "fully connected"),
        (convolution, CONVOLUTION_COLOUR, "3×3 convolution"),
    ):
        axes.plot(SIZES, counts, "o-", color=colour)
        axes.annotate(
            f"{label}\n{counts[-1]:,}", (SIZES[-1], counts[-1]), xytext=(10, 0),
            textcoords="offset points", va="center", color=colour,
        )  # fmt: skip
    axes.set_xscale("log", base=2)
    axes.set_yscale("log")
    axes.set_xticks(SIZES, [f"{side}×{side}" for side in SIZES])
    axes.margins(x=0.05)
    axes.set_xlim(right=SIZES[-1] * 4)
    axes.yaxis.set_major_locator(LogLocator(base=1000))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axes.set_xlabel("image size")
    axes.set_ylabel("parameters (logarithmic)")
    axes.set_title(
        f"3 to {FEATURES} channels: only the fully connected layer grows with the image",
        fontsize=11,
    )
    return figure


def filters(weight: Tensor) -> Figure:
    """Draw the kernels of a first convolution as small images. weight: N×3×3×3."""
    columns = 8
    rows = -(-len(weight) // columns)
    figure, grid = plt.subplots(
        rows, columns, figsize=(8, 1.05 * rows + 0.7), squeeze=False
    )
    largest = weight.abs().max()
    for axes, kernel in zip(grid.flat, weight, strict=False):
        axes.imshow((0.5 + kernel / largest / 2).permute(1, 2, 0).numpy())
    for axes in grid.flat:
        axes.axis("off")
    figure.suptitle(
        "Kernels of a trained baseline's first convolution (grey is 0)", fontsize=11
    )
    return figure


@dataclass(frozen=True)
class LayerRecord:
    """A layer's output for one image, and the gradient of the loss with respect to it."""

    activation: Tensor
    gradient: Tensor


def look_inside(
    model: nn.Module, layers: Sequence[str], image: Tensor, label: int
) -> dict[str, LayerRecord]:
    """With hooks, record the activations and the gradients of the named layers.

    image: 3×32×32, normalized. Removes the hooks and the gradients afterwards.
    """
    outputs: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> None:
        output.retain_grad()
        outputs[name] = output

    modules = dict(model.named_modules())
    handles = [
        modules[name].register_forward_hook(
            lambda _module, _inputs, output, name=name: keep(name, output)
        )
        for name in layers
    ]
    try:
        F.cross_entropy(model(image[None]), torch.tensor([label])).backward()
    finally:
        for handle in handles:
            handle.remove()
    model.zero_grad()
    return {
        name: LayerRecord(output[0].detach(), output.grad[0])
        for name, output in outputs.items()
        if output.grad is not None
    }


def layers(image: Tensor, seen: Mapping[str, LayerRecord], title: str) -> Figure:
    """Draw activations and gradients, layer by layer. image: 3×H×W, from 0 to 1."""
    figure, grid = plt.subplots(2, 1 + len(seen), figsize=(2.4 * (1 + len(seen)), 5))
    show(grid[0, 0], image, "the image", size(image))
    grid[1, 0].axis("off")
    for column, (name, layer) in enumerate(seen.items(), start=1):
        for axes, values, caption in (
            (grid[0, column], layer.activation, name),
            (grid[1, column], layer.gradient, "its gradient"),
        ):
            largest = values.abs().max()
            axes.imshow(mosaic(values), cmap="RdBu", vmin=-largest, vmax=largest)
            frame(axes, caption, f"{shape(values)}, within ±{largest:.2g}")
    figure.suptitle(title)
    return figure


def mosaic(values: Tensor) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Arrange channels in a square with gaps between them, or a vector in a square."""
    channels = values[:, None] if values.dim() > 1 else values[:, None, None, None]
    gap = 1 if values.dim() > 1 else 0
    columns = math.ceil(math.sqrt(len(values)))
    sheet = make_grid(channels, nrow=columns, padding=gap, pad_value=math.nan)[0]
    # make_grid also adds a gap on the outside.
    inner = slice(gap, -gap or None)
    return sheet[inner, inner].numpy()


def show(axes: Axes, image: Tensor, title: str, caption: str) -> None:
    """Show an image: 3×H×W, from 0 to 1, in colour, or H×W in grey, scaled to its range."""
    pixels = image.permute(1, 2, 0) if image.dim() == 3 else image
    axes.imshow(pixels.numpy(), cmap="gray")
    frame(axes, title, caption)


def size(image: Tensor) -> str:
    return "×".join(map(str, image.shape[-2:]))


def shape(values: Tensor) -> str:
    return "×".join(map(str, values.shape))
