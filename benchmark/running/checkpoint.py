"""Checkpoints, from which an interrupted training run can resume.

Each cell has one checkpoint. The file's name contains a fingerprint of everything that
determines the cell's result, so a training run never resumes from a checkpoint made with
different params, images or code. The file is written after every epoch and deleted after
the trained model has been scored. It is not an output of a stage, because DVC deletes
outputs before it runs the stage again.
"""

import io
import os
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import joblib
import torch
from filelock import Timeout
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from benchmark.running import locks, workers
from benchmark.running.errors import explained
from benchmark.running.files import write_atomic

# The environment variable that names a folder shared by all workers of a cluster.
SHARED = "CHECKPOINTS"
FOLDER = "checkpoints"
DIGEST_BYTES = sha256().digest_size
SECONDS_OF_A_MONTH = 30 * 24 * 3600

# The keys of TrainingState.state, and the keys that fit (cell.py) adds.
KEYS = {
    "model", "optimizer", "lr_scheduler", "shuffling", "cpu_random", "device_random",
    "environment", "losses", "val_accuracies",
}  # fmt: skip
State = dict[str, Any]


def path_of(name: str, values: Mapping[str, Any], code: Iterable[Path]) -> Path | None:
    """Return checkpoints/<name>-<fingerprint>.pt, or None if no checkpoint can be kept.

    values, code: everything that determines the result; code lists files and folders. The
    checkpoints are in the repository, even if DVC runs an experiment in a copy of it, or in
    the folder that CHECKPOINTS names. A cluster needs CHECKPOINTS, because its workers may
    not see the repository.
    """
    if os.environ.get(workers.SCHEDULER) and not os.environ.get(SHARED):
        return None
    plain = {k: v.numpy() if isinstance(v, Tensor) else v for k, v in values.items()}
    files = [f for path in code for f in ([path] if path.is_file() else path.glob("*.py"))]
    contents = {f"{file.parent.name}/{file.name}": file.read_bytes() for file in files}
    fingerprint = joblib.hash((plain, contents), hash_name="sha1")
    return _folder() / f"{name}-{fingerprint[:16]}.pt"


def _folder() -> Path:
    named = os.environ.get(SHARED) or FOLDER
    return Path(os.environ.get("DVC_ROOT", "."), named).absolute()


@contextmanager
def locked(path: Path | None, cell: str) -> Iterator[None]:
    """Hold the cell's lock, so that no two processes train the cell at the same time.

    If another process holds the lock, say so and wait. That process may belong to another
    experiment, or to a run that was killed. Its progress is kept in the checkpoint.
    """
    if path is None:
        yield
        return
    with _explain_write_errors(path):
        lock = locks.take(path, busy=f"{cell}: another process is training it")
    with lock:
        yield


@dataclass(frozen=True)
class TrainingState:
    """Everything that changes during training, except the losses and accuracies.

    shuffling: the random number generator that shuffles the images.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    lr_scheduler: LRScheduler | None
    shuffling: torch.Generator
    device: torch.device

    def state(self) -> State:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "lr_scheduler": self.lr_scheduler.state_dict() if self.lr_scheduler else None,
            "shuffling": self.shuffling.get_state(),
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
        self.shuffling.set_state(state["shuffling"])
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


def load(path: Path | None, environment: Mapping[str, Any]) -> State | None:
    """Return the last saved state, or None if there is none to resume.

    Ignores a damaged checkpoint, and one from another machine or torch version: resuming it
    would mix two kinds of rounding.
    """
    if path is None or not path.exists():
        return None
    state = _read(path)
    if state is None:
        why = "is damaged"
    elif state["environment"] != environment:
        why = "is from another machine or another version of torch"
    else:
        return state
    print(f"{path} {why}, so training starts over", file=sys.stderr, flush=True)
    return None


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


def discard(paths: Iterable[Path | None]) -> None:
    """Delete these checkpoints, and any that were last written more than a month ago.

    Skips checkpoints that another process has locked.
    """
    month_ago = time.time() - SECONDS_OF_A_MONTH
    old = {f for f in _folder().glob("*.pt") if f.stat().st_mtime < month_ago}
    for path in {*filter(None, paths), *old}:
        lock = locks.lock_of(path)
        lock_file = Path(lock.lock_file)
        if lock_file.exists():
            with suppress(Timeout), lock.acquire(timeout=0):
                path.unlink(missing_ok=True)
                with suppress(PermissionError):  # Windows does not delete open files
                    lock_file.unlink()


def _explain_write_errors(path: Path) -> Any:
    return explained(
        f"{path.parent}: cannot write a checkpoint ({{}}); free some space or make the "
        "folder writable, then run again: earlier checkpoints are kept",
        OSError,
    )
