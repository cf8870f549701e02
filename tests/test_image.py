import io
import struct
import subprocess
import sys
import threading
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageFile

from adafer.errors import AdaferError, DataError, WordsError
from adafer.image import ImageError, Preprocessing, decode, printable, read

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 256, (40, 30, 3), dtype=np.uint8)
SMOOTH = np.add.outer(np.arange(40) * 3, np.arange(30) * 2)[..., None].repeat(3, 2).astype(np.uint8)


def saved(pixels, kind, **options):
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def reason(data):
    with pytest.raises(ImageError) as caught:
        decode(data, "face.jpg")
    text = str(caught.value)
    assert text.startswith("face.jpg: ")
    assert "; " in text  # the way out
    return text


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width, height, rows, *, bits=1, colour=0, extra=b""):
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    body = chunk(b"IHDR", header) + extra + chunk(b"IDAT", zlib.compress(rows, 9))
    return b"\x89PNG\r\n\x1a\n" + body + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("kind", "options"), [("PNG", {}), ("WEBP", {"lossless": True}), ("BMP", {})]
)
def test_lossless_formats_give_the_pixels_back(kind, options):
    np.testing.assert_array_equal(decode(saved(NOISE, kind, **options), "x"), NOISE)


def test_jpeg_is_close_on_a_smooth_picture():
    difference = decode(saved(SMOOTH, "JPEG", quality=95), "x").astype(int) - SMOOTH
    assert np.abs(difference).max() <= 4


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP"])
@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9, 0.99])
def test_a_cut_file_is_truncated_and_never_half_grey(kind, share):
    data = saved(NOISE, kind)
    assert "truncated image" in reason(data[: int(share * len(data))])


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "empty file"),
        (b"dear diary, today I was happy", "not an image"),
        (b"\x89PN", "truncated image"),
        (saved(NOISE, "GIF"), "is GIF, which is not decoded; save it as PNG or JPEG"),
        (saved(NOISE, "TIFF"), "is TIFF"),
        (saved(NOISE, "PDF"), "is PDF"),
        (saved(NOISE, "EPS"), "is EPS"),
        (b"\n<svg xmlns='http://www.w3.org/2000/svg'/>", "is SVG"),
        (b"8BPS" + bytes(30), "is PSD"),
        (b"\0\0\0\x20ftypavif" + bytes(30), "is AVIF"),
        (b"PK\x03\x04" + bytes(30), "is ZIP archive"),
        (saved(NOISE[:1, :1], "PNG"), "1x1 pixels, least side is 8"),
        (saved(np.zeros((1, 10000), np.uint8), "PNG"), "10000x1 pixels"),
        (saved(np.zeros((8, 3000), np.uint8), "PNG"), "sides differ more than 20 times"),
    ],
)
def test_what_is_no_face_is_refused_with_its_reason(data, words):
    assert words in reason(data)


@pytest.mark.parametrize(
    ("side", "megapixels"), [(5001, 26), (9000, 81), (9500, 91), (13300, 177), (14000, 196)]
)
def test_a_bomb_is_refused_on_its_header(side, megapixels):
    rows = bytes(1000)  # the pixels are not even there: nothing may be decoded
    assert f"image has {megapixels} MP, limit 25 MP" in reason(png(side, side, rows))


def test_25_megapixels_are_decoded():
    rows = bytes((1 + 5000 // 8) * 5000)
    assert decode(png(5000, 5000, rows), "x").shape == (5000, 5000, 3)


def test_a_bomb_of_text_and_a_wrong_checksum_are_errors():
    text = chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(200_000_000), 9))
    rows = b"\0\0\0" * 16
    assert "damaged image" in reason(png(16, 16, rows, extra=text))
    good = png(16, 16, rows)
    at = good.index(b"IDAT") + 8
    assert "image; fetch it again" in reason(good[:at] + b"\xff" + good[at + 1 :])


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_all_eight_orientations_give_the_same_upright_picture(kind):
    upright = np.zeros((24, 16, 3), np.uint8)
    upright[:8, :8] = 255
    ways = {1: None, 2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # undone by EXIF, so inverse here
    for orientation, way in ways.items():
        stored = Image.fromarray(upright)
        if way is not None:
            stored = stored.transpose(Image.Transpose(way))
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = (
            {"quality": 100} if kind == "JPEG" else {"lossless": True} if kind == "WEBP" else {}
        )
        pixels = decode(saved(stored, kind, exif=exif, **options), "x")
        assert pixels.shape == upright.shape
        assert np.abs(pixels.astype(int) - upright).max() < 12, orientation


@pytest.mark.parametrize(
    "exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0"]
)
def test_a_broken_exif_block_is_ignored(exif):
    expected = decode(saved(NOISE, "JPEG"), "x")
    np.testing.assert_array_equal(decode(saved(NOISE, "JPEG", exif=exif), "x"), expected)


