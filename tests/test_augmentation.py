import torch

from skin_lesions.augmentation import flip_and_turn


def poses_of(image):
    turned = [torch.rot90(image, k, dims=(1, 2)) for k in range(4)]
    return [*turned, *(pose.flip(2) for pose in turned)]


def test_each_image_takes_one_of_the_eight_poses_and_all_occur():
    image = torch.arange(27).reshape(3, 3, 3)
    batch = image.expand(400, 3, 3, 3).contiguous(memory_format=torch.channels_last)
    changed = flip_and_turn(batch, torch.Generator().manual_seed(0))
    poses = poses_of(image)
    found = [next(i for i, pose in enumerate(poses) if torch.equal(pose, one)) for one in changed]
    counts = torch.bincount(torch.tensor(found), minlength=8)
    assert counts.min() > 25


def test_images_stay_at_their_places_and_the_seed_decides():
    batch = torch.arange(16).reshape(16, 1, 1, 1).expand(16, 3, 4, 4).contiguous()
    assert torch.equal(flip_and_turn(batch, torch.Generator()), batch)
    other = torch.rand(16, 3, 4, 4)
    first, second = (flip_and_turn(other, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert not torch.equal(first, other)
