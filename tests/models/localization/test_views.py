import numpy as np
import torch

from skin_lesions.models.localization.lesions import box_coverage
from skin_lesions.models.localization.views import augmented_view


def example():
    """A dark rectangle on a light background, and the rectangle."""
    covered = torch.from_numpy(box_coverage([0.2, 0.3, 0.5, 0.8], 40))[None]
    image = (200 - 150 * covered).expand(3, -1, -1)
    return image.to(torch.uint8), (covered * 255).to(torch.uint8)


def test_view_depends_only_on_its_numbers():
    image, target = example()
    first, second = (augmented_view(image, target, (1, 2, 3)) for _ in range(2))
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
    others = [
        augmented_view(image, target, numbers) for numbers in [(0, 2, 3), (1, 0, 3), (1, 2, 0)]
    ]
    assert not any(torch.equal(first[0], other[0]) for other in others)


def test_image_and_target_stay_aligned():
    image, target = example()
    for view in range(16):
        pixels, covered = augmented_view(image, target, (0, 5, view))
        assert pixels.min() >= 0
        assert pixels.max() <= 255
        correlation = np.corrcoef(pixels.mean(dim=0).flatten(), covered.flatten())[0, 1]
        assert correlation < -0.99  # the lesion is dark


def test_eight_views_have_eight_poses():
    image, target = example()
    centers = set()
    for view in range(8):
        covered = augmented_view(image, target, (0, 0, view))[1][0]
        rows, columns = covered.sum(dim=1), covered.sum(dim=0)
        y, x = (float((s * torch.arange(40)).sum() / s.sum()) for s in (rows, columns))
        centers.add((y > x, y + x > 39, abs(y - 19.5) > abs(x - 19.5)))
    assert len(centers) >= 4
