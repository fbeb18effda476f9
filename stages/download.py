"""Bring the seven files of CIFAR-10's python version to data/cifar-10-batches-py/."""

import lzma
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path

import pooch
import requests

from benchmark import params
from benchmark.data import cifar10, synthetic
from benchmark.running import errors, stage

MIRROR = "CIFAR10_MIRROR"
WAYS_OUT = (
    f"Set {MIRROR} to a URL or path of the archive or of its extracted folder, "
    "or run `make demo`, which draws its own images"
)
RETRIES = 3
ASIDE = ".download-"


def main() -> None:
    data = params.load().data
    folder = cifar10.FOLDER.parent
    folder.mkdir(exist_ok=True)
    for left_by_a_kill in folder.glob(f"{ASIDE}*"):
        shutil.rmtree(left_by_a_kill, ignore_errors=True)
    # Beside the target, so that a file is moved into place and never copied.
    with tempfile.TemporaryDirectory(dir=folder, prefix=ASIDE) as name:
        aside = Path(name)
        try:
            if data.source == "synthetic":
                synthetic.draw(data.synthetic, aside)
            else:
                bring(os.environ.get(MIRROR) or cifar10.URL, aside)
            stage.check_wanted()
            cifar10.FOLDER.mkdir(exist_ok=True)
            for file in cifar10.OFFICIAL_MD5:
                (aside / file).replace(cifar10.FOLDER / file)
        except OSError as error:
            raise errors.UserError(
                f"{cifar10.FOLDER}: cannot be written: {error}"
            ) from None
    print(f"{cifar10.FOLDER}: {len(cifar10.OFFICIAL_MD5)} files from {data.source}")


def bring(source: str, aside: Path) -> None:
    """Put the seven genuine files into the folder `aside`.

    source: an http(s) URL or a path, of a tar archive or of an extracted
    folder. A relative path starts at the repository's root, which DVC_ROOT
    names where DVC runs the stage in a copy. Raises UserError.
    """
    read = reader(source, aside)
    for name in cifar10.OFFICIAL_MD5:
        content = read(name)
        if not cifar10.is_genuine(name, content):
            raise failure(source, f"{name} is not the official file: its MD5 differs")
        (aside / name).write_bytes(content)


def reader(source: str, aside: Path) -> Callable[[str], bytes]:
    """A function from a file's name to its bytes at `source`. Raises UserError.

    A URL with .tar or .tgz in it is that of an archive, any other one that of
    a folder.
    """
    if source.startswith(("http://", "https://")):
        if re.search(r"\.(tar|tgz)\b", source):
            return from_archive(fetch(source, aside, "archive"), source)
        folder = source.rstrip("/")
        return lambda name: fetch(f"{folder}/{name}", aside, f"{name}.part").read_bytes()
    path = Path(os.environ.get("DVC_ROOT", "."), os.path.expanduser(source))  # noqa: PTH111
    # Of os.path, for those of Path raise where the path cannot be looked at.
    if os.path.isdir(path):  # noqa: PTH112
        return from_folder(path)
    if os.path.isfile(path):  # noqa: PTH113
        return from_archive(path, source)
    raise failure(source, "there is no such file or folder, or it cannot be read")


def fetch(url: str, aside: Path, name: str) -> Path:
    """Download `url` to `aside/name`; try again where the fault may pass.

    Raises UserError: at once where the server refuses, else after the last try.
    """

    def once(url: str, output_file: str, pooch_: pooch.Pooch) -> None:
        download = pooch.HTTPDownloader(progressbar=True, chunk_size=1 << 16, timeout=30)
        try:
            download(url, output_file, pooch_)
        except requests.HTTPError as error:
            if error.response is None or may_pass(error.response.status_code):
                raise
            raise failure(url, str(error)) from None

    cache = pooch.create(
        aside, base_url="", registry={name: None}, urls={name: url}, retry_if_failed=RETRIES
    )
    try:
        return Path(cache.fetch(name, downloader=once))
    except (requests.RequestException, ValueError) as error:
        raise failure(url, " ".join(str(error).split())) from None


def may_pass(status: int) -> bool:
    """Whether an HTTP status says that a later try may go well."""
    return status >= 500 or status in (408, 429)


def from_archive(path: Path, source: str) -> Callable[[str], bytes]:
    """A reader of the seven files out of a tar archive, whatever folder they are in.

    Members are read, never extracted, so no path in the archive matters.
    Raises UserError where the archive is damaged, and the reader where it
    lacks a file.
    """
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = Path(member.name).name
                if name in cifar10.OFFICIAL_MD5 and member.isfile():
                    file = archive.extractfile(member)
                    contents[name] = file.read() if file else b""
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        cause = str(error).splitlines()[0].rstrip(":") if str(error) else "cut short"
        raise failure(source, f"is not a whole tar archive ({cause})") from None

    def read(name: str) -> bytes:
        if name not in contents:
            raise failure(source, f"the archive has no {name}")
        return contents[name]

    return read


def from_folder(path: Path) -> Callable[[str], bytes]:
    """A reader of the seven files in `path` or in its cifar-10-batches-py.

    The reader raises UserError where a file cannot be read.
    """
    inner = path / cifar10.FOLDER.name
    folder = inner if os.path.isdir(inner) else path  # noqa: PTH112

    def read(name: str) -> bytes:
        try:
            return (folder / name).read_bytes()
        except OSError as error:
            raise failure(str(folder), f"{name}: {error.strerror}") from None

    return read


def failure(source: str, cause: str) -> errors.UserError:
    return errors.UserError(f"CIFAR-10 from {source}: {cause}. {WAYS_OUT}.")


if __name__ == "__main__":
    stage.run(main)
