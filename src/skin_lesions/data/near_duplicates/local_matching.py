"""Local feature matching: candidate pairs with consistent local features, in any pose.

The method is Hamming embedding with weak geometric consistency. An inverted index lists the
features of each visual word. Features of one word with similar signatures vote for the pair of
their images. Votes are summed only if they agree on rotation and scale. The cost grows linearly
with the number of images.

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

FEATURES_PER_IMAGE = 96  # maximum number of voting keypoints per image: the largest ones
MAX_HAMMING_DISTANCE = 20  # bits of 64 in which two matching signatures may differ
VOTE_SIGMA = 12.0  # bits; the weight of a vote is exp(-(distance / VOTE_SIGMA)²)
MAX_POSTINGS = 500  # features; a word with more features does not discriminate and is skipped
ROTATION_BINS, SCALE_BINS = 12, 6  # number of bins: 30 degrees, factors of 2
MIN_VOTES, MANY_VOTES = 0.4, 3.0  # sums of vote weights: of any candidate, of a strong candidate
# Candidates per image. Beyond MIN_CANDIDATES, only those with at least MANY_VOTES are selected.
MIN_CANDIDATES, MAX_CANDIDATES = 6, 24
BLOCK = 64  # images processed together
VOCABULARY_IMAGES = 1500  # maximum number of images for fitting the vocabulary
SEED = 0  # of the choice of these images and of the vocabulary


def match_local_features(features: Features) -> Pairs:
    """Propose pairs with many local features in one rotation and scale, mirrored or not.

    Returns:
        (m, 2) pairs of row numbers, sorted, at most ``MAX_CANDIDATES`` per image.
    """
    # Too few descriptors for a vocabulary.
    if np.minimum(features.counts, FEATURES_PER_IMAGE).sum() < 4 * AXES:
        return np.empty((0, 2), np.int64)
    local = _LocalFeatures.of(features)
    index = _InvertedIndex.of(local)
    # Rows of ``local`` at which each block of images begins.
    block_starts = np.searchsorted(local.image, range(0, len(features) + BLOCK, BLOCK))
    blocks = [slice(*bounds) for bounds in pairwise(block_starts.tolist())]
    candidates = ordered_map(lambda block: _best_candidates(local, index, block), blocks)
    return sort_pairs(np.vstack(list(candidates)))


@dataclass(frozen=True)
class _LocalFeatures:
    """The voting local features of all images, sorted by image.

    ``image``, ``angle`` (degrees) and ``log_scale`` (log2 of the keypoint size): (features,).
    ``words`` and ``signature`` as returned by ``VisualVocabulary.quantize``: (features, 2, 2).
    """

    vocabulary: VisualVocabulary
    image: npt.NDArray[np.int32]
    angle: npt.NDArray[np.float32]
    log_scale: npt.NDArray[np.float32]
    words: npt.NDArray[np.uint16]
    signature: npt.NDArray[np.uint32]

    @classmethod
    def of(cls, features: Features) -> "_LocalFeatures":
        vocabulary = _fit_vocabulary(features)

        def quantize_block(start: int) -> tuple[np.ndarray, ...]:
            image, keypoints, descriptors = features.local_features(
                start, start + BLOCK, FEATURES_PER_IMAGE
            )
            return (
                image,
                keypoints[:, 3],
                np.log2(keypoints[:, 2]),
                *vocabulary.quantize(descriptors),
            )

        total = int(np.minimum(features.counts, FEATURES_PER_IMAGE).sum())
        columns: list[npt.NDArray] = [
            np.empty(total, np.int32),
            np.empty(total, np.float32),
            np.empty(total, np.float32),
            np.empty((total, 2, 2), np.uint16),
            np.empty((total, 2, 2), np.uint32),
        ]
        filled = 0
        for values in ordered_map(quantize_block, range(0, len(features), BLOCK)):
            for column, value in zip(columns, values, strict=True):
                column[filled : filled + len(value)] = value
            filled += len(values[0])
        return cls(vocabulary, *columns)


def _fit_vocabulary(features: Features) -> VisualVocabulary:
    """Fit the vocabulary on the local features of a random sample of the images."""
    rng = np.random.default_rng(SEED)
    with_keypoints = np.flatnonzero(features.counts)
    chosen = np.sort(
        rng.choice(with_keypoints, min(len(with_keypoints), VOCABULARY_IMAGES), replace=False)
    )
    sample = [
        features.local_features(image, image + 1, FEATURES_PER_IMAGE)[2]
        for image in chosen.tolist()
    ]
    return train_vocabulary(
        np.vstack(sample), int(np.minimum(features.counts, FEATURES_PER_IMAGE).sum()), rng
    )


@dataclass(frozen=True)
class _InvertedIndex:
    """The features of each visual word. Each feature is listed under its nearest word only.

    ``start``: (words + 1,) first posting of each word. ``feature`` (row of ``_LocalFeatures``)
    and ``signature``: (features,), sorted by word.
    """

    start: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int32]
    signature: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, features: _LocalFeatures) -> "_InvertedIndex":
        # Only the nearest word of each part: (features, 1).
        word, signature = features.vocabulary.combine_parts(
            features.words[..., :1], features.signature[..., :1]
        )
        order = np.argsort(word[:, 0], kind="stable").astype(np.int32)
        sizes = np.bincount(word[:, 0], minlength=features.vocabulary.words_per_part**2)
        return cls(np.concatenate([[0], np.cumsum(sizes)]), order, signature[order, 0])


def _best_candidates(features: _LocalFeatures, index: _InvertedIndex, block: slice) -> Pairs:
    """Return the pairs of each image of a block with the images that got most of its votes."""
    n = int(features.image[-1]) + 1
    counted = [
        _count_votes(features, *_votes(features, index, block, mirrored), mirrored)
        for mirrored in (False, True)
    ]
    # The better of the two: mirrored or not. pair = image * n + match.
    pair, vote = _largest_per_key(
        *(np.concatenate(column) for column in zip(*counted, strict=True))
    )
    image, match = np.divmod(pair[vote >= MIN_VOTES], n)
    vote = vote[vote >= MIN_VOTES]
    # Sorted by image, then by votes: the position within an image is the rank.
    order = np.lexsort((match, -vote, image))
    image, match, vote = image[order], match[order], vote[order]
    rank = np.arange(len(image)) - np.searchsorted(image, image)
    selected = (rank < MIN_CANDIDATES) | ((rank < MAX_CANDIDATES) & (vote >= MANY_VOTES))
    return np.stack([image, match], axis=1)[selected]


def _votes(
    features: _LocalFeatures, index: _InvertedIndex, block: slice, mirrored: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    """Look up the features of a block in the inverted index.

    A transformed descriptor may cross the border of its word. The two nearest words of each part
    are therefore looked up, four words in total (multiple assignment).

    Returns:
        One entry per vote, (votes,): the voting feature, the matched feature, and the Hamming
        distance of their signatures in bits.
    """
    # (features of the block, 4) both.
    word, signature = features.vocabulary.combine_parts(
        features.words[block], features.signature[block], mirrored
    )
    first = index.start[word].ravel()
    size = index.start[word + 1].ravel() - first
    size[size > MAX_POSTINGS] = 0
    # All postings of all looked-up words in one array: ``lookup`` is the number of the look-up,
    # ``posting`` the position in the index (first + 0, 1, ... size - 1 for each look-up).
    lookup = np.repeat(np.arange(word.size), size)
    posting = np.arange(len(lookup)) + np.repeat(first - np.cumsum(size) + size, size)
    distance = np.bitwise_count(signature.ravel()[lookup] ^ index.signature[posting])
    similar = np.flatnonzero(distance <= MAX_HAMMING_DISTANCE)
    return (
        lookup[similar] // word.shape[1] + block.start,
        index.feature[posting[similar]],
        distance[similar],
    )


def _count_votes(
    features: _LocalFeatures,
    feature: npt.NDArray[np.int64],
    match: npt.NDArray[np.int32],
    distance: npt.NDArray[np.uint8],
    mirrored: bool,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Sum the weighted votes of each pair of images that agree on rotation and scale.

    Args:
        features: All local features.
        feature: (votes,) the voting feature.
        match: (votes,) the matched feature.
        distance: (votes,) Hamming distance of their signatures, bits.
        mirrored: The voting image is mirrored.

    Returns:
        Pairs, as image * n + matched image, and the sum of their votes: (pairs,) both.
    """
    n = int(features.image[-1]) + 1
    weight = np.exp(-((np.arange(MAX_HAMMING_DISTANCE + 1) / VOTE_SIGMA) ** 2))  # by distance
    pair = features.image[feature].astype(np.int64) * n + features.image[match]
    # Most pairs have too few votes even if all of them agreed. The slower steps skip these pairs.
    _, inverse = np.unique(pair, return_inverse=True)
    has_enough = np.bincount(inverse, weight[distance])[inverse] >= MIN_VOTES
    promising = np.flatnonzero(has_enough & (features.image[match] != features.image[feature]))
    # Each feature has one vote per image, its best one. A repeated pattern must not count twice.
    promising = promising[np.lexsort((distance[promising], feature[promising], pair[promising]))]
    promising = promising[_is_first(pair[promising]) | _is_first(feature[promising])]
    feature, match = feature[promising], match[promising]
    # Mirroring reverses the direction of angles, so the angles are added instead of subtracted.
    rotation = features.angle[match] + features.angle[feature] * (1 if mirrored else -1)
    log_scale = features.log_scale[match] - features.log_scale[feature]
    return _consistent_votes(pair[promising], rotation, log_scale, weight[distance[promising]])


