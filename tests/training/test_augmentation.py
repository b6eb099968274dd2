import math

import numpy as np
import pytest
import torch
from torchvision.transforms import functional as reference

from skin_lesions.config.train import Augmentation
from skin_lesions.data.preprocessing import Preprocessing, normalize_batch
from skin_lesions.training.augmentation import (
    apply_augmentations,
    draw_random_numbers,
    sample_augmentations,
)
from support.recipes import EVERY_CHANGE, UNCHANGED

PLAIN = Preprocessing("stretch", 8, 8, mean=(0.0, 0.0, 0.0), std=(1 / 255,) * 3)
MANY = 400


def changed(batch, targets=None, seed=0, preprocessing=PLAIN, first=0, **parts):
    """Augment with some parts switched on; colours come out from 0 to 255."""
    recipe = Augmentation.model_validate(UNCHANGED | parts)
    if targets is None:
        targets = torch.zeros(len(batch), 2)
    drawn = sample_augmentations(1000, seed, 1, recipe, preprocessing)
    return apply_augmentations(batch, targets, drawn[first : first + len(batch)])


def inputs(batch, **options):
    return changed(batch, **options)[0]


def copies(image, n=MANY):
    return image.expand(n, *image.shape).contiguous(memory_format=torch.channels_last)


@pytest.fixture
def picture():
    """Smooth and without any symmetry: (3, 8, 8) uint8."""
    rng = np.random.default_rng(0)
    coarse = torch.from_numpy(rng.integers(0, 256, (1, 3, 3, 3)).astype(np.float32))
    return torch.nn.functional.interpolate(coarse, (8, 8), mode="bilinear")[0].to(torch.uint8)


def test_with_all_parts_off_images_are_only_normalised(picture):
    other = Preprocessing("stretch", 8, 8)
    batch = copies(picture, 4)
    torch.testing.assert_close(inputs(batch, preprocessing=other), normalize_batch(batch, other))


def test_flips_and_quarter_turns_give_the_eight_poses_alike_often(picture):
    turned = [torch.rot90(picture, k, dims=(1, 2)) for k in range(4)]
    poses = torch.stack([*turned, *(pose.flip(2) for pose in turned)]).float()
    out = inputs(copies(picture), flips=True, rotation="quarter")
    distances = (out[:, None] - poses).abs().amax(dim=(2, 3, 4))
    assert distances.min(dim=1).values.max() < 0.01
    counts = torch.bincount(distances.argmin(dim=1), minlength=8)
    assert counts.min() > MANY / 8 / 2


def test_flips_alone_give_the_four_mirrored_poses(picture):
    poses = torch.stack([picture, picture.flip(2), picture.flip(1), picture.flip(1, 2)]).float()
    out = inputs(copies(picture), flips=True)
    distances = (out[:, None] - poses).abs().amax(dim=(2, 3, 4))
    assert distances.min(dim=1).values.max() < 0.01
    assert torch.bincount(distances.argmin(dim=1), minlength=4).min() > MANY / 4 / 2


def test_any_rotation_turns_about_the_middle_by_all_angles():
    """A dot to the right of the middle goes round a circle."""
    y, x = torch.meshgrid(torch.linspace(-1, 1, 65), torch.linspace(-1, 1, 65), indexing="ij")
    dot = (255 * torch.exp(-((x - 0.5) ** 2 + y**2) / 0.01)).to(torch.uint8).expand(3, -1, -1)
    out = inputs(copies(dot), rotation="any")[:, 0]
    brightest = out.flatten(1).argmax(dim=1)
    rows, columns = brightest // 65, brightest % 65
    dx, dy = (columns - 32) / 32, (rows - 32) / 32
    assert torch.hypot(dx, dy).sub(0.5).abs().max() < 0.05
    angles = torch.atan2(dy, dx).sort().values
    assert angles.diff().max() < 2 * math.pi / 30


