"""Dependence of small hand-made networks on the lesion."""

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from skin_lesions.audit.finding import Finding
from skin_lesions.core.errors import InputError
from skin_lesions.data.pixel_store import PixelStore
from skin_lesions.data.preprocessing import resize_batch
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.evaluation.localization import lesion_dependence
from skin_lesions.evaluation.localization.altered_images import (
    inpaint,
    lesion_pixels,
    only_lesion,
)
from skin_lesions.evaluation.localization.lesion_dependence import (
    input_coverage,
    inside_fractions,
    measure_lesion_dependence,
)
from skin_lesions.evaluation.localization.lesion_dependence_model import (
    LesionAttention,
    LesionDependence,
    attention_findings,
)
from skin_lesions.metrics import paired
from skin_lesions.metrics.intervals import Estimate
from skin_lesions.models import grad_cam
from skin_lesions.models.localization.lesions import Lesion
from support.imagesets import square_images
from support.models import trained_model
from support.postprocessing import postprocessing, unknown_score

SIZE = 32
BORDER = 4  # pixels
CLASSES = ("blue", "red")
COLORS = np.array([[60, 60, 220], [220, 60, 60]])
SKIN = np.array([200, 160, 140])


class Region(nn.Module):
    """Multiplies a map by a constant, so that a network sees only a part of the image."""

    def __init__(self, visible):
        super().__init__()
        self.register_buffer("visible", torch.tensor(visible, dtype=torch.float32))

    def forward(self, x):
        return x * self.visible


class RegionNetwork(nn.Module):
    """Compares how red and how blue the visible part of an image is."""

    def __init__(self, visible):
        super().__init__()
        self.colors = nn.Conv2d(3, 2, 1)
        self.region = Region(visible)
        self.head = nn.Linear(2, 2)
        # The maps are max(0, blue - red) and max(0, red - blue) of pixels without skin color.
        weights = torch.tensor([[-1.0, 0.0, 1.0], [1.0, 0.0, -1.0]])
        with torch.no_grad():
            self.colors.weight.copy_(weights[..., None, None])
            self.colors.bias.copy_(torch.tensor([0.0, -1.5]))  # more red than skin
            self.head.weight.copy_(50 * torch.eye(2))
            self.head.bias.copy_(torch.tensor([0.1, 0.0]))  # blue if it sees neither

    def forward(self, x):
        return self.head(self.region(self.colors(x).relu()).mean(dim=(2, 3)))


CENTER = np.zeros((SIZE, SIZE), bool)
CENTER[BORDER:-BORDER, BORDER:-BORDER] = True


def lesion_at(x, y, width, height, mask=None):
    return Lesion(boxes=np.array([[x, y, x + width, y + height]]) / SIZE, mask=mask)


def draw(n, size=SIZE, seed=0):
    """Draw images whose border and lesion both show the class, and their rows and lesions."""
    rng = np.random.default_rng(seed)
    labels = np.arange(n) % 2
    pixels = np.full((n, size, size, 3), SKIN, np.uint8)
    lesions = []
    for image, label in zip(pixels, labels, strict=True):
        image[:BORDER] = image[-BORDER:] = image[:, :BORDER] = image[:, -BORDER:] = COLORS[label]
        width, height = rng.integers(6, 12, 2)
        x, y = rng.integers(8, 24 - np.array([width, height]))
        image[y : y + height, x : x + width] = COLORS[label]
        lesions.append(lesion_at(x, y, width, height))
    rows = pd.DataFrame(
        {
            "file": [f"{i}.png" for i in range(n)],
            "image_id": [f"image{i}" for i in range(n)],
            "group_id": [f"g{i // 2}" for i in range(n)],
            "split": "test",
            "label": np.array(CLASSES)[labels],
            "is_leaked": False,
        }
    )
    return pixels, rows, lesions


@pytest.fixture
def measure(tmp_path, monkeypatch):
    """Measure a network that sees only some pixels, on stored images."""

    def run(visible, images, *, preprocessing=None, sizes=None):
        pixels, rows, lesions = images
        store = PixelStore(tmp_path / "store")
        if len(pixels):
            square_images(store.at(SIZE).folder, pixels, sizes)
        network = RegionNetwork(visible)
        for module in ("models.inference", "evaluation.localization.lesion_dependence"):
            monkeypatch.setattr(f"skin_lesions.{module}.load_network", lambda _: network)
        model = trained_model(
            classes=CLASSES,
            preprocessing=preprocessing or Preprocessing("stretch", SIZE, SIZE),
            postprocessing=postprocessing((10, 10), unknown_score=unknown_score(2)),
            state_dict={},
        )
        return measure_lesion_dependence(model, store, rows, lesions, batch_size=7, device="cpu")

    return run


