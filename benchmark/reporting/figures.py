"""Turn figures into PNG files: one style, and the same bytes for the same figure."""

import io
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.figure import Figure

matplotlib.use("agg")  # files only, no window
plt.style.use(Path(__file__).with_name("charts.mplstyle"))


def png(figure: Figure, dpi: float | None = None) -> bytes:
    """Return the figure as PNG, and close it. dpi: by default, the style's."""
    buffer = io.BytesIO()
    # By default, Matplotlib would write its version into the file.
    figure.savefig(buffer, format="png", dpi=dpi or "figure", metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()


def frame(axes: Axes, title: str, caption: str) -> None:
    """Frame an image: a title, a caption below, and neither grid nor ticks."""
    axes.grid(False)
    axes.spines[:].set_visible(True)
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title(title, fontsize=10, loc="center")
    axes.set_xlabel(caption, fontsize=8.5)