def test_16_bit_grey_is_divided_by_257_not_clipped():
    levels = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    grey = decode(saved(levels, "PNG"), "x")
    np.testing.assert_array_equal(grey[..., 0], np.floor(levels / 257 + 0.5).astype(np.uint8))
    np.testing.assert_array_equal(grey[..., 0], grey[..., 2])
    assert (grey == 255).mean() < 0.01


def test_cmyk_ink_is_inverted_light():
    ink = np.zeros((16, 16, 4), np.uint8)
    ink[:, :8, 0] = 255  # cyan absorbs red
    pixels = decode(saved(Image.fromarray(ink, "CMYK"), "JPEG", quality=100), "x")
    np.testing.assert_allclose(pixels[8, 2], [0, 255, 255], atol=3)
    np.testing.assert_allclose(pixels[8, 14], [255, 255, 255], atol=3)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_hidden_colour_shows_mid_grey(kind):
    rgba = np.zeros((16, 16, 4), np.uint8)
    rgba[..., 0] = 255
    rgba[:8, :, 3] = 255
    rgba[12:, :, 3] = 128
    pixels = decode(saved(rgba, kind, **({"lossless": True} if kind == "WEBP" else {})), "x")
    assert pixels[0, 0].tolist() == [255, 0, 0]
    assert pixels[9, 0].tolist() == [128, 128, 128]
    assert pixels[15, 0].tolist() == [192, 64, 64]  # 255 x 128/255 + 128 x 127/255


