"""Where a training goes on after it was cut off.

A checkpoint belongs to one cell. Its name holds a fingerprint of all that the cell's
bytes depend on: another param, image or line of code never goes on from it. It is
written after every epoch, and removed when the trained model has been recorded and
scored. It is no out of a stage, for DVC deletes those before the stage runs.
"""

import io
import os
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import joblib
import torch
from filelock import Timeout
from ruamel.yaml import YAML
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from benchmark import locks, workers
from benchmark.environment import Environment
from benchmark.errors import UserError
from benchmark.files import write_whole
from benchmark.state_dict import to_bytes

# A folder that other machines see too, for workers of a cluster.
SHARED = "CHECKPOINTS"
FOLDER = "checkpoints"
DIGEST_BYTES = sha256().digest_size

SECONDS_OF_A_MONTH = 30 * 24 * 3600
DVC_YAML = Path("dvc.yaml")

# The parts of a Resumable, and what the cell adds.
PARTS = {
    "model",
    "optimizer",
    "schedule",
    "order",
    "cpu_random",
    "device_random",
    "environment",
    "losses",
    "val_accuracies",
}
State = dict[str, Any]


def path_of(name: str, values: Mapping[str, Any]) -> Path | None:
    """checkpoints/<name>-<fingerprint>.pt, or None where none can be kept.

    values: whatever the bytes depend on beside the code. The code is what DVC trains
    again for. The folder is the repository's own, also where DVC runs an experiment in
    a copy; workers of a cluster may not see it, so there it is the one that
    CHECKPOINTS names.
    """
    if os.environ.get(workers.SCHEDULER) and not os.environ.get(SHARED):
        return None
    plain = {k: v.numpy() if isinstance(v, Tensor) else v for k, v in values.items()}
    code = _code_of(architecture=name.partition("-seed-")[0])
    fingerprint = joblib.hash((plain, code), hash_name="sha1")
    return _folder() / f"{name}-{fingerprint[:16]}.pt"


def _folder() -> Path:
    named = os.environ.get(SHARED) or FOLDER
    return Path(os.environ.get("DVC_ROOT", "."), named).absolute()


def _code_of(architecture: str) -> dict[str, bytes]:
    """The code that dvc.yaml names as what a training depends on."""
    declared = YAML(typ="safe").load(DVC_YAML.read_bytes())
    deps = [
        dep.replace("${key}", architecture)
        for dep in declared["stages"]["train"]["do"]["deps"]
    ]
    return {dep: Path(dep).read_bytes() for dep in deps if dep.endswith(".py")}


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
    with _refusal_in_words(path):
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
    with _refusal_in_words(path):
        write_whole(path, sha256(content).digest(), content)


def load(path: Path | None, environment: Environment | None = None) -> State | None:
    """What was saved last; None where there is nothing that can be gone on with.

    That is a file that is damaged, or one of another `environment`, whose other half
    would give bytes like those of neither.
    """
    if path is None or not path.exists():
        return None
    state = _read(path)
    if state is None:
        why = "is damaged"
    elif environment is not None and state["environment"] != environment:
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


def discard(architecture: str, seed: int, model: bytes) -> None:
    """Remove the seed's checkpoints that have led to `model`, a state dict's bytes.

    Removed too is what nobody has gone on with for a month, and what is damaged. One
    that another process is at stays.
    """
    for lock_file in _folder().glob(f"{architecture}-seed-{seed}-*.lock"):
        path = lock_file.with_suffix(".pt")
        with suppress(Timeout), locks.lock_of(path).acquire(timeout=0):
            state = _read(path) if path.exists() else None
            if state is None or to_bytes(state["model"]) == model or _is_old(path):
                path.unlink(missing_ok=True)
                with suppress(PermissionError):  # Windows keeps what is open
                    lock_file.unlink()


def _is_old(path: Path) -> bool:
    return time.time() - path.stat().st_mtime > SECONDS_OF_A_MONTH


@contextmanager
def _refusal_in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path.parent}: no checkpoint can be written ({error.strerror}); make room "
            "or make it writable, and run it again: what was saved before is kept"
        ) from None
