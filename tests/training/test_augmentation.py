import math

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as reference

from skin_lesions.config.train import Augmentation
from skin_lesions.data.preprocessing import normalize_batch
from skin_lesions.data.preprocessing_settings import Preprocessing
from skin_lesions.training.augmentation import (
    Draw,
    apply_augmentations,
    draw_random_numbers,
    sample_augmentations,
)
from support.recipes import ALL_AUGMENTATIONS, NO_AUGMENTATION

PLAIN = Preprocessing("stretch", 8, 8, mean=(0.0, 0.0, 0.0), std=(1 / 255,) * 3)
MANY = 400


def augment(batch, targets=None, seed=0, preprocessing=PLAIN, first=0, **options):
    """Apply the given augmentations only; colors of the result are from 0 to 255."""
    recipe = Augmentation.model_validate(NO_AUGMENTATION | options)
    if targets is None:
        targets = torch.zeros(len(batch), 2)
    augmentations = sample_augmentations(1000, seed, 1, recipe, preprocessing)
    return apply_augmentations(batch, targets, augmentations[first : first + len(batch)])


def inputs(batch, **options):
    return augment(batch, **options)[0]


def repeat(image, n=MANY):
    return image.expand(n, *image.shape).contiguous(memory_format=torch.channels_last)


@pytest.fixture
def image():
    """Return a smooth image without symmetry: (3, 8, 8) uint8."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.integers(0, 256, (1, 3, 3, 3)).astype(np.float32))
    return torch.nn.functional.interpolate(coarse, (8, 8), mode="bilinear")[0].to(torch.uint8)


def test_without_augmentations_images_are_only_normalized(image):
    preprocessing = Preprocessing("stretch", 8, 8)
    batch = repeat(image, 4)
    torch.testing.assert_close(
        inputs(batch, preprocessing=preprocessing), normalize_batch(batch, preprocessing)
    )


def test_flips_and_quarter_rotations_give_the_eight_poses_equally_often(image):
    rotated = [torch.rot90(image, k, dims=(1, 2)) for k in range(4)]
    poses = torch.stack([*rotated, *(pose.flip(2) for pose in rotated)]).float()
    # distances: (images, poses), largest difference of any pixel.
    out = inputs(repeat(image), flips=True, rotation="quarter")
    distances = (out[:, None] - poses).abs().amax(dim=(2, 3, 4))
    assert distances.min(dim=1).values.max() < 0.01
    counts = torch.bincount(distances.argmin(dim=1), minlength=8)
    assert counts.min() > MANY / 8 / 2


def test_flips_without_rotation_give_the_four_flipped_poses(image):
    poses = torch.stack([image, image.flip(2), image.flip(1), image.flip(1, 2)]).float()
    out = inputs(repeat(image), flips=True)
    distances = (out[:, None] - poses).abs().amax(dim=(2, 3, 4))
    assert distances.min(dim=1).values.max() < 0.01
    assert torch.bincount(distances.argmin(dim=1), minlength=4).min() > MANY / 4 / 2


def test_any_rotation_is_about_the_center_by_all_angles():
    """A dot to the right of the center moves on a circle."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 65), torch.linspace(-1, 1, 65), indexing="ij")
    dot = (255 * torch.exp(-((x - 0.5) ** 2 + y**2) / 0.01)).to(torch.uint8).expand(3, -1, -1)
    out = inputs(repeat(dot), rotation="any")[:, 0]
    brightest = out.flatten(1).argmax(dim=1)
    rows, columns = brightest // 65, brightest % 65
    dx, dy = (columns - 32) / 32, (rows - 32) / 32
    assert torch.hypot(dx, dy).sub(0.5).abs().max() < 0.05
    angles = torch.atan2(dy, dx)
    assert angles.sort().values.diff().max() < 2 * math.pi / 30
    # Output coordinates are rotated to input coordinates, so the dot moves the other way.
    turned = -2 * math.pi * draw_random_numbers(MANY, 0, 1).column(Draw.ROTATION)
    torch.testing.assert_close(torch.cos(angles - turned), torch.ones(MANY), atol=0.01, rtol=0)


