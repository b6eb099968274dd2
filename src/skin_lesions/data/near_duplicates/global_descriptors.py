"""Which pairs of images are alike as a whole: for smooth skin, which has hardly any details.

Brute force, but of short vectors: 100,000 images take 1.4e12 multiplications.
"""

import cv2
import numpy as np
import numpy.typing as npt

from skin_lesions.core.parallel import ordered_map
from skin_lesions.data.near_duplicates.features import Features, Pairs, sort_pairs

DCT_SIZE = 8  # lowest frequencies of each direction
NEIGHBORS = 4  # proposed for each image
MIN_COSINE = 0.98  # cosine of two spectra
BLOCK = 256  # images compared with all at once
CACHED = 1024  # spectra whose products with those of a block fit into the cache of a core
UPPER = np.triu_indices(DCT_SIZE)


def match_global_descriptors(features: Features) -> Pairs:
    """Propose pairs that have the same coarse structure, however flipped, turned or brightened."""
    starts = range(0, len(features), BLOCK)
    blocks = ordered_map(lambda at: _dct_descriptors(features.thumbnails[at : at + BLOCK]), starts)
    spectra = np.vstack([np.empty((0, 2 * len(UPPER[0])), np.float32), *blocks])
    there = np.flatnonzero(spectra.any(axis=1))
    known = spectra[there]
    closest = ordered_map(lambda at: _nearest_pairs(known, at), range(0, len(there), BLOCK))
    return sort_pairs(there[np.vstack([np.empty((0, 2), np.int64), *closest])])


def _dct_descriptors(thumbnails: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    return np.stack([_dct_descriptor(thumbnail) for thumbnail in thumbnails])


def _dct_descriptor(thumbnail: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Return the coarse structure in a form that flips and quarter turns leave as it is, length 1.

    A flip changes the sign of cosine coefficients, a quarter turn also swaps the two directions.
    """
    small = cv2.resize(thumbnail, (32, 32), interpolation=cv2.INTER_AREA)
    dct = np.abs(cv2.dct(small.astype(np.float32))[:DCT_SIZE, :DCT_SIZE])
    dct[0, 0] = 0
    spectrum = np.concatenate([(dct + dct.T)[UPPER], np.abs(dct - dct.T)[UPPER]])
    length = np.linalg.norm(spectrum)
    # Less than a grey level a pixel is noise.
    known = length > len(small)
    return spectrum / length if known else np.zeros_like(spectrum)


def _nearest_pairs(spectra: npt.NDArray[np.float32], start: int) -> Pairs:
    """Return the pairs of a block with the spectra closest to each, if they are close at all."""
    block = spectra[start : start + BLOCK]
    found = []
    for at in range(0, len(spectra), CACHED):
        alike = block @ spectra[at : at + CACHED].T
        # Few tiles hold anything close, and the largest is found faster than all that are large.
        if alike.max() >= MIN_COSINE:
            image, mate = np.nonzero(alike >= MIN_COSINE)
            found.append((image + start, mate + at, alike[image, mate]))
    image, mate, close = (np.concatenate(column) for column in zip(*found, strict=True))
    image, mate, close = (column[image != mate] for column in (image, mate, close))
    order = np.lexsort((mate, -close, image))
    image, mate = image[order], mate[order]
    kept = np.arange(len(image)) - np.searchsorted(image, image) < NEIGHBORS
    return np.stack([image[kept], mate[kept]], axis=1)
