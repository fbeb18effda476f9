"""Train one architecture, every seed: models/<architecture>/.

With the committed params, 2 cores train the five seeds of baseline in about 9 minutes (val
accuracy .893), those of res_deep in about two and a half hours (.903).
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmark import params
from benchmark.check import check_nets
from benchmark.running import cli, stage, workers
from benchmark.running.files import write_whole
from benchmark.training.cell import Result, cells, train_cell
from benchmark.training.environment import choose_device, computes_in_bf16, merge

MODELS = Path("models")


def main(architecture: str) -> None:
    loaded = params.load()
    params.check_name(architecture, loaded)
    check_nets(loaded, architecture)
    warn_of_slow_precision(loaded.train)
    trained = workers.run(train_cell, cells(loaded, architecture), loaded.train.threads)
    write(MODELS / architecture, sorted(trained, key=lambda each: each["seed"]))


def write(folder: Path, trained: Sequence[Result]) -> None:
    """The models, their curves, and where they were trained."""
    stage.check_wanted()
    rows = ["seed,epoch,loss,val_accuracy"]
    for each in trained:
        write_whole(folder / f"seed-{each['seed']}.pt", each["model"])
        losses, scores = each["losses"], each["val_accuracies"]
        unscored = [""] * (len(losses) - len(scores))
        curve = enumerate(zip(losses, [*unscored, *scores], strict=True), start=1)
        rows += [f"{each['seed']},{epoch},{loss},{score}" for epoch, (loss, score) in curve]
    write_whole(folder / "loss_curve.csv", "\n".join([*rows, ""]).encode())
    environment = merge(each["environment"] for each in trained)
    write_whole(
        folder / "environment.json", (json.dumps(environment, indent=2) + "\n").encode()
    )


def warn_of_slow_precision(train: params.Train) -> None:
    device = choose_device(train.device)
    if train.precision == "bf16" and not computes_in_bf16(device):
        print(
            f"warning: train.precision: bf16, but this {device.type} has no instructions "
            "for it: training is slower than with fp32",
            file=sys.stderr,
        )


if __name__ == "__main__":
    stage.run(main, cli.ARCHITECTURE)
