"""Which few pairs of images are alike in details, in whatever pose; the cost grows linearly with the images.

Pairs alike in details are found as in Hamming embedding with weak geometric consistency: each
descriptor falls on a visual word, descriptors of one word with like signatures vote for their two
images, and only votes that tell of the same turn and zoom are added up.

Source:
    Jégou, Douze and Schmid (2008), doi:10.1007/978-3-540-88682-2_24; the words are pairs of
    shorter words as in Babenko and Lempitsky (2012), doi:10.1109/CVPR.2012.6248038.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skin_lesions.copies.features import MIRRORED, UNIT, Features, Pairs, ordered
from skin_lesions.parallel import ordered_map

VOTERS = 96  # keypoints of an image that vote: those with the largest surroundings
WORD_DIMENSIONS = 32  # of the 64 principal ones
SIGNATURE_BITS = 64
MOST_DIFFERENT = 20  # bits by which the signatures of two voters may differ
SOFTNESS = 12.0  # bits; a vote weighs exp(-(different / SOFTNESS)²)
COMMONEST = 500  # descriptors; a word with more says nothing
TURNS, ZOOMS = 12, 6  # bins: 30 degrees, factors of 2
LEAST_VOTES, MANY_VOTES = 0.4, 3.0
FEW, MANY = 6, 24  # mates proposed for an image; beyond FEW only those with many votes
BLOCK = 64  # images that vote together
CACHED = 256  # descriptors whose distances to all centres fit into the cache of a core
SAMPLE = 100_000  # descriptors from which the words are learnt
SEED = 0


def alike_in_details(features: Features) -> Pairs:
    """Propose pairs of images that share many details in one turn and zoom, mirrored or not."""
    words = _learn_words(features)
    if words is None:
        return np.empty((0, 2), np.int64)
    index = _Index.of(features, words)
    starts = range(0, len(features), BLOCK)
    blocks = ordered_map(lambda start: _best_mates(features, words, index, start), starts)
    return ordered(np.vstack(list(blocks)))


@dataclass(frozen=True)
class _Words:
    """Turns descriptors into words and signatures.

    ``mean``: (128,); ``axes``: (128, 64), the principal ones; ``centres``: two of (k, 16), for the
    even and the odd dimensions; ``mixing``: (64, 64), a rotation, so that all bits tell as much.
    """

    mean: npt.NDArray[np.float32]
    axes: npt.NDArray[np.float32]
    centres: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
    mixing: npt.NDArray[np.float32]

    def projected(self, descriptors: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return np.asarray((_unit(descriptors) - self.mean) @ self.axes, np.float32)

    def nearest(
        self, projected: npt.NDArray[np.float32], which: int
    ) -> list[npt.NDArray[np.int64]]:
        """Return the ``which`` nearest centres of each half: (m, which) for the even and the odd."""
        return [
            _nearest(projected[:, half:WORD_DIMENSIONS:2], self.centres[half], which)
            for half in (0, 1)
        ]

    def signatures(
        self,
        projected: npt.NDArray[np.float32],
        even: npt.NDArray[np.int64],
        odd: npt.NDArray[np.int64],
    ) -> npt.NDArray[np.uint64]:
        """Return on which side of its word's centre each descriptor lies, in 64 directions."""
        rest = projected.copy()
        rest[:, 0:WORD_DIMENSIONS:2] -= self.centres[0][even]
        rest[:, 1:WORD_DIMENSIONS:2] -= self.centres[1][odd]
        return np.packbits(rest @ self.mixing > 0, axis=1).view(np.uint64).ravel()

    @property
    def per_half(self) -> int:
        return len(self.centres[0])


def _nearest(
    points: npt.NDArray[np.float32], centres: npt.NDArray[np.float32], which: int
) -> npt.NDArray[np.int64]:
    """Return the numbers of the nearest centres of each point: (m, which), the nearest first."""
    # The nearest centre c has the largest x·c - |c|²/2: the last factor makes this one product.
    lengths = np.float32(0.5) * (centres**2).sum(axis=1)
    factors = np.vstack([centres.T, -lengths])
    found = np.empty((len(points), which), np.int64)
    for start in range(0, len(points), CACHED):
        block = points[start : start + CACHED]
        close = np.hstack([block, np.ones((len(block), 1), np.float32)]) @ factors
        for place in range(which):
            best = close.argmax(axis=1)
            found[start : start + CACHED, place] = best
            close[np.arange(len(block)), best] = -np.inf
    return found


