"""Faces in rows, as one PNG: contact sheets, and faces before and after they are varied.

Legend: S side of a face, P landmarks.
"""

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

PAGE, INK, MUTED, POINT = (255, 255, 255), (23, 24, 28), (91, 95, 105), (226, 72, 18)
GAP, LINE, TEXT = 6, 22, 14  # pixels


@dataclass(frozen=True, kw_only=True)
class Row:
    """Faces side by side, what is said on their left, and their landmarks."""

    title: str
    below: str = ""
    faces: Sequence[NDArray[np.uint8]]  # (S, S, 3) or (S, S, 1) each
    points: Sequence[NDArray[np.float32] | None] = field(default=())  # (P, 2) each


def draw_sheet(rows: Sequence[Row], headings: Sequence[str] = (), *, side: int = 72) -> bytes:
    """Return the rows as a PNG; faces are `side` pixels wide, `headings` stand above columns."""
    font = ImageFont.load_default(TEXT)
    names = max(font.getlength(text) for row in rows for text in (row.title, row.below))
    left, top = GAP + round(names) + 2 * GAP, GAP + (LINE if headings else 0)
    columns = max([len(headings), *(len(row.faces) for row in rows)])
    size = (left + columns * (side + GAP), top + len(rows) * (side + GAP))
    page = Image.new("RGB", size, PAGE)
    pen = ImageDraw.Draw(page)
    for column, heading in enumerate(headings):
        pen.text((left + column * (side + GAP), GAP), heading, MUTED, font)
    for number, row in enumerate(rows):
        y = top + number * (side + GAP)
        pen.text((GAP, y + side / 2 - LINE), row.title, INK, font)
        pen.text((GAP, y + side / 2), row.below, MUTED, font)
        for column, face in enumerate(row.faces):
            x = left + column * (side + GAP)
            page.paste(_enlarged(face, side), (x, y))
            points = row.points[column] if column < len(row.points) else None
            if points is not None:
                _mark(pen, points, x, y, side / face.shape[0], side)
    data = io.BytesIO()
    page.save(data, format="PNG", optimize=True)
    return data.getvalue()


def side_by_side(one: NDArray[np.uint8], other: NDArray[np.uint8], *, most: int = 96) -> str:
    """Return two faces (S, S, K) as one PNG in a data URI, each at most `most` pixels wide."""
    side = min(one.shape[0], most)
    picture = Image.new("RGB", (2 * side, side))
    picture.paste(_enlarged(one, side), (0, 0))
    picture.paste(_enlarged(other, side), (side, 0))
    grey = one.shape[2] == other.shape[2] == 1
    data = io.BytesIO()
    (picture.convert("L") if grey else picture).save(data, format="PNG", optimize=True)
    return as_uri(data.getvalue())


def as_uri(png: bytes) -> str:
    """Return a PNG as a data URI, to stand in a page."""
    return "data:image/png;base64," + base64.b64encode(png).decode("ascii")


def _enlarged(face: NDArray[np.uint8], side: int) -> Image.Image:
    colours = np.ascontiguousarray(np.broadcast_to(face, (*face.shape[:2], 3)))
    way = Image.Resampling.NEAREST if side >= face.shape[0] else Image.Resampling.LANCZOS
    return Image.fromarray(colours).resize((side, side), way)


def _mark(
    pen: ImageDraw.ImageDraw, points: NDArray[np.float32], x: int, y: int, scale: float, side: int
) -> None:
    """Draw the landmarks that are known and inside the face."""
    # The middle of a pixel stays the middle of what it becomes.
    placed = (points + 0.5) * scale
    known = np.isfinite(placed).all(1)
    for across, down in placed[known].tolist():
        if 0 <= across < side and 0 <= down < side:
            pen.ellipse((x + across - 2, y + down - 2, x + across + 2, y + down + 2), fill=POINT)