def value(estimate):
    return pytest.approx(estimate.value)


# Scores and findings


def test_model_that_sees_only_the_border_keeps_its_accuracy_and_has_a_finding(measure):
    found = measure(~CENTER, draw(40))
    without = found.scores.without_lesion
    assert (found.images, found.groups, found.reason) == (40, 20, None)
    assert value(found.scores.original.balanced_accuracy) == 1.0
    assert value(without.balanced_accuracy) == 1.0
    assert value(without.accuracy) == 1.0
    assert value(without.balanced_accuracy_lost) == 0.0
    assert [(f.id, f.severity) for f in found.findings] == [
        ("accuracy_without_lesion", "high"),
        ("attention_outside_lesion", "medium"),
    ]
    first = found.findings[0]
    assert "100 %" in first.message
    assert "Chance is 50 %" in first.message
    assert first.details["balanced_accuracy_without_lesion_low"] > first.details["chance"] == 0.5


def test_model_that_sees_only_the_lesion_falls_to_chance_and_has_no_finding(measure):
    found = measure(CENTER, draw(40))
    without, only = found.scores.without_lesion, found.scores.only_lesion
    assert value(found.scores.original.balanced_accuracy) == 1.0
    assert found.scores.chance == 0.5
    assert value(without.balanced_accuracy) == 0.5
    assert value(without.balanced_accuracy_lost) == 0.5
    assert value(without.accuracy_lost) == 0.5
    assert without.balanced_accuracy_lost.low > 0
    assert value(only.balanced_accuracy) == 1.0
    assert found.findings == ()
    assert value(found.attention.inside) == 1.0


def test_partly_dependent_model_has_a_finding_of_medium_severity(measure):
    pixels, rows, lesions = draw(120)
    # Three of four borders have the color of the skin, so that only the lesion shows the class.
    plain = np.arange(120) // 2 % 4 > 0
    pixels[np.ix_(plain, range(SIZE), range(SIZE))] = np.where(
        CENTER[..., None], pixels[plain], SKIN
    )
    found = measure(np.ones((SIZE, SIZE)), (pixels, rows, lesions))
    assert value(found.scores.without_lesion.balanced_accuracy) == 0.5 + 0.5 * 0.25
    assert value(found.scores.without_lesion.balanced_accuracy_lost) == 0.5 * 0.75
    first = found.findings[0]
    assert (first.id, first.severity) == ("accuracy_without_lesion", "medium")
    assert first.details["remaining_fraction"] == pytest.approx(0.25)


def test_differences_are_paired_and_original_minus_altered(measure):
    found = measure(CENTER, draw(40)).scores.without_lesion.balanced_accuracy_lost
    label, group = np.arange(40) % 2, np.arange(40) // 2
    expected = paired.balanced_accuracy_difference(label, np.zeros(40, int), label, group)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))


def test_fewer_than_30_images_give_numbers_and_a_reason_but_no_finding(measure):
    found = measure(~CENTER, draw(29))
    assert found.reason == "29 annotated test images, fewer than 30"
    assert found.attention_reason == "29 images with a map that is not zero, fewer than 30"
    assert value(found.scores.without_lesion.accuracy) == 1.0
    assert found.attention.gain.high < 0
    assert found.findings == ()


def test_no_images_give_only_the_reason(measure):
    found = measure(CENTER, draw(0))
    assert (found.scores, found.attention, found.findings) == (None, None, ())
    assert found.reason == found.attention_reason == "0 annotated test images, fewer than 30"


def test_images_of_one_class_cannot_be_above_chance(measure):
    pixels, rows, lesions = draw(60)
    blue = rows["label"] == "blue"
    subset = [lesion for lesion, selected in zip(lesions, blue, strict=True) if selected]
    found = measure(~CENTER, (pixels, rows[blue], subset))
    assert (found.scores.chance, found.images) == (1.0, 30)
    assert found.reason == "all annotated test images are of one class"
    assert [f.id for f in found.findings] == ["attention_outside_lesion"]


def test_findings_have_the_fields_of_the_audit_and_survive_json(measure):
    found = measure(~CENTER, draw(40))
    for finding in found.findings:
        values = finding.model_dump()
        assert Finding.model_validate(values).model_dump() == values
    assert LesionDependence.model_validate_json(found.model_dump_json()) == found


# Attention


def attention(low, high):
    mean = (low + high) / 2
    inside = Estimate(value=0.3 + mean, low=0.1, high=0.5, n=50)
    area = Estimate(value=0.3, low=0.2, high=0.4, n=50)
    gain = Estimate(value=mean, low=low, high=high, n=50)
    return LesionAttention(
        layer="layer4", inside=inside, area=area, gain=gain, masks=0, empty_maps=0
    )


