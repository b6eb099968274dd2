"""Global descriptor matching: candidate pairs with similar low-frequency DCT coefficients.

It finds near-duplicates of smooth skin, which has hardly any local features. The search compares
all pairs of short vectors: 100,000 images take 1.4e12 floating-point operations.
"""

import cv2
import numpy as np
import numpy.typing as npt

from skin_lesions.core.parallel import ordered_map
from skin_lesions.data.near_duplicates.features import Features, Pairs, sort_pairs

DCT_SIZE = 8  # number of lowest frequencies in each direction
NEIGHBORS = 4  # maximum number of candidates per image
MIN_COSINE = 0.98  # minimum cosine similarity of two descriptors
BLOCK = 256  # images per block; each block is compared with all images
TILE = 1024  # descriptors per matrix product; its result fits into the cache of one core
UPPER = np.triu_indices(DCT_SIZE)


def match_global_descriptors(features: Features) -> Pairs:
    """Propose pairs with the same coarse structure, whatever their pose and brightness.

    Flips, quarter turns, brightness and contrast do not change the descriptors.

    Returns:
        (m, 2) pairs of row numbers, sorted, at most ``NEIGHBORS`` per image.
    """
    starts = range(0, len(features), BLOCK)
    blocks = ordered_map(
        lambda start: _dct_descriptors(features.thumbnails[start : start + BLOCK]), starts
    )
    # (n, 72): the first row, of shape (0, 72), gives the shape if there are no images.
    descriptors = np.vstack([np.empty((0, 2 * len(UPPER[0])), np.float32), *blocks])
    # Images without structure have a descriptor of zeros and no candidates.
    present = np.flatnonzero(descriptors.any(axis=1))
    nonzero = descriptors[present]
    nearest = ordered_map(
        lambda start: _nearest_pairs(nonzero, start), range(0, len(present), BLOCK)
    )
    return sort_pairs(present[np.vstack([np.empty((0, 2), np.int64), *nearest])])


def _dct_descriptors(thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the global descriptors of thumbnails: (n, 128, 128) -> (n, 72)."""
    return np.stack([_dct_descriptor(thumbnail) for thumbnail in thumbnails])


def _dct_descriptor(thumbnail: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the global descriptor: (72,), L2 norm 1, invariant to flips and quarter turns.

    D are the absolute values of the DCT coefficients. A flip changes only signs of coefficients,
    so D does not change. A quarter turn also transposes D, but D + D.T and abs(D - D.T) do not
    change. An image without structure gets zeros.
    """
    small = cv2.resize(thumbnail, (32, 32), interpolation=cv2.INTER_AREA)
    dct = np.abs(cv2.dct(small.astype(np.float32))[:DCT_SIZE, :DCT_SIZE])  # (8, 8)
    dct[0, 0] = 0  # the mean brightness
    # Both matrices are symmetric, so their upper triangles (36 values each) are sufficient.
    descriptor = np.concatenate([(dct + dct.T)[UPPER], np.abs(dct - dct.T)[UPPER]])
    norm = np.linalg.norm(descriptor)
    # A norm of 32 is about one gray level per pixel. Anything below is noise.
    has_structure = norm > len(small)
    return descriptor / norm if has_structure else np.zeros_like(descriptor)


def _nearest_pairs(descriptors: npt.NDArray[np.float32], start: int) -> Pairs:
    """Return, for each image of a block, the pairs with its nearest images above ``MIN_COSINE``."""
    block = descriptors[start : start + BLOCK]
    found = []
    for tile in range(0, len(descriptors), TILE):
        cosine = block @ descriptors[tile : tile + TILE].T  # (block, tile)
        # Few tiles have a value above the threshold, and max is faster than nonzero.
        if cosine.max() >= MIN_COSINE:
            image, neighbor = np.nonzero(cosine >= MIN_COSINE)
            found.append((image + start, neighbor + tile, cosine[image, neighbor]))
    # Each image is its own neighbor with cosine 1, so ``found`` is never empty.
    image, neighbor, similarity = (np.concatenate(column) for column in zip(*found, strict=True))
    image, neighbor, similarity = (
        column[image != neighbor] for column in (image, neighbor, similarity)
    )
    # Sorted by image, then by similarity: the position within an image is the rank.
    order = np.lexsort((neighbor, -similarity, image))
    image, neighbor = image[order], neighbor[order]
    is_nearest = np.arange(len(image)) - np.searchsorted(image, image) < NEIGHBORS
    return np.stack([image[is_nearest], neighbor[is_nearest]], axis=1)
