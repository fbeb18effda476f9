"""Download CIFAR-10, or generate images, into data/cifar-10-batches-py/."""

import io
import lzma
import os
import re
import shutil
import tarfile
import tempfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pooch
import requests

from benchmark import params
from benchmark.data import cifar10, synthetic
from benchmark.running import errors, stage

MIRROR = "CIFAR10_MIRROR"
WHAT_TO_DO = (
    f"Set {MIRROR} to the URL or path of the archive or of its extracted folder, "
    "or run `make demo`, which generates its own images"
)
RETRIES = 3
# The archive has 170 MB. An answer that is much longer is something else.
MAX_BYTES = 200_000_000
PREFIX = ".download-"


def main() -> None:
    data = params.load().data
    folder = cifar10.FOLDER.parent
    folder.mkdir(exist_ok=True)
    for leftover in folder.glob(f"{PREFIX}*"):  # of a killed run
        shutil.rmtree(leftover, ignore_errors=True)
    # Next to the target, so that files can be moved instead of copied.
    with tempfile.TemporaryDirectory(dir=folder, prefix=PREFIX) as name:
        temporary = Path(name)
        try:
            if data.source == "synthetic":
                synthetic.generate(data.synthetic, temporary)
            else:
                download(os.environ.get(MIRROR) or cifar10.URL, temporary)
            stage.ensure_dvc_alive()
            cifar10.FOLDER.mkdir(exist_ok=True)
            for file in cifar10.OFFICIAL_MD5:
                (temporary / file).replace(cifar10.FOLDER / file)
        except OSError as error:
            raise errors.UserError(
                f"{cifar10.FOLDER}: cannot be written: {error}"
            ) from None
    print(f"{cifar10.FOLDER}: {len(cifar10.OFFICIAL_MD5)} files from {data.source}")


def download(source: str, folder: Path) -> None:
    """Put the seven official files into `folder`. Raises UserError if that fails.

    source: the http(s) URL or path of a tar archive or of an extracted folder. A relative
    path is relative to the root of the repository. (If DVC runs the stage in a copy,
    DVC_ROOT is the path of the original.)
    """
    read = reader(source, folder)
    for name in cifar10.OFFICIAL_MD5:
        content = read(name)
        if not cifar10.is_genuine(name, content):
            raise failure(source, f"{name} is not the official file: its MD5 differs")
        (folder / name).write_bytes(content)


def reader(source: str, folder: Path) -> Callable[[str], bytes]:
    """Return a function that reads a file from `source`, given the file's name.

    folder: for temporary files. A URL that contains .tar or .tgz is read as an archive, any
    other URL as a folder. Raises UserError if `source` cannot be read.
    """
    if source.startswith(("http://", "https://")):
        if re.search(r"\.(tar|tgz)\b", source):
            return from_archive(fetch(source, folder, "archive"), source)
        base = source.rstrip("/")
        return lambda name: fetch(f"{base}/{name}", folder, f"{name}.part").read_bytes()
    path = Path(os.environ.get("DVC_ROOT", "."), os.path.expanduser(source))  # noqa: PTH111
    # Path.is_dir and Path.is_file would raise if a parent folder cannot be read.
    if os.path.isdir(path):  # noqa: PTH112
        return from_folder(path)
    if os.path.isfile(path):  # noqa: PTH113
        return from_archive(path, source)
    raise failure(source, "no such file or folder, or it cannot be read")


def fetch(url: str, folder: Path, name: str) -> Path:
    """Download `url` to `folder/name`; retry after errors that may be temporary.

    Raises UserError: at once if the server refuses, otherwise after the last retry.
    """

    def once(url: str, output_file: str, pooch_: pooch.Pooch) -> None:
        get = pooch.HTTPDownloader(progressbar=True, chunk_size=1 << 16, timeout=30)
        try:
            with Capped(output_file, "w", url) as file:
                get(url, file, pooch_)
        except requests.HTTPError as error:
            if error.response is None or is_temporary(error.response.status_code):
                raise
            raise failure(url, str(error)) from None

    cache = pooch.create(
        folder,
        base_url="",
        registry={name: None},
        urls={name: url},
        retry_if_failed=RETRIES,
    )
    try:
        return Path(cache.fetch(name, downloader=once))
    except (requests.RequestException, ValueError) as error:
        raise failure(url, " ".join(str(error).split())) from None


class Capped(io.FileIO):
    """A file that does not become longer than MAX_BYTES. Raises UserError then."""

    def __init__(self, path: str, mode: str, url: str) -> None:
        super().__init__(path, mode)
        self.url = url

    def write(self, content: Any) -> int:
        if self.tell() + len(content) > MAX_BYTES:
            raise failure(self.url, f"the answer is longer than {MAX_BYTES // 10**6} MB")
        return super().write(content)


def is_temporary(status: int) -> bool:
    """Return whether a request with this HTTP status may succeed later."""
    return status >= 500 or status in (408, 429)


def from_archive(path: Path, source: str) -> Callable[[str], bytes]:
    """Return a function that reads files of a tar archive, whichever folder they are in.

    Members are read but not extracted, so paths in the archive can do no harm. Raises
    UserError if the archive is damaged; the returned function does, if a file is missing.
    """
    contents: dict[str, bytes] = {}
    try:
        with tarfile.open(path) as archive:
            for member in archive:
                name = Path(member.name).name
                if name in cifar10.OFFICIAL_MD5 and member.isfile():
                    if member.size > MAX_BYTES:
                        raise failure(source, f"{name} is too large")
                    file = archive.extractfile(member)
                    contents[name] = file.read() if file else b""
    except (tarfile.TarError, zlib.error, lzma.LZMAError, EOFError, OSError) as error:
        cause = str(error).splitlines()[0].rstrip(":") if str(error) else "cut short"
        raise failure(source, f"not a complete tar archive ({cause})") from None

    def read(name: str) -> bytes:
        if name not in contents:
            raise failure(source, f"the archive has no {name}")
        return contents[name]

    return read


def from_folder(path: Path) -> Callable[[str], bytes]:
    """Return a function that reads files in `path`/cifar-10-batches-py, or else in `path`.

    The function raises UserError if a file cannot be read.
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
    return errors.UserError(f"CIFAR-10 from {source}: {cause}. {WHAT_TO_DO}.")


if __name__ == "__main__":
    stage.run(main)
