"""Bytes to an upright RGB array, and the one way in which faces are resized and normalised.

This is the only decoder: training, prediction, export checks and serving see the same pixels.
"""

import io
import math
import re
import struct
import threading
import warnings
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from adafer.errors import AdaferError, DataError, WordsError

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")
"""The only decoders that are opened; Pillow's others (EPS, PDF, TIFF, ...) stay shut."""

MAX_BYTES = 100_000_000
"""Largest file that is read."""

MAX_PIXELS = 25_000_000
"""Largest picture that is decoded; checked on the header, before any pixel is."""

MAX_FRAMES = 1000
"""Longest animation whose first frame is used."""

MIN_SIDE = 8
"""Shortest side of a picture, in pixels; no expression can be read below it."""

MAX_ASPECT = 20
"""Longest side of a picture over its shortest."""

BACKGROUND = 128
"""Grey level that transparent pixels show, so that no hidden colour appears."""

DEFAULT_MEAN = (0.5, 0.5, 0.5)
"""Mean that is taken off each channel, on the scale 0-1, where no published weights ask else."""
DEFAULT_STD = (0.25, 0.25, 0.25)
"""Deviation that each channel is divided by."""

_MAGIC = {
    b"\xff\xd8\xff": "JPEG",
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"RIFF": "WEBP",
    b"BM": "BMP",
    b"GIF8": "GIF",
    b"II*\0": "TIFF",
    b"MM\0*": "TIFF",
    b"%PDF": "PDF",
    b"%!PS": "EPS",
    b"8BPS": "PSD",
    b"SIMPLE": "FITS",
    b"icns": "ICNS",
    b"<svg": "SVG",
    b"\0\0\0\x0cjP  ": "JPEG 2000",
    b"PK\x03\x04": "ZIP archive",
}
_BOX_BRANDS = {b"avif": "AVIF", b"avis": "AVIF", b"heic": "HEIF", b"heix": "HEIF", b"mif1": "HEIF"}

# What Pillow's decoders raise on damaged bytes; found by cutting and flipping files of each format.
_DAMAGE = (
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    IndexError,
    KeyError,
    TypeError,
    AttributeError,
    OverflowError,
    struct.error,
    zlib.error,
)

_LOCK = threading.Lock()

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class ImageError(DataError):
    """A file that is no picture we decode: its name, the reason and the way out."""


def printable(name: str) -> str:
    """Escape control characters and undecodable bytes, so that a name is safe in ids and logs."""
    if name.isprintable():
        return name
    text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def read(path: Path) -> NDArray[np.uint8]:
    """Decode a file to an upright RGB array (H, W, 3); raises ImageError."""
    return decode(_bytes(path), str(path))


def sides(path: Path) -> tuple[int, int]:
    """Width and height of the upright picture in a file, from its header; raises ImageError."""
    data = _bytes(path)
    if not data:
        raise ImageError(f"{printable(str(path))}: empty file; remove it or fetch it again")
    try:
        with _opened(data) as image:
            width, height = image.size
            return (height, width) if _orientation(image) >= 5 else (width, height)
    except ImageError as error:
        raise ImageError(f"{printable(str(path))}: {error}") from None


def clipped(box: tuple[int, int, int, int], width: int, height: int) -> tuple[int, int, int, int]:
    """Part of a box (left, top, right, bottom) inside a picture; raises ImageError if none is."""
    left, top, right, bottom = box
    inside = (max(left, 0), max(top, 0), min(right, width), min(bottom, height))
    if inside[0] >= inside[2] or inside[1] >= inside[3]:
        raise ImageError(
            f"face box {left},{top},{right},{bottom} lies outside {width}x{height} pixels; "
            "correct the box"
        )
    return inside


def _bytes(path: Path) -> bytes:
    name = str(path)
    try:
        if path.stat().st_size > MAX_BYTES:
            reason = f"file larger than {MAX_BYTES // 1_000_000} MB; save it smaller"
            raise ImageError(f"{printable(name)}: {reason}")
        return path.read_bytes()
    except FileNotFoundError:
        raise ImageError(f"{printable(name)}: no such file; correct the path") from None
    except (IsADirectoryError, PermissionError) as error:
        reason = f"cannot be read ({error.strerror}); correct the path or its permissions"
        raise ImageError(f"{printable(name)}: {reason}") from None


