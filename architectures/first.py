"""Two fully connected layers, the book's first classifier (7.2.2).

Its last layer is LogSoftmax and its loss the negative log-likelihood. Together they equal
the cross-entropy that the other nets use.
"""

from torch import Tensor, nn
from torch.nn.functional import nll_loss

loss = nll_loss


class Net(nn.Module):
    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(3072, 512),
            nn.Tanh(),
            nn.Linear(512, n_classes),
            nn.LogSoftmax(dim=1),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images, N×3×32×32, to log-probabilities, N×n_classes."""
        return self.layers(images)
