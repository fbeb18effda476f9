"""Score the models of one net: metrics/<name>.json and results/<name>/.

Comparisons and reports read these files; none of them needs a model.
"""

import json
from pathlib import Path

import pandas as pd
import torch

from benchmark import params
from benchmark.data import dataset
from benchmark.running import checkpoint, cli, errors, stage
from benchmark.training import recipe, state_dict
from benchmark.training.cell import cells
from benchmark.training.environment import choose_device
from benchmark.training.scoring import accuracy, predict

MODELS = Path("models")
METRICS = Path("metrics")
RESULTS = Path("results")


def main(architecture: str) -> None:
    loaded = params.load()
    params.check_name(architecture, loaded)
    torch.set_num_threads(loaded.train.threads)
    device = choose_device(loaded.train.device)
    data = dataset.load(loaded.data.mean, loaded.data.std)
    images, val_images = (
        data.normalized(split).to(device) for split in (data.train_images, data.val_images)
    )
    settings = recipe.settings_of(loaded, architecture)
    model = recipe.build_model(
        recipe.load_architecture(architecture), len(data.class_names), settings
    ).to(device)

    predictions = pd.DataFrame({"label": data.val_labels.tolist()})
    predictions.index.name = "example"
    scores = {}
    files = {seed_of(path): path for path in (MODELS / architecture).glob("seed-*.pt")}
    if not files:
        raise errors.UserError(
            f"{MODELS / architecture}: no model; run `dvc repro train@{architecture}`"
        )
    for seed, path in sorted(files.items()):
        state_dict.load(model, path.read_bytes(), path)
        predicted = predict(model, val_images)
        predictions[f"seed_{seed}"] = predicted.tolist()
        scores[seed] = {
            "train_accuracy": accuracy(predict(model, images), data.train_labels),
            "val_accuracy": accuracy(predicted, data.val_labels),
        }
    seeds = pd.DataFrame.from_dict(scores, orient="index").rename_axis("seed")
    metrics = {
        "params": recipe.n_parameters(model),
        "train_accuracy": seeds["train_accuracy"].mean(),
        "val_accuracy": seeds["val_accuracy"].mean(),
    }
    if len(seeds) > 1:  # one seed has no standard deviation
        metrics["val_accuracy_std"] = seeds["val_accuracy"].std()
    metrics = {key: round(value, 6) for key, value in metrics.items()}

    results = RESULTS / architecture
    stage.write(results / "predictions.csv", csv(predictions))
    stage.write(results / "seeds.csv", csv(seeds))
    for name in ("loss_curve.csv", "environment.json"):
        stage.write(results / name, (MODELS / architecture / name).read_bytes())
    stage.write(METRICS / f"{architecture}.json", json.dumps(metrics, indent=2) + "\n")
    # The scores are written, so these training runs will not be resumed.
    checkpoint.discard(cell.checkpoint for cell in cells(loaded, architecture))
    val, train = (f"{metrics[f'{split}_accuracy']:.1%}" for split in ("val", "train"))
    print(f"{architecture}: test accuracy {val} (training {train}), {len(seeds)} seed(s)")


def seed_of(path: Path) -> int:
    """Return k for a file seed-k.pt."""
    return int(path.stem.removeprefix("seed-"))


def csv(table: pd.DataFrame) -> str:
    """Format the table as CSV, with the same line endings on every system."""
    return table.to_csv(lineterminator="\n")


if __name__ == "__main__":
    stage.run(main, cli.ARCHITECTURE)
