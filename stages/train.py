"""Train one architecture, every seed: models/<architecture>/."""

import io
import json
import math
import sys
from pathlib import Path

import joblib
import torch

from benchmark import dataset, errors, params, recipe
from benchmark.environment import choose_device, describe
from benchmark.files import write_whole
from benchmark.memory import keep_freed_memory
from benchmark.progress import EpochProgress
from benchmark.training import shuffled, train

MODELS = Path("models")


def main() -> None:
    loaded = params.load()
    architecture = params.named_on_command_line(sys.argv, loaded)
    training = recipe.training_of(loaded, architecture)
    # Side by side, as many as the processors allow; what a seed gives does not
    # depend on how many run beside it.
    processes = min(training.seeds, max(1, joblib.cpu_count() // training.threads))
    curves = joblib.Parallel(n_jobs=processes)(
        joblib.delayed(train_seed)(loaded, architecture, seed)
        for seed in range(training.seeds)
    )

    rows = ["seed,epoch,loss"]
    for seed, losses in enumerate(curves):
        rows += [f"{seed},{epoch},{loss}" for epoch, loss in enumerate(losses, start=1)]
    write_whole(MODELS / architecture / "loss_curve.csv", "\n".join([*rows, ""]).encode())

    environment = describe(choose_device(training.device), training.threads)
    write_whole(
        MODELS / architecture / "environment.json",
        (json.dumps(environment, indent=2) + "\n").encode(),
    )


def train_seed(loaded: params.Params, architecture: str, seed: int) -> list[float]:
    """Train and save one seed; return the loss of every epoch."""
    keep_freed_memory()
    training = recipe.training_of(loaded, architecture)
    torch.set_num_threads(training.threads)
    device = choose_device(training.device)
    data = dataset.load(loaded.data.mean, loaded.data.std, device)
    made = recipe.assemble(
        architecture,
        len(data.class_names),
        recipe.settings_of(loaded, architecture),
        training.lr,
        seed,
        device,
    )
    # Convolutions on a processor are faster with the channels innermost.
    made.model.to(memory_format=torch.channels_last)
    images = data.train_images.to(memory_format=torch.channels_last)
    progress = EpochProgress(architecture, seed, training.epochs)

    def report(epoch: int, loss: float) -> None:
        progress(epoch, loss)
        if not math.isfinite(loss):
            raise errors.UserError(
                f"{architecture} seed {seed}: the loss is {loss} in epoch {epoch} "
                f"with lr {training.lr}; try a smaller lr"
            )

    losses = train(
        made.model,
        made.optimizer,
        images,
        data.train_labels,
        epochs=training.epochs,
        order=shuffled(len(images), training.batch_size, seed, device),
        loss=made.loss,
        penalty=made.penalty,
        report=report,
    )
    save(made.model, MODELS / architecture / f"seed-{seed}.pt")
    return losses


def save(model: torch.nn.Module, path: Path) -> None:
    """Write the state dict so that it loads anywhere and has the same bytes each time."""
    state = {name: tensor.cpu().contiguous() for name, tensor in model.state_dict().items()}
    buffer = io.BytesIO()  # torch.save writes a file's name into the file
    torch.save(state, buffer)
    write_whole(path, buffer.getvalue())


if __name__ == "__main__":
    errors.run(main)
