"""Entry point."""

from benchmark import params
from benchmark.running import cli
from studies.depth import hundred


def main() -> None:
    hundred.train(params.load())


if __name__ == "__main__":
    cli.run(main)
