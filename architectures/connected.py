"""Four fully connected layers: the chapter's argument for convolutions.

Every pixel has its own weight, so the net has 3.7 million parameters and does
not know that a bird is a bird wherever it flies.
"""

from torch import Tensor, nn


class Net(nn.Module):
    def __init__(self, n_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(3072, 1024),
            nn.Tanh(),
            nn.Linear(1024, 512),
            nn.Tanh(),
            nn.Linear(512, 128),
            nn.Tanh(),
            nn.Linear(128, n_classes),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Logits, N×n_classes, of images N×3×32×32."""
        return self.layers(images)