def test_transparency_of_palette_and_grey_is_composited():
    palette = Image.fromarray(np.eye(16, dtype=np.uint8), "P")
    palette.putpalette([255, 0, 0, 0, 255, 0])
    pixels = decode(saved(palette, "PNG", transparency=b"\x00\xff"), "x")
    assert pixels[0, 0].tolist() == [0, 255, 0]
    assert pixels[0, 1].tolist() == [128, 128, 128]
    la = np.dstack([np.full((16, 16), 250, np.uint8), np.zeros((16, 16), np.uint8)])
    assert decode(saved(Image.fromarray(la, "LA"), "PNG"), "x").min() == 128
    deep = np.full((16, 16), 1000, np.uint16)
    extra = chunk(b"tRNS", struct.pack(">H", 1000))
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in deep)
    assert decode(png(16, 16, rows, bits=16, extra=extra), "x")[0, 0].tolist() == [128] * 3


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_an_animation_gives_its_first_frame(kind):
    frames = [Image.fromarray(np.full((16, 16, 3), n, np.uint8)) for n in (10, 200, 90)]
    options = {"lossless": True} if kind == "WEBP" else {}
    data = saved(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    np.testing.assert_array_equal(decode(data, "x"), 10)


def test_an_endless_animation_is_refused():
    frames = [Image.fromarray(np.full((8, 8), n % 256, np.uint8)) for n in range(1001)]
    data = saved(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert "animation of 1001 frames, limit 1000" in reason(data)


def test_a_jpeg_with_a_tail_is_a_jpeg():
    data = saved(NOISE, "JPEG")
    np.testing.assert_array_equal(decode(data + b"PK\x03\x04<html>", "x"), decode(data, "x"))


@settings(max_examples=300)
@given(
    st.sampled_from(["JPEG", "PNG", "WEBP", "BMP"]),
    st.lists(st.tuples(st.integers(0, 5000), st.integers(0, 255)), min_size=1, max_size=6),
)
def test_flipped_bytes_decode_or_are_an_image_error(kind, flips):
    data = bytearray(saved(NOISE, kind))
    for position, value in flips:
        data[position % len(data)] = value
    try:
        pixels = decode(bytes(data), "x")
    except ImageError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3


def test_threads_decode_alike_and_leave_the_warning_filters_alone():
    code = (
        "import sys, warnings, threading; sys.path.insert(0, 'tests')\n"
        "from test_image import saved, NOISE\nfrom adafer.image import decode\n"
        "before = list(warnings.filters)\ndata = saved(NOISE, 'JPEG', exif=b'Exif\\0\\0garbage')\n"
        "expected = decode(data, 'x').tobytes()\nwrong = []\n"
        "def work():\n"
        "    wrong.extend(1 for _ in range(50) if decode(data, 'x').tobytes() != expected)\n"
        "threads = [threading.Thread(target=work) for _ in range(4)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]\n"
        "assert not wrong and warnings.filters == before\n"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True, timeout=120)
    assert threading.active_count() >= 1


def test_pillows_switch_for_truncated_files_is_refused(monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    with pytest.raises(AdaferError, match=r"set PIL\.ImageFile.LOAD_TRUNCATED_IMAGES to False"):
        decode(saved(NOISE, "PNG"), "x")


def test_reading_names_the_file(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(saved(NOISE, "PNG"))
    np.testing.assert_array_equal(read(path), NOISE)
    with pytest.raises(ImageError, match=r"b\.png: no such file; correct the path"):
        read(tmp_path / "b.png")
    with pytest.raises(ImageError, match="cannot be read"):
        read(tmp_path)
    with pytest.raises(DataError, match=r"new\\nline\.png: no such file"):
        read(tmp_path / "new\nline.png")
    with (tmp_path / "large.png").open("wb") as file:
        file.truncate(100_000_001)
    with pytest.raises(ImageError, match="larger than 100 MB"):
        read(tmp_path / "large.png")


def test_names_are_fit_to_print():
    assert printable("happy \U0001f600.png") == "happy \U0001f600.png"
    assert printable("a\x1b[31m\n.png") == "a\\x1b[31m\\n.png"
    assert printable(b"\xff.png".decode("utf-8", "surrogateescape")) == "\\xff.png"


def test_grey_is_itu_601_luminance():
    colours = np.array([[[255, 0, 0], [0, 255, 0]], [[0, 0, 255], [255, 255, 255]]], np.uint8)
    picture = colours.repeat(8, 0).repeat(8, 1)
    grey = Preprocessing(16, grey=True).resized(picture)
    assert grey[[0, 0, 15, 15], [0, 15, 0, 15]].tolist() == [
        [76] * 3,
        [150] * 3,
        [29] * 3,
        [255] * 3,
    ]


@pytest.mark.parametrize("grey", [True, False])
def test_a_face_of_the_right_size_keeps_its_pixels(grey):
    levels = RNG.integers(0, 256, (48, 48), dtype=np.uint8)
    stacked = np.stack([levels] * 3, -1)
    preprocessing = Preprocessing(48, grey=grey)
    np.testing.assert_array_equal(preprocessing.resized(levels), stacked)
    np.testing.assert_array_equal(preprocessing.resized(stacked), stacked)


def test_shrinking_by_a_whole_factor_averages_with_the_triangle_filter():
    levels = np.zeros((96, 96), np.uint8)
    levels[:, 48:] = 240
    row = Preprocessing(48, grey=True).resized(levels)[20, :, 0]
    # Triangle of half-width 2 at the edge: weights 1/8 3/8 3/8 1/8 over four source columns.
    assert row[22:26].tolist() == [0, 30, 210, 240]


def test_a_stretched_face_has_the_asked_for_shape():
    assert Preprocessing(32, grey=False).resized(NOISE).shape == (32, 32, 3)


def test_normalising_by_hand_and_for_any_leading_shape():
    preprocessing = Preprocessing(8, grey=False, mean=(0.5, 0.0, 1.0), std=(0.25, 1.0, 2.0))
    faces = np.zeros((2, 5, 8, 8, 3), np.uint8)
    faces[..., 1] = 51
    ready = preprocessing.normalised(faces)
    assert ready.shape == (2, 5, 3, 8, 8)
    assert ready.dtype == np.float32
    assert ready.flags.c_contiguous
    np.testing.assert_allclose(ready[1, 2, :, 3, 3], [-2.0, 0.2, -0.5], rtol=1e-6)
    np.testing.assert_array_equal(preprocessing.normalised(faces[1, 2]), ready[1, 2])


def test_preprocessing_survives_json():
    preprocessing = Preprocessing(64, grey=True, mean=(0.1, 0.2, 0.3), std=(1.0, 2.0, 3.0))
    assert Preprocessing.from_json(preprocessing.to_json()) == preprocessing
    for change in (
        {"size": "64"},
        {"grey": 1},
        {"mean": [0.1]},
        {"std": None},
        {"resample": "box"},
    ):
        with pytest.raises(DataError, match="unreadable; export or train it again"):
            Preprocessing.from_json({**preprocessing.to_json(), **change})
    with pytest.raises(DataError, match="unreadable"):
        Preprocessing.from_json({})


@pytest.mark.parametrize(
    "wrong", [{"size": 0}, {"std": (0.0, 1.0, 1.0)}, {"mean": (float("nan"),) * 3}]
)
def test_settings_that_cannot_work_are_refused(wrong):
    with pytest.raises(WordsError):
        Preprocessing(**{"size": 48, "grey": True, **wrong})
