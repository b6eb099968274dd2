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
from skin_lesions.data.near_duplicates.config import NearDuplicateConfig
from skin_lesions.data.near_duplicates.features import Candidates, Features, rank_in_group
from skin_lesions.data.near_duplicates.visual_words import AXES, VisualVocabulary, train_vocabulary


def match_local_features(features: Features, config: NearDuplicateConfig) -> Candidates:
    """Propose pairs with many local features in one rotation and scale, mirrored or not.

    Returns:
        At most ``max_candidates`` pairs per image.
    """
    limit = voting_keypoints(len(features), config)
    # A vocabulary requires at least as many descriptors as they have dimensions, 128.
    if np.minimum(features.counts, limit).sum() < 4 * AXES:
        return Candidates.none()
    local = _quantize_features(features, limit, config)
    index = _InvertedIndex.of(local)
    # Rows of ``local`` at which each block of images begins.
    step = _images_per_block(limit, config)
    block_starts = np.searchsorted(local.image, range(0, len(features) + step, step)).tolist()
    blocks = [slice(start, stop) for start, stop in pairwise(block_starts)]
    candidates = ordered_map(lambda block: _best_candidates(local, index, block, config), blocks)
    return Candidates.merged(list(candidates))


def voting_keypoints(n: int, config: NearDuplicateConfig) -> int:
    """Return the number of keypoints of an image that vote: fewer if there are very many images."""
    affordable = config.max_voting_features // max(n, 1)
    limit = int(np.clip(affordable, config.min_voting_keypoints, config.max_voting_keypoints))
    return min(limit, config.max_keypoints)