def test_crop_has_the_requested_area_and_aspect_ratio():
    """Colors encode the position: red rises from left to right, green from top to bottom."""
    ramp = torch.linspace(0, 255, 64).round()
    positions = torch.stack(
        [ramp.expand(64, 64), ramp.view(64, 1).expand(64, 64), 0 * ramp.expand(64, 64)]
    )
    out = inputs(repeat(positions.to(torch.uint8)), min_crop_area=0.25, max_crop_aspect_ratio=2.0)
    left, right = out[:, 0, 32, 0] / 255, out[:, 0, 32, -1] / 255
    top, bottom = out[:, 1, 0, 32] / 255, out[:, 1, -1, 32] / 255
    width, height = right - left, bottom - top
    is_inside = (width < 0.97) & (height < 0.97)  # not clipped at the border of the image
    area, aspect = (width * height)[is_inside], (width / height)[is_inside]
    assert area.min() > 0.23
    assert area.max() - area.min() > 0.5
    assert 0.47 < aspect.min() < 0.6
    assert 1.7 < aspect.max() < 2.1
    assert (left.min() < 0.03) & (right.max() > 0.97)  # windows are everywhere
    assert left.max() > 0.3


def test_each_crop_is_the_window_of_its_own_random_numbers():
    """The distributions are symmetric: only this test would notice exchanged width and height."""
    ramp = torch.linspace(0, 255, 64).round()
    positions = torch.stack([ramp.expand(64, 64), ramp.view(64, 1).expand(64, 64)])
    image = torch.cat([positions, torch.zeros(1, 64, 64)]).to(torch.uint8)
    out = inputs(repeat(image, 50), min_crop_area=0.3, max_crop_aspect_ratio=1.5, flips=True)
    draws = draw_random_numbers(50, 0, 1)
    area = draws.between(Draw.CROP_AREA, 0.3, 1.0)
    aspect = draws.log_uniform(Draw.CROP_ASPECT, 1.5)
    width = (area * aspect).sqrt().clamp(max=1)
    height = (area / aspect).sqrt().clamp(max=1)
    left = (1 - width) * draws.column(Draw.CROP_LEFT)
    top = (1 - height) * draws.column(Draw.CROP_TOP)
    # Coordinates of the first and the last column and row, 0 to 1; exchanged by a flip.
    found_x = out[:, 0, 32, [0, -1]] / 255
    found_y = out[:, 1, [0, -1], 32] / 255
    is_hflipped = draws.column(Draw.HFLIP) < 0.5
    is_vflipped = draws.column(Draw.VFLIP) < 0.5
    assert torch.equal(found_x[:, 0] > found_x[:, 1], is_hflipped)
    assert torch.equal(found_y[:, 0] > found_y[:, 1], is_vflipped)
    expected_x = torch.stack([left, left + width], dim=1)
    expected_y = torch.stack([top, top + height], dim=1)
    torch.testing.assert_close(found_x.sort(dim=1).values, expected_x, atol=0.03, rtol=0)
    torch.testing.assert_close(found_y.sort(dim=1).values, expected_y, atol=0.03, rtol=0)


@pytest.mark.parametrize("option", ["random_erasing_prob", "cutmix_alpha"])
def test_each_box_is_at_the_position_of_its_own_random_numbers(option):
    black_and_white = torch.tensor([0, 255], dtype=torch.uint8).view(2, 1, 1, 1)
    batch = black_and_white.expand(2, 3, 60, 60).repeat(25, 1, 1, 1)  # neighbors differ
    draws = draw_random_numbers(50, 0, 1)
    out = inputs(batch, **{option: 1.0})[:, 0]
    if option == "cutmix_alpha":
        in_box = out != batch[:, 0]
        left, top = draws.column(Draw.CUT_LEFT), draws.column(Draw.CUT_TOP)
        aspect = torch.ones(50)
    else:
        in_box = (out == 0) & (batch[:, 0] == 255)
        left, top = draws.column(Draw.ERASE_LEFT), draws.column(Draw.ERASE_TOP)
        aspect = draws.log_uniform(Draw.ERASE_ASPECT, 3.0)
    checked = 0
    for i, mask in enumerate(in_box):
        rows, columns = mask.any(dim=1).nonzero(), mask.any(dim=0).nonzero()
        if not 5 < len(rows) < 55:
            continue
        checked += 1
        assert len(columns) / len(rows) == pytest.approx(aspect[i].item(), rel=0.25)
        assert columns[0].item() == pytest.approx(left[i].item() * (60 - len(columns)), abs=1.5)
        assert rows[0].item() == pytest.approx(top[i].item() * (60 - len(rows)), abs=1.5)
    assert checked > 15


