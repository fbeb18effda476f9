"""Score one architecture's models: metrics/<architecture>.json and results/<architecture>/.

What is written here is all that comparisons and reports read: no model.
"""

import io
import json
import sys
from pathlib import Path

import pandas as pd
import torch
from torch import nn

from benchmark import checkpoint, dataset, errors, params, recipe, stage
from benchmark.environment import choose_device
from benchmark.scoring import accuracy, predict
from benchmark.uncertainty import of_accuracy, right_of

MODELS = Path("models")
METRICS = Path("metrics")
RESULTS = Path("results")


def main() -> None:
    loaded = params.load()
    architecture = params.named_on_command_line(sys.argv, loaded)
    torch.set_num_threads(loaded.train.threads)
    device = choose_device(loaded.train.device)
    data = dataset.load(loaded.data.mean, loaded.data.std, device)
    settings = recipe.settings_of(loaded, architecture)
    model = recipe.build_model(
        recipe.find(architecture), len(data.class_names), settings
    ).to(device)

    predictions = pd.DataFrame({"label": data.val_labels.tolist()})
    predictions.index.name = "example"
    scores = []
    scored: dict[int, bytes] = {}
    files = sorted((MODELS / architecture).glob("seed-*.pt"), key=seed_of)
    if not files:
        raise errors.UserError(
            f"{MODELS / architecture}: no model; run `dvc repro train@{architecture}`"
        )
    for path in files:
        content = path.read_bytes()
        load_state(model, content, path)
        scored[seed_of(path)] = content
        predicted = predict(model, data.val_images)
        predictions[f"seed_{seed_of(path)}"] = predicted.tolist()
        scores.append(
            {
                "seed": seed_of(path),
                "train_accuracy": accuracy(
                    predict(model, data.train_images), data.train_labels
                ),
                "val_accuracy": accuracy(predicted, data.val_labels),
            }
        )
    seeds = pd.DataFrame(scores).set_index("seed")
    metrics = {
        "params": sum(parameter.numel() for parameter in model.parameters()),
        "train_accuracy": seeds["train_accuracy"].mean(),
        "val_accuracy": seeds["val_accuracy"].mean(),
        **spread(predictions, seeds),
    }
    metrics = {key: round(value, 6) for key, value in metrics.items()}

    results = RESULTS / architecture
    stage.write(results / "predictions.csv", csv(predictions))
    stage.write(results / "seeds.csv", csv(seeds))
    for name in ("loss_curve.csv", "environment.json"):
        stage.write(results / name, (MODELS / architecture / name).read_bytes())
    stage.write(
        METRICS / f"{architecture}.json", (json.dumps(metrics, indent=2) + "\n").encode()
    )
    # By now the models are recorded, and nobody needs to go on with their training.
    for seed, content in scored.items():
        checkpoint.discard(architecture, seed, content)
    print(f"{architecture}: val accuracy {metrics['val_accuracy']:.4f}", end=" ")
    print(f"(train {metrics['train_accuracy']:.4f}), {len(seeds)} seed(s)")


def spread(predictions: pd.DataFrame, seeds: pd.DataFrame) -> dict[str, float]:
    """How far the val accuracy is known; one seed does not tell."""
    if len(seeds) < 2:
        return {}
    interval = of_accuracy(right_of(predictions).to_numpy(float))
    return {
        "val_accuracy_std": seeds["val_accuracy"].std(),
        "val_accuracy_ci_low": max(0.0, interval.low),
        "val_accuracy_ci_high": min(1.0, interval.high),
    }


def load_state(model: nn.Module, content: bytes, path: Path) -> None:
    """Load the state dict that `path` holds into `model`, wherever the model is."""
    try:
        state = torch.load(io.BytesIO(content), weights_only=True, map_location="cpu")
        model.load_state_dict(state)
    except Exception as error:  # torch raises anything where a file is none of its own
        cause = next(iter(str(error).splitlines()), type(error).__name__)
        raise errors.UserError(
            f"{path}: is not a state dict of this architecture ({cause}); "
            f"train it again with `dvc repro --force train@{path.parent.name}`"
        ) from None


def seed_of(path: Path) -> int:
    """The k of seed-k.pt."""
    return int(path.stem.removeprefix("seed-"))


def csv(table: pd.DataFrame) -> bytes:
    """The table as CSV with the same bytes on every system."""
    return table.to_csv(lineterminator="\n").encode()


if __name__ == "__main__":
    stage.run(main)
