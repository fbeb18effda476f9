"""The data: CIFAR-10's files, generated images, and the tensors for training."""
