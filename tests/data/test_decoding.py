import struct
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from skin_lesions.data.decoding import FORMATS, MAX_PIXELS, UnreadableImageError, decode
from support.factories import CORNERS, corner_colours, corners, encoded, png

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL", "ignore::DeprecationWarning")

SIZE = 32


def with_orientation(image, kind, value):
    exif = Image.Exif()
    exif[0x0112] = value
    return encoded(image, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))


def as_stored(image, orientation):
    """Turn an upright picture the way a camera with this orientation stores it."""
    turned = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return image.transpose(turned[orientation]) if orientation > 1 else image


def assert_shows_corners(data, tolerance=6):
    decoded = decode(data, SIZE)
    assert decoded.pixels.shape == (SIZE, SIZE, 3)
    assert decoded.pixels.dtype == np.uint8
    np.testing.assert_allclose(corner_colours(decoded.pixels), CORNERS, atol=tolerance)
    return decoded


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_shows_its_colours_and_says_its_size(kind):
    image = corners().quantize() if kind == "GIF" else corners()
    decoded = assert_shows_corners(encoded(image, kind))
    assert (decoded.width, decoded.height, decoded.format) == (48, 32, kind)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_set_upright(kind, orientation):
    data = with_orientation(as_stored(corners(), orientation), kind, orientation)
    decoded = assert_shows_corners(data)
    assert (decoded.width, decoded.height) == (48, 32)


@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
def test_an_orientation_that_does_not_exist_is_ignored(orientation):
    assert_shows_corners(with_orientation(corners(), "JPEG", orientation))


def test_broken_exif_costs_no_picture():
    data = with_orientation(corners(), "JPEG", 1)
    assert_shows_corners(data.replace(b"Exif\0\0MM\0*", b"Exif\0\0MM\xff*"))


@pytest.mark.parametrize("inverted", [True, False], ids=["Adobe", "plain"])
def test_cmyk_has_its_colours_whether_inverted_by_adobe_or_not(inverted):
    data = encoded(corners().convert("CMYK"), "JPEG", quality=95)  # Pillow writes Adobe's way
    if not inverted:
        data = encoded(
            Image.fromarray(255 - np.asarray(corners().convert("CMYK")), "CMYK"),
            "JPEG",
            quality=95,
        )
        start = data.index(b"\xff\xee")
        length = struct.unpack(">H", data[start + 2 : start + 4])[0]
        data = data[:start] + data[start + 2 + length :]
    assert_shows_corners(data, tolerance=12)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_sixteen_bits_of_grey_are_scaled_to_eight(kind):
    grey = np.linspace(0, 65535, SIZE * SIZE).astype(np.uint16).reshape(SIZE, SIZE)
    decoded = decode(encoded(Image.fromarray(grey), kind), SIZE)
    expected = np.round(grey / 257).astype(np.uint8)
    np.testing.assert_array_equal(decoded.pixels, np.repeat(expected[..., None], 3, axis=2))


def test_sixteen_bits_of_colour_are_scaled_to_eight():
    wide = np.asarray(corners()).astype(">u2") * 257
    body = b"".join(b"\0" + row.tobytes() for row in wide)
    assert_shows_corners(png(48, 32, 16, 2, body), tolerance=1)


def test_32_bit_pixels_are_refused_as_their_range_is_unknown():
    for pixels in (np.ones((4, 4), np.float32), np.ones((4, 4), np.int32)):
        with pytest.raises(UnreadableImageError, match="no known range"):
            decode(encoded(Image.fromarray(pixels), "TIFF"), SIZE)


def transparent_right_half(mode):
    image = corners().convert(mode)
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (24, 0, 48, 32))
    image.putalpha(alpha)
    return image


def test_transparency_is_laid_on_white():
    seen = corner_colours(decode(encoded(transparent_right_half("RGB"), "PNG"), SIZE).pixels)
    np.testing.assert_array_equal(seen, [CORNERS[0], (255,) * 3, CORNERS[2], (255,) * 3])


def test_grey_with_alpha_is_laid_on_white():
    seen = corner_colours(decode(encoded(transparent_right_half("L"), "PNG"), SIZE).pixels)
    red, blue = (np.asarray(corners().convert("L"))[y, 0] for y in (0, 31))
    np.testing.assert_array_equal(seen, [(red,) * 3, (255,) * 3, (blue,) * 3, (255,) * 3])


