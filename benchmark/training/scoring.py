"""Predict classes, and measure accuracy."""

import torch
from torch import Tensor, nn


@torch.no_grad()
def predict(
    model: nn.Module, images: Tensor, batch_size: int = 1000, flip: bool = False
) -> Tensor:
    """Return the predicted class of each image: N, int64, on the CPU.

    images: N×3×32×32, normalized, on the model's device. flip: add the scores of the
    mirrored image. The model predicts in eval mode: dropout is off, and batch norm uses its
    running statistics. Afterwards the model is in its previous mode, and its state dict is
    unchanged.
    """
    was_training = model.training
    model.eval()
    try:
        classes = []
        for batch in images.split(batch_size):
            scores = model(batch)
            if flip:
                scores = scores + model(batch.flip(3))
            classes.append(scores.argmax(dim=1))
    finally:
        model.train(was_training)
    return torch.cat(classes).cpu()


def accuracy(predictions: Tensor, labels: Tensor) -> float:
    """Return the share of correct predictions, from 0 to 1. Both arguments: N, int64."""
    return (predictions == labels.cpu()).double().mean().item()