def _unit(descriptors: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.asarray(descriptors, np.float32) / np.float32(UNIT)


def _learn_words(features: Features) -> _Words | None:
    """Learn words from the images themselves; None if they have next to no details."""
    rng = np.random.default_rng(SEED)
    used = np.minimum(features.counts, VOTERS)
    total = int(used.sum())
    if total < 2 * SIGNATURE_BITS:
        return None
    chosen = np.sort(rng.choice(total, min(total, SAMPLE), replace=False))
    image = np.searchsorted(np.cumsum(used), chosen, side="right")
    place = chosen - (np.cumsum(used) - used)[image]
    sample = _unit(features.descriptors[image, place])
    both = np.vstack([sample, sample[:, MIRRORED]])
    mean = both.mean(axis=0)
    axes = np.linalg.eigh(np.cov((both - mean).T))[1][:, : -SIGNATURE_BITS - 1 : -1]
    axes = axes.astype(np.float32)
    projected = (sample - mean) @ axes
    # About four descriptors to a word whatever the number of images: so the cost stays linear.
    k = min(int(np.sqrt(total / 4)) + 1, len(sample) // 8 + 1, 2048)
    even, odd = (_centres(projected[:, half:WORD_DIMENSIONS:2], k, rng) for half in (0, 1))
    mixing = np.linalg.qr(rng.normal(size=(SIGNATURE_BITS, SIGNATURE_BITS)))[0]
    return _Words(mean, axes, (even, odd), mixing.astype(np.float32))


def _centres(
    points: npt.NDArray[np.float32], k: int, rng: np.random.Generator, rounds: int = 5
) -> npt.NDArray[np.float32]:
    """Return k means by Lloyd's rounds; scikit-learn's sums differ with the number of threads."""
    centres = points[rng.choice(len(points), k, replace=False)]
    for _ in range(rounds):
        nearest = _nearest(points, centres, 1)[:, 0]
        size = np.bincount(nearest, minlength=k)
        sums = [np.bincount(nearest, column, minlength=k) for column in points.T]
        means = np.stack(sums, axis=1) / np.maximum(size, 1)[:, None]
        centres = np.where(size[:, None] > 0, means, centres).astype(np.float32)
    return centres


@dataclass(frozen=True)
class _Index:
    """All voters of all images, sorted by word.

    ``start``: (words + 1,) where the voters of a word begin; ``image``, ``signature``, ``angle``
    (degrees), ``zoom`` (log2 of the size): (voters,).
    """

    start: npt.NDArray[np.int64]
    image: npt.NDArray[np.int32]
    signature: npt.NDArray[np.uint64]
    angle: npt.NDArray[np.float32]
    zoom: npt.NDArray[np.float32]

    @classmethod
    def of(cls, features: Features, words: _Words) -> "_Index":
        def spelt(start: int) -> tuple[np.ndarray, ...]:
            image, keypoints, descriptors = _voters(features, start)
            projected = words.projected(descriptors)
            even, odd = (nearest[:, 0] for nearest in words.nearest(projected, 1))
            word = (even * words.per_half + odd).astype(np.int32)
            signature = words.signatures(projected, even, odd)
            return (
                word,
                image.astype(np.int32),
                signature,
                keypoints[:, 3],
                np.log2(keypoints[:, 2]),
            )

        parts = list(ordered_map(spelt, range(0, len(features), BLOCK)))
        word, *columns = (np.concatenate(column) for column in zip(*parts, strict=True))
        order = np.argsort(word, kind="stable")
        counts = np.bincount(word, minlength=words.per_half**2)
        start = np.concatenate([[0], np.cumsum(counts)])
        return cls(start, *(column[order] for column in columns))


def _voters(
    features: Features, start: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Return image number, keypoint and descriptor of all voters of a block of images."""
    block = slice(start, start + BLOCK)
    there = np.arange(VOTERS) < features.counts[block, None]
    image = np.nonzero(there)[0] + start
    keypoints = np.asarray(features.keypoints[block, :VOTERS])[there]
    return image, keypoints, np.asarray(features.descriptors[block, :VOTERS])[there]


def _best_mates(features: Features, words: _Words, index: _Index, start: int) -> Pairs:
    """Return the pairs of a block of images with the images that got most of their votes."""
    image, keypoints, descriptors = _voters(features, start)
    n = len(features)
    pairs, votes = [], []
    for mirrored in (False, True):
        projected = words.projected(descriptors[:, MIRRORED] if mirrored else descriptors)
        voter, mate, weight = _votes(words, index, projected)
        foreign = index.image[mate] != image[voter]
        voter, mate, weight = voter[foreign], mate[foreign], weight[foreign]
        turn = index.angle[mate] + keypoints[voter, 3] * (1 if mirrored else -1)
        zoom = index.zoom[mate] - np.log2(keypoints[voter, 2])
        pair = image[voter] * n + index.image[mate]
        found, total = _agreed(pair, voter, turn, zoom, weight)
        pairs.append(found)
        votes.append(total)
    pair, vote = _largest(np.concatenate(pairs), np.concatenate(votes))
    image, mate = np.divmod(pair[vote >= LEAST_VOTES], n)
    vote = vote[vote >= LEAST_VOTES]
    order = np.lexsort((mate, -vote, image))
    image, mate, vote = image[order], mate[order], vote[order]
    rank = np.arange(len(image)) - np.searchsorted(image, image)
    kept = (rank < FEW) | ((rank < MANY) & (vote >= MANY_VOTES))
    return np.stack([image, mate], axis=1)[kept]


def _votes(
    words: _Words, index: _Index, projected: npt.NDArray[np.float32]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return voter, its mate in the index, and the weight of each vote.

    A changed descriptor may cross the border of its word: so the two nearest centres of each half
    are tried, four words.
    """
    even, odd = words.nearest(projected, 2)
    found = [_mates(words, index, projected, even[:, i], odd[:, j]) for i in (0, 1) for j in (0, 1)]
    voter, mate, different = (np.concatenate(column) for column in zip(*found, strict=True))
    return voter, mate, np.exp(-((different / SOFTNESS) ** 2))


def _mates(
    words: _Words,
    index: _Index,
    projected: npt.NDArray[np.float32],
    even: npt.NDArray[np.int64],
    odd: npt.NDArray[np.int64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.uint8]]:
    """Return voters, index rows of the same word with like signatures, and the bits they differ."""
    word = even * words.per_half + odd
    first, count = index.start[word], index.start[word + 1] - index.start[word]
    count[count > COMMONEST] = 0
    voter = np.repeat(np.arange(len(word)), count)
    mate = np.arange(len(voter)) + np.repeat(first - np.cumsum(count) + count, count)
    signature = words.signatures(projected, even, odd)
    different = np.bitwise_count(np.repeat(signature, count) ^ index.signature[mate])
    like = different <= MOST_DIFFERENT
    return voter[like], mate[like], different[like]


def _agreed(
    pair: npt.NDArray[np.int64],
    voter: npt.NDArray[np.int64],
    turn: npt.NDArray[np.float32],
    zoom: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Add up the votes of each pair that agree in turn and zoom; return pairs and their best sums."""
    # One vote of each voter for each pair, its best: a pattern that repeats must not count twice.
    order = np.lexsort((-weight, voter, pair))
    once = order[_changes(pair[order]) | _changes(voter[order])]
    pair, weight = pair[once], weight[once]
    turn_bin = np.floor(turn[once] / (360 / TURNS)).astype(np.int64)
    zoom_bin = np.clip(np.round(zoom[once]).astype(np.int64), -2, 2) + 2
    # Each vote counts in two neighbouring bins of both, so that no border splits those that agree.
    bins = [
        (pair * TURNS + (turn_bin + t) % TURNS) * ZOOMS + zoom_bin + z
        for t in (0, 1)
        for z in (0, 1)
    ]
    bin_, inverse = np.unique(np.concatenate(bins), return_inverse=True)
    sums = np.bincount(inverse, np.tile(weight, 4)).astype(np.float64)
    return _largest(bin_ // (TURNS * ZOOMS), sums)


def _largest(
    key: npt.NDArray[np.int64], value: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return each key once, sorted, with its largest value."""
    order = np.lexsort((-value, key))
    first = order[_changes(key[order])]
    return key[first], value[first]


def _changes(values: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Tell where a value differs from the one before it."""
    changes = np.ones(len(values), bool)
    changes[1:] = values[1:] != values[:-1]
    return changes
