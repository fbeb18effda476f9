"""The baseline that runs in the browser: its weights, and images to try it with."""

from base64 import b64encode
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from benchmark.reporting.example_net import Example

# The layers that net.js computes. Another baseline is left out of the page.
LAYERS = ("conv1", "conv2", "fc1", "fc2")
N_READY = 4


def net(shown: Example, images: Sequence[int]) -> dict[str, Any] | None:
    """Return the net for the scripts, or None if the page cannot show it: if it has
    other layers than the book's, or learned nothing.

    images: the images to show, of those of the example. The page computes their scores,
    and compares them with torch's, before it shows the net.
    """
    weights = shown.model.state_dict()
    if list(weights) != [
        f"{name}.{kind}" for name in LAYERS for kind in ("weight", "bias")
    ]:
        return None
    chosen = shown.images[list(images)]
    with torch.no_grad():
        scores = shown.model(shown.normalized(chosen))
    if not all(torch.isfinite(tensor).all() for tensor in (scores, *weights.values())):
        return None
    return {
        "kind": shown.kind,
        "classNames": list(shown.class_names),
        "mean": shown.mean,
        "std": shown.std,
        "layers": {
            name: {
                "shape": list(weights[f"{name}.weight"].shape),
                "weight": pack(weights[f"{name}.weight"]),
                "bias": pack(weights[f"{name}.bias"]),
            }
            for name in LAYERS
        },
        "images": [
            {"label": int(shown.labels[i]), "pixels": pack(image), "scores": s.tolist()}
            for i, image, s in zip(images, chosen, scores, strict=True)
        ],
    }


def pack(tensor: Tensor) -> str:
    """Return the tensor's bytes, little-endian, as base64."""
    array = tensor.detach().contiguous().numpy()
    return b64encode(array.astype(array.dtype.newbyteorder("<")).tobytes()).decode()
