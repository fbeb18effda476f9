"""Check params.yaml, and build every net once."""

from benchmark import params
from benchmark.check import check_nets
from benchmark.running import cli


def main() -> None:
    loaded = params.load()
    check_nets(loaded, *loaded.architectures)
    print(f"{params.PARAMS}: {len(loaded.architectures)} nets, no problems found")


if __name__ == "__main__":
    cli.run(main)
