"""Maps over faces as pictures: one colour scale for what speaks for a class, one for both ways.

Legend: S steps, H, W size of a face.
"""

import io
from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

TILE = 120
"""Side of a face in a strip, in pixels."""
ENDS = 0.995
"""Share of the pixels below the end of the colours."""
FOR, BOTH = "inferno", "RdBu_r"
"""Colour maps that colour-blind people can read; of positive maps, and of signed ones."""


def overlay(
    face: NDArray[np.uint8], values: NDArray[np.float32], signed: bool
) -> NDArray[np.uint8]:
    """Return a face (H, W, 3) in grey under a map (H, W), strongest where the map is largest.

    Each map is scaled so that one pixel in 200 is at the end of the colours, because Shapley values
    of single pixels have outliers; a map of nothing leaves the face as it is.
    """
    side = (TILE, TILE)
    picture = np.asarray(Image.fromarray(face).convert("L").resize(side, Image.Resampling.LANCZOS))
    grey = np.repeat(picture[..., None], 3, axis=2).astype(np.float64)
    top = float(np.quantile(np.abs(values), ENDS)) or float(np.abs(values).max())
    if top == 0:
        return grey.astype(np.uint8)
    scaled = Image.fromarray(np.clip(values / top, -1, 1).astype(np.float32)).resize(
        side, Image.Resampling.BILINEAR
    )
    strength = np.asarray(scaled)
    place = (strength + 1) / 2 if signed else strength
    colours = matplotlib.colormaps[BOTH if signed else FOR](place)[..., :3] * 255
    share = 0.75 * np.clip(np.abs(strength), 0, 1)[..., None] ** 0.7
    return np.asarray(np.clip((1 - share) * grey + share * colours, 0, 255), dtype=np.uint8)


def strip(
    face: NDArray[np.uint8], maps: Sequence[NDArray[np.float32]], signed: bool
) -> NDArray[np.uint8]:
    """Return the face and its overlays side by side, (TILE, n * TILE, 3)."""
    plain = Image.fromarray(face).resize((TILE, TILE), Image.Resampling.LANCZOS)
    tiles = [np.asarray(plain), *(overlay(face, values, signed) for values in maps)]
    return np.concatenate(tiles, axis=1)


def panel(tiles: NDArray[np.uint8], titles: Sequence[str], heading: str, below: str) -> bytes:
    """Return a PNG of a strip with a heading, a title over each tile, and a line below."""
    count = len(titles)
    figure = Figure(figsize=(1.5 * count + 0.2, 2.3), layout="constrained")
    FigureCanvasAgg(figure)
    drawn = np.atleast_1d(figure.subplots(1, count))
    for axes, tile, title in zip(drawn, np.split(tiles, count, axis=1), titles, strict=True):
        axes.imshow(tile, interpolation="nearest")
        axes.set_axis_off()
        axes.set_title(title, fontsize=8)
    figure.suptitle(heading, fontsize=9, x=0.02, ha="left")
    figure.supxlabel(below, fontsize=7, color="0.4")
    data = io.BytesIO()
    figure.savefig(data, format="png", dpi=130, metadata={"Software": None})
    return data.getvalue()


def png(pixels: NDArray[np.uint8]) -> bytes:
    """Return a picture (H, W, 3) as PNG."""
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, format="PNG", optimize=True)
    return data.getvalue()
