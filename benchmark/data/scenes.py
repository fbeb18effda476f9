"""Generated images of airplanes and birds, 32×32 pixels each.

They are hard enough that the nets differ and none is perfect, but they do not replace real
images. Both classes have the same skies, sizes, poses, clutter and noise. Airplanes are
more often grey; birds are more often brown and over land. Only the shape is a sure sign.
"""

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter

SIZE = 32
# Draw large and scale down, so that edges are smooth.
CANVAS = SIZE * 4
# How often the colour is typical of the class, and how often there is land below.
COLOUR_FITS = 0.55
OVER_LAND = {"airplane": 0.2, "bird": 0.45}
TYPICAL_COLOURS = {
    "airplane": [(225, 228, 232), (170, 175, 185), (120, 125, 140)],
    "bird": [(110, 75, 45), (60, 45, 40), (160, 120, 80)],
}

Points = list[tuple[float, float]]
Colour = tuple[int, int, int]


def scene(class_name: str, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Generate one image: 32×32×3, uint8."""
    image = sky(generator, OVER_LAND[class_name])
    pen = ImageDraw.Draw(image)
    clutter(pen, generator)
    shape = airplane(generator) if class_name == "airplane" else bird(generator)
    size = CANVAS * generator.uniform(0.28, 0.5)
    centre = generator.uniform(0.35, 0.65, size=2) * CANVAS
    # Climbing or falling by up to 50 degrees, to the left or to the right.
    angle = np.radians(generator.uniform(-50, 50) + 180 * generator.integers(2))
    squeeze = generator.uniform(0.55, 1)  # the view is from an angle
    background = np.asarray(image).reshape(-1, 3).mean(axis=0)
    colour = contrasting(background, TYPICAL_COLOURS[class_name], generator)
    for points in shape:
        x, y = np.array(points).T * size
        turned_x = x * np.cos(angle) - y * squeeze * np.sin(angle) + centre[0]
        turned_y = x * np.sin(angle) + y * squeeze * np.cos(angle) + centre[1]
        shade = generator.uniform(0.8, 1.2)
        pen.polygon(
            list(zip(turned_x.tolist(), turned_y.tolist(), strict=True)),
            fill=tuple(int(np.clip(c * shade, 0, 255)) for c in colour),
        )
    image = image.filter(ImageFilter.GaussianBlur(generator.uniform(0, 4)))
    pixels = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BOX), dtype=float)
    noise = generator.normal(0, generator.uniform(3, 18), pixels.shape)
    return np.clip(pixels + noise, 0, 255).astype(np.uint8)


def sky(generator: np.random.Generator, over_land: float) -> Image.Image:
    """Draw a gradient between two sky colours; over_land: how often there is land below."""
    palette = np.array(
        [[120, 170, 230], [200, 215, 230], [90, 110, 150], [235, 190, 150], [150, 160, 165]]
    )
    top, bottom = palette[generator.integers(len(palette), size=2)] * generator.uniform(
        0.7, 1.1
    )
    steps = np.linspace(0, 1, CANVAS)[:, None, None]
    rows = np.clip(top + (bottom - top) * steps, 0, 255)
    pixels = np.repeat(rows, CANVAS, axis=1).astype(np.uint8)
    if generator.random() < over_land:
        horizon = int(CANVAS * generator.uniform(0.7, 0.95))
        pixels[horizon:] = generator.integers(30, 140, size=3)
    return Image.fromarray(pixels)


def clutter(pen: ImageDraw.ImageDraw, generator: np.random.Generator) -> None:
    """Draw clouds and twigs at random, regardless of the class."""
    for _ in range(generator.integers(1, 6)):
        x, y = generator.uniform(0, CANVAS, size=2)
        width, height = generator.uniform(0.1, 0.5, size=2) * CANVAS * (1, 0.5)
        grey = int(generator.integers(150, 255))
        pen.ellipse((x - width, y - height, x + width, y + height), fill=(grey,) * 3)
    for _ in range(generator.integers(0, 4)):
        ends = generator.uniform(-0.2, 1.2, size=4) * CANVAS
        colour = random_colour(generator)
        pen.line(tuple(ends.tolist()), fill=colour, width=int(generator.integers(2, 8)))


def airplane(generator: np.random.Generator) -> list[Points]:
    """Return straight shapes: a long fuselage, swept wings, a small tail. Nose at x = 1."""
    thick = generator.uniform(0.09, 0.16)
    span, sweep = generator.uniform(0.65, 1.05), generator.uniform(0.1, 0.5)
    chord = generator.uniform(0.2, 0.35)
    fuselage: Points = [
        (1, 0), (0.8, thick), (-0.9, thick), (-1, 0), (-0.9, -thick), (0.8, -thick)
    ]  # fmt: skip
    shapes = [fuselage]
    for side in (1, -1):
        shapes.append(
            [
                (0.25, 0),
                (0.25 - sweep, side * span),
                (0.25 - sweep - chord * 0.5, side * span),
                (0.25 - chord, 0),
            ]
        )
        shapes.append(
            [(-0.7, 0), (-0.9, side * span * 0.4), (-1.05, side * span * 0.4), (-0.95, 0)]
        )
    return shapes


def bird(generator: np.random.Generator) -> list[Points]:
    """Return curved shapes: a short body, a head with a beak, bent wings, a fanned tail."""
    t = np.linspace(0, 2 * np.pi, 20)
    length, thick = generator.uniform(0.5, 0.75), generator.uniform(0.16, 0.28)
    body = list(zip(length * np.cos(t), thick * np.sin(t), strict=True))
    head_size = generator.uniform(0.14, 0.2)
    head = list(zip(length + head_size * np.cos(t), head_size * np.sin(t), strict=True))
    tip = length + head_size
    beak: Points = [(tip - 0.05, 0.07), (tip + 0.2, 0), (tip - 0.05, -0.07)]
    fan = generator.uniform(0.12, 0.35)
    tail: Points = [(-length * 0.7, 0), (-1, fan), (-0.95, 0), (-1, -fan)]
    shapes = [body, head, beak, tail]
    span, lift = generator.uniform(0.65, 1.05), generator.uniform(-0.35, 0.35)
    s = np.linspace(0, 1, 8)
    for side in (1, -1):
        if generator.random() < 0.2:
            continue  # a folded wing
        front = list(zip(0.25 + lift * np.sin(np.pi * s), side * span * s, strict=True))
        back = list(
            zip(
                -0.2 + (lift + 0.25) * s + lift * np.sin(np.pi * s),
                side * span * s,
                strict=True,
            )
        )
        shapes.append(front + back[::-1])
    return shapes


def contrasting(
    background: npt.NDArray[np.float64],
    typical: list[Colour],
    generator: np.random.Generator,
) -> Colour:
    """Choose a colour, often a typical one, that stands out from the background."""
    while True:
        if generator.random() < COLOUR_FITS:
            colour = typical[generator.integers(len(typical))]
        else:
            colour = random_colour(generator)
        if np.abs(np.array(colour) - background).mean() > 25:
            return colour


def random_colour(generator: np.random.Generator) -> Colour:
    red, green, blue = (int(c) for c in generator.integers(20, 240, size=3))
    return red, green, blue
