import io
import struct
import subprocess
import sys
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from PIL import Image

from skin_lesions.data.decoding import decode
from skin_lesions.data.image_files import FORMATS, MAX_PIXELS, UnreadableImageError
from support.factories import CORNERS, corner_colors, corners, encoded, png

SIZE = 32


def with_orientation(image, kind, value):
    exif = Image.Exif()
    exif[0x0112] = value
    return encoded(image, kind, exif=exif, **({"lossless": True} if kind == "WEBP" else {}))


def as_stored(image, orientation):
    """Rotate or flip an upright image as a camera with this orientation stores it."""
    transposes = {
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }
    return image.transpose(transposes[orientation]) if orientation > 1 else image


def assert_has_corners(data, tolerance=6):
    decoded = decode(data, SIZE)
    assert decoded.pixels.shape == (SIZE, SIZE, 3)
    assert decoded.pixels.dtype == np.uint8
    np.testing.assert_allclose(corner_colors(decoded.pixels), CORNERS, atol=tolerance)
    return decoded


@pytest.mark.parametrize("kind", FORMATS)
def test_every_format_has_the_right_colors_size_and_format_name(kind):
    image = corners().quantize() if kind == "GIF" else corners()
    decoded = assert_has_corners(encoded(image, kind))
    assert (decoded.width, decoded.height, decoded.format) == (48, 32, kind)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(kind, orientation):
    data = with_orientation(as_stored(corners(), orientation), kind, orientation)
    decoded = assert_has_corners(data)
    assert (decoded.width, decoded.height) == (48, 32)


@pytest.mark.parametrize("orientation", [0, 9, 255, 65535])
def test_invalid_exif_orientation_is_ignored(orientation):
    assert_has_corners(with_orientation(corners(), "JPEG", orientation))


def test_damaged_exif_data_is_ignored():
    data = with_orientation(corners(), "JPEG", 1)
    assert_has_corners(data.replace(b"Exif\0\0MM\0*", b"Exif\0\0MM\xff*"))


@pytest.mark.parametrize("inverted", [True, False], ids=["Adobe", "plain"])
def test_cmyk_has_the_right_colors_with_and_without_adobe_inversion(inverted):
    # Pillow writes the inverted CMYK of Adobe.
    data = encoded(corners().convert("CMYK"), "JPEG", quality=95)
    if not inverted:
        data = encoded(
            Image.fromarray(255 - np.asarray(corners().convert("CMYK")), "CMYK"),
            "JPEG",
            quality=95,
        )
        start = data.index(b"\xff\xee")
        length = struct.unpack(">H", data[start + 2 : start + 4])[0]
        data = data[:start] + data[start + 2 + length :]
    assert_has_corners(data, tolerance=12)


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_16_bit_gray_is_scaled_to_8_bits(kind):
    gray = np.linspace(0, 65535, SIZE * SIZE).astype(np.uint16).reshape(SIZE, SIZE)
    decoded = decode(encoded(Image.fromarray(gray), kind), SIZE)
    expected = np.round(gray / 257).astype(np.uint8)
    np.testing.assert_array_equal(decoded.pixels, np.repeat(expected[..., None], 3, axis=2))


def test_16_bit_color_is_scaled_to_8_bits():
    wide = np.asarray(corners()).astype(">u2") * 257
    body = b"".join(b"\0" + row.tobytes() for row in wide)
    assert_has_corners(png(48, 32, 16, 2, body), tolerance=1)


def test_32_bit_pixels_are_rejected_because_their_range_is_unknown():
    for pixels in (np.ones((4, 4), np.float32), np.ones((4, 4), np.int32)):
        with pytest.raises(UnreadableImageError, match="value range of 32-bit pixels is unknown"):
            decode(encoded(Image.fromarray(pixels), "TIFF"), SIZE)


def transparent_right_half(mode):
    image = corners().convert(mode)
    alpha = Image.new("L", image.size, 255)
    alpha.paste(0, (24, 0, 48, 32))
    image.putalpha(alpha)
    return image


