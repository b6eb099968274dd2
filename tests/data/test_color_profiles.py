import io
import struct

import numpy as np
import pytest
from PIL import Image, ImageCms

from skin_lesions.data import color_profiles
from skin_lesions.data.decoding import decode
from support.color_profiles import DISPLAY_P3, gray_profile, rgb_profile
from support.factories import CORNERS, corner_colors, corners, encoded

SIZE = 32


SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def display_p3_to_srgb(color):
    """Convert one color with the matrices of the standards and gamma 2.2."""
    to_xyz = np.array(
        [[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]]
    )
    srgb_to_xyz = np.array(
        [[0.4360, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7141]]
    )
    linear = np.linalg.solve(srgb_to_xyz, to_xyz @ (np.array(color) / 255) ** 2.2).clip(0, 1)
    encoded_linear = np.where(
        linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055
    )
    return encoded_linear * 255


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_colors_of_display_p3_are_converted_to_srgb(kind):
    lossless = {"JPEG": {"quality": 98, "subsampling": 0}, "WEBP": {"lossless": True}}
    data = encoded(corners(), kind, icc_profile=DISPLAY_P3, **lossless.get(kind, {}))
    expected = [display_p3_to_srgb(color) for color in CORNERS]
    assert np.abs(np.array(expected) - CORNERS).max() > 15
    np.testing.assert_allclose(corner_colors(decode(data, SIZE).pixels), expected, atol=4)


def test_srgb_profiles_change_no_pixel():
    original = decode(encoded(corners(), "PNG"), SIZE).pixels
    with_profile = decode(encoded(corners(), "PNG", icc_profile=SRGB), SIZE).pixels
    np.testing.assert_array_equal(with_profile, original)


def test_srgb_profiles_with_rounded_curves_change_no_pixel():
    encoded_levels = np.linspace(0, 1, 32)
    linear = np.where(
        encoded_levels <= 0.04045, encoded_levels / 12.92, ((encoded_levels + 0.055) / 1.055) ** 2.4
    )
    values = (65535 * linear).round().astype(">u2").tobytes()
    curve = b"curv\0\0\0\0" + struct.pack(">I", 32) + values
    primaries = (0.4360, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141)
    profile = rgb_profile(*primaries, curve)
    levels = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3)).astype(np.uint8)
    image = Image.fromarray(levels)
    transform = ImageCms.buildTransform(
        ImageCms.ImageCmsProfile(io.BytesIO(profile)), ImageCms.createProfile("sRGB"), "RGB", "RGB"
    )
    assert (np.asarray(ImageCms.applyTransform(image, transform)) != levels).any()
    decoded = decode(encoded(image, "PNG", icc_profile=profile), SIZE).pixels
    np.testing.assert_array_equal(decoded, levels)


@pytest.mark.parametrize("bits", [8, 16])
def test_profiles_of_gray_images_are_converted(bits):
    gray = Image.new("L", (8, 8), 100)
    if bits == 16:
        gray = Image.fromarray(np.full((8, 8), 100 * 257, np.uint16))
    linear = decode(encoded(gray, "PNG", icc_profile=gray_profile(1.0)), SIZE).pixels
    expected = (1.055 * (100 / 255) ** (1 / 2.4) - 0.055) * 255
    np.testing.assert_allclose(linear, np.full((SIZE, SIZE, 3), expected), atol=2)


@pytest.mark.parametrize(
    ("mode", "profile"),
    [
        ("RGB", b"no profile"),
        ("RGB", DISPLAY_P3[:200]),
        ("RGB", gray_profile(1.0)),
        ("L", DISPLAY_P3),
    ],
)
def test_damaged_profiles_and_those_of_other_color_spaces_are_ignored(mode, profile):
    image = corners().convert(mode)
    expected = decode(encoded(image, "PNG"), SIZE).pixels
    decoded = decode(encoded(image, "PNG", icc_profile=profile), SIZE)
    np.testing.assert_array_equal(decoded.pixels, expected)


def test_the_transform_of_a_profile_is_built_once(monkeypatch):
    color_profiles._srgb_transform.cache_clear()
    data = encoded(corners(), "JPEG", icc_profile=DISPLAY_P3)
    for _ in range(5):
        decode(data, SIZE)
    assert color_profiles._srgb_transform.cache_info().misses == 1