def test_rotated_crop_has_right_angles():
    recipe = Augmentation.model_validate(
        NO_AUGMENTATION
        | {"rotation": "any", "min_crop_area": 0.5, "max_crop_aspect_ratio": 2.0, "flips": True}
    )
    # Columns of the linear part: the directions of the width and of the height.
    across, down = (
        sample_augmentations(50, 0, 1, recipe, PLAIN).affine_matrices[:, :, :2].unbind(dim=2)
    )
    torch.testing.assert_close((across * down).sum(dim=1), torch.zeros(50), atol=1e-6, rtol=0)
    assert (across.norm(dim=1) - down.norm(dim=1)).abs().max() > 0.2


@pytest.mark.parametrize("transform", ["brightness", "saturation"])
def test_color_transforms_agree_with_torchvision(image, transform):
    """Without clipping: one factor between 0.8 and 1.2 for the complete image."""
    soft = (image.float() * 0.4 + 60).to(torch.uint8)
    adjust = {"brightness": reference.adjust_brightness, "saturation": reference.adjust_saturation}
    for out in inputs(repeat(soft, 20), **{transform: 0.2}):
        candidates = [adjust[transform](soft / 255, f) * 255 for f in np.linspace(0.8, 1.2, 401)]
        assert min((out - c).abs().max().item() for c in candidates) < 0.5


def test_contrast_scales_the_difference_from_the_mean_of_the_data(image):
    preprocessing = Preprocessing("stretch", 8, 8)
    plain = normalize_batch(repeat(image, 50), preprocessing)
    out = inputs(repeat(image, 50), contrast=0.3, preprocessing=preprocessing)
    factors = (out / plain).flatten(1)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors), rtol=1e-2, atol=1e-3)
    assert 0.7 <= factors.min() < 0.8
    assert 1.2 < factors.max() <= 1.3001


def test_hue_rotates_colors_and_preserves_gray_and_brightness():
    gray = torch.full((3, 4, 4), 90, dtype=torch.uint8)
    torch.testing.assert_close(inputs(repeat(gray, 50), hue=0.5), repeat(gray, 50).float())
    red = torch.tensor([200, 0, 0], dtype=torch.uint8).view(3, 1, 1).expand(3, 4, 4)
    out = inputs(repeat(red), hue=0.5)
    torch.testing.assert_close(out.sum(dim=1), torch.full((MANY, 4, 4), 200.0))
    assert set(out[:, :, 0, 0].argmax(dim=1).tolist()) == {0, 1, 2}
    slightly = inputs(repeat(red), hue=0.02)
    assert (slightly[:, 0] > 180).all()
    # A positive shift is towards yellow: green increases.
    is_positive = draw_random_numbers(MANY, 0, 1).column(Draw.HUE) > 0.5
    assert torch.equal(slightly[:, 1, 0, 0] > slightly[:, 2, 0, 0], is_positive)


def test_erasing_blanks_one_rectangle_in_the_requested_fraction_of_images():
    white = torch.full((3, 50, 50), 255, dtype=torch.uint8)
    blank = inputs(repeat(white), random_erasing_prob=0.3)[:, 0] == 0
    erased = blank.any(dim=2).any(dim=1)
    assert erased.float().mean() == pytest.approx(0.3, abs=0.06)
    for mask in blank[erased]:
        rows, columns = mask.any(dim=1).sum(), mask.any(dim=0).sum()
        assert mask.sum() == rows * columns
        assert 0.01 < rows * columns / 2500 < 0.22


