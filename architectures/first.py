"""The first model of chapter 7: one hidden layer, log-probabilities out.

It ends in LogSoftmax, so its loss is the negative log-likelihood; together
they are the cross-entropy that the other architectures use.
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
        """Log-probabilities, N×n_classes, of images N×3×32×32."""
        return self.layers(images)
