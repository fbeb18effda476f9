"""Write files so that no reader sees half of one."""

import hashlib
from pathlib import Path


def md5(content: bytes) -> str:
    """Return the MD5, as CIFAR-10 and DVC use it. It is no protection against attackers."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def write_atomic(path: Path, *content: bytes | memoryview) -> None:
    """Write `content` to a temporary file, then move it to `path`.

    A reader sees the old file or the complete new one. The temporary file always has the
    same name, so killed writers leave at most one behind; only one process may write at a
    time.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.part")
    try:
        with temporary.open("wb") as file:
            file.writelines(content)
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
