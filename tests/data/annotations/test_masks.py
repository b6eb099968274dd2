import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from skin_lesions.core.errors import InputError
from skin_lesions.data.annotations import Lesions, boxes_of_mask, read_annotations
from skin_lesions.data.annotations.annotation_files import AnnotationError
from support.factories import encoded, write_files

WIDTH, HEIGHT = 80, 60
IMAGES = pd.DataFrame(
    {"file": ["train/1.jpg", "train/2.jpg", "3.png"], "width": WIDTH, "height": HEIGHT}
)


def mask(*rectangles, width=WIDTH, height=HEIGHT, value=255):
    """Draw a mask of rectangles (x0, y0, x1, y1) in pixels."""
    pixels = np.zeros((height, width), np.uint8)
    for x0, y0, x1, y1 in rectangles:
        pixels[y0:y1, x0:x1] = value
    return pixels


def png(pixels):
    return encoded(Image.fromarray(pixels), "PNG")


LESION = png(mask((8, 6, 40, 30)))
BOX = [[0.1, 0.1, 0.5, 0.5]]


def read(folder, files):
    return read_annotations(write_files(folder, files), IMAGES)


@pytest.mark.parametrize(
    "name",
    ["train/1.png", "1.png", "1_segmentation.png", "train/1_MASK.PNG", "1_segmentation.bmp"],
)
def test_mask_belongs_to_the_image_with_its_name(tmp_path, name):
    kind = "BMP" if name.endswith("bmp") else "PNG"
    data = encoded(Image.fromarray(mask((8, 6, 40, 30))), kind)
    found = read(tmp_path, {name: data})
    assert found.format == "masks"
    assert found.problems == ()
    assert list(found.lesions) == ["train/1.jpg"]
    np.testing.assert_allclose(found.lesions["train/1.jpg"].boxes, BOX)
    assert found.without == ("train/2.jpg", "3.png")


@pytest.mark.parametrize("value", [1, 128, 255])
@pytest.mark.parametrize("mode", ["L", "RGB", "1"])
def test_mask_is_read_independently_of_its_mode_and_value(tmp_path, mode, value):
    expected = mask((8, 6, 40, 30)) > 0
    image = Image.fromarray(mask((8, 6, 40, 30), value=255 if mode == "1" else value))
    found = read(tmp_path, {"1.png": encoded(image.convert(mode), "PNG")})
    pixels = found.lesions["train/1.jpg"].read_mask()
    assert pixels.dtype == bool
    np.testing.assert_array_equal(pixels, expected)


def test_mask_of_another_resolution_gives_the_same_box(tmp_path):
    large = png(mask((24, 18, 120, 90), width=3 * WIDTH, height=3 * HEIGHT))
    found = read(tmp_path, {"1.png": large})
    np.testing.assert_allclose(found.lesions["train/1.jpg"].boxes, BOX)
    assert found.lesions["train/1.jpg"].read_mask().shape == (3 * HEIGHT, 3 * WIDTH)


def test_orientation_of_a_mask_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # the stored image is rotated by 90 degrees
    upright = mask((8, 6, 40, 30))
    stored = encoded(Image.fromarray(np.rot90(upright)), "PNG", exif=exif)
    found = read(tmp_path, {"1.png": stored})
    np.testing.assert_allclose(found.lesions["train/1.jpg"].boxes, BOX)


def test_each_large_component_gets_a_box_and_small_ones_get_none():
    # Areas: 400, 20 (5 % of the largest) and 19 pixels.
    pixels = mask((0, 0, 20, 20), (30, 0, 50, 1), (30, 10, 49, 11)) > 0
    np.testing.assert_allclose(
        boxes_of_mask(pixels),
        [[0, 0, 20 / WIDTH, 20 / HEIGHT], [30 / WIDTH, 0, 50 / WIDTH, 1 / HEIGHT]],
    )


def test_pixels_that_touch_at_a_corner_are_one_lesion():
    pixels = mask((0, 0, 10, 10), (10, 10, 20, 20)) > 0
    np.testing.assert_allclose(boxes_of_mask(pixels), [[0, 0, 20 / WIDTH, 20 / HEIGHT]])


def test_mask_of_the_complete_image_has_the_complete_image_as_box():
    np.testing.assert_array_equal(boxes_of_mask(np.ones((5, 7), bool)), [[0, 0, 1, 1]])


