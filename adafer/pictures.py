"""Pictures in whatever form they are given: files, folders, bytes, PIL images, arrays, lists."""

import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from adafer import image
from adafer.errors import DataError
from adafer.image import ImageError

Picture = str | Path | bytes | Image.Image | NDArray[np.uint8]
"""A file or a folder of files, encoded bytes, or pixels (H, W) or (H, W, 3)."""

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp"})
"""Names that are taken for pictures in a folder."""


def named(images: Picture | Iterable[Picture]) -> Iterator[tuple[str, Picture]]:
    """Every picture with a name for messages; a folder gives its pictures in order."""
    if isinstance(images, str | Path):
        path = Path(images)
        if not path.is_dir():
            yield image.printable(str(path)), path
            return
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not found:
            raise DataError(
                f"no pictures in '{path}': expected {', '.join(sorted(SUFFIXES))} files"
            )
        yield from ((image.printable(str(file)), file) for file in found)
    elif isinstance(images, bytes | Image.Image | np.ndarray):
        yield str(getattr(images, "filename", "") or "image"), images
    else:
        for number, picture in enumerate(images):
            for name, one in named(picture):
                yield (f"image {number}" if name == "image" else name), one


def pixels(source: str, picture: Picture) -> NDArray[np.uint8]:
    """Upright RGB pixels (H, W, 3), by the one decoder whatever was given; raises ImageError."""
    if isinstance(picture, str | Path):
        return image.read(Path(picture))
    if isinstance(picture, bytes):
        return image.decode(picture, source)
    if isinstance(picture, np.ndarray):
        fits = picture.ndim == 2 or (picture.ndim == 3 and picture.shape[2] == 3)
        if picture.dtype != np.uint8 or not fits or 0 in picture.shape:
            raise ImageError(
                f"{source}: an array {picture.dtype} of shape {picture.shape} is no picture; "
                "give uint8 (H, W) or (H, W, 3)"
            )
        picture = Image.fromarray(picture)
    stored = io.BytesIO()
    try:
        if picture.mode in ("CMYK", "YCbCr", "LAB", "HSV"):  # those that PNG cannot hold
            picture = picture.convert("RGB")
        picture.save(stored, "PNG", compress_level=0, exif=picture.getexif())
    except (OSError, ValueError, SyntaxError) as error:
        raise ImageError(f"{source}: cannot be read ({error}); save it as PNG or JPEG") from None
    return image.decode(stored.getvalue(), source)
