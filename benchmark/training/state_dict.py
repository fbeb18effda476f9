"""Save and load trained models as state dicts."""

import io
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmark.running.errors import explained


def to_bytes(state: Mapping[str, Tensor]) -> bytes:
    """Return the content of a model file. The same model always gives the same bytes."""
    plain = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    buffer = io.BytesIO()  # given a path, torch.save would store its name
    torch.save(plain, buffer)
    return buffer.getvalue()


def load(model: nn.Module, content: bytes, path: Path) -> None:
    """Load the state dict in `content` into `model`, which may be on any device.

    path: the file that `content` was read from. Raises UserError if `content` does not fit
    the model.
    """
    with explained(
        f"{path}: not a state dict of this net ({{}}); "
        f"train it again with `dvc repro --force train@{path.parent.name}`",
        Exception,  # for other files, torch can raise almost anything
    ):
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        model.load_state_dict(state)
