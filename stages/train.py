"""Train one row with every seed: models/<name>/.

With the committed params, two cores train five seeds of baseline in about 9 minutes (test
accuracy 89.3%) and five seeds of res_deep in about two and a half hours (90.3%). `make
repro` trains the cells of all rows in one pool first; this stage then only collects them.
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmark import params, pool
from benchmark.running import cli, stage
from benchmark.running.files import write_atomic
from benchmark.running.finished import CellResult
from benchmark.training.environment import choose_device, computes_in_bf16, merge

MODELS = Path("models")


def main(row: str) -> None:
    loaded = params.load()
    warn_of_slow_precision(params.row_of(loaded, row).training)
    write(MODELS / row, pool.train_rows(loaded, row))


def write(folder: Path, trained: Sequence[CellResult]) -> None:
    """Write the models, their curves, and a description of the machine."""
    stage.ensure_dvc_alive()
    rows = ["seed,epoch,loss,val_accuracy"]
    for result in trained:
        seed, losses, scores = result["seed"], result["losses"], result["val_accuracies"]
        write_atomic(folder / f"seed-{seed}.pt", result["model"])
        unscored = [""] * (len(losses) - len(scores))
        curve = enumerate(zip(losses, [*unscored, *scores], strict=True), start=1)
        rows += [f"{seed},{epoch},{loss},{score}" for epoch, (loss, score) in curve]
    write_atomic(folder / "loss_curve.csv", "\n".join([*rows, ""]).encode())
    environment = merge(result["environment"] for result in trained)
    write_atomic(
        folder / "environment.json", (json.dumps(environment, indent=2) + "\n").encode()
    )


def warn_of_slow_precision(train: params.Train) -> None:
    if train.precision != "bf16":
        return
    device = choose_device(train.device)
    if not computes_in_bf16(device):
        print(
            f"warning: precision is bf16, but this {device.type} is not known to support "
            "it in hardware, so training may be slower than with fp32",
            file=sys.stderr,
        )


if __name__ == "__main__":
    stage.run(main, cli.ROW)
