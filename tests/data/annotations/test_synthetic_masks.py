"""Masks of the synthetic images."""

import io

import numpy as np
import pytest
from PIL import Image

from skin_lesions.data.annotations import boxes_of_mask
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.data.sources.synthetic import (
    acquisition,
    clinical,
    dermoscopic,
    render_file,
    render_mask,
)
from skin_lesions.data.sources.synthetic.acquisition import render_image, render_lesion_mask
from skin_lesions.data.sources.synthetic.clinic import (
    clinic_table,
    render_clinic_file,
    render_clinic_mask,
)
from skin_lesions.data.sources.synthetic.cohort import Lesion, synthetic_images
from skin_lesions.data.sources.synthetic.drawing import SIZE, grid

SEED = 3
WITH_OUTLINE = ("NV", "MEL", "BCC", "BKL", "AK", "SCC", "DF", "VASC", "CWP")
WITHOUT_OUTLINE = ("HEALTHY", "MKP", "CHP", "MSL", "HFMD")


def files(code, n=4):
    images = [i for i in synthetic_images(SEED) if i.lesion.diagnosis.code == code]
    return [image.file for image in images if image.planted is None][:n]


def pixels(jpeg):
    return np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"), float)


@pytest.mark.parametrize("code", WITH_OUTLINE)
def test_mask_has_the_size_of_the_image_and_covers_a_part_of_it(code):
    for file in files(code):
        mask = render_mask(file, SEED)
        assert mask.dtype == bool
        assert mask.shape == pixels(render_file(file, SEED)).shape[:2]
        assert 0.02 < mask.mean() < 0.95
        boxes_of_mask(mask)


@pytest.mark.parametrize("code", WITHOUT_OUTLINE)
def test_rashes_and_healthy_skin_have_no_mask(code):
    assert all(render_mask(file, SEED) is None for file in files(code))


@pytest.mark.parametrize("code", ["NV", "MEL", "BKL", "DF", "VASC", "CWP"])
def test_pixels_in_the_mask_have_another_color_than_the_skin_around(code):
    differences = []
    for file in files(code, 6):
        image, mask = pixels(render_file(file, SEED)), render_mask(file, SEED)
        differences.append(np.abs(image[mask].mean(axis=0) - image[~mask].mean(axis=0)).max())
    assert np.median(differences) > 10  # gray levels


def draw_square(image, tone, rng):
    """Draw a green rectangle away from the center, without symmetry."""
    x, y = grid()
    depth = np.minimum(np.minimum(x + 40, 10 - x), np.minimum(y + 30, 35 - y))
    image[depth > 0] = (0.0, 0.9, 0.0)
    return depth


@pytest.mark.parametrize(("code", "registry"), [("NV", dermoscopic.DRAW), ("CWP", clinical.DRAW)])
@pytest.mark.parametrize("number", range(1, 9))
def test_mask_has_the_rotation_scale_shift_and_reflection_of_the_image(
    monkeypatch, code, registry, number
):
    monkeypatch.setitem(registry, code, draw_square)
    monkeypatch.setattr(acquisition, "ARTIFACTS", ())
    monkeypatch.setattr(acquisition, "BLURRED_BACKGROUND", 0)
    lesion = Lesion("one key", diagnosis_of(code), "", tone=0.3)
    image = pixels(render_image(lesion, number, SEED))
    mask = render_lesion_mask(lesion, number, SEED)
    is_green = image[..., 1] > image[..., 0] + 30
    assert (is_green == mask).mean() > 0.985  # the others are at the blurred edge
    assert (is_green & mask).sum() / (is_green | mask).sum() > 0.95


def draw_strip(image, tone, rng):
    """Draw a green strip at the right edge of the canvas."""
    depth = grid()[0] - 62
    image[depth > 0] = (0.0, 0.9, 0.0)
    return depth