PROBLEMS = {
    "empty": (png(mask()), "the mask is empty"),
    "another shape": (
        png(mask((0, 0, 9, 9), width=82)),
        "made for 82 x 60 pixels, but the image has 80 x 60 pixels, which is another shape$",
    ),
    "not rotated": (
        png(mask((0, 0, 9, 9), width=60, height=80)),
        "another shape; the annotation may be older than the rotation of the image",
    ),
    "color": (png(np.full((60, 80, 3), (200, 0, 0), np.uint8)), "a color image, not a mask"),
    "no image": (b"text", "not an image in a known format"),
    "truncated": (LESION[:-30], "damaged or truncated"),
    "no bytes": (b"", "the file is empty"),
}


@pytest.mark.parametrize("kind", PROBLEMS)
def test_unusable_mask_is_listed_with_its_reason_and_the_others_are_read(tmp_path, kind):
    data, reason = PROBLEMS[kind]
    found = read(tmp_path, {"a/2_mask.png": data, "1_mask.png": LESION})
    assert list(found.lesions) == ["train/1.jpg"]
    (problem,) = found.problems
    assert problem.place == "a/2_mask.png"
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(problem.reason)


def test_mask_within_two_percent_of_the_shape_is_used(tmp_path):
    found = read(tmp_path, {"1.png": png(mask((0, 0, 81, 60), width=81))})
    np.testing.assert_array_equal(found.lesions["train/1.jpg"].boxes, [[0, 0, 1, 1]])


def test_unknown_image_is_listed(tmp_path):
    found = read(tmp_path, {"7_mask.png": LESION, "1_mask.png": LESION})
    assert [(p.place, p.reason) for p in found.problems] == [
        ("7_mask.png", "no image has this name (7)")
    ]


@pytest.mark.parametrize("name", ["b/1_segmentation.png", "1.png"])
def test_two_masks_of_one_image_are_listed_and_not_used(tmp_path, name):
    files = {"1_mask.png": LESION, name: LESION, "2.png": LESION}
    found = read(tmp_path, files)
    assert list(found.lesions) == ["train/2.jpg"]
    assert {p.place for p in found.problems} == {"1_mask.png", name}
    assert "2 masks of one image (train/1.jpg)" in found.problems[0].reason


def test_image_beside_its_mask_is_not_read_as_mask(tmp_path):
    found = read(tmp_path, {"3.png": PROBLEMS["color"][0], "3_mask.png": LESION})
    assert found.problems == ()
    assert found.lesions["3.png"].mask_path == tmp_path / "3_mask.png"


def test_mask_that_is_damaged_later_gives_a_clear_error(tmp_path):
    found = read(tmp_path, {"1.png": LESION})
    (tmp_path / "1.png").write_bytes(LESION[:40])
    with pytest.raises(InputError, match=r"Mask cannot be used \(.*1\.png\): damaged.*Fix:"):
        found.lesions["train/1.jpg"].read_mask()


def test_lesions_without_a_mask_have_no_pixels():
    with pytest.raises(ValueError, match="have boxes, but no mask"):
        Lesions(np.array(BOX)).read_mask()


@pytest.mark.parametrize(
    "boxes",
    [np.empty((0, 4)), [0, 0, 1, 1], [[0, 0, 1, 1.1]], [[0, 0, np.nan, 1]], [[0.5, 0, 0.5, 1]]],
)
def test_invalid_boxes_are_rejected(boxes):
    with pytest.raises(ValueError, match="Expected|fractions"):
        Lesions(np.array(boxes))


def test_boxes_cannot_be_changed():
    with pytest.raises(ValueError, match="read-only"):
        Lesions(np.array(BOX)).boxes[0, 0] = 0.2


def test_huge_image_is_not_decoded(tmp_path, monkeypatch):
    monkeypatch.setattr("skin_lesions.data.image_files.MAX_PIXELS", 1000)
    with pytest.raises(InputError, match="80 x 60 pixels exceed the limit of 1,000 pixels"):
        read(tmp_path, {"1.png": LESION})


def test_empty_mask_has_no_boxes():
    with pytest.raises(AnnotationError, match="empty"):
        boxes_of_mask(np.zeros((4, 4), bool))


def test_animation_is_listed(tmp_path):
    buffer = io.BytesIO()
    frames = [Image.fromarray(mask((0, 0, 9, i))) for i in (5, 9)]
    frames[0].save(buffer, "GIF", save_all=True, append_images=frames[1:])
    found = read(tmp_path, {"1.gif": buffer.getvalue(), "2.png": LESION})
    assert "2 images in one file" in found.problems[0].reason