def _consistent_votes(
    pair: npt.NDArray[np.int64],
    rotation: npt.NDArray[np.float32],
    log_scale: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float64],
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Apply weak geometric consistency: sum the votes of each pair in bins of rotation and scale.

    Args:
        pair: (votes,) image * n + matched image.
        rotation: (votes,) degrees.
        log_scale: (votes,) log2 of the scale.
        weight: (votes,) weight of each vote.

    Returns:
        Each pair once, and its largest sum over all bins: (pairs,) both.
    """
    rotation_bin = np.floor(rotation / (360 / ROTATION_BINS)).astype(np.int64)
    scale_bin = np.clip(np.round(log_scale).astype(np.int64), -2, 2) + 2
    # Each vote counts in two neighboring bins of rotation and of scale, four bins in total.
    # Otherwise a bin border could separate votes that agree.
    bins = [
        (pair * ROTATION_BINS + (rotation_bin + r) % ROTATION_BINS) * SCALE_BINS + scale_bin + s
        for r in (0, 1)
        for s in (0, 1)
    ]
    unique_bins, inverse = np.unique(np.concatenate(bins), return_inverse=True)
    sums = np.bincount(inverse, np.tile(weight, 4)).astype(np.float64)
    return _largest_per_key(unique_bins // (ROTATION_BINS * SCALE_BINS), sums)


def _largest_per_key(
    key: npt.NDArray[np.int64], value: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """Return each key once, in ascending order, with its largest value."""
    order = np.lexsort((-value, key))
    first = order[_is_first(key[order])]
    return key[first], value[first]


def _is_first(values: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return a mask that is True where a value differs from the previous one."""
    is_first = np.ones(len(values), bool)
    is_first[1:] = values[1:] != values[:-1]
    return is_first
