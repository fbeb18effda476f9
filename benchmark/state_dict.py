"""A trained model as a file: its state dict."""

import io
from collections.abc import Mapping

import torch
from torch import Tensor


def to_bytes(state: Mapping[str, Tensor]) -> bytes:
    """A file that loads on any device, with the same bytes each time."""
    plain = {name: tensor.cpu().contiguous() for name, tensor in state.items()}
    buffer = io.BytesIO()  # torch.save writes a file's name into the file
    torch.save(plain, buffer)
    return buffer.getvalue()