def gray_images(n):
    """Return n images, each with its own gray level and class, and their targets."""
    levels = torch.arange(n, dtype=torch.uint8).view(-1, 1, 1, 1) * 10
    return levels.expand(n, 3, 20, 20).contiguous(), torch.eye(n)


@pytest.mark.parametrize("option", ["mixup_alpha", "cutmix_alpha"])
def test_targets_are_the_class_fractions_of_mixed_images(option):
    batch, targets = gray_images(21)
    out, mixed = augment(batch, targets, **{option: 1.0})
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(21))
    levels = torch.arange(21) * 10.0
    torch.testing.assert_close(out.mean(dim=(1, 2, 3)), mixed @ levels, rtol=1e-4, atol=1e-2)
    neighbor = torch.arange(21) ^ 1
    assert (mixed[torch.arange(20), neighbor[:20]] > 0).any()
    others = mixed.clone()
    others[torch.arange(21), torch.arange(21)] = 0
    others[torch.arange(20), neighbor[:20]] = 0
    assert others.abs().max() < 1e-6  # the last image has no neighbor


def test_mixup_blends_images_and_cutmix_replaces_a_box():
    batch, targets = gray_images(20)
    blended, _ = augment(batch, targets, mixup_alpha=1.0)
    assert blended.std(dim=(2, 3)).max() < 1e-3
    cut, _ = augment(batch, targets, cutmix_alpha=1.0)
    neighbors = (torch.arange(20) ^ 1) * 10.0
    own = (torch.arange(20) * 10.0).view(-1, 1, 1, 1)
    torch.testing.assert_close(
        torch.minimum((cut - own).abs(), (cut - neighbors.view(-1, 1, 1, 1)).abs()),
        torch.zeros_like(cut),
    )
    both, _ = augment(batch, targets, mixup_alpha=1.0, cutmix_alpha=1.0)
    is_cut = both.std(dim=(1, 2, 3)) > 0.5
    assert 0 < is_cut.sum() < 20


@pytest.mark.parametrize("option", ["mixup_alpha", "cutmix_alpha"])
def test_fraction_of_an_image_in_its_mixture_has_the_beta_distribution_of_alpha(option):
    batch = torch.zeros(MANY, 3, 64, 64, dtype=torch.uint8)
    own = torch.zeros(MANY, 2)
    own[0::2, 0] = own[1::2, 1] = 1  # neighbors have different classes
    _, mixed = augment(batch, own, **{option: 3.0})
    fractions = (mixed * own).sum(dim=1)
    expected = np.random.default_rng(0).beta(3.0, 3.0, 100_000)
    for quantile in (0.1, 0.25, 0.5, 0.75, 0.9):
        # A box has whole pixels, so its area is rounded.
        fraction = (fractions < float(np.quantile(expected, quantile)) + 0.01).float().mean()
        assert fraction == pytest.approx(quantile, abs=0.07)


def test_augmentation_does_not_depend_on_the_batch_of_an_image():
    """Two processes with half a batch each give the result of one with the complete batch."""
    batch, targets = gray_images(12)
    complete = augment(batch, targets, **ALL_AUGMENTATIONS)
    halves = [
        augment(batch[rows], targets[rows], first=rows.start, **ALL_AUGMENTATIONS)
        for rows in (slice(0, 6), slice(6, 12))
    ]
    for i in range(2):
        torch.testing.assert_close(complete[i], torch.cat([half[i] for half in halves]))


def test_switching_one_augmentation_off_does_not_change_the_others(image):
    only_flips = inputs(repeat(image, 50), flips=True)
    with_erasing = inputs(repeat(image, 50), flips=True, random_erasing_prob=0.9)
    not_erased = with_erasing != 0
    torch.testing.assert_close(with_erasing[not_erased], only_flips[not_erased])


def test_random_numbers_depend_on_seed_and_epoch():
    def table(seed, epoch):
        return draw_random_numbers(5, seed, epoch).table

    assert torch.equal(table(0, 1), table(0, 1))
    assert not torch.equal(table(0, 1), table(1, 1))
    assert not torch.equal(table(0, 1), table(0, 2))
