"""Train one architecture, every seed: models/<architecture>/."""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from benchmark import checkpoint, dataset, params, recipe, stage, workers
from benchmark.cell import Cell, Trained, train_cell
from benchmark.check import check_net
from benchmark.environment import choose_device, computes_in_bf16, merge
from benchmark.files import write_whole

MODELS = Path("models")


def main() -> None:
    loaded = params.load()
    architecture = params.named_on_command_line(sys.argv, loaded)
    check_net(loaded, architecture)
    warn_of_slow_precision(loaded.train)
    trained = workers.run(train_cell, cells(loaded, architecture), loaded.train.threads)
    write(MODELS / architecture, sorted(trained, key=lambda each: each["seed"]))


def cells(loaded: params.Params, architecture: str) -> list[Cell]:
    """A cell for each seed, 0 to train.seeds - 1."""
    stored = torch.load(dataset.CIFAR2, weights_only=True)
    training = recipe.training_of(loaded, architecture)
    given = {
        "settings": recipe.settings_of(loaded, architecture),
        "images": stored["train_images"],
        "labels": stored["train_labels"],
        "val_images": stored["val_images"],
        "val_labels": stored["val_labels"],
        "n_classes": len(stored["class_names"]),
        "mean": loaded.data.mean,
        "std": loaded.data.std,
        **training.model_dump(exclude={"seeds"}),
    }
    found = recipe.find(architecture)
    return [
        Cell(
            architecture=found,
            seed=seed,
            checkpoint=checkpoint.path_of(f"{architecture}-seed-{seed}", given),
            **given,
        )
        for seed in range(training.seeds)
    ]


def write(folder: Path, trained: Sequence[Trained]) -> None:
    """The models, their curves, and where they were trained."""
    stage.check_wanted()
    rows = ["seed,epoch,loss,val_accuracy"]
    for each in trained:
        write_whole(folder / f"seed-{each['seed']}.pt", each["model"])
        epochs = len(each["losses"])
        unscored = [""] * (epochs - len(each["val_accuracies"]))
        columns = (
            range(1, epochs + 1),
            each["losses"],
            [*unscored, *each["val_accuracies"]],
        )
        rows += [
            f"{each['seed']},{','.join(map(str, row))}"
            for row in zip(*columns, strict=True)
        ]
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
    stage.run(main)
