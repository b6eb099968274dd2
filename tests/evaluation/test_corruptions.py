import numpy as np
import pytest
import simplejpeg
import torch
from scipy.ndimage import gaussian_filter

from skin_lesions.evaluation.corruptions import CORRUPTIONS, corrupt_batch

SIDE = 96
NAMES = sorted(CORRUPTIONS)


@pytest.fixture(scope="module")
def batch():
    """Four smooth skin-colored images with a dark disc and some texture."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[-1 : 1 : SIDE * 1j, -1 : 1 : SIDE * 1j]
    images = []
    for radius in (0.2, 0.4, 0.5, 0.6):
        image = np.array([190, 150, 130.0])[:, None, None] + rng.normal(0, 6, size=(3, SIDE, SIDE))
        image[:, x**2 + y**2 < radius] -= 70
        images.append(image.clip(0, 255))
    return torch.from_numpy(np.array(images)).to(torch.uint8)


IDS = ["a", "b", "c", "d"]


def corrupted(batch, name, strength=3, ids=IDS, seed=1):
    return corrupt_batch(batch, ids, name, strength, seed)


@pytest.mark.parametrize("name", NAMES)
def test_result_is_a_batch_of_the_same_kind_and_the_input_stays_unchanged(batch, name):
    before = batch.clone()
    found = corrupted(batch, name)
    assert (found.dtype, found.shape) == (torch.uint8, batch.shape)
    assert torch.equal(batch, before)
    assert all(not torch.equal(a, b) for a, b in zip(found, batch, strict=True))


@pytest.mark.parametrize("name", NAMES)
def test_result_does_not_depend_on_batch_size_or_order(batch, name):
    together = corrupted(batch, name)
    alone = torch.cat([corrupted(batch[i : i + 1], name, ids=[IDS[i]]) for i in range(4)])
    backward = corrupted(batch.flip(0), name, ids=IDS[::-1]).flip(0)
    assert torch.equal(together, alone)
    assert torch.equal(together, backward)


@pytest.mark.parametrize("name", NAMES)
def test_stronger_corruption_changes_the_image_more(batch, name):
    distance = [(corrupted(batch, name, s).float() - batch).abs().mean() for s in (1, 2, 3)]
    assert 0 < distance[0] < distance[1] < distance[2]


@pytest.mark.parametrize("name", ["noise", "color_cast", "hair", "ruler"])
def test_random_corruptions_differ_between_images_and_seeds(batch, name):
    same = batch[:1].expand(2, -1, -1, -1)
    found = corrupted(same, name, ids=["a", "b"])
    assert not torch.equal(found[0], found[1])
    other = corrupted(same, name, ids=["a", "b"], seed=2)
    assert not torch.equal(found, other)


@pytest.mark.parametrize("strength", [1, 2, 3])
def test_blur_agrees_with_scipy(batch, strength):
    sigma = CORRUPTIONS["blur"].settings[strength - 1] / 100 * SIDE
    expected = gaussian_filter(batch[0].numpy().astype(float), (0, sigma, sigma), mode="mirror")
    found = corrupted(batch, "blur", strength)[0].numpy()
    assert abs(found - expected).mean() < 1.0


@pytest.mark.parametrize("strength", [1, 2, 3])
def test_noise_has_the_stated_standard_deviation(strength):
    gray = torch.full((2, 3, SIDE, SIDE), 128, dtype=torch.uint8)
    found = corrupted(gray, "noise", strength, ids=["a", "b"]).float() - 128
    expected = CORRUPTIONS["noise"].settings[strength - 1] / 100 * 255
    assert found.std().item() == pytest.approx(expected, rel=0.05)
    assert abs(found.mean().item()) < 1.0


def test_jpeg_agrees_with_another_encoder_of_the_same_quality(batch):
    found = corrupted(batch, "jpeg", 2)[0].permute(1, 2, 0).numpy()
    pixels = np.ascontiguousarray(batch[0].permute(1, 2, 0).numpy())
    data = simplejpeg.encode_jpeg(pixels, quality=25, colorsubsampling="420")
    expected = simplejpeg.decode_jpeg(data).astype(int)
    assert abs(found - expected).mean() < 1.0
    assert abs(found - pixels.astype(int)).mean() > 3.0


@pytest.mark.parametrize("strength", [1, 2, 3])
def test_brightness_multiplies_all_values(batch, strength):
    change = CORRUPTIONS["brightness"].settings[strength - 1] / 100
    found = corrupted(batch, "brightness", strength).float()
    for image, original in zip(found, batch.float(), strict=True):
        candidates = [(original * (1 + sign * change)).round().clamp(0, 255) for sign in (-1, 1)]
        assert any(torch.equal(image, candidate) for candidate in candidates)


def test_contrast_keeps_the_mean_gray_value(batch):
    weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
    before = (batch.float() * weights).sum(dim=1).mean(dim=(1, 2))
    found = corrupted(batch, "contrast", 3).float()
    after = (found * weights).sum(dim=1).mean(dim=(1, 2))
    assert torch.allclose(before, after, atol=0.6)
    remaining = found.std(dim=(2, 3)) / batch.float().std(dim=(2, 3))
    assert torch.allclose(remaining, torch.tensor(0.3), atol=0.02)


def test_color_cast_has_the_stated_gain_and_a_constant_mean_of_the_log_gains():
    gray = torch.full((4, 3, 16, 16), 100, dtype=torch.uint8)
    gains = corrupted(gray, "color_cast", 2)[:, :, 0, 0].float() / 100
    largest = gains.log().abs().max(dim=1).values
    assert torch.allclose(largest, torch.tensor(1.15).log(), atol=0.012)
    assert torch.allclose(gains.log().mean(dim=1), torch.zeros(4), atol=0.01)


def test_hair_is_dark_and_stronger_ones_contain_the_weaker_ones(batch):
    white = torch.full((1, 3, SIDE, SIDE), 255, dtype=torch.uint8)
    masks = [corrupted(white, "hair", s, ids=["a"])[0].float().mean(dim=0) < 160 for s in (1, 2, 3)]
    assert 0 < masks[0].sum() < masks[1].sum() < masks[2].sum() < 0.5 * SIDE**2
    # The colors of the hairs differ, but not their places.
    assert (masks[0] & ~masks[2]).sum() <= 0.02 * masks[0].sum()


def test_ruler_covers_a_strip_of_the_stated_width_at_one_edge():
    black = torch.zeros((1, 3, 100, 100), dtype=torch.uint8)
    found = corrupted(black, "ruler", 3, ids=["a"])[0].float().mean(dim=0)
    is_bright = found > 100
    # The row or column next to each edge, without ticks at 70 % of the width of the strip.
    depth = 13
    edges = [is_bright.rot90(turn) for turn in range(4)]
    covered = [edge[depth].float().mean() > 0.95 for edge in edges]
    assert sum(covered) == 1
    (edge,) = (edge for edge, is_covered in zip(edges, covered, strict=True) if is_covered)
    assert not edge[18:].any()
    assert not edge[:depth].all()  # the ticks are dark