def _images_per_block(limit: int, config: NearDuplicateConfig) -> int:
    """Return the number of images of a block, if up to ``limit`` keypoints of each vote."""
    return max(1, config.local_block // limit)


@dataclass(frozen=True)
class _VotingFeatures:
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

    @property
    def num_images(self) -> int:
        """The number of the last image with a feature, plus 1."""
        return int(self.image[-1]) + 1


def _quantize_features(
    features: Features, limit: int, config: NearDuplicateConfig
) -> _VotingFeatures:
    """Fit a vocabulary and quantize the voting features of all images, block by block.

    Args:
        features: Features of all images.
        limit: Maximum number of voting keypoints of an image.
        config: Parameters of the vocabulary.
    """
    vocabulary = _fit_vocabulary(features, limit, config)
    total = int(np.minimum(features.counts, limit).sum())
    # Filled in place, because lists of blocks would need twice the memory.
    voting = _VotingFeatures(
        vocabulary=vocabulary,
        image=np.empty(total, np.int32),
        angle=np.empty(total, np.float32),
        log_scale=np.empty(total, np.float32),
        words=np.empty((total, 2, 2), np.uint16),
        signature=np.empty((total, 2, 2), np.uint32),
    )

    step = _images_per_block(limit, config)

    def quantize_block(start: int) -> _VotingFeatures:
        local = features.local_features(start, start + step, limit)
        words, signature = vocabulary.quantize(local.descriptors)
        return _VotingFeatures(
            vocabulary=vocabulary,
            image=local.image.astype(np.int32),
            angle=local.keypoints[:, 3],
            log_scale=np.log2(local.keypoints[:, 2]),
            words=words,
            signature=signature,
        )

    filled = 0
    for block in ordered_map(quantize_block, range(0, len(features), step)):
        rows = slice(filled, filled + len(block.image))
        voting.image[rows] = block.image
        voting.angle[rows] = block.angle
        voting.log_scale[rows] = block.log_scale
        voting.words[rows] = block.words
        voting.signature[rows] = block.signature
        filled = rows.stop
    return voting


def _fit_vocabulary(
    features: Features, limit: int, config: NearDuplicateConfig
) -> VisualVocabulary:
    """Fit the vocabulary on the local features of a random sample of the images."""
    rng = np.random.default_rng(config.vocabulary_seed)
    with_keypoints = np.flatnonzero(features.counts)
    sample_size = min(len(with_keypoints), config.vocabulary_images)
    # Sorted, so that the files are read in order.
    images = np.sort(rng.choice(with_keypoints, sample_size, replace=False)).tolist()
    descriptors = np.vstack(
        [features.local_features(image, image + 1, limit).descriptors for image in images]
    )
    if len(descriptors) > config.vocabulary_descriptors:
        descriptors = rng.choice(descriptors, config.vocabulary_descriptors, replace=False)
    total = int(np.minimum(features.counts, limit).sum())
    return train_vocabulary(descriptors, total, rng, config)


@dataclass(frozen=True)
class _InvertedIndex:
    """The features of each visual word. Each feature is listed under its nearest word only.

    ``start``: (words + 1,) first posting of each word. ``feature`` (row of ``_VotingFeatures``)
    and ``signature``: (features,), sorted by word.
    """

    start: npt.NDArray[np.int64]
    feature: npt.NDArray[np.int32]
    signature: npt.NDArray[np.uint64]

    @classmethod
    def of(cls, features: _VotingFeatures) -> "_InvertedIndex":
        # Only the nearest word of each part: (features, 1).
        word, signature = features.vocabulary.combine_parts(
            features.words[..., :1], features.signature[..., :1]
        )
        order = np.argsort(word[:, 0], kind="stable").astype(np.int32)
        # The postings of word w are start[w] to start[w + 1] - 1.
        sizes = np.bincount(word[:, 0], minlength=features.vocabulary.words_per_part**2)
        return cls(
            start=np.concatenate([[0], np.cumsum(sizes)]),
            feature=order,
            signature=signature[order, 0],
        )


@dataclass(frozen=True)
class _Votes:
    """Votes of features for matched features, (votes,) each.

    ``feature`` and ``match``: rows of ``_VotingFeatures``. ``distance``: Hamming distance of their
    signatures, bits.
    """

    feature: npt.NDArray[np.int64]
    match: npt.NDArray[np.int32]
    distance: npt.NDArray[np.uint8]

    def select(self, rows: npt.NDArray[np.int64]) -> "_Votes":
        return _Votes(self.feature[rows], self.match[rows], self.distance[rows])


@dataclass(frozen=True)
class _PairScores:
    """Each pair of images once, and its sum of votes: (pairs,) both.

    ``pair`` is image * n + matched image, so that a pair of images is one integer.
    """

    pair: npt.NDArray[np.int64]
    score: npt.NDArray[np.float64]


def _best_candidates(
    features: _VotingFeatures, index: _InvertedIndex, block: slice, config: NearDuplicateConfig
) -> Candidates:
    """Return the pairs of each image of a block with the images that got most of its votes.

    A pair and the same pair with one image mirrored are two candidates.
    """
    pairs, scores, flags = [], [], []
    for mirrored in (False, True):
        votes = _votes(features, index, block, config, mirrored=mirrored)
        counted = _count_votes(features, votes, config, mirrored=mirrored)
        pairs.append(counted.pair)
        scores.append(counted.score)
        flags.append(np.full(len(counted.pair), mirrored))
    score, flag = np.concatenate(scores), np.concatenate(flags)
    image, match = np.divmod(np.concatenate(pairs), features.num_images)
    # Sorted by image, then by votes: the position within an image is the rank.
    order = np.lexsort((flag, match, -score, image))
    order = order[score[order] >= config.min_votes]
    image, match, score, flag = image[order], match[order], score[order], flag[order]
    rank = rank_in_group(image)
    # A few weak candidates, and more only if they are strong.
    is_strong = (rank < config.max_candidates) & (score >= config.many_votes)
    selected = (rank < config.min_candidates) | is_strong
    return Candidates(
        pairs=np.stack([image[selected], match[selected]], axis=1),
        unmirrored=~flag[selected],
        mirrored=flag[selected],
    )


def _votes(
    features: _VotingFeatures,
    index: _InvertedIndex,
    block: slice,
    config: NearDuplicateConfig,
    *,
    mirrored: bool,
) -> _Votes:
    """Look up the features of a block in the inverted index.

    A transformed descriptor may cross the border of its word. The two nearest words of each part
    are therefore looked up, four words in total (multiple assignment).
    """
    # Words and signatures of the four look-ups of each feature: (features of the block, 4) both.
    word, signature = features.vocabulary.combine_parts(
        features.words[block], features.signature[block], mirrored=mirrored
    )
    num_words = word.shape[1]
    # (look-ups,): first posting of each looked-up word, and number of its postings.
    first = index.start[word].ravel()
    size = index.start[word + 1].ravel() - first
    size[size > config.max_postings] = 0
    # All postings of all looked-up words in one array, (postings,): ``lookup`` is the number of
    # the look-up, ``posting`` the position in the index (first, first + 1, ... of each look-up).
    lookup = np.repeat(np.arange(len(size)), size)
    start = np.cumsum(size) - size  # position in ``lookup`` at which each look-up begins
    posting = np.arange(len(lookup)) + np.repeat(first - start, size)
    # Hamming distance: number of bits in which the two signatures differ.
    distance = np.bitwise_count(signature.ravel()[lookup] ^ index.signature[posting])
    similar = np.flatnonzero(distance <= config.max_hamming_distance)
    return _Votes(
        feature=lookup[similar] // num_words + block.start,
        match=index.feature[posting[similar]],
        distance=distance[similar],
    )


def _count_votes(
    features: _VotingFeatures, votes: _Votes, config: NearDuplicateConfig, *, mirrored: bool
) -> _PairScores:
    """Sum the weighted votes of each pair of images that agree on rotation and scale.

    Args:
        features: All voting features.
        votes: The votes of a block of images.
        config: ``max_hamming_distance``, ``vote_sigma``, ``min_votes``, and the bins.
        mirrored: The voting images are mirrored.
    """
    # Weight of a vote by its distance d in bits: exp(-(d / sigma)²).
    distances = np.arange(config.max_hamming_distance + 1)
    weight = np.exp(-((distances / config.vote_sigma) ** 2))
    n = features.num_images
    pair = features.image[votes.feature].astype(np.int64) * n + features.image[votes.match]
    # Most pairs have too few votes even if all of them agreed. The slower steps skip these pairs.
    _, inverse = np.unique(pair, return_inverse=True)
    has_enough = np.bincount(inverse, weight[votes.distance])[inverse] >= config.min_votes
    is_other_image = features.image[votes.match] != features.image[votes.feature]
    rows = np.flatnonzero(has_enough & is_other_image)
    # Each feature has one vote per image, its best one. A repeated pattern must not count twice.
    rows = rows[np.lexsort((votes.distance[rows], votes.feature[rows], pair[rows]))]
    rows = rows[_is_first(pair[rows]) | _is_first(votes.feature[rows])]
    best = votes.select(rows)
    # Rotation from the voting to the matched feature, degrees. Mirroring reverses the direction of
    # angles, so the angles are added instead of subtracted.
    sign = 1 if mirrored else -1
    rotation = features.angle[best.match] + features.angle[best.feature] * sign
    log_scale = features.log_scale[best.match] - features.log_scale[best.feature]
    return _consistent_votes(pair[rows], rotation, log_scale, weight[best.distance], config)


def _consistent_votes(
    pair: npt.NDArray[np.int64],
    rotation: npt.NDArray[np.float32],
    log_scale: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float64],
    config: NearDuplicateConfig,
) -> _PairScores:
    """Apply weak geometric consistency: sum the votes of each pair in bins of rotation and scale.

    Args:
        pair: (votes,) image * n + matched image.
        rotation: (votes,) degrees.
        log_scale: (votes,) log2 of the scale.
        weight: (votes,) weight of each vote.
        config: ``rotation_bins`` and ``max_octaves``.

    Returns:
        Each pair once, with its largest sum over all bins.
    """
    octaves = config.max_octaves
    rotation_bin = np.floor(rotation / (360 / config.rotation_bins)).astype(np.int64)
    # 0 to 2 * octaves; the second bin of a vote adds one more.
    scale_bin = np.clip(np.round(log_scale).astype(np.int64), -octaves, octaves) + octaves
    scale_bins = 2 * octaves + 2
    # Each vote counts in two neighboring bins of rotation and of scale, four bins in total.
    # Otherwise a bin border could separate votes that agree.
    bins = []
    for next_rotation in (0, 1):
        for next_scale in (0, 1):
            # Rotation is cyclic. (pair, rotation bin, scale bin) becomes one integer.
            cyclic_bin = (rotation_bin + next_rotation) % config.rotation_bins
            pair_and_rotation = pair * config.rotation_bins + cyclic_bin
            bins.append(pair_and_rotation * scale_bins + scale_bin + next_scale)
    unique_bins, inverse = np.unique(np.concatenate(bins), return_inverse=True)
    sums = np.bincount(inverse, np.tile(weight, 4)).astype(np.float64)
    return _largest_per_pair(unique_bins // (config.rotation_bins * scale_bins), sums)


def _largest_per_pair(pair: npt.NDArray[np.int64], score: npt.NDArray[np.float64]) -> _PairScores:
    """Return each pair once, in ascending order, with its largest score."""
    order = np.lexsort((-score, pair))
    first = order[_is_first(pair[order])]
    return _PairScores(pair[first], score[first])


def _is_first(values: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """Return a mask that is True where a value differs from the previous one."""
    is_first = np.ones(len(values), bool)
    is_first[1:] = values[1:] != values[:-1]
    return is_first
