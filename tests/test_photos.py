"""Read pictures of every kind, and refuse everything else in one line."""

import os
import socket
import struct
import subprocess
import sys
import zlib
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmark import photos
from benchmark.data.scenes import scene
from benchmark.running.errors import UserError


def picture(width=60, height=40, mode="RGB"):
    """A generated bird, in any size and mode."""
    bird = Image.fromarray(scene("bird", np.random.default_rng(0)))
    return bird.resize((width, height)).convert(mode)


def encoded(kind, image=None, **options):
    buffer = BytesIO()
    (image or picture(200, 100)).save(buffer, kind, **options)
    return buffer.getvalue()


def png_of_size(width, height):
    """A PNG file that claims to have this size."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(bytes(100))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data))
        + kind
        + data
        + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


def broken(content):
    """The file, with some bytes in the middle replaced."""
    middle = len(content) // 2
    return content[:middle] + b"\xff\x00" * 20 + content[middle + 40 :]


EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 32 32\n%%EndComments\n%!PS\nquit\n"


def iptc(content):
    """An IPTC file that contains another picture, of 32×32 pixels."""
    fields = {
        (3, 60): b"\1\0", (3, 65): b"\1", (3, 20): b"\0\x20", (3, 30): b"\0\x20",
        (3, 120): b"\5", (8, 10): content, (9, 10): b"\0",
    }  # fmt: skip
    return b"".join(
        bytes([28, *tag]) + struct.pack(">H", len(value)) + value
        for tag, value in fields.items()
    )


def tiff(values):
    values = np.asarray(values)
    kind = np.int32 if values.dtype.kind == "i" else np.float32
    return encoded("TIFF", Image.fromarray(values.astype(kind)))


NOT_A_PICTURE = "not a picture of a format"
CANNOT = "cannot be read ("
BAD_FILES = {
    "empty": (b"", "the file is empty"),
    "text": (b"a photo of a bird", NOT_A_PICTURE),
    "web-page": (b"<!DOCTYPE html><title>404</title>", NOT_A_PICTURE),
    "svg": (b'<svg xmlns="http://www.w3.org/2000/svg"/>', NOT_A_PICTURE),
    "pdf": (b"%PDF-1.7\n1 0 obj <<>> endobj", NOT_A_PICTURE),
    "zip": (b"PK\x03\x04" + bytes(40), NOT_A_PICTURE),
    "pickle": (b"\x80\x04\x95\x00\x00\x00\x00\x00\x00\x00\x00N.", NOT_A_PICTURE),
    "eps": (EPS, NOT_A_PICTURE),
    "only-a-header": (encoded("PNG")[:20], CANNOT),
    "truncated-jpeg": (encoded("JPEG")[:-1200], CANNOT),
    "truncated-png": (encoded("PNG")[:-3000], CANNOT),
    "truncated-gif": (encoded("GIF")[:-3000], CANNOT),
    "truncated-webp": (encoded("WEBP")[:-600], CANNOT),
    "truncated-tiff": (encoded("TIFF")[:5000], CANNOT),
    "truncated-bmp": (encoded("BMP")[:5000], CANNOT),
    "broken-png": (broken(encoded("PNG")), CANNOT),
    "bomb": (png_of_size(10_000, 10_000), "too large; at most 89 million pixels"),
    "big-bomb": (png_of_size(200_000, 200_000), "too large; at most 89 million pixels"),
    "no-pixels": (png_of_size(0, 10), NOT_A_PICTURE),
    "fractions": (tiff([[0.5, np.nan]]), "its grey values have 32 bits"),
    "integers": (tiff([[0, 70_000]]), "its grey values have 32 bits"),
    "damaged-tiff": (broken(encoded("TIFF", compression="tiff_adobe_deflate")), CANNOT),
    "eps-inside-iptc": (iptc(EPS), NOT_A_PICTURE),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_file_that_is_no_picture(name, tmp_path):
    content, said = BAD_FILES[name]
    path = tmp_path / f"{name}.jpg"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        photos.read(path)
    assert str(caught.value).startswith(f"{path}: ") and said in str(caught.value)


def link(target):
    return lambda path: path.symlink_to(target)


BAD_PATHS = {
    "missing": (lambda path: None, "No such file"),
    "nowhere": (link("no-such-file"), "No such file"),
    "loop": (link("loop"), "symbolic links"),
    "pipe": (os.mkfifo, "not a file"),
    "device": (link("/dev/zero"), "not a file"),
    "socket": (lambda path: socket.socket(socket.AF_UNIX).bind(str(path)), "not a file"),
    "folder": (Path.mkdir, "no picture in this folder"),
    "n" * 300: (lambda path: None, "name too long"),
    "in-a-file/photo.jpg": (lambda path: path.parent.write_text(""), "Not a directory"),
    "nul\0": (lambda path: None, "null"),
}


@pytest.mark.parametrize("name", BAD_PATHS, ids=[repr(n[:12]) for n in BAD_PATHS])
def test_a_path_that_is_no_picture(name, tmp_path, monkeypatch):
    make, said = BAD_PATHS[name]
    monkeypatch.chdir(tmp_path)  # the path of a socket must be short
    make(Path(name))
    with pytest.raises(UserError, match=f"(?i){said}"):
        [photos.read(path) for path in photos.find(Path(name))]


def test_a_picture_that_nobody_may_read(tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(encoded("PNG"))
    path.chmod(0)
    if os.access(path, os.R_OK):
        pytest.skip("root may read everything")
    with pytest.raises(UserError, match="Permission denied"):
        photos.read(path)


def with_alpha(mode):
    """Black, but invisible."""
    return Image.new(mode, (50, 50), (0,) * len(Image.new(mode, (1, 1)).getbands()))


def rotated():
    exif = Image.Exif()
    exif[0x0112] = 6  # the viewer turns it by 90 degrees
    exif[0x011A] = 1.5  # pixels per unit
    return encoded("JPEG", exif=exif)


def animated(kind):
    return encoded(kind, picture(), save_all=True, append_images=[picture(mode="L")])


ODD = {
    "one-pixel.png": encoded("PNG", picture(1, 1)),
    "one-line.png": encoded("PNG", picture(5000, 1)),
    "small.png": encoded("PNG", picture(7, 9)),
    "grey.jpg": encoded("JPEG", picture(mode="L")),
    "black-and-white.png": encoded("PNG", picture(mode="1")),
    "palette.gif": encoded("GIF", picture(mode="P")),
    "four-inks.jpg": encoded("JPEG", picture(mode="CMYK")),
    "luminance.tiff": encoded("TIFF", picture(mode="YCbCr")),
    "progressive.jpg": encoded("JPEG", progressive=True),
    "turned.jpg": rotated(),
    "bad-exif.jpg": rotated().replace(b"\x01\x1a\0\5", b"\x01\x1a\0\1"),
    "transparent.png": encoded("PNG", with_alpha("RGBA")),
    "transparent-grey.png": encoded("PNG", with_alpha("LA")),
    "transparent-palette.gif": encoded("GIF", with_alpha("P"), transparency=0),
    "sixteen-bits.png": encoded("PNG", Image.fromarray(np.full((9, 9), 257, np.uint16))),
    "sixteen-bits.tiff": encoded(
        "TIFF", Image.fromarray(np.full((9, 9), 51_400, np.uint16))
    ),
    "transparent-sixteen-bits.png": encoded(
        "PNG", Image.fromarray(np.zeros((9, 9), np.uint16)), transparency=0
    ),
    "moving.gif": animated("GIF"),
    "moving.webp": animated("WEBP"),
    "icon.ico": encoded("ICO"),
    "png-in-fact.jpg": encoded("PNG"),
    "no-ending": encoded("BMP"),
    "a b\nü.png": encoded("PNG"),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_picture(name, tmp_path, recwarn):
    path = tmp_path / name
    path.write_bytes(ODD[name])
    photo = photos.read(path)
    assert photo.pixels.shape == (32, 32, 3) and photo.pixels.dtype == np.uint8
    assert photo.width > 0 < photo.height and not recwarn.list


def test_libraries_do_not_speak_either(tmp_path, capfd):
    """libtiff writes to standard error by itself."""
    path = tmp_path / "a.tiff"
    path.write_bytes(BAD_FILES["damaged-tiff"][0])
    with suppress(UserError):
        photos.read(path)
    print("but we can", file=sys.stderr)
    assert capfd.readouterr().err == "but we can\n"


def pixels(name, tmp_path):
    path = tmp_path / name
    path.write_bytes(ODD[name])
    return photos.read(path).pixels


@pytest.mark.parametrize("name", [name for name in ODD if name.startswith("transparent")])
def test_what_is_transparent_becomes_white(name, tmp_path):
    assert (pixels(name, tmp_path) == 255).all()


@pytest.mark.parametrize(
    ("name", "grey"),
    [("sixteen-bits.png", 1), ("sixteen-bits.tiff", 200)],
)
def test_grey_values_are_scaled(name, grey, tmp_path):
    assert (pixels(name, tmp_path) == grey).all()


def test_a_picture_is_turned_and_its_middle_is_taken(tmp_path):
    """Red on the left, green in the middle, blue on the right; EXIF turns it clockwise."""
    colours = np.zeros((32, 96, 3), np.uint8)
    for i in range(3):
        colours[:, 32 * i : 32 * (i + 1), i] = 255
    colours[:16, 32:64, 0] = 200  # the upper half of the middle
    exif = Image.Exif()
    for orientation, lit in ((1, np.s_[:8]), (6, np.s_[:, 24:]), (3, np.s_[24:])):
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}.png"
        Image.fromarray(colours).save(path, exif=exif)
        photo = photos.read(path)
        shape = (32, 96) if orientation == 6 else (96, 32)
        assert (photo.width, photo.height) == shape
        assert (photo.pixels[..., 1] > 250).all() and (photo.pixels[..., 2] < 5).all()
        assert (photo.pixels[lit][..., 0] > 190).all()
        assert (photo.pixels[..., 0] < 10).sum() > 400


def test_a_picture_of_the_right_size_is_not_changed(tmp_path):
    expected = scene("airplane", np.random.default_rng(1))
    Image.fromarray(expected).save(tmp_path / "a.png")
    assert (photos.read(tmp_path / "a.png").pixels == expected).all()


def test_pictures_in_a_folder(tmp_path):
    pictures = ["b.PNG", "a.jpeg", "in/side.webp"]
    others = [
        ".hidden.png",
        ".hid/b.png",
        "notes.txt",
        "x.eps",
        "a.pdf",
        "film.mpg",
        "h.h5",
    ]
    for name in (*pictures, *others):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    (tmp_path / "folder.png").mkdir()
    (tmp_path / "loop").symlink_to(tmp_path)
    (tmp_path / "link.png").symlink_to("nowhere")  # an error, later, and not a silence
    found = [path.relative_to(tmp_path).as_posix() for path in photos.find(tmp_path)]
    assert found == ["a.jpeg", "b.PNG", "in/side.webp", "link.png"]


def test_a_huge_file_is_not_read(tmp_path):
    path = tmp_path / "huge.webp"
    path.write_bytes(encoded("WEBP"))
    os.truncate(path, photos.MAX_BYTES + 1)
    with pytest.raises(UserError, match="too large; at most 200 MB"):
        photos.read(path)


@pytest.mark.parametrize("name", ["eps", "eps-inside-iptc"])
def test_no_other_program_reads_a_picture(name, tmp_path, monkeypatch):
    path = tmp_path / "photo.jpg"
    path.write_bytes(BAD_FILES[name][0])
    started = []
    monkeypatch.setattr(subprocess, "Popen", lambda *a, **_: started.append(a))
    with pytest.raises(UserError, match=NOT_A_PICTURE):
        photos.read(path)
    assert not started
