"""Which few pairs of images are alike in details, in whatever pose; the cost grows linearly with the images.

As in Hamming embedding with weak geometric consistency: descriptors of one visual word with like
signatures vote for their two images, and only votes that tell of the same turn and zoom are added
up.

Source:
    Jégou, Douze and Schmid (2008), doi:10.1007/978-3-540-88682-2_24.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from skin_lesions.core.parallel import ordered_map
from skin_lesions.data.near_duplicates.features import Features, Pairs, sort_pairs
from skin_lesions.data.near_duplicates.visual_words import AXES, VisualVocabulary, train_vocabulary

FEATURES_PER_IMAGE = 96  # keypoints of an image that vote: those with the largest surroundings
MAX_HAMMING_DISTANCE = 20  # of the 64 bits of two signatures
VOTE_SIGMA = 12.0  # bits; a vote weighs exp(-(different / SOFTNESS)²)
MAX_POSTINGS = 500  # descriptors; a word with more says nothing
ROTATION_BINS, SCALE_BINS = 12, 6  # bins: 30 degrees, factors of 2
MIN_VOTES, MANY_VOTES = 0.4, 3.0
# Candidates of an image: beyond MIN_CANDIDATES only those with MANY_VOTES.
MIN_CANDIDATES, MAX_CANDIDATES = 6, 24
BLOCK = 64  # images that vote together
VOCABULARY_IMAGES = 1500  # images from which the words are learnt
SEED = 0


def match_local_features(features: Features) -> Pairs:
    """Propose pairs of images that share many details in one turn and zoom, mirrored or not."""
    if np.minimum(features.counts, FEATURES_PER_IMAGE).sum() < 4 * AXES:
        return np.empty((0, 2), np.int64)
    local = _LocalFeatures.of(features)
    index = _Index.of(local)
    first = np.searchsorted(local.image, range(0, len(features) + BLOCK, BLOCK))
    blocks = [slice(*ends) for ends in pairwise(first.tolist())]
    matches = ordered_map(lambda block: _best_candidates(local, index, block), blocks)
    return sort_pairs(np.vstack(list(matches)))


@dataclass(frozen=True)
class _LocalFeatures:
    """All voters of all images, in the order of images.

    ``image``, ``angle`` (degrees), ``zoom`` (log2 of the size): (voters,); ``spelling`` and
    ``signature`` as ``Words.spelt`` returns them: (voters, 2, 2).
    """

    vocabulary: VisualVocabulary
    image: npt.NDArray[np.int32]
    angle: npt.NDArray[np.float32]
    zoom: npt.NDArray[np.float32]
    words: npt.NDArray[np.uint16]
    signature: npt.NDArray[np.uint32]

    @classmethod
    def of(cls, features: Features) -> "_LocalFeatures":
        words = _vocabulary(features)

        def block(start: int) -> tuple[np.ndarray, ...]:
            image, keypoints, descriptors = features.local_features(
                start, start + BLOCK, FEATURES_PER_IMAGE
            )
            return image, keypoints[:, 3], np.log2(keypoints[:, 2]), *words.quantize(descriptors)

        total = int(np.minimum(features.counts, FEATURES_PER_IMAGE).sum())
        columns: list[npt.NDArray] = [
            np.empty(total, np.int32),
            np.empty(total, np.float32),
            np.empty(total, np.float32),
            np.empty((total, 2, 2), np.uint16),
            np.empty((total, 2, 2), np.uint32),
        ]
        filled = 0
        for parts in ordered_map(block, range(0, len(features), BLOCK)):
            for column, part in zip(columns, parts, strict=True):
                column[filled : filled + len(part)] = part
            filled += len(parts[0])
        return cls(words, *columns)


def _vocabulary(features: Features) -> VisualVocabulary:
    """Learn words from the voters of some of the images themselves."""
    rng = np.random.default_rng(SEED)
    told = np.flatnonzero(features.counts)
    chosen = np.sort(rng.choice(told, min(len(told), VOCABULARY_IMAGES), replace=False))
    sample = [
        features.local_features(image, image + 1, FEATURES_PER_IMAGE)[2]
        for image in chosen.tolist()
    ]
    return train_vocabulary(
        np.vstack(sample), int(np.minimum(features.counts, FEATURES_PER_IMAGE).sum()), rng
    )


@dataclass(frozen=True)
class _Index:
    """The voters of each word, each under its nearest word only.

    ``start``: (words + 1,) where those of a word begin; ``voter`` (row of ``_LocalFeatures``) and
    ``signature``: (voters,).
    """

    start: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int32]
    signature: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, features: _LocalFeatures) -> "_Index":
        word, signature = features.vocabulary.combine_parts(
            features.words[..., :1], features.signature[..., :1]
        )
        order = np.argsort(word[:, 0], kind="stable").astype(np.int32)
        sizes = np.bincount(word[:, 0], minlength=features.vocabulary.per_part**2)
        return cls(np.concatenate([[0], np.cumsum(sizes)]), order, signature[order, 0])


def _best_candidates(features: _LocalFeatures, index: _Index, block: slice) -> Pairs:
    """Return the pairs of a block of images with the images that got most of their votes."""
    n = int(features.image[-1]) + 1
    counted = [
        _count_votes(features, *_votes(features, index, block, way), way) for way in (False, True)
    ]
    pair, vote = _largest_per_key(
        *(np.concatenate(column) for column in zip(*counted, strict=True))
    )
    image, match = np.divmod(pair[vote >= MIN_VOTES], n)
    vote = vote[vote >= MIN_VOTES]
    order = np.lexsort((match, -vote, image))
    image, match, vote = image[order], match[order], vote[order]
    rank = np.arange(len(image)) - np.searchsorted(image, image)
    kept = (rank < MIN_CANDIDATES) | ((rank < MAX_CANDIDATES) & (vote >= MANY_VOTES))
    return np.stack([image, match], axis=1)[kept]


def _votes(
    features: _LocalFeatures, index: _Index, block: slice, mirrored: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Return each vote's voter and its mate, and the bits by which their signatures differ.

    A changed descriptor may cross the border of its word: so the two nearest of each part are
    tried, four words.
    """
    word, signature = features.vocabulary.combine_parts(
        features.words[block], features.signature[block], mirrored
    )
    first = index.start[word].ravel()
    size = index.start[word + 1].ravel() - first
    size[size > MAX_POSTINGS] = 0
    tried = np.repeat(np.arange(word.size), size)
    place = np.arange(len(tried)) + np.repeat(first - np.cumsum(size) + size, size)
    different = np.bitwise_count(signature.ravel()[tried] ^ index.signature[place])
    like = np.flatnonzero(different <= MAX_HAMMING_DISTANCE)
    return tried[like] // word.shape[1] + block.start, index.feature[place[like]], different[like]