@pytest.mark.parametrize("mode", ["P", "RGB", "L", "1"])
def test_a_transparent_colour_is_laid_on_white(mode):
    two = Image.new("RGB", (16, 16), "black")
    two.paste("white", (8, 0, 16, 16))
    image = two.quantize(2) if mode == "P" else two.convert(mode)
    black = {"P": image.getpixel((0, 0)), "RGB": (0, 0, 0), "L": 0, "1": 0}[mode]
    decoded = decode(encoded(image, "PNG", transparency=black), SIZE)
    assert decoded.pixels.min() == 255


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_pictures_in_one_file_are_refused(kind):
    frames = [corners(), corners().rotate(90)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(UnreadableImageError, match="2 pictures in one file"):
        decode(data, SIZE)


def test_a_phones_jpeg_with_a_preview_behind_it_shows_the_first_picture():
    preview = corners(24, 16).transpose(Image.Transpose.ROTATE_180)
    decoded = assert_shows_corners(
        encoded(corners(), "MPO", save_all=True, append_images=[preview])
    )
    assert (decoded.width, decoded.height, decoded.format) == (48, 32, "MPO")


@pytest.mark.parametrize("size", [(1, 1), (4000, 3), (3, 4000)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_extreme_sizes_keep_their_colour(kind, size):
    decoded = decode(encoded(Image.new("RGB", size, (200, 120, 40)), kind), SIZE)
    assert (decoded.width, decoded.height) == size
    np.testing.assert_allclose(decoded.pixels, np.full((SIZE, SIZE, 3), (200, 120, 40)), atol=3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_bytes_behind_the_image_do_not_matter(kind):
    image = corners().quantize() if kind == "GIF" else corners()
    assert_shows_corners(encoded(image, kind) + b"\0appended by some uploader" * 9)


@pytest.mark.parametrize("kind", ["L", "1", "P", "YCbCr"])
def test_other_kinds_of_pixels_become_rgb(kind):
    dither = Image.Dither.NONE
    image = corners().quantize() if kind == "P" else corners().convert(kind, dither=dither)
    decoded = decode(encoded(image, "JPEG" if kind == "YCbCr" else "PNG"), SIZE)
    expected = np.asarray(image.convert("RGB"))[[8, 8, 24, 24], [12, 36, 12, 36]]
    np.testing.assert_allclose(corner_colours(decoded.pixels), expected, atol=6)


def test_pixels_are_those_of_an_antialiased_resize():
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    image = Image.fromarray(noise)
    expected = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR), dtype=int)
    np.testing.assert_allclose(decode(encoded(image, "PNG"), SIZE).pixels, expected, atol=1)


WHOLE = {kind: encoded(corners(200, 200), kind) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP")}
NOT_IMAGES = {
    b"": "the file is empty",
    b"\0" * 500: "nothing but zero bytes",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n": "git lfs pull",
    b"\xef\xbb\xbf\r\n <!DOCTYPE html><html>": "HTML page",
    b"<HTML><body>404": "HTML page",
    b"\0\0\0\x18ftypheic\0\0\0\0mif1": "convert it to JPEG",
    b"\0" * 128 + b"DICM" + b"\2\0": "DICOM",
    b"%PDF-1.7": "not an image in a known format",
    b"a,b\n1,2\n": "not an image in a known format",
    **{data[: len(data) // 2]: "damaged or truncated" for data in WHOLE.values()},
    **{data[:20]: "damaged or truncated" for data in WHOLE.values()},
    WHOLE["PNG"][:-60] + b"\xff" * 40 + WHOLE["PNG"][-20:]: "damaged or truncated",
}


@pytest.mark.parametrize("data", NOT_IMAGES, ids=lambda data: repr(data[:16]))
def test_what_is_no_whole_image_is_refused_with_the_reason(data):
    with pytest.raises(UnreadableImageError, match=NOT_IMAGES[data]) as refused:
        decode(data, SIZE)
    assert ".cpp" not in str(refused.value)


def test_a_header_of_too_many_pixels_is_refused_before_decoding():
    with pytest.raises(UnreadableImageError, match="60000 x 60000 pixels are more than"):
        decode(png(60000, 60000, 8, 2, b""), SIZE)


BOMBS = f"""
import resource
from support.factories import png
from skin_lesions.data.decoding import UnreadableImageError, decode
decode(png(8, 8, 8, 0, bytes(8 * 9)), 32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
edge = 20_000
assert edge**2 > {MAX_PIXELS}
# Zeros in a good 20 MB of PNG would be 400 MB of pixels.
whole = png(edge, edge, 1, 0, bytes(edge * (1 + edge // 8)))
after_making = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for bomb in (png(60000, 60000, 8, 6, b""), whole):
    try:
        decode(bomb, 32)
    except UnreadableImageError:
        continue
    raise SystemExit("a bomb was decoded")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - after_making) // 1024)
"""


def test_a_decompression_bomb_does_not_take_the_memory(request):
    told = subprocess.run(
        [sys.executable, "-c", BOMBS],
        capture_output=True,
        text=True,
        check=True,
        cwd=request.config.rootpath / "tests",
        timeout=60,
    )
    assert int(told.stdout) < 20, f"{told.stdout} MB more"