def test_transparent_pixels_are_blended_with_white():
    colors = corner_colors(decode(encoded(transparent_right_half("RGB"), "PNG"), SIZE).pixels)
    np.testing.assert_array_equal(colors, [CORNERS[0], (255,) * 3, CORNERS[2], (255,) * 3])


def test_gray_with_alpha_is_blended_with_white():
    colors = corner_colors(decode(encoded(transparent_right_half("L"), "PNG"), SIZE).pixels)
    red, blue = (np.asarray(corners().convert("L"))[y, 0] for y in (0, 31))
    np.testing.assert_array_equal(colors, [(red,) * 3, (255,) * 3, (blue,) * 3, (255,) * 3])


@pytest.mark.parametrize("mode", ["P", "RGB", "L", "1"])
def test_a_transparent_color_is_blended_with_white(mode):
    two = Image.new("RGB", (16, 16), "black")
    two.paste("white", (8, 0, 16, 16))
    image = two.quantize(2) if mode == "P" else two.convert(mode)
    black = {"P": image.getpixel((0, 0)), "RGB": (0, 0, 0), "L": 0, "1": 0}[mode]
    decoded = decode(encoded(image, "PNG", transparency=black), SIZE)
    assert decoded.pixels.min() == 255


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "TIFF"])
def test_several_images_in_one_file_are_rejected(kind):
    frames = [corners(), corners().rotate(90)]
    data = encoded(frames[0], kind, save_all=True, append_images=frames[1:])
    with pytest.raises(UnreadableImageError, match="2 images in one file"):
        decode(data, SIZE)


def test_mpo_file_with_a_preview_is_decoded_to_the_first_image():
    preview = corners(24, 16).transpose(Image.Transpose.ROTATE_180)
    decoded = assert_has_corners(encoded(corners(), "MPO", save_all=True, append_images=[preview]))
    assert (decoded.width, decoded.height, decoded.format) == (48, 32, "MPO")


@pytest.mark.parametrize("size", [(1, 1), (4000, 3), (3, 4000)])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "BMP"])
def test_extreme_sizes_have_the_right_color(kind, size):
    decoded = decode(encoded(Image.new("RGB", size, (200, 120, 40)), kind), SIZE)
    assert (decoded.width, decoded.height) == size
    np.testing.assert_allclose(decoded.pixels, np.full((SIZE, SIZE, 3), (200, 120, 40)), atol=3)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "GIF", "BMP"])
def test_bytes_after_the_image_are_ignored(kind):
    image = corners().quantize() if kind == "GIF" else corners()
    assert_has_corners(encoded(image, kind) + b"\0appended by some uploader" * 9)


@pytest.mark.parametrize("kind", ["L", "1", "P", "YCbCr"])
def test_other_pixel_modes_become_rgb(kind):
    dither = Image.Dither.NONE
    image = corners().quantize() if kind == "P" else corners().convert(kind, dither=dither)
    decoded = decode(encoded(image, "JPEG" if kind == "YCbCr" else "PNG"), SIZE)
    expected = np.asarray(image.convert("RGB"))[[8, 8, 24, 24], [12, 36, 12, 36]]
    np.testing.assert_allclose(corner_colors(decoded.pixels), expected, atol=6)


def test_resizing_is_antialiased_like_pillow():
    noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3)).astype(np.uint8)
    image = Image.fromarray(noise)
    expected = np.asarray(image.resize((SIZE, SIZE), Image.Resampling.BILINEAR), dtype=int)
    np.testing.assert_allclose(decode(encoded(image, "PNG"), SIZE).pixels, expected, atol=1)


