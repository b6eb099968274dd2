import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.transforms.v2.functional import normalize

from skin_lesions.data.preprocessing import Preprocessing, normalize_batch, resize_batch


def squashed_picture(width, height, size):
    """A picture with a red left third and a blue right third, squashed to a square."""
    picture = np.full((height, width, 3), 128, np.uint8)
    picture[:, : width // 3] = (255, 0, 0)
    picture[:, -(width // 3) :] = (0, 0, 255)
    return picture, np.array(Image.fromarray(picture).resize((size, size)))[None]


def test_at_the_stored_size_a_squashed_picture_is_untouched():
    stored = np.random.default_rng(0).integers(0, 256, (3, 16, 16, 3)).astype(np.uint8)
    fitted = resize_batch(stored, [1.0] * 3, Preprocessing("stretch", 16, 16))
    np.testing.assert_array_equal(fitted.permute(0, 2, 3, 1).numpy(), stored)


def test_resizing_is_antialiased_like_pillow():
    stored = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3)).astype(np.uint8)
    fitted = resize_batch(stored, [1.0], Preprocessing("stretch", 64, 24))
    pillow = np.asarray(Image.fromarray(stored[0]).resize((24, 24), Image.Resampling.BILINEAR))
    assert np.abs(fitted[0].permute(1, 2, 0).numpy().astype(int) - pillow).max() <= 1


@pytest.mark.parametrize(("width", "height"), [(120, 60), (60, 120), (90, 90)])
def test_crop_shows_the_central_square_in_its_true_aspect(width, height):
    picture, stored = squashed_picture(width, height, 96)
    edge = min(width, height)
    left, top = (width - edge) // 2, (height - edge) // 2
    centre = Image.fromarray(picture).crop((left, top, left + edge, top + edge)).resize((48, 48))
    fitted = resize_batch(stored, [width / height], Preprocessing("center_crop", 96, 48))
    difference = np.abs(fitted[0].permute(1, 2, 0).numpy().astype(int) - np.asarray(centre))
    assert difference.mean() < 6


def test_pictures_of_different_aspects_in_one_batch_keep_their_places():
    _, wide = squashed_picture(120, 60, 96)
    _, tall = squashed_picture(60, 120, 96)
    preprocessing = Preprocessing("center_crop", 96, 48)
    together = resize_batch(np.concatenate([wide, tall, wide]), [2.0, 0.5, 2.0], preprocessing)
    alone = [resize_batch(wide, [2.0], preprocessing), resize_batch(tall, [0.5], preprocessing)]
    assert torch.equal(together, torch.cat([alone[0], alone[1], alone[0]]))


def test_normalising_is_that_of_torchvision():
    batch = torch.randint(0, 256, (2, 3, 8, 8), dtype=torch.uint8)
    preprocessing = Preprocessing("stretch", 8, 8)
    expected = normalize(batch / 255, list(preprocessing.mean), list(preprocessing.std))
    torch.testing.assert_close(normalize_batch(batch, preprocessing), expected)


def test_it_travels_through_a_model_file_unchanged():
    preprocessing = Preprocessing("center_crop", 256, 224, (0.5,) * 3, (0.5,) * 3)
    assert Preprocessing.from_model(preprocessing.to_model()) == preprocessing
