"""Figures as files: one style, and for the same figure the same bytes."""

import io
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

matplotlib.use("agg")  # files only, no window
plt.style.use(Path(__file__).with_name("charts.mplstyle"))


def png(figure: Figure) -> bytes:
    """The picture, without the version that Matplotlib would put in. Closes the figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def frame(axes: Axes, title: str, below: str) -> None:
    """Frame an image: no grid and no ticks, a title, and a line below."""
    axes.grid(False)
    axes.spines[:].set_visible(True)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=10, loc="center")
    axes.set_xlabel(below, fontsize=8.5)
