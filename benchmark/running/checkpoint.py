"""Checkpoints, from which an interrupted training run can resume.

Each cell has one checkpoint. Its name contains the cell's fingerprint, so a training run
never resumes from a checkpoint made with different params, images or code. The file is
written after every epoch, and deleted when the finished cell is stored (finished.py). It is
not an output of a stage, because DVC deletes outputs before it runs the stage again.
"""

import io
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.optim.lr_scheduler import LRScheduler

from benchmark.running import finished, locks
from benchmark.running.errors import explained
from benchmark.running.files import write_atomic

DIGEST_BYTES = sha256().digest_size

# The keys of TrainingState.state, and the keys that fit (cell.py) adds.
KEYS = {
    "model", "optimizer", "lr_scheduler", "averaged", "shuffling", "augmenting",
    "cpu_random", "device_random", "environment", "losses", "val_accuracies",
}  # fmt: skip
State = dict[str, Any]


@contextmanager
def locked(stem: Path | None, cell: str) -> Iterator[None]:
    """Hold the cell's lock, so that no two processes train the cell at the same time.

    If another process holds the lock, say so and wait. That process may belong to another
    experiment, or to a run that was killed. Its progress is kept in the checkpoint.
    """
    if stem is None:
        yield
        return
    with _explain_write_errors(stem):
        lock = locks.take(stem, busy=f"{cell}: another process is training it")
    with lock:
        yield


@dataclass(frozen=True)
class TrainingState:
    """Everything that changes during training, except the losses and accuracies.

    shuffling, augmenting: the random number generators that shuffle and change the images.
    averaged: the model with averaged weights, if the recipe has them.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    lr_scheduler: LRScheduler | None
    shuffling: torch.Generator
    augmenting: torch.Generator
    device: torch.device
    averaged: nn.Module | None = None

    def state(self) -> State:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": self.lr_scheduler.state_dict() if self.lr_scheduler else None,
            "averaged": self.averaged.state_dict() if self.averaged else None,
            "shuffling": self.shuffling.get_state(),
            "augmenting": self.augmenting.get_state(),
            "cpu_random": torch.get_rng_state(),
            "device_random": None
            if self.device.type == "cpu"
            else torch.get_device_module(self.device).get_rng_state(),
        }

    def restore(self, state: State) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.lr_scheduler:
            self.lr_scheduler.load_state_dict(state["lr_scheduler"])
        if self.averaged:
            self.averaged.load_state_dict(state["averaged"])
        self.shuffling.set_state(state["shuffling"])
        self.augmenting.set_state(state["augmenting"])
        torch.set_rng_state(state["cpu_random"])
        if self.device.type != "cpu":
            torch.get_device_module(self.device).set_rng_state(state["device_random"])


def save(path: Path, state: State) -> None:
    """Write the checkpoint, with its digest in front. Raises UserError if that fails."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    with _explain_write_errors(path):
        write_atomic(path, sha256(content).digest(), content)


def load(path: Path, environment: Mapping[str, Any]) -> State | None:
    """Return the last saved state, or None if there is none to resume.

    Ignores a damaged checkpoint, and one from another machine or torch version, unless
    OTHER_PROCESSORS is set: resuming it mixes two kinds of rounding.
    """
    state, why = read(path, environment)
    if why:
        print(f"{path} {why}, so training starts over", file=sys.stderr, flush=True)
    return state


def read(path: Path, environment: Mapping[str, Any]) -> tuple[State | None, str]:
    """Return the last saved state, if it can be resumed here, or why it cannot."""
    if not path.exists():
        return None, ""
    state = _read(path)
    if state is None:
        return None, "is damaged"
    if state["environment"] != environment and not os.environ.get(finished.OTHERS):
        return None, "is from another machine or another version of torch"
    return state, ""


def losses(path: Path) -> list[float]:
    """Return the loss of each epoch so far; empty if damaged. Raises OSError."""
    state = _read(path)
    return list(state["losses"]) if state else []


def _read(path: Path) -> State | None:
    """Return the state in the file, or None if the file is damaged."""
    content = path.read_bytes()
    digest, state = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if sha256(state).digest() == digest:
        with suppress(Exception):  # for other files, torch can raise almost anything
            loaded = torch.load(io.BytesIO(state), weights_only=True, map_location="cpu")
            if isinstance(loaded, dict) and loaded.keys() >= KEYS:
                return loaded
    return None


def _explain_write_errors(path: Path) -> Any:
    return explained(
        f"{path.parent}: cannot write a checkpoint ({{}}); free some space or make the "
        "folder writable, then run again: earlier checkpoints are kept",
        OSError,
    )