def _count_votes(
    features: _LocalFeatures,
    feature: npt.NDArray[np.int64],
    match: npt.NDArray[np.int32],
    different: npt.NDArray[np.uint8],
    mirrored: bool,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Count the votes for each pair of images, each with its weight, that tell of one turn and zoom.

    Returns:
        Pairs, as image * n + other image, and how many votes they got.
    """
    n = int(features.image[-1]) + 1
    weight = np.exp(-((np.arange(MAX_HAMMING_DISTANCE + 1) / VOTE_SIGMA) ** 2))
    pair = features.image[feature].astype(np.int64) * n + features.image[match]
    # Nearly all pairs have too few votes even if all agreed: the rest is for the others.
    _, inverse = np.unique(pair, return_inverse=True)
    enough = np.bincount(inverse, weight[different])[inverse] >= MIN_VOTES
    hopeful = np.flatnonzero(enough & (features.image[match] != features.image[feature]))
    # One vote of each voter for each image, its best: a pattern that repeats must not count twice.
    hopeful = hopeful[np.lexsort((different[hopeful], feature[hopeful], pair[hopeful]))]
    hopeful = hopeful[_changes(pair[hopeful]) | _changes(feature[hopeful])]
    feature, match = feature[hopeful], match[hopeful]
    turn = features.angle[match] + features.angle[feature] * (1 if mirrored else -1)
    zoom = features.zoom[match] - features.zoom[feature]
    return _consistent_votes(pair[hopeful], turn, zoom, weight[different[hopeful]])


def _consistent_votes(
    pair: npt.NDArray[np.int64],
    turn: npt.NDArray[np.float32],
    zoom: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Add up the votes of each pair that agree in turn and zoom; return pairs and their best sums."""
    turn_bin = np.floor(turn / (360 / ROTATION_BINS)).astype(np.int64)
    zoom_bin = np.clip(np.round(zoom).astype(np.int64), -2, 2) + 2
    # Each vote counts in two neighbouring bins of both, so that no border splits those that agree.
    bins = [
        (pair * ROTATION_BINS + (turn_bin + t) % ROTATION_BINS) * SCALE_BINS + zoom_bin + z
        for t in (0, 1)
        for z in (0, 1)
    ]
    bin_, inverse = np.unique(np.concatenate(bins), return_inverse=True)
    sums = np.bincount(inverse, np.tile(weight, 4)).astype(np.float64)
    return _largest_per_key(bin_ // (ROTATION_BINS * SCALE_BINS), sums)


def _largest_per_key(
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
