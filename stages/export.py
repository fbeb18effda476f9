"""Save the trained baseline as the book does (8.4.2): data/baseline.pt."""

from pathlib import Path

from benchmark import params
from benchmark.running import stage
from benchmark.running.errors import explained

BASELINE = Path("models/baseline/seed-0.pt")
EXPORTED = Path("data/baseline.pt")


def main() -> None:
    params.load()
    what_to_do = "train it with `dvc repro train@baseline`"
    with explained(f"{BASELINE}: cannot be read ({{}}); {what_to_do}", OSError):
        state_dict = BASELINE.read_bytes()
    stage.write(EXPORTED, state_dict)


if __name__ == "__main__":
    stage.run(main)