def test_a_crop_shows_a_window_of_the_area_and_aspect_asked_for():
    """Colours tell the place: red rises from left to right, green from top to bottom."""
    ramp = torch.linspace(0, 255, 64).round()
    place = torch.stack(
        [ramp.expand(64, 64), ramp.view(64, 1).expand(64, 64), 0 * ramp.expand(64, 64)]
    )
    out = inputs(copies(place.to(torch.uint8)), min_crop_area=0.25, max_crop_aspect_ratio=2.0)
    left, right = out[:, 0, 32, 0] / 255, out[:, 0, 32, -1] / 255
    top, bottom = out[:, 1, 0, 32] / 255, out[:, 1, -1, 32] / 255
    width, height = right - left, bottom - top
    whole = (width < 0.97) & (height < 0.97)  # none was cut at the edge of the picture
    area, aspect = (width * height)[whole], (width / height)[whole]
    assert area.min() > 0.23
    assert area.max() - area.min() > 0.5
    assert 0.47 < aspect.min() < 0.6
    assert 1.7 < aspect.max() < 2.1
    assert (left.min() < 0.03) & (right.max() > 0.97)  # windows lie everywhere
    assert left.max() > 0.3


def test_a_turned_window_keeps_its_right_angles():
    recipe = Augmentation.model_validate(
        UNCHANGED
        | {"rotation": "any", "min_crop_area": 0.5, "max_crop_aspect_ratio": 2.0, "flips": True}
    )
    across, down = sample_augmentations(50, 0, 1, recipe, PLAIN).warps[:, :, :2].unbind(dim=2)
    torch.testing.assert_close((across * down).sum(dim=1), torch.zeros(50), atol=1e-6, rtol=0)
    assert (across.norm(dim=1) - down.norm(dim=1)).abs().max() > 0.2


@pytest.mark.parametrize("part", ["brightness", "saturation"])
def test_colour_changes_are_those_of_torchvision(picture, part):
    """Where nothing is cut off: a factor between 0.8 and 1.2, the same for the whole image."""
    soft = (picture.float() * 0.4 + 60).to(torch.uint8)
    adjust = {"brightness": reference.adjust_brightness, "saturation": reference.adjust_saturation}
    for one in inputs(copies(soft, 20), **{part: 0.2}):
        candidates = [adjust[part](soft / 255, f) * 255 for f in np.linspace(0.8, 1.2, 401)]
        assert min((one - c).abs().max().item() for c in candidates) < 0.5


def test_contrast_pulls_towards_the_mean_of_the_data_or_pushes_away(picture):
    preprocessing = Preprocessing("stretch", 8, 8)
    plain = normalize_batch(copies(picture, 50), preprocessing)
    out = inputs(copies(picture, 50), contrast=0.3, preprocessing=preprocessing)
    factors = (out / plain).flatten(1)
    torch.testing.assert_close(factors, factors[:, :1].expand_as(factors), rtol=1e-2, atol=1e-3)
    assert 0.7 <= factors.min() < 0.8
    assert 1.2 < factors.max() <= 1.3001


def test_hue_turns_colours_and_leaves_greys_and_brightness():
    grey = torch.full((3, 4, 4), 90, dtype=torch.uint8)
    torch.testing.assert_close(inputs(copies(grey, 50), hue=0.5), copies(grey, 50).float())
    red = torch.tensor([200, 0, 0], dtype=torch.uint8).view(3, 1, 1).expand(3, 4, 4)
    out = inputs(copies(red), hue=0.5)
    torch.testing.assert_close(out.sum(dim=1), torch.full((MANY, 4, 4), 200.0))
    assert set(out[:, :, 0, 0].argmax(dim=1).tolist()) == {0, 1, 2}
    slightly = inputs(copies(red), hue=0.02)
    assert (slightly[:, 0] > 180).all()


def test_erasing_blanks_one_rectangle_in_its_share_of_the_images():
    white = torch.full((3, 50, 50), 255, dtype=torch.uint8)
    blank = inputs(copies(white), random_erasing_prob=0.3)[:, 0] == 0
    erased = blank.any(dim=2).any(dim=1)
    assert erased.float().mean() == pytest.approx(0.3, abs=0.06)
    for mask in blank[erased]:
        rows, columns = mask.any(dim=1).sum(), mask.any(dim=0).sum()
        assert mask.sum() == rows * columns
        assert 0.01 < rows * columns / 2500 < 0.22


