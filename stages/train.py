"""Train one architecture, every seed: models/<architecture>/."""

import json
import sys
from pathlib import Path

import torch

from benchmark import dataset, errors, params, recipe, workers
from benchmark.cell import Cell, Trained, train_cell
from benchmark.environment import choose_device, computes_in_bf16, merge
from benchmark.files import write_whole

MODELS = Path("models")


def main() -> None:
    loaded = params.load()
    architecture = params.named_on_command_line(sys.argv, loaded)
    warn_of_slow_precision(loaded.train)
    folder = MODELS / architecture
    trained: dict[int, Trained] = {}
    for each in workers.run(train_cell, cells(loaded, architecture), loaded.train.threads):
        trained[each["seed"]] = each
        write_whole(folder / f"seed-{each['seed']}.pt", each["model"])

    rows = ["seed,epoch,loss"]
    for seed in sorted(trained):
        losses = enumerate(trained[seed]["losses"], start=1)
        rows += [f"{seed},{epoch},{loss}" for epoch, loss in losses]
    write_whole(folder / "loss_curve.csv", "\n".join([*rows, ""]).encode())
    environment = merge(each["environment"] for each in trained.values())
    write_whole(
        folder / "environment.json", (json.dumps(environment, indent=2) + "\n").encode()
    )


def cells(loaded: params.Params, architecture: str) -> list[Cell]:
    """A cell for each seed, 0 to train.seeds - 1."""
    stored = torch.load(dataset.CIFAR2, weights_only=True)
    training = recipe.training_of(loaded, architecture)
    return [
        Cell(
            architecture=recipe.find(architecture),
            seed=seed,
            settings=recipe.settings_of(loaded, architecture),
            images=stored["train_images"],
            labels=stored["train_labels"],
            n_classes=len(stored["class_names"]),
            mean=loaded.data.mean,
            std=loaded.data.std,
            **training.model_dump(exclude={"seeds"}),
        )
        for seed in range(training.seeds)
    ]


def warn_of_slow_precision(train: params.Train) -> None:
    device = choose_device(train.device)
    if train.precision == "bf16" and not computes_in_bf16(device):
        print(
            f"warning: train.precision: bf16, but this {device.type} has no instructions "
            "for it: training is slower than with fp32",
            file=sys.stderr,
        )


if __name__ == "__main__":
    errors.run(main)
