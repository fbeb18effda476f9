"""Check params.yaml and put every architecture together once, before any work."""

import torch

from benchmark import errors, params, recipe


def main() -> None:
    loaded = params.load()
    for name in loaded.architectures:
        try:
            made = recipe.assemble(
                recipe.find(name),
                len(loaded.data.classes),
                recipe.settings_of(loaded, name),
                recipe.training_of(loaded, name).lr,
                seed=0,
            )
            scores = made.model.eval()(torch.zeros(1, 3, 32, 32))
        except Exception as error:  # whatever an architecture's file may raise
            cause = " ".join(str(error).split())
            raise errors.UserError(
                f"architectures/{name}.py: {type(error).__name__}: {cause}"
            ) from None
        wanted = (1, len(loaded.data.classes))
        if tuple(scores.shape) != wanted:
            raise errors.UserError(
                f"architectures/{name}.py: one image gives scores of shape "
                f"{tuple(scores.shape)}; needed is {wanted}, one score a class"
            )
    print(f"{params.PARAMS}: {len(loaded.architectures)} architectures, all is well")


if __name__ == "__main__":
    errors.run(main)
