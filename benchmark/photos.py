"""Read any picture as the nets need it: 32×32 pixels, in red, green and blue."""

import stat
import warnings
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

from benchmark.running.errors import UserError, cause_of, explained

SIZE = 32
# To read EPS files, Pillow would run another program, Ghostscript, on them.
REFUSED = {"EPS"}
BYTE, TWO_BYTES = 255, 65_535
WHITE = (255, 255, 255)


@dataclass(frozen=True)
class Photo:
    """A picture. pixels: 32×32×3, uint8. width, height: of the picture as it is viewed."""

    path: Path
    width: int
    height: int
    pixels: npt.NDArray[np.uint8]


def find(paths: Iterable[Path]) -> list[Path]:
    """Return the files, and the pictures in all folders, sorted. Raises UserError."""
    found: list[Path] = []
    for path in paths:
        with explained(f"{path}: {{}}", OSError):
            in_folder = pictures_in(path) if path.is_dir() else [path]
        if not in_folder:
            raise UserError(f"{path}: there is no picture in this folder")
        found += in_folder
    return found


def pictures_in(folder: Path) -> list[Path]:
    """Return the files whose names end like a picture's, also in folders inside."""
    endings = Image.registered_extensions()
    return sorted(
        path
        for path in folder.rglob("*")
        if endings.get(path.suffix.lower(), "EPS") not in REFUSED
        and not path.name.startswith(".")
        and path.is_file()
    )


def read(path: Path) -> Photo:
    """Read a picture. Raises UserError if it is not one, or is damaged or too large.

    It is turned as its EXIF orientation says. What is transparent becomes white. The
    largest square in the middle is scaled to 32×32 pixels. If there are several frames,
    the first is taken.
    """
    with explained(f"{path}: {{}}", OSError, ValueError):
        status = path.stat()
    if not stat.S_ISREG(status.st_mode):  # reading a pipe or a device might never end
        raise UserError(f"{path}: not a file")
    if not status.st_size:
        raise UserError(f"{path}: the file is empty")
    limit = Image.MAX_IMAGE_PIXELS or 0
    try:
        with warnings.catch_warnings():
            # Pillow also warns of harmless defects.
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path, formats=formats()) as image:
                image.load()
                with suppress(Exception):  # damaged EXIF data, which viewers ignore, too
                    ImageOps.exif_transpose(image, in_place=True)
                pixels = np.asarray(square(in_colour(image)))
                return Photo(path, image.width, image.height, pixels)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError):
        raise UserError(
            f"{path}: too large; at most {limit // 1_000_000} million pixels are allowed"
        ) from None
    except UnidentifiedImageError:
        raise UserError(
            f"{path}: not a picture in a format that Pillow can read, such as JPEG or PNG"
        ) from None
    except Exception as error:  # for damaged files, Pillow can raise almost anything
        raise UserError(f"{path}: cannot be read as a picture: {cause_of(error)}") from None


def formats() -> list[str]:
    """Return the formats that Pillow may try."""
    Image.init()
    return [name for name in Image.ID if name not in REFUSED]


def in_colour(image: Image.Image) -> Image.Image:
    """Return the picture in RGB, on white where it is transparent."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        scale = TWO_BYTES if image.mode.startswith("I;16") else None
        image = Image.fromarray(to_bytes(np.asarray(image, float), scale))
    if not image.has_transparency_data:
        return image.convert("RGB")
    opaque = Image.new("RGB", image.size, WHITE)
    colours = image.convert("RGBA")
    opaque.paste(colours, mask=colours.getchannel("A"))
    return opaque


def to_bytes(
    grey: npt.NDArray[np.float64], white: int | None = None
) -> npt.NDArray[np.uint8]:
    """Scale grey values with more than 8 bits to 0 to 255.

    white: the value of white. By default, the largest value tells: 1, 255 or 65535.
    """
    largest = grey.max()
    if not np.isfinite(grey).all() or grey.min() < 0 or largest > TWO_BYTES:
        raise ValueError(
            f"its values go from {grey.min():g} to {largest:g}; "
            f"0 to {TWO_BYTES} are allowed"
        )
    white = white or next(scale for scale in (1, BYTE, TWO_BYTES) if largest <= scale)
    return np.rint(grey * (BYTE / white)).astype(np.uint8)


def square(image: Image.Image) -> Image.Image:
    """Return the largest square in the middle, scaled to 32×32 pixels."""
    return ImageOps.fit(image, (SIZE, SIZE), Image.Resampling.LANCZOS)
