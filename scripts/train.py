"""Train the cells that are not finished, of all rows, in one pool; without DVC."""

from benchmark import params, pool
from benchmark.running import cli


def main() -> None:
    loaded = params.load()
    pool.train_rows(loaded, *loaded.rows)


if __name__ == "__main__":
    cli.run(main)