@pytest.mark.parametrize(
    ("low", "high", "severities"),
    [
        (0.01, 0.05, []),
        (0.0, 0.05, ["low"]),
        (-0.02, 0.02, ["low"]),
        (-0.05, -0.01, ["medium"]),
    ],
)
def test_maps_not_above_the_area_are_a_finding(low, high, severities):
    assert [f.severity for f in attention_findings(attention(low, high))] == severities


def test_constant_map_has_the_fraction_of_the_area(measure):
    covered = np.random.default_rng(0).random((5, 7, 7))
    constant = np.full((5, 7, 7), 0.3, np.float32)
    np.testing.assert_allclose(inside_fractions(constant, covered), covered.mean(axis=(1, 2)))
    assert np.isnan(inside_fractions(np.zeros((1, 7, 7), np.float32), covered[:1])).all()


def test_area_is_that_of_the_boxes_without_a_mask_and_of_the_mask_otherwise(measure):
    pixels, rows, lesions = draw(30)
    areas = [np.prod(lesion.boxes[0, 2:] - lesion.boxes[0, :2]) for lesion in lesions]
    boxes = measure(CENTER, (pixels, rows, lesions)).attention
    assert value(boxes.area) == np.mean(areas)
    assert value(boxes.gain) == 1 - np.mean(areas)
    assert boxes.masks == 0
    mask = np.zeros((64, 64), bool)
    mask[:16] = True
    masked = [Lesion(boxes=lesion.boxes, mask=mask) for lesion in lesions[:10]]
    found = measure(CENTER, (pixels, rows, [*masked, *lesions[10:]])).attention
    assert value(found.area) == (10 * 0.25 + np.sum(areas[10:])) / 30
    assert found.masks == 10


def test_empty_maps_are_counted_and_left_out(measure):
    pixels, rows, lesions = draw(40)
    pixels[:4] = SKIN  # neither red nor blue
    found = measure(CENTER, (pixels, rows, lesions)).attention
    assert (found.empty_maps, found.inside.n, found.gain.n) == (4, 36, 36)
    assert value(found.inside) == 1.0


def test_network_without_maps_has_the_reason_and_scores(measure, monkeypatch):
    def unavailable(*_):
        raise grad_cam.MapUnavailableError("no layer has a map")

    monkeypatch.setattr(lesion_dependence, "find_map_layer", unavailable)
    found = measure(~CENTER, draw(40))
    assert found.attention is None
    assert found.attention_reason == "resnet18: no layer has a map"
    assert [f.id for f in found.findings] == ["accuracy_without_lesion"]


# Crop


@pytest.mark.parametrize("size", [(64, 32), (32, 64)])
def test_cropped_maps_and_lesions_are_aligned(measure, size):
    """The network looks at a lesion that is not in the center of a wide or tall image."""
    pixels, rows, _ = draw(30)
    pixels[:] = SKIN
    pixels[:, 10:14, 17:22] = COLORS[(rows["label"] == "red").astype(int)][:, None, None]
    lesions = [lesion_at(17, 10, 5, 4)] * 30
    crop = Preprocessing("center_crop", SIZE, 16)
    # The crop has 32 x 16 of 32 x 32 stored pixels, and the network sees 16 x 16.
    found = measure(
        np.ones((16, 16)), (pixels, rows, lesions), preprocessing=crop, sizes=[size] * 30
    )
    assert value(found.attention.area) == 5 * 4 / (32 * 16)
    assert found.attention.inside.value > 0.8
    assert value(found.scores.original.accuracy) == 1.0
    assert value(found.scores.without_lesion.accuracy) == 0.5


@pytest.mark.parametrize("resize_mode", ["stretch", "center_crop"])
@pytest.mark.parametrize("aspect", [0.6, 1.0, 1.7])
def test_lesion_is_cropped_and_resized_like_the_image(resize_mode, aspect):
    rows, columns = np.mgrid[:SIZE, :SIZE]
    mask = (rows - 13) ** 2 + (columns - 19) ** 2 < 36
    preprocessing = Preprocessing(resize_mode, SIZE, 16)
    lesion = Lesion(boxes=np.array([[0.1, 0.1, 0.9, 0.9]]), mask=mask)
    covered = input_coverage(lesion, aspect, preprocessing, 16)
    image = np.repeat(mask[None, ..., None] * np.uint8(255), 3, axis=3)
    resized = resize_batch(image, [aspect], preprocessing)[0, 0].numpy() / 255
    assert covered.mean() == pytest.approx(resized.mean(), rel=0.05)
    positions = np.arange(16)
    for axis in (0, 1):
        center = covered.sum(axis=axis) @ positions / covered.sum()
        assert center == pytest.approx(resized.sum(axis=axis) @ positions / resized.sum(), abs=0.2)