COMPLETE = {
    kind: encoded(corners(200, 200), kind) for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP")
}
NOT_IMAGES = {
    b"": "the file is empty",
    b"\0" * 500: "only zero bytes",
    b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n": "git lfs pull",
    b"\xef\xbb\xbf\r\n <!DOCTYPE html><html>": "HTML page",
    b"<HTML><body>404": "HTML page",
    b"\0\0\0\x18ftypheic\0\0\0\0mif1": "convert it to JPEG",
    b"\0" * 128 + b"DICM" + b"\2\0": "DICOM",
    b"%PDF-1.7": "not an image in a known format",
    b"a,b\n1,2\n": "not an image in a known format",
    **{data[: len(data) // 2]: "damaged or truncated" for data in COMPLETE.values()},
    **{data[:20]: "damaged or truncated" for data in COMPLETE.values()},
    COMPLETE["PNG"][:-60] + b"\xff" * 40 + COMPLETE["PNG"][-20:]: "damaged or truncated",
}


@pytest.mark.parametrize("data", NOT_IMAGES, ids=lambda data: repr(data[:16]))
def test_incomplete_files_and_other_file_types_are_rejected_with_the_reason(data):
    with pytest.raises(UnreadableImageError, match=NOT_IMAGES[data]) as error:
        decode(data, SIZE)
    assert ".cpp" not in str(error.value)


def test_a_header_with_too_many_pixels_is_rejected_before_decoding():
    with pytest.raises(UnreadableImageError, match="60000 x 60000 pixels exceed the limit"):
        decode(png(60000, 60000, 8, 2, b""), SIZE)


@pytest.mark.parametrize("limit", [None, 100])
def test_limit_of_pillow_is_neither_used_nor_changed(monkeypatch, limit):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    for kind in ("JPEG", "PNG", "BMP", "GIF"):  # the plugins of others may check it themselves
        assert_has_corners(encoded(corners().quantize() if kind == "GIF" else corners(), kind))
    with pytest.raises(UnreadableImageError, match="60000 x 60000 pixels exceed the limit"):
        decode(png(60000, 60000, 8, 2, b""), SIZE)
    assert limit == Image.MAX_IMAGE_PIXELS


def test_size_check_of_a_plugin_is_not_reported_as_damage(monkeypatch):
    def factory(file, name):
        raise Image.DecompressionBombError("Image size (101 pixels) exceeds limit of 100 pixels")

    Image.init()
    # Which plugins check the size depends on the version of Pillow.
    monkeypatch.setitem(Image.OPEN, "WEBP", (factory, Image.OPEN["WEBP"][1]))
    with pytest.raises(UnreadableImageError, match="^Image size .* exceeds limit"):
        decode(encoded(corners(), "WEBP"), SIZE)


def test_warnings_of_pillow_are_ignored_in_threads_and_the_filters_are_restored():
    corrupt_exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x05\x01\x12"
    data = encoded(corners(), "JPEG", exif=corrupt_exif)
    with pytest.warns(UserWarning, match="Corrupt EXIF data"):
        Image.open(io.BytesIO(data)).getexif()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        before = warnings.filters.copy()
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(lambda _: decode(data, SIZE), range(400)))
        assert warnings.filters == before
    assert [str(warning.message) for warning in caught] == []


BOMBS = f"""
import resource
from support.factories import png
from skin_lesions.data.decoding import decode
from skin_lesions.data.image_files import UnreadableImageError
decode(png(8, 8, 8, 0, bytes(8 * 9)), 32)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
size = 20_000
assert size**2 > {MAX_PIXELS}
# A valid PNG of zeros: small as a file, but its pixels would take 400 MB.
complete = png(size, size, 1, 0, bytes(size * (1 + size // 8)))
after_making = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for bomb in (png(60000, 60000, 8, 6, b""), complete):
    try:
        decode(bomb, 32)
    except UnreadableImageError:
        continue
    raise SystemExit("a decompression bomb was decoded")
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - after_making) // 1024)
"""


def test_decompression_bombs_are_rejected_without_using_memory(request):
    process = subprocess.run(
        [sys.executable, "-c", BOMBS],
        capture_output=True,
        text=True,
        check=True,
        cwd=request.config.rootpath / "tests",
        timeout=60,
    )
    assert int(process.stdout) < 20, f"{process.stdout} MB more memory"
