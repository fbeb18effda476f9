"""Check params.yaml, and rehearse every row: train it briefly, interrupt and resume it."""

from benchmark import params
from benchmark.check import check_rows, replaced
from benchmark.running import cli
from benchmark.training import recipe


def main() -> None:
    loaded = params.load()
    check_rows(loaded, *loaded.rows)
    for name in loaded.rows:
        row = params.row_of(loaded, name)
        if note := replaced(row, recipe.load_architecture(row.net)):
            print(note)
    print(f"{params.PARAMS}: {len(loaded.rows)} rows, no problems found")


if __name__ == "__main__":
    cli.run(main)
