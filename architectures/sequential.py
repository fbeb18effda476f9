"""baseline, written as nn.Sequential (8.2.4)."""

from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 16, kernel_size=3, padding=1),
            nn.MaxPool2d(2),
            nn.Tanh(),
            nn.Conv2d(16, 8, kernel_size=3, padding=1),
            nn.MaxPool2d(2),
            nn.Tanh(),
            nn.Flatten(),
            nn.Linear(8 * 8 * 8, 32),
            nn.Tanh(),
            nn.Linear(32, n_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Map images, N×3×32×32, to logits, N×n_classes."""
        return self.layers(images)
