"""Checkpoints: where a training that was interrupted resumes.

A checkpoint belongs to one cell. Its name holds a fingerprint of all that the cell's
bytes depend on, so no training ever resumes from that of another param, image or line of
code. It is written after every epoch, and removed when the trained model has been
recorded and scored. It is no out of a stage, for DVC deletes those before a stage runs.
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
from benchmark.running.files import write_whole

# A folder that other machines see too, for workers of a cluster.
SHARED = "CHECKPOINTS"
FOLDER = "checkpoints"
DIGEST_BYTES = sha256().digest_size
SECONDS_OF_A_MONTH = 30 * 24 * 3600

# The parts of a Resumable, and what the cell adds.
PARTS = {"model", "optimizer", "schedule", "order", "cpu_random", "device_random"} | {
    "environment", "losses", "val_accuracies"
}  # fmt: skip
State = dict[str, Any]


def path_of(name: str, values: Mapping[str, Any], code: Iterable[Path]) -> Path | None:
    """checkpoints/<name>-<fingerprint>.pt, or None where none can be kept.

    values and code (files and folders): all that the bytes depend on. The folder is the
    repository's own, also where DVC runs an experiment in a copy; workers of a cluster
    may not see it, so there it is the one that CHECKPOINTS names.
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
def held(path: Path | None, cell: str) -> Iterator[None]:
    """Hold the cell's lock, so that no two processes train it at once.

    Waits, and says so, while another process has it: one that was left behind by a
    killed run, or another experiment. What it has trained is then found in the
    checkpoint.
    """
    if path is None:
        yield
        return
    with _refusal_explained(path):
        lock = locks.take(path, busy=f"{cell}: another process trains it")
    with lock:
        yield


@dataclass(frozen=True)
class Resumable:
    """All in a training that changes from epoch to epoch, but for its curve."""

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: LRScheduler | None
    order: torch.Generator
    device: torch.device

    def state(self) -> State:
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "schedule": self.schedule.state_dict() if self.schedule else None,
            "order": self.order.get_state(),
            "cpu_random": torch.get_rng_state(),
            "device_random": None
            if self.device.type == "cpu"
            else torch.get_device_module(self.device).get_rng_state(),
        }

    def restore(self, state: State) -> None:
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.schedule:
            self.schedule.load_state_dict(state["schedule"])
        self.order.set_state(state["order"])
        torch.set_rng_state(state["cpu_random"])
        if self.device.type != "cpu":
            torch.get_device_module(self.device).set_rng_state(state["device_random"])


def save(path: Path, state: State) -> None:
    """Write the checkpoint whole, with a digest before it. Raises UserError."""
    buffer = io.BytesIO()
    torch.save(state, buffer)
    content = buffer.getbuffer()
    with _refusal_explained(path):
        write_whole(path, sha256(content).digest(), content)


def load(path: Path | None, environment: Mapping[str, Any]) -> State | None:
    """What was saved last, or None if there is nothing that can be resumed.

    A damaged file cannot be, nor one of another `environment`: resuming it would mix two
    roundings.
    """
    if path is None or not path.exists():
        return None
    state = _read(path)
    if state is None:
        why = "is damaged"
    elif state["environment"] != environment:
        why = "is of another machine, or of another version of torch"
    else:
        return state
    print(f"{path}: {why}, so this training starts anew", file=sys.stderr, flush=True)
    return None


def _read(path: Path) -> State | None:
    """The state in the file, or None where it is damaged or holds something else."""
    content = path.read_bytes()
    digest, state = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if sha256(state).digest() == digest:
        with suppress(Exception):  # torch raises anything where a file is none of its own
            loaded = torch.load(io.BytesIO(state), weights_only=True, map_location="cpu")
            if isinstance(loaded, dict) and loaded.keys() >= PARTS:
                return loaded
    return None


def discard(paths: Iterable[Path | None]) -> None:
    """Remove these checkpoints, and all that nobody has touched for a month.

    Skips any that another process holds.
    """
    month_ago = time.time() - SECONDS_OF_A_MONTH
    old = {f for f in _folder().glob("*.pt") if f.stat().st_mtime < month_ago}
    for path in {*filter(None, paths), *old}:
        lock = locks.lock_of(path)
        lock_file = Path(lock.lock_file)
        if lock_file.exists():
            with suppress(Timeout), lock.acquire(timeout=0):
                path.unlink(missing_ok=True)
                with suppress(PermissionError):  # Windows keeps what is open
                    lock_file.unlink()


def _refusal_explained(path: Path) -> Any:
    return explained(
        f"{path.parent}: no checkpoint can be written ({{}}); make room or make it "
        "writable, and run it again: what was saved before is kept",
        OSError,
    )
