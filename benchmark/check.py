"""Whether an architecture's file can be used at all, told in one line before any work."""

import torch

from benchmark import errors, params, recipe
from benchmark.pool_first import PoolFirst


def check_net(loaded: params.Params, name: str) -> None:
    """Make the net and score one image. Raises UserError."""
    file = params.ARCHITECTURES / f"{name}.py"
    n_classes = len(loaded.data.classes)
    try:
        with errors.naming(name):
            architecture = recipe.find(name)
            net = recipe.build_model(
                architecture, n_classes, recipe.settings_of(loaded, name)
            )
            parameters = sum(parameter.numel() for parameter in net.parameters())
            with torch.no_grad():
                scores = PoolFirst(net.eval())(torch.zeros(1, 3, 32, 32))
    except errors.UserError:
        raise
    except Exception as error:  # whatever such a file may raise
        cause = " ".join(str(error).split())
        raise errors.UserError(f"{file}: {type(error).__name__}: {cause}") from None
    unsaved = {name for name, _ in net.named_buffers()} - net.state_dict().keys()
    if unsaved:
        raise errors.UserError(
            f"{file}: {', '.join(sorted(unsaved))}: a buffer that is not persistent, "
            "and so in no saved model; leave persistent=False out"
        )
    if not parameters:
        raise errors.UserError(f"{file}: the net has no parameters, so none to train")
    shape = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores)
    if shape != (1, n_classes):
        raise errors.UserError(
            f"{file}: one image gives scores of shape {shape}; "
            f"needed is {(1, n_classes)}, one score a class"
        )