def test_mask_contains_the_reflection_of_a_lesion_at_the_edge_of_the_canvas(monkeypatch):
    monkeypatch.setitem(dermoscopic.DRAW, "NV", draw_strip)
    monkeypatch.setattr(acquisition, "ARTIFACTS", ())
    monkeypatch.setattr(acquisition, "DERMOSCOPY_SIZES", ((240, 240),))  # with the padding
    lesion = Lesion("one key", diagnosis_of("NV"), "", tone=0.3)
    image, mask = pixels(render_image(lesion, 1, SEED)), render_lesion_mask(lesion, 1, SEED)
    is_green = image[..., 1] > image[..., 0] + 30
    assert (is_green == mask).mean() > 0.97
    assert (is_green & mask).sum() / (is_green | mask).sum() > 0.9


@pytest.mark.parametrize("seed", range(8))
def test_lagoons_that_cross_the_outline_belong_to_the_lesion(seed):
    image = np.full((SIZE, SIZE, 3), 0.8, np.float32)
    depth = dermoscopic.vascular_lesion(image, 0.2, np.random.default_rng(seed))
    is_lagoon = image.min(axis=2) < 0.25  # lagoons are much darker than the redness around them
    assert (is_lagoon & (depth <= 0)).sum() < 0.02 * is_lagoon.sum()


def test_background_of_a_photograph_is_not_part_of_the_lesion(monkeypatch):
    monkeypatch.setitem(
        clinical.DRAW, "CWP", lambda image, *_: np.ones(image.shape[:2], np.float32)
    )
    lesion = Lesion("one key", diagnosis_of("CWP"), "", tone=0.3)
    monkeypatch.setattr(acquisition, "BLURRED_BACKGROUND", 0)
    assert render_lesion_mask(lesion, 1, SEED).all()
    monkeypatch.setattr(acquisition, "BLURRED_BACKGROUND", 1)
    assert 0.5 < render_lesion_mask(lesion, 1, SEED).mean() < 0.98


def test_hair_and_other_artifacts_do_not_change_the_mask(monkeypatch):
    lesion = Lesion("one key", diagnosis_of("MEL"), "", tone=0.3)
    masks = []
    for probability in (0, 1):
        artifacts = tuple((probability, add) for _, add in acquisition.ARTIFACTS)
        monkeypatch.setattr(acquisition, "ARTIFACTS", artifacts)
        masks.append(render_lesion_mask(lesion, 1, SEED))
    np.testing.assert_array_equal(*masks)


def test_planted_duplicates_have_the_mask_of_their_original():
    images = synthetic_images(SEED)
    copies = [image for image in images if image.planted == "copy"]
    for copy in copies:
        original = next(
            image
            for image in images
            if image.planted is None and (image.lesion, image.number) == (copy.lesion, copy.number)
        )
        first, second = render_mask(copy.file, SEED), render_mask(original.file, SEED)
        assert (first is None) == (second is None)
        if first is not None:
            np.testing.assert_array_equal(first, second)


def test_mirrored_copies_of_the_clinic_have_a_mirrored_mask():
    table = clinic_table(5, SEED)
    changed = table[table["file"].str.contains("/changed_")]["file"]
    exact = table[table["file"].str.contains("/exact_")]["file"]
    assert len(changed) == len(exact) == 4
    for file in changed:
        image, mask = pixels(render_clinic_file(file, 5, SEED)), render_clinic_mask(file, 5, SEED)
        gray, skin = image.mean(axis=2), ~mask
        flipped = mask[:, ::-1]
        # The lesions are darker than the skin: the mask fits the image better than its reflection.
        contrast = gray[skin].mean() - gray[mask].mean()
        assert contrast > gray[~flipped].mean() - gray[flipped].mean()
    for file in exact:
        name = file.partition("/exact_")[2]
        original = next(image.file for image in synthetic_images(SEED) if image.name == name)
        np.testing.assert_array_equal(
            render_clinic_mask(file, 5, SEED), render_mask(original, SEED)
        )


def test_unknown_file_is_reported_by_path():
    with pytest.raises(KeyError, match=r"Unknown synthetic file \(train/no\.jpg, seed 3\)"):
        render_mask("train/no.jpg", SEED)
