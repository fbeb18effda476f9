"""What a convolution does to an image: sections 8.1 and 8.2 of the chapter, in pictures."""

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

# One kernel for each of red, green and blue, so that the result sums over colours.
BLUR = torch.full((1, 3, 3, 3), 1 / 9)
VERTICAL_EDGES = torch.tensor([[-1.0, 0.0, 1.0]] * 3).expand(1, 3, 3, 3)

SIZES = (8, 16, 32, 64, 128, 256)
FEATURES = 16
CONVOLUTION_COLOUR, CONNECTED_COLOUR = "#1f4e79", "#b5651d"


def kernels(image: Tensor) -> Figure:
    """The image, its blur and its vertical edges. image: 3×H×W, from 0 to 1."""
    # The mean over colours, so that the blur of a colour is no brighter than the colour.
    blurred = F.conv2d(image[None], BLUR / 3)[0, 0]
    edges = F.conv2d(image[None], VERTICAL_EDGES)[0, 0]
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.6))
    show(axes[0], image, "the image", "3 channels")
    show(axes[1], blurred, "blurred", "every weight 1/9: the mean of 3×3 pixels")
    show(axes[2], edges, "vertical edges", "each row −1, 0, 1: right less left")
    figure.suptitle("A kernel decides what is looked for")
    return figure


def padding(image: Tensor) -> Figure:
    """The blur without padding and with it. image: 3×H×W, from 0 to 1."""
    figure, axes = plt.subplots(1, 3, figsize=(9, 3.8))
    show(axes[0], image, "the image", size(image))
    for each, pad, title in ((axes[1], 0, "valid"), (axes[2], 1, "padding=1")):
        out = F.conv2d(image[None], BLUR / 3, padding=pad)[0, 0]
        show(each, out, title, size(out))
    height, width = image.shape[-2:]
    # At the place where it was computed, so that the lost border shows.
    axes[1].images[0].set_extent((0.5, width - 1.5, height - 1.5, 0.5))
    for each in axes:
        each.set_xlim(-0.5, width - 0.5)
        each.set_ylim(height - 0.5, -0.5)
    figure.suptitle("Without padding a 3×3 kernel loses a border of one pixel")
    return figure


def downsampling(image: Tensor) -> Figure:
    """Three ways to halve the size. image: 3×H×W, from 0 to 1."""
    batch = image[None]
    ways = (
        ("max pooling", F.max_pool2d(batch, 2), "the largest of four"),
        ("average pooling", F.avg_pool2d(batch, 2), "the mean of four"),
        ("stride 2", batch[..., ::2, ::2], "every other pixel is computed"),
    )
    figure, axes = plt.subplots(1, 4, figsize=(11, 3.5))
    show(axes[0], image, "the image", size(image))
    for each, (title, out, what) in zip(axes[1:], ways, strict=True):
        show(each, out[0], title, f"{what}: {size(out)}")
    figure.suptitle("Downsampling: what is kept of four pixels")
    return figure


def parameters() -> Figure:
    """Parameters of a convolution and of a fully connected layer, by image size."""
    with torch.device("meta"):  # shapes alone: the largest layer has billions
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
    axes.set_xlabel("image")
    axes.set_ylabel("parameters")
    axes.set_title(
        f"From 3 channels to {FEATURES}: a convolution does not grow with the image",
        fontsize=11,
    )
    return figure


def filters(weight: Tensor) -> Figure:
    """The kernels of a first convolution as small images. weight: N×3×3×3."""
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
    figure.suptitle("First convolution of a trained baseline: grey is 0", fontsize=11)
    return figure


@dataclass(frozen=True)
class Seen:
    """What a layer gave for one image, and the gradient of the loss by it: C×… each."""

    activation: Tensor
    gradient: Tensor


def look_inside(
    model: nn.Module, layers: Sequence[str], image: Tensor, label: int
) -> dict[str, Seen]:
    """Activations and gradients of the named layers, by hooks; nothing is printed.

    image: 3×32×32, normalized. The hooks are gone afterwards, and so are gradients.
    """
    given: dict[str, Tensor] = {}

    def keep(name: str, output: Tensor) -> None:
        output.retain_grad()
        given[name] = output

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
        name: Seen(output[0].detach(), output.grad[0])
        for name, output in given.items()
        if output.grad is not None
    }


def layers(image: Tensor, seen: Mapping[str, Seen], title: str) -> Figure:
    """Activations and gradients layer by layer. image: 3×H×W, from 0 to 1."""
    figure, grid = plt.subplots(2, 1 + len(seen), figsize=(2.4 * (1 + len(seen)), 5))
    show(grid[0, 0], image, "the image", size(image))
    grid[1, 0].axis("off")
    for column, (name, each) in enumerate(seen.items(), start=1):
        for axes, values, what in (
            (grid[0, column], each.activation, name),
            (grid[1, column], each.gradient, "its gradient"),
        ):
            largest = values.abs().max()
            axes.imshow(mosaic(values), cmap="RdBu", vmin=-largest, vmax=largest)
            frame(axes, what, f"{shape(values)}, up to ±{largest:.2g}")
    figure.suptitle(title)
    return figure


def mosaic(values: Tensor) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Channels side by side in a square with gaps; a vector as a square of its own."""
    channels = values[:, None] if values.dim() > 1 else values[:, None, None, None]
    gap = 1 if values.dim() > 1 else 0
    columns = math.ceil(math.sqrt(len(values)))
    sheet = make_grid(channels, nrow=columns, padding=gap, pad_value=math.nan)[0]
    # make_grid also puts a gap around the whole.
    inner = slice(gap, -gap or None)
    return sheet[inner, inner].numpy()


def show(axes: Axes, image: Tensor, title: str, below: str) -> None:
    """An image 3×H×W in colour, or H×W in grey from its least to its greatest value."""
    pixels = image.permute(1, 2, 0) if image.dim() == 3 else image
    axes.imshow(pixels.numpy(), cmap="gray")
    frame(axes, title, below)


def size(image: Tensor) -> str:
    return "×".join(map(str, image.shape[-2:]))


def shape(values: Tensor) -> str:
    return "×".join(map(str, values.shape))
