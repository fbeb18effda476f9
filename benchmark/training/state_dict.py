"""A trained model as a file: its state dict."""

import io
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmark.running.errors import explained


def to_bytes(state: Mapping[str, Tensor]) -> bytes:
    """A file that loads on any device, with the same bytes each time."""
    plain = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    buffer = io.BytesIO()  # torch.save writes a file's name into the file
    torch.save(plain, buffer)
    return buffer.getvalue()


def load(model: nn.Module, content: bytes, path: Path) -> None:
    """Load the state dict that the file `path` holds into `model`, wherever the model is.

    Raises UserError where it is none of this model.
    """
    with explained(
        f"{path}: is not a state dict of this architecture ({{}}); "
        f"train it again with `dvc repro --force train@{path.parent.name}`",
        Exception,  # torch raises anything where a file is none of its own
    ):
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        model.load_state_dict(state)
