"""Figures as files: the same figure, the same bytes."""

import io

import matplotlib
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

matplotlib.use("agg")  # files only, no window


def png(figure: Figure) -> bytes:
    """The picture, without the version that Matplotlib would put in. Closes the figure."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=120, metadata={"Software": None})
    plt.close(figure)
    return buffer.getvalue()