def colours(n):
    """Give each image a grey and a class of its own."""
    levels = torch.arange(n, dtype=torch.uint8).view(-1, 1, 1, 1) * 10
    return levels.expand(n, 3, 20, 20).contiguous(), torch.eye(n)


@pytest.mark.parametrize("part", ["mixup_alpha", "cutmix_alpha"])
def test_mixed_images_hold_as_much_of_each_class_as_their_targets_say(part):
    batch, targets = colours(21)
    out, mixed = changed(batch, targets, **{part: 1.0})
    torch.testing.assert_close(mixed.sum(dim=1), torch.ones(21))
    levels = torch.arange(21) * 10.0
    torch.testing.assert_close(out.mean(dim=(1, 2, 3)), mixed @ levels, rtol=1e-4, atol=1e-2)
    neighbour = torch.arange(21) ^ 1
    assert (mixed[torch.arange(20), neighbour[:20]] > 0).any()
    others = mixed.clone()
    others[torch.arange(21), torch.arange(21)] = 0
    others[torch.arange(20), neighbour[:20]] = 0
    assert others.abs().max() < 1e-6  # the last, which has no neighbour, is its own


def test_mixup_blends_and_cutmix_cuts():
    batch, targets = colours(20)
    blended, _ = changed(batch, targets, mixup_alpha=1.0)
    assert blended.std(dim=(2, 3)).max() < 1e-3
    cut, _ = changed(batch, targets, cutmix_alpha=1.0)
    neighbours = (torch.arange(20) ^ 1) * 10.0
    own = (torch.arange(20) * 10.0).view(-1, 1, 1, 1)
    torch.testing.assert_close(
        torch.minimum((cut - own).abs(), (cut - neighbours.view(-1, 1, 1, 1)).abs()),
        torch.zeros_like(cut),
    )
    both, _ = changed(batch, targets, mixup_alpha=1.0, cutmix_alpha=1.0)
    is_cut = both.std(dim=(1, 2, 3)) > 0.5
    assert 0 < is_cut.sum() < 20


def test_mixing_follows_the_beta_distribution_of_its_alpha():
    batch = torch.zeros(MANY, 3, 2, 2, dtype=torch.uint8)
    own = torch.zeros(MANY, 2)
    own[0::2, 0] = own[1::2, 1] = 1
    _, mixed = changed(batch, own, mixup_alpha=0.2)
    kept = (mixed * own).sum(dim=1)
    expected = np.random.default_rng(0).beta(0.2, 0.2, 100_000)
    for quantile in (0.1, 0.25, 0.5, 0.75, 0.9):
        share = (kept < float(np.quantile(expected, quantile)) + 1e-6).float().mean()
        assert share == pytest.approx(quantile, abs=0.07)


def test_an_image_is_changed_alike_in_whatever_batch_it_comes():
    """Two processes with half a batch each do what one does with the whole."""
    batch, targets = colours(12)
    whole = changed(batch, targets, **EVERY_CHANGE)
    halves = [
        changed(batch[part], targets[part], first=part.start, **EVERY_CHANGE)
        for part in (slice(0, 6), slice(6, 12))
    ]
    for i in range(2):
        torch.testing.assert_close(whole[i], torch.cat([half[i] for half in halves]))


def test_leaving_a_part_out_leaves_the_chances_of_the_others_as_they_were(picture):
    only_flips = inputs(copies(picture, 50), flips=True)
    with_erasing = inputs(copies(picture, 50), flips=True, random_erasing_prob=0.9)
    kept = with_erasing != 0
    torch.testing.assert_close(with_erasing[kept], only_flips[kept])


def test_seed_and_epoch_decide_the_chances():
    def table(seed, epoch):
        return draw_random_numbers(5, seed, epoch).table

    assert torch.equal(table(0, 1), table(0, 1))
    assert not torch.equal(table(0, 1), table(1, 1))
    assert not torch.equal(table(0, 1), table(0, 2))
