"""Constrained clustering of verified pairs: one false match cannot merge thousands of images."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from skin_lesions.data.near_duplicates.config import DEFAULT_CONFIG, NearDuplicateConfig


def merge_pairs(
    n: int,
    pairs: pd.DataFrame,
    initial_groups: Sequence[object] | npt.NDArray | None = None,
    config: NearDuplicateConfig = DEFAULT_CONFIG,
) -> npt.NDArray[np.int64]:
    """Merge near-duplicates into groups, the pairs of highest strength first.

    One false match moves at most ``small_group`` images, so a few errors cannot chain thousands:

    - Identical pixels always merge two groups. Any pair adds an image that has no group yet.
    - If the smaller group has two to four images, two pairs or one strong pair merge the groups.
    - Larger groups require pairs with different images on both sides: at least two, and at least a
      tenth of the smaller group. An image with a ruler may match many other images with a ruler.
      Its many pairs do not merge two groups, because they share this image.

    Example: 3,000 images in true groups of ten. With 300 random false strong pairs, no group has
    more than 50 images; connected components would put 2,320 images into one group. The rules fail
    with 1,000 such pairs. They also fail if many images really share content (a watermark over the
    full image, panels of collages).

    Pairs that do not merge their groups remain in ``pairs``, so that a report can list them.

    Args:
        n: Number of images.
        pairs: Result of ``find_near_duplicates``: columns a, b, kind, strength. The order of the
            rows has no effect.
        initial_groups: One label per image, equal for images that are already known to be related
            (same lesion or patient), None where nothing is known. These groups are the initial
            clusters and are never split.
        config: ``strong_pair``, ``small_group`` and ``min_linked_fraction``.

    Returns:
        (n,) the group of each image: the row number of the first image of the group.
    """
    # labels: (n,), the number of the initial group of each image.
    if initial_groups is None:
        labels = np.arange(n)
    else:
        labels = pd.factorize(np.asarray(initial_groups, object))[0]
    # factorize returns -1 for None: each of these images becomes a group of its own.
    labels = np.where(labels < 0, n + np.arange(n), labels)
    groups = _Groups(labels, config)
    is_identical = pairs["kind"].eq("pixels")
    for a, b in pairs.loc[is_identical, ["a", "b"]].itertuples(index=False):
        groups.merge(groups.of[a], groups.of[b])
    # Sorted by a and b as well, so that the result does not depend on the order of the rows.
    others = pairs[~is_identical].sort_values(["strength", "a", "b"], ascending=[False, True, True])
    for a, b, strength in others[["a", "b", "strength"]].itertuples(index=False):
        groups.link(int(a), int(b), float(strength))
    first = {group: min(rows) for group, rows in groups.rows.items()}
    return np.array([first[group] for group in groups.of], np.int64)


@dataclass(frozen=True)
class _Link:
    """A pair that links two groups: its image in the one and in the other, and its strength."""

    image: int
    other_image: int
    strength: float


class _Groups:
    """Groups of images, and the pairs that are not yet sufficient to merge two groups.

    ``of[row]`` is the group of an image. ``rows[group]`` are its images. ``links[group][other]``
    are the pairs between two groups. Each pair is stored for both groups.
    """

    def __init__(self, labels: Iterable[int], config: NearDuplicateConfig):
        self.config = config
        self.of = [int(label) for label in labels]
        self.rows: dict[int, list[int]] = {}
        for row, group in enumerate(self.of):
            self.rows.setdefault(group, []).append(row)
        self.links: dict[int, dict[int, list[_Link]]] = {group: {} for group in self.rows}

    def link(self, a: int, b: int, strength: float) -> None:
        """Add a pair of images. Merge their groups, and then others, as soon as links suffice."""
        group, other = self.of[a], self.of[b]
        if group == other:
            return
        self.links[group].setdefault(other, []).append(_Link(a, b, strength))
        self.links[other].setdefault(group, []).append(_Link(b, a, strength))
        pending = [other] if self._should_merge(group, other) else []
        while pending:
            # The merged group has the links of both groups, which may suffice for a third group.
            group = self.merge(group, pending[0])
            pending = [other for other in self.links[group] if self._should_merge(group, other)]

    def _should_merge(self, group: int, other: int) -> bool:
        links = self.links[group][other]
        smaller = min(len(self.rows[group]), len(self.rows[other]))
        if smaller == 1:
            return True
        if smaller <= self.config.small_group:
            return len(links) > 1 or links[0].strength >= self.config.strong_pair
        # Number of different images that have a link: the smaller one of the two groups.
        linked_images = {link.image for link in links}
        other_linked_images = {link.other_image for link in links}
        linked = min(len(linked_images), len(other_linked_images))
        return linked >= max(2, self.config.min_linked_fraction * smaller)

    def merge(self, group: int, other: int) -> int:
        """Merge two groups into the larger one and return its number."""
        if group == other:
            return group
        if len(self.rows[group]) < len(self.rows[other]):
            group, other = other, group
        for row in self.rows[other]:
            self.of[row] = group
        self.rows[group] += self.rows.pop(other)
        self.links[group].pop(other, None)
        # The links of the smaller group to third groups become links of the merged group.
        for third, links in self.links.pop(other).items():
            if third != group:
                self.links[group].setdefault(third, []).extend(links)
                reverse_links = self.links[third].pop(other)
                self.links[third].setdefault(group, []).extend(reverse_links)
        return group
