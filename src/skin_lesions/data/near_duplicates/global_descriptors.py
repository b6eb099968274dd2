"""Global descriptor matching: candidate pairs with similar low-frequency DCT coefficients.

It finds near-duplicates of smooth skin, which has hardly any local features. The search compares
all pairs of short vectors: 100,000 images take 1.4e12 floating-point operations.
"""

import cv2
import numpy as np
import numpy.typing as npt

from skin_lesions.core.parallel import ordered_map
from skin_lesions.data.near_duplicates.config import NearDuplicateConfig
from skin_lesions.data.near_duplicates.features import Candidates, Features, Pairs, rank_in_group


def match_global_descriptors(features: Features, config: NearDuplicateConfig) -> Candidates:
    """Propose pairs with the same coarse structure, whatever their pose and brightness.

    Flips, quarter turns, brightness and contrast do not change the descriptors.

    Returns:
        At most ``max_global_candidates`` pairs per image, in any orientation.
    """
    block = config.global_block

    def describe_block(start: int) -> npt.NDArray[np.float32]:
        grays = features.grays[start : start + block]
        return np.stack([_dct_descriptor(gray, config) for gray in grays])

    if len(features) == 0:
        return Candidates.none()
    descriptors = np.vstack(list(ordered_map(describe_block, range(0, len(features), block))))
    # Images without structure have a descriptor of zeros and no candidates.
    present = np.flatnonzero(descriptors.any(axis=1))
    nonzero = descriptors[present]  # (present, 72)
    nearest = ordered_map(
        lambda start: _nearest_pairs(nonzero, start, config), range(0, len(present), block)
    )
    # The empty first array gives the shape if no image has structure.
    return Candidates.in_any_orientation(present[np.vstack([np.empty((0, 2), np.int64), *nearest])])


def _dct_descriptor(
    gray: npt.NDArray[np.uint8], config: NearDuplicateConfig
) -> npt.NDArray[np.float32]:
    """Return the global descriptor: (72,), L2 norm 1, invariant to flips and quarter turns.

    D are the absolute values of the DCT coefficients. A flip changes only signs of coefficients,
    so D does not change. A quarter turn also transposes D, but D + D.T and abs(D - D.T) do not
    change. An image without structure gets zeros.
    """
    size = config.dct_image_size
    small = cv2.resize(gray, (size, size), interpolation=cv2.INTER_AREA)
    # The lowest frequencies, (8, 8); the first coefficient is the mean brightness.
    coefficients = cv2.dct(small.astype(np.float32))[: config.dct_size, : config.dct_size]
    dct = np.abs(coefficients)
    dct[0, 0] = 0
    # Both matrices are symmetric, so their upper triangles (36 values each) are sufficient.
    upper = np.triu_indices(config.dct_size)
    descriptor = np.concatenate([(dct + dct.T)[upper], np.abs(dct - dct.T)[upper]])
    norm = np.linalg.norm(descriptor)
    # The DCT preserves the L2 norm. An RMS contrast of c gray levels over size x size pixels has
    # the norm c * size.
    has_structure = norm > config.min_contrast * size
    return descriptor / norm if has_structure else np.zeros_like(descriptor)


def _nearest_pairs(
    descriptors: npt.NDArray[np.float32], start: int, config: NearDuplicateConfig
) -> Pairs:
    """Return, for each image of a block, the pairs with its nearest images.

    Args:
        descriptors: (n, 72) descriptors of all images, L2 norm 1.
        start: First image of the block.
        config: ``min_cosine`` and ``max_global_candidates``, and the sizes of blocks and tiles.

    Returns:
        (m, 2) image of the block, and its neighbor.
    """
    block = descriptors[start : start + config.global_block]
    images, neighbors, similarities = [], [], []
    for tile in range(0, len(descriptors), config.global_tile):
        cosine = block @ descriptors[tile : tile + config.global_tile].T  # (block, tile)
        # Few tiles have a value above the threshold, and max is faster than nonzero.
        if cosine.max() >= config.min_cosine:
            row, column = np.nonzero(cosine >= config.min_cosine)
            images.append(row + start)
            neighbors.append(column + tile)
            similarities.append(cosine[row, column])
    # Each image is its own neighbor with cosine 1, so the lists are never empty.
    image = np.concatenate(images)
    neighbor = np.concatenate(neighbors)
    similarity = np.concatenate(similarities)
    # Sorted by image, then by similarity: the position within an image is the rank.
    order = np.lexsort((neighbor, -similarity, image))
    order = order[image[order] != neighbor[order]]
    image, neighbor = image[order], neighbor[order]
    is_nearest = rank_in_group(image) < config.max_global_candidates
    return np.stack([image[is_nearest], neighbor[is_nearest]], axis=1)