# Alterations


def random_square(seed=0):
    return np.random.default_rng(seed).integers(0, 256, (SIZE, SIZE, 3), np.uint8)


def test_box_is_enlarged_by_10_percent_and_clipped_at_the_border():
    boxes = np.array([[0.25, 0.25, 0.75, 0.5], [0.9, 0.0, 1.0, 0.1]])
    inside = lesion_pixels(Lesion(boxes=boxes), 1000)
    expected = np.zeros((1000, 1000), bool)
    expected[237:513, 225:775] = True
    expected[0:105, 895:1000] = True
    # Rounding of the products can add a pixel.
    assert np.count_nonzero(inside != expected) < 1000
    assert inside[expected].all()


def test_fill_depends_only_on_the_surroundings_and_leaves_them_unchanged():
    hidden = lesion_pixels(lesion_at(8, 10, 9, 13), SIZE)
    first, second = random_square(), random_square()
    second[hidden] = 255 - second[hidden]
    filled = inpaint(first, hidden)
    np.testing.assert_array_equal(filled, inpaint(second, hidden))
    np.testing.assert_array_equal(filled[~hidden], first[~hidden])


def test_fill_continues_a_gradient_without_an_edge():
    square = np.tile((100 + 3 * np.arange(SIZE))[None, :, None], (SIZE, 1, 3)).astype(np.uint8)
    hidden = lesion_pixels(lesion_at(8, 8, 16, 16), SIZE)
    steps = np.abs(np.diff(inpaint(square, hidden).astype(int), axis=1))
    assert steps.max() <= 5  # a constant color has an edge of 27


def test_dark_corners_that_do_not_touch_the_box_hardly_darken_the_fill():
    square = np.zeros((SIZE, SIZE, 3), np.uint8)
    square[CENTER] = 200
    hidden = lesion_pixels(lesion_at(9, 9, 14, 14), SIZE)
    assert inpaint(square, hidden)[hidden].min() > 180  # 83 without smoothing


@pytest.mark.parametrize("box", [(0, 0, 32, 20), (0, 0, 20, 32), (3, 3, 26, 26)])
def test_constant_skin_is_restored_also_from_one_side(box):
    square = np.full((SIZE, SIZE, 3), SKIN, np.uint8)
    hidden = lesion_pixels(lesion_at(*box), SIZE)
    square[hidden] = 0
    np.testing.assert_array_equal(inpaint(square, hidden), np.full_like(square, SKIN))


def test_hidden_image_cannot_be_filled():
    with pytest.raises(ValueError, match="All 1,024 pixels are hidden"):
        inpaint(random_square(), np.ones((SIZE, SIZE), bool))


def test_only_the_lesion_remains_on_the_mean_color_of_the_rest():
    square, inside = random_square(), lesion_pixels(lesion_at(8, 10, 9, 13), SIZE)
    altered = only_lesion(square, inside)
    np.testing.assert_array_equal(altered[inside], square[inside])
    np.testing.assert_allclose(altered[~inside] - square[~inside].mean(axis=0), 0, atol=0.5)


def test_images_that_the_box_covers_get_one_color_and_are_counted(measure):
    pixels, rows, lesions = draw(40)
    lesions[:6] = [lesion_at(0, 0, SIZE, SIZE)] * 6
    found = measure(np.ones((SIZE, SIZE)), (pixels, rows, lesions)).scores
    assert found.covered_images == 6
    # Three of the six are blue, which the network predicts if it sees neither color.
    assert value(found.without_lesion.accuracy) == 1 - 3 / 40
    assert value(found.only_lesion.accuracy) == 1.0


# Errors


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda rows: rows.drop(columns="label"), "has no column label"),
        (lambda rows: rows[1:], "39 annotated images and 40 entries of lesions"),
        (lambda rows: rows.assign(split="train"), "another split than test (train)"),
        (lambda rows: rows.assign(label="green"), "no class of the model (green)"),
    ],
)
def test_invalid_rows_are_rejected(measure, change, message):
    pixels, rows, lesions = draw(40)
    with pytest.raises(InputError) as error:
        measure(CENTER, (pixels, change(rows), lesions))
    assert message in str(error.value)
    assert "Fix: " in str(error.value)


def test_importing_the_result_does_not_import_torch():
    code = (
        "import sys, skin_lesions.evaluation.localization.lesion_dependence_model; "
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
