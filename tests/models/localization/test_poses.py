import pytest
import torch

from skin_lesions.models.localization.poses import FLIPS, POSES, from_pose, mean_over_poses, to_pose

IMAGES = torch.arange(2 * 3 * 5 * 5.0).view(2, 3, 5, 5)


def test_poses_differ_and_are_undone():
    poses = [to_pose(IMAGES, pose) for pose in POSES]
    assert len({tuple(posed.flatten().tolist()) for posed in poses}) == 8
    for pose, posed in zip(POSES, poses, strict=True):
        assert torch.equal(from_pose(posed, pose), IMAGES)


def test_mean_map_of_a_mirrored_image_is_mirrored():
    weights = torch.rand(5, 5, generator=torch.Generator().manual_seed(0))

    def maps(images):  # depends on the position: not symmetric by itself
        return images.sum(dim=1) * weights

    direct = mean_over_poses(maps, IMAGES, FLIPS)
    mirrored = mean_over_poses(maps, IMAGES.flip(3), FLIPS)
    torch.testing.assert_close(mirrored.flip(2), direct)
    assert not torch.allclose(maps(IMAGES.flip(3)).flip(2), maps(IMAGES))


@pytest.mark.parametrize("pose", POSES)
def test_mean_of_a_pointwise_function_is_the_function(pose):
    torch.testing.assert_close(
        mean_over_poses(lambda x: x[:, 0] ** 2, IMAGES, [0, pose]), IMAGES[:, 0] ** 2
    )
