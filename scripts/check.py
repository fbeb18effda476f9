"""Check params.yaml and put every architecture together once, before any work."""

from benchmark import errors, params, recipe
from benchmark.check import check_net


def main() -> None:
    loaded = params.load()
    for name in loaded.architectures:
        check_net(loaded, name)
        with errors.naming(name):
            recipe.assemble(
                recipe.find(name),
                len(loaded.data.classes),
                recipe.settings_of(loaded, name),
                recipe.training_of(loaded, name).lr,
                seed=0,
            )
    print(f"{params.PARAMS}: {len(loaded.architectures)} architectures, all is well")


if __name__ == "__main__":
    errors.run(main)
