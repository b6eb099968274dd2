"""Random changes of whole batches, on the device that computes."""

import torch


def flip_and_turn(batch: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Mirror and turn each image by quarters: one of the eight poses of a square, at random.

    Skin has no upright, so each pose is as likely as the next.

    Args:
        batch: (n, 3, size, size), any type.
        generator: On the CPU, so that a seed means the same on every device.

    Returns:
        A new batch of the same shape and memory order.
    """
    poses = torch.randint(8, (len(batch),), generator=generator)
    changed = torch.empty_like(batch)
    for pose in range(8):
        members = (poses == pose).nonzero().squeeze(1).to(batch.device)
        if len(members):
            turned = torch.rot90(batch[members], pose % 4, dims=(2, 3))
            changed[members] = turned.flip(3) if pose >= 4 else turned
    return changed
