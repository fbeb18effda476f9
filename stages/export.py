"""Save the baseline as the chapter does: data/birds_vs_airplanes.pt (8.4.2)."""

from pathlib import Path

from benchmark import errors, params, stage

BASELINE = Path("models/baseline/seed-0.pt")
EXPORTED = Path("data/birds_vs_airplanes.pt")


def main() -> None:
    params.load()
    try:
        state_dict = BASELINE.read_bytes()
    except OSError as error:
        raise errors.UserError(
            f"{BASELINE}: cannot be read ({error.strerror}); "
            "bring it with `dvc repro train@baseline`"
        ) from None
    stage.write(EXPORTED, state_dict)


if __name__ == "__main__":
    stage.run(main)