def decode(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode JPEG, PNG, WebP or BMP bytes to an upright RGB array (H, W, 3); raises ImageError.

    The EXIF orientation is applied, 16-bit grey is divided by 257, CMYK is converted, transparent
    pixels show mid grey (128), and an animation gives its first frame. Colour profiles are ignored.
    """
    if ImageFile.LOAD_TRUNCATED_IMAGES:
        raise AdaferError(
            "Pillow's LOAD_TRUNCATED_IMAGES is on, which turns cut files into half-grey pictures; "
            "set PIL.ImageFile.LOAD_TRUNCATED_IMAGES to False"
        )
    if not data:
        raise ImageError(f"{printable(name)}: empty file; remove it or fetch it again")
    try:
        return _decoded(data)
    except ImageError as error:
        raise ImageError(f"{printable(name)}: {error}") from None


def _decoded(data: bytes) -> NDArray[np.uint8]:
    image = _opened(data)
    with image:
        _check_shape(image)
        try:
            image.load()
        except _DAMAGE as error:
            raise ImageError(_damage(error, data)) from None
        upright = _UPRIGHT.get(_orientation(image))
        pixels = _rgb(image)
    if upright is not None:
        pixels = np.asarray(Image.fromarray(pixels).transpose(upright))
    return np.ascontiguousarray(pixels)


def _opened(data: bytes) -> Image.Image:
    """Read the header; no pixel is decoded here."""
    kind = _kind(data)
    try:
        with _strict_warnings():
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        found = re.search(r"(\d+) pixels", str(error))
        raise ImageError(_too_large(int(found[1]) if found else 2 * MAX_PIXELS)) from None
    except UnidentifiedImageError:
        if kind in FORMATS:
            raise ImageError("truncated image; fetch it again or remove it") from None
        if kind:
            raise ImageError(f"is {kind}, which is not decoded; save it as PNG or JPEG") from None
        raise ImageError("not an image; remove it or save it as PNG or JPEG") from None
    except _DAMAGE as error:
        raise ImageError(_damage(error, data)) from None


@contextmanager
def _strict_warnings() -> Iterator[None]:
    """Make Pillow's bomb warning an error and its remarks on broken metadata silent.

    Locked, as warning filters belong to the process; only headers are read under the lock.
    """
    with _LOCK, warnings.catch_warnings():
        warnings.filterwarnings("ignore", module=r"PIL\.")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def _kind(data: bytes) -> str | None:
    """Name the format that the first bytes announce."""
    if data[4:8] == b"ftyp":
        return _BOX_BRANDS.get(data[8:12], "a video or HEIF container")
    if len(data) < 8:  # a file cut inside its first bytes still counts as its format
        cut = (kind for magic, kind in _MAGIC.items() if magic.startswith(data))
        found = next(cut, None)
        if found:
            return found
    start = data[:64].lstrip() if data[:64].lstrip()[:1] == b"<" else data
    return next((kind for magic, kind in _MAGIC.items() if start.startswith(magic)), None)


def _check_shape(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise ImageError(_too_large(width * height))
    if min(width, height) < MIN_SIDE:
        raise ImageError(f"{width}x{height} pixels, least side is {MIN_SIDE}; use a larger picture")
    if max(width, height) > MAX_ASPECT * min(width, height):
        raise ImageError(
            f"{width}x{height} pixels, sides differ more than {MAX_ASPECT} times; crop to the face"
        )
    try:
        frames = getattr(image, "n_frames", 1)
    except _DAMAGE as error:
        raise ImageError(_damage(error)) from None
    if frames > MAX_FRAMES:
        raise ImageError(f"animation of {frames} frames, limit {MAX_FRAMES}; save one frame")


def _too_large(pixels: int) -> str:
    limit = MAX_PIXELS // 1_000_000
    return f"image has {math.ceil(pixels / 1e6)} MP, limit {limit} MP; scale it down"


def _damage(error: Exception, data: bytes = b"") -> str:
    text = str(error).lower()
    cut = isinstance(error, EOFError) or "truncated" in text
    if data[:4] == b"RIFF" and len(data) < 8 + int.from_bytes(data[4:8], "little"):
        cut = True
    return f"{'truncated' if cut else 'damaged'} image; fetch it again or remove it"


def _orientation(image: Image.Image) -> int:
    """EXIF orientation 1-8; 1 where the block is absent or broken."""
    try:
        with _strict_warnings():
            value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except _DAMAGE:
        return 1
    return value if isinstance(value, int) else 1


def _rgb(image: Image.Image) -> NDArray[np.uint8]:
    """Pixels (H, W, 3) of a loaded image of any supported mode."""
    if image.mode.startswith("I;16"):
        return _from_grey16(np.asarray(image), image.info.get("transparency"))
    if image.mode in ("I", "F"):
        raise ImageError(f"unsupported mode {image.mode} (32 bits a pixel); save it with 8 bits")
    try:
        if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
            return _composited(np.asarray(image.convert("RGBA")))
        return np.asarray(image.convert("RGB"))
    except _DAMAGE as error:
        raise ImageError(_damage(error)) from None


def _from_grey16(grey: NDArray[Any], transparent: object) -> NDArray[np.uint8]:
    # Pillow's own conversion clips at 255, which turns nearly every pixel white.
    levels = ((grey.astype(np.uint32) + 128) // 257).astype(np.uint8)
    if isinstance(transparent, int):
        levels[grey == transparent] = BACKGROUND
    return np.repeat(levels[..., None], 3, axis=2)


def _composited(rgba: NDArray[np.uint8]) -> NDArray[np.uint8]:
    alpha = rgba[..., 3:].astype(np.uint32)
    mixed = rgba[..., :3] * alpha + BACKGROUND * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


@dataclass(frozen=True)
class Preprocessing:
    """How a decoded face becomes what a model sees; it travels with every trained model."""

    size: int  # side of the face, in pixels
    grey: bool  # three equal channels of ITU-R 601 luminance
    mean: tuple[float, float, float] = DEFAULT_MEAN  # on the scale 0-1
    std: tuple[float, float, float] = DEFAULT_STD
    crop: float = 1.0  # share of each side that is kept around the middle

    def __post_init__(self) -> None:
        if self.size < MIN_SIDE:
            raise WordsError(f"a face of {self.size} pixels is too small; use {MIN_SIDE} or more")
        if not all(math.isfinite(m) for m in self.mean) or not all(0 < s < 1e6 for s in self.std):
            raise WordsError("mean and std must be finite and std positive; correct them")
        if not 0.5 <= self.crop <= 1:
            raise WordsError("--crop is the share of each side that is kept, from 0.5 to 1")

    @property
    def whole(self) -> int:
        """Side of the face before its middle is cut out, in pixels."""
        return round(self.size / self.crop)

    @property
    def margin(self) -> int:
        """What is cut off a whole face at the left and at the top, in pixels."""
        return (self.whole - self.size) // 2

    def resized(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a face (H, W) or (H, W, 3) as the model sees it, (size, size, 3)."""
        return self.middle(self.uncut(picture))

    def middle(self, faces: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Cut the middle (..., size, size, K) out of whole faces (..., whole, whole, K)."""
        kept = slice(self.margin, self.margin + self.size)
        return faces[..., kept, kept, :]

    def points_in(
        self, points: NDArray[np.float32], width: int, height: int
    ) -> NDArray[np.float32]:
        """Return points (..., 2) of a picture in pixels of the face that the model sees."""
        return self.points_uncut(points, width, height) - np.float32(self.margin)

    def points_uncut(
        self, points: NDArray[np.floating], width: int, height: int
    ) -> NDArray[np.float32]:
        """Return points (..., 2) of a picture in pixels of the whole face.

        The middle of a pixel stays the middle of what it becomes.
        """
        scale = (self.whole / width, self.whole / height)
        return ((points.astype(np.float64) + 0.5) * scale - 0.5).astype(np.float32)

    def uncut(self, picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Return a face (H, W) or (H, W, 3) as (whole, whole, 3); sides that differ are stretched.

        Pillow's bilinear filter, which averages over the covered area when it shrinks.
        """
        image = Image.fromarray(picture)
        if self.grey:
            # 0.299 R + 0.587 G + 0.114 B; equal channels stay as they are
            image = image.convert("L")
        if image.size != (self.whole, self.whole):
            image = image.resize((self.whole, self.whole), Image.Resampling.BILINEAR)
        return np.array(image.convert("RGB"))

    def normalised(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return faces (..., S, S, 3) as float32 (..., 3, S, S): (x / 255 - mean) / std."""
        mean, std = np.array(self.mean, np.float32), np.array(self.std, np.float32)
        scaled = (faces.astype(np.float32) / np.float32(255) - mean) / std
        return np.ascontiguousarray(np.moveaxis(scaled, -1, -3))

    def to_json(self) -> dict[str, Any]:
        """Return the settings in plain types."""
        return {
            "size": self.size,
            "grey": self.grey,
            "mean": list(self.mean),
            "std": list(self.std),
            "crop": self.crop,
            "resample": "bilinear",
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> "Preprocessing":
        """Rebuild from `to_json`; raises DataError where a value is missing or of another kind."""
        try:
            size, grey = values["size"], values["grey"]
            mean, std = tuple(map(float, values["mean"])), tuple(map(float, values["std"]))
            crop = float(values.get("crop", 1.0))
        except (KeyError, TypeError, ValueError):
            raise _unreadable() from None
        kinds = type(size) is int and type(grey) is bool and len(mean) == len(std) == 3
        if not kinds or values.get("resample", "bilinear") != "bilinear":
            raise _unreadable()
        return cls(size, grey, (mean[0], mean[1], mean[2]), (std[0], std[1], std[2]), crop)


def _unreadable() -> DataError:
    return DataError("the preprocessing of this model is unreadable; export or train it again")
