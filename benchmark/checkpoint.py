"""Where a training goes on after it was cut off.

A checkpoint belongs to one cell. Its name holds a fingerprint of all that the cell's
bytes depend on: another param, image or line of code never goes on from it. It is
written after every epoch, and removed when the trained model has been recorded and
scored. It is no out of a stage, for DVC deletes those before the stage runs.
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

import joblib
import torch
from filelock import FileLock, Timeout
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from benchmark import workers
from benchmark.environment import Environment
from benchmark.errors import UserError
from benchmark.files import write_whole
from benchmark.state_dict import to_bytes

# A folder that other machines see too, for workers of a cluster.
SHARED = "CHECKPOINTS"
FOLDER = "checkpoints"
DIGEST_BYTES = sha256().digest_size

State = dict[str, Any]


def path_of(name: str, values: Mapping[str, Any]) -> Path | None:
    """checkpoints/<name>-<fingerprint>.pt, or None where none can be kept.

    values: whatever the bytes depend on beside the code. The code is every file of the
    project that this process has loaded. The folder is the repository's own, also
    where DVC runs an experiment in a copy; workers of a cluster may not see it, so
    there it is the one that CHECKPOINTS names.
    """
    named = os.environ.get(SHARED)
    if not named and os.environ.get(workers.SCHEDULER):
        return None
    folder = Path(os.environ.get("DVC_ROOT", "."), named or FOLDER).absolute()
    plain = {k: v.numpy() if isinstance(v, Tensor) else v for k, v in values.items()}
    fingerprint = joblib.hash((plain, _loaded_code()), hash_name="sha1")
    return folder / f"{name}-{fingerprint[:16]}.pt"


def _loaded_code() -> dict[str, bytes]:
    return {
        name: Path(module.__file__).read_bytes()
        for name, module in list(sys.modules.items())
        if name.split(".")[0] in ("architectures", "benchmark") and module.__file__
    }


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
        path.parent.mkdir(parents=True, exist_ok=True)
        lock = FileLock(_lock_of(path))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            print(
                f"{cell}: another process trains it; waiting for that one to end",
                file=sys.stderr,
                flush=True,
            )
            lock.acquire()
    try:
        yield
    finally:
        lock.release()


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
    content = path.read_bytes()
    digest, state = content[:DIGEST_BYTES], content[DIGEST_BYTES:]
    if sha256(state).digest() == digest:
        with suppress(Exception):  # torch raises anything where a file is none of its own
            loaded: State = torch.load(
                io.BytesIO(state), weights_only=True, map_location="cpu"
            )
            return loaded
    return None


def discard(architecture: str, seed: int, model: bytes) -> None:
    """Remove the seed's checkpoints that have led to `model`, a state dict's bytes."""
    folder = Path(os.environ.get("DVC_ROOT", "."), os.environ.get(SHARED) or FOLDER)
    for path in folder.glob(f"{architecture}-seed-{seed}-*.pt"):
        with held(path, f"{architecture} seed {seed}"):
            state = load(path)
            if state is not None and to_bytes(state["model"]) == model:
                path.unlink()
                _lock_of(path).unlink(missing_ok=True)


def _lock_of(path: Path) -> Path:
    return path.with_suffix(".lock")


@contextmanager
def _refusal_in_words(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{path.parent}: no checkpoint can be written ({error.strerror}); make room "
            "or make it writable, and run it again: finished epochs are kept"
        ) from None
