"""Read any picture as the nets need it: 32×32 pixels, in red, green and blue."""

import os
import stat
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from benchmark.running.errors import UserError, cause_of, explained

SIZE = 32
# Formats that Pillow reads by itself. For others, such as EPS, it runs another program, and
# some can contain these.
FORMATS = (
    "AVIF", "BMP", "GIF", "ICO", "JPEG", "JPEG2000", "PNG", "PPM", "QOI", "TIFF", "WEBP",
)  # fmt: skip
MAX_BYTES = 200_000_000
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Photo:
    """A picture. pixels: 32×32×3, uint8. width, height: of the picture as it is viewed."""

    path: Path
    width: int
    height: int
    pixels: npt.NDArray[np.uint8]


def find(path: Path) -> list[Path]:
    """Return the path, or the pictures in this folder, sorted. Raises UserError.

    Pictures in a folder are files whose names end like those of a picture, also in folders
    inside. Hidden files and folders do not count.
    """
    with explained(f"{path}: {{}}", OSError, ValueError):
        if not path.is_dir():
            return [path]
        found = sorted(walk(path))
    if not found:
        raise UserError(
            f"{path}: no picture in this folder; pictures have endings such as .jpg or .png"
        )
    return found


def walk(folder: Path) -> Iterator[Path]:
    """Yield the pictures in a folder. Raises OSError if a folder cannot be read."""
    Image.init()
    endings = {ending for ending, kind in Image.EXTENSION.items() if kind in FORMATS}
    for path in folder.iterdir():
        if path.name.startswith("."):
            continue
        if path.is_dir() and not path.is_symlink():
            yield from walk(path)
        elif path.suffix.lower() in endings:
            yield path


def read(path: Path) -> Photo:
    """Read a picture. Raises UserError if it is not one, or is damaged or too large.

    It is turned as its EXIF orientation says. What is transparent becomes white. The
    largest square in the middle is scaled to 32×32 pixels. If there are several frames,
    the first is taken.
    """
    with explained(f"{path}: {{}}", OSError, ValueError):
        status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device might never end
        raise UserError(f"{path}: not a file; name a picture or a folder")
    if not status.st_size:
        raise UserError(f"{path}: the file is empty")
    if status.st_size > MAX_BYTES:
        raise UserError(
            f"{path}: too large; at most {MAX_BYTES // 1_000_000} MB are allowed"
        )
    try:
        with silence(), Image.open(path, formats=FORMATS) as image:
            image.load()
            with suppress(Exception):  # damaged EXIF data, which viewers ignore, too
                ImageOps.exif_transpose(image, in_place=True)
            pixels = np.asarray(square(in_colour(image)))
            return Photo(path, image.width, image.height, pixels)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        limit = (Image.MAX_IMAGE_PIXELS or 0) // 1_000_000
        raise UserError(
            f"{path}: too large; at most {limit} million pixels are allowed; scale it down"
        ) from None
    except UnidentifiedImageError:
        raise UserError(
            f"{path}: not a picture of a format that is read here; save it as JPEG or PNG"
        ) from None
    except Exception as error:  # for damaged files, Pillow can raise almost anything
        raise UserError(
            f"{path}: cannot be read ({cause_of(error)}); save it again as JPEG or PNG"
        ) from None


@contextmanager
def silence() -> Iterator[None]:
    """Hide what Pillow, and the libraries that it uses, say about harmless defects."""
    sys.stderr.flush()
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


def in_colour(image: Image.Image) -> Image.Image:
    """Return the picture in RGB, on white where it is transparent."""
    if image.mode.startswith("I;16"):
        image = from_16_bits(image)
    elif image.mode in ("I", "F"):
        raise ValueError("its grey values have 32 bits")
    if not image.has_transparency_data:
        return image.convert("RGB")
    opaque = Image.new("RGB", image.size, WHITE)
    colours = image.convert("RGBA")
    opaque.paste(colours, mask=colours.getchannel("A"))
    return opaque


def from_16_bits(image: Image.Image) -> Image.Image:
    """Return a grey picture with 8 bits. Pillow itself would cut off brighter values."""
    grey = Image.fromarray((np.asarray(image) // 257).astype(np.uint8))
    if isinstance(invisible := image.info.get("transparency"), int):
        grey.info["transparency"] = invisible // 257
    return grey


def square(image: Image.Image) -> Image.Image:
    """Return the largest square in the middle, scaled to 32×32 pixels."""
    return ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.LANCZOS)
