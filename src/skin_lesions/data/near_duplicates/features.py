"""Image features: SIFT keypoints with RootSIFT descriptors and a gray image of each image.

The features are stored in files, so that memory use hardly grows with the number of images.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from math import prod
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from skin_lesions.core.parallel import ordered_map
from skin_lesions.data.near_duplicates.config import NearDuplicateConfig

Pairs = npt.NDArray[np.int64]  # (m, 2) row numbers of two images, the smaller number first

# Keypoint coordinates are in reference pixels: pixels of the image, scaled to an area of 256 x 256
# reference pixels without changing its aspect ratio.
REFERENCE_SIZE = 256.0
DESCRIPTOR_NORM = 512.0  # L2 norm of a descriptor in uint8 units

# The SIFT descriptor of a mirrored image is a permutation of the 128 values: the order of the 4
# rows of cells is reversed, and in each cell the 8 orientation bins are in reverse direction.
MIRRORED = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()


class ImageSequence(Protocol):
    """An array (n, height, width, 3), or any sequence of RGB images (height, width, 3)."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> npt.NDArray[np.uint8]: ...


@dataclass(frozen=True)
class FileArray:
    """Arrays of one shape and data type in a file. Each read returns a copy of the requested rows.

    A memory map is not used, because the pages it reads count as memory of this process.
    """

    path: Path
    dtype: npt.DTypeLike
    shape: tuple[int, ...]

    def __getitem__(self, rows: slice) -> npt.NDArray:
        """Return these rows: (rows, *shape)."""
        item = prod(self.shape)
        offset = rows.start * item * np.dtype(self.dtype).itemsize
        count = (rows.stop - rows.start) * item
        return np.fromfile(self.path, self.dtype, count, offset=offset).reshape(-1, *self.shape)


@dataclass(frozen=True)
class LocalFeatures:
    """Local features of one or several images, sorted by image, then as in ``Features``.

    ``image``: (m,) number of the image. ``keypoints``: (m, 4) x, y and size in reference pixels,
    and angle in degrees. ``descriptors``: (m, 128) RootSIFT.
    """

    image: npt.NDArray[np.int64]
    keypoints: npt.NDArray[np.float32]
    descriptors: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ImageFeatures:
    """Features of one image.

    ``frame``: (2,) width and height in reference pixels. ``keypoints``: (m, 4) and
    ``descriptors``: (m, 128), as in ``LocalFeatures``. ``gray``: (G, G) gray image, stretched to a
    square.
    """

    frame: npt.NDArray[np.float32]
    keypoints: npt.NDArray[np.float32]
    descriptors: npt.NDArray[np.uint8]
    gray: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Features:
    """Features of n images, stored in files. Each image has up to K keypoints.

    The keypoints are sorted so that the first ones are the best for voting; see ``_voting_order``.

    ``counts``: (n,) number of keypoints of each image. ``frames``: (n, 2) width and height in
    reference pixels. ``keypoints``: (n, K, 4) and ``descriptors``: (n, K, 128), as in
    ``LocalFeatures``; rows beyond ``counts`` are zero. ``grays``: (n, G, G).
    """

    counts: npt.NDArray[np.int64]
    frames: npt.NDArray[np.float32]
    keypoints: FileArray
    descriptors: FileArray
    grays: FileArray

    @classmethod
    def in_folder(
        cls,
        folder: Path,
        n: int,
        *,
        max_keypoints: int,
        gray_size: int,
    ) -> "Features":
        """Return the features of n images without keypoints, with files in this folder."""
        return cls(
            counts=np.zeros(n, np.int64),
            frames=np.full((n, 2), REFERENCE_SIZE, np.float32),
            keypoints=FileArray(folder / "keypoints", np.float32, (max_keypoints, 4)),
            descriptors=FileArray(folder / "descriptors", np.uint8, (max_keypoints, 128)),
            grays=FileArray(folder / "grays", np.uint8, (gray_size, gray_size)),
        )

    def with_counts(self, described: Sequence[tuple[int, npt.NDArray[np.float32]]]) -> "Features":
        """Return the features after the files are written: keypoint count and frame per image."""
        counts = np.array([count for count, _ in described], np.int64)
        frames = np.array([frame for _, frame in described], np.float32).reshape(-1, 2)
        return replace(self, counts=counts, frames=frames)

    def __len__(self) -> int:
        return len(self.counts)

    def local_features(self, first: int, last: int, max_keypoints: int) -> LocalFeatures:
        """Return the first keypoints of the images ``first`` to ``last - 1``."""
        is_present = np.arange(max_keypoints) < self.counts[first:last, None]  # (images, keypoints)
        return LocalFeatures(
            image=np.nonzero(is_present)[0] + first,
            keypoints=self.keypoints[first:last][:, :max_keypoints][is_present],
            descriptors=self.descriptors[first:last][:, :max_keypoints][is_present],
        )

    def image(self, number: int) -> ImageFeatures:
        """Return all features of one image."""
        count = self.counts[number]
        row = slice(number, number + 1)
        return ImageFeatures(
            frame=self.frames[number],
            keypoints=self.keypoints[row][0, :count],
            descriptors=self.descriptors[row][0, :count],
            gray=self.grays[row][0],
        )


def describe(
    images: ImageSequence, folder: Path, config: NearDuplicateConfig
) -> tuple[Features, npt.NDArray[np.int64]]:
    """Compute the features of all images with different pixels, and write them to files.

    Args:
        images: n images. Each is read once.
        folder: Folder of the files.
        config: Sizes and limits of the features.

    Returns:
        The features of the images with different pixels, in the order of ``images``.

        The first row with identical pixels for each image: (n,).
    """
    row_of: dict[bytes, int] = {}
    first = np.empty(len(images), np.int64)
    described: list[tuple[int, npt.NDArray[np.float32]]] = []  # keypoint count and frame
    features = Features.in_folder(
        folder, 0, max_keypoints=config.max_keypoints, gray_size=config.gray_size
    )

    def read_and_describe(row: int) -> tuple[bytes, ImageFeatures]:
        image = np.ascontiguousarray(images[row])
        # The digest contains the shape: images of other sizes can have the same bytes.
        digest = blake2b(image.data, digest_size=16, person=str(image.shape).encode()[:16])
        return digest.digest(), _describe_image(image, config)

    with (
        features.keypoints.path.open("wb") as keypoint_file,
        features.descriptors.path.open("wb") as descriptor_file,
        features.grays.path.open("wb") as gray_file,
    ):
        for row, (digest, image) in enumerate(ordered_map(read_and_describe, range(len(images)))):
            first[row] = row_of.setdefault(digest, row)
            if first[row] != row:
                continue
            count = len(image.keypoints)
            described.append((count, image.frame))
            # Zero padding to K rows, so that all images have the same size in the file.
            padding = ((0, config.max_keypoints - count), (0, 0))
            keypoint_file.write(np.pad(image.keypoints, padding).data)
            descriptor_file.write(np.pad(image.descriptors, padding).data)
            gray_file.write(np.ascontiguousarray(image.gray).data)
    return features.with_counts(described), first


def _describe_image(image: npt.NDArray[np.uint8], config: NearDuplicateConfig) -> ImageFeatures:
    """Compute the features of an RGB image, (height, width, 3)."""
    gray = _resized_gray(image, config)
    height, width = gray.shape
    scale = REFERENCE_SIZE / float(np.sqrt(height * width))  # reference pixels per pixel
    frame = np.array([width, height], np.float32) * np.float32(scale)
    square_size = (config.gray_size, config.gray_size)
    square = cv2.resize(gray, square_size, interpolation=cv2.INTER_AREA).astype(
        np.uint8, copy=False
    )
    # Skin has low contrast. Without histogram equalization (CLAHE), most keypoints are on hairs
    # and on the rim of the dermatoscope.
    tiles = (config.clahe_tiles, config.clahe_tiles)
    equalized = cv2.createCLAHE(clipLimit=config.clahe_clip_limit, tileGridSize=tiles).apply(gray)
    detector = cv2.SIFT.create(
        nfeatures=config.max_keypoints, contrastThreshold=config.contrast_threshold
    )
    detected, sift = detector.detectAndCompute(equalized, None)  # sift: (detected, 128)
    if not detected:
        empty = np.empty((0, 4), np.float32), np.empty((0, 128), np.uint8)
        return ImageFeatures(frame, *empty, square)
    # Columns x, y, size (reference pixels) and angle (degrees): (detected, 4). OpenCV's position 0
    # is the center of the first pixel.
    keypoints = np.array(
        [
            ((k.pt[0] + 0.5) * scale, (k.pt[1] + 0.5) * scale, k.size * scale, k.angle)
            for k in detected
        ],
        np.float32,
    )
    response = np.array([k.response for k in detected], np.float32)
    order = _voting_order(keypoints, response, config.max_keypoints)
    return ImageFeatures(frame, keypoints[order], _root_sift(sift[order]), square)


def _resized_gray(
    image: npt.NDArray[np.uint8], config: NearDuplicateConfig
) -> npt.NDArray[np.uint8]:
    """Return the gray image with an area of ``detection_size``² pixels, in its aspect ratio.

    Small images are enlarged: a small crop then has about as many keypoints as a large one.
    """
    gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    height, width = gray.shape
    factor = config.detection_size / float(np.sqrt(height * width))
    size = (max(1, round(width * factor)), max(1, round(height * factor)))
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
    return cv2.resize(gray, size, interpolation=interpolation).astype(np.uint8, copy=False)


def _voting_order(
    keypoints: npt.NDArray[np.float32], response: npt.NDArray[np.float32], count: int
) -> npt.NDArray[np.int64]:
    """Return the strongest ``count`` keypoints, the largest and the strongest ones alternately.

    Large keypoints survive blur and noise. If a detail is magnified, its keypoints are large, but
    those of the complete photograph are small. The strongest keypoints have all sizes.
    """
    # OpenCV returns keypoints of equal response in no fixed order, and sometimes more than
    # nfeatures. They are therefore sorted by response, and ties by angle, size, y and x: the last
    # key of lexsort is the first criterion.
    x, y, size, angle = keypoints.T
    by_response = np.lexsort((x, y, size, angle, -response))[:count]
    by_size = by_response[np.argsort(-size[by_response], kind="stable")]
    alternating = np.stack([by_size, by_response], axis=1).ravel()
    _, first = np.unique(alternating, return_index=True)  # each keypoint once, in this order
    return alternating[np.sort(first)]


def _root_sift(sift: npt.NDArray) -> npt.NDArray[np.uint8]:
    """Return RootSIFT: L1-normalize each descriptor, then take the square root of each value.

    A few strong gradients then do not dominate the distance between two descriptors. The L2 norm
    of a RootSIFT descriptor is 1; it is scaled by ``DESCRIPTOR_NORM`` to fit into uint8.

    Source:
        Arandjelović and Zisserman (2012), doi:10.1109/CVPR.2012.6248018.
    """
    l1_normalized = sift / np.maximum(sift.sum(axis=1, keepdims=True), 1.0)  # (m, 128)
    return np.clip(np.sqrt(l1_normalized) * DESCRIPTOR_NORM + 0.5, 0, 255).astype(np.uint8)


@dataclass(frozen=True)
class Candidates:
    """Candidate pairs for verification, and the orientations to verify: (m, 2), (m,) and (m,)."""

    pairs: Pairs
    unmirrored: npt.NDArray[np.bool_]
    mirrored: npt.NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.pairs)

    @classmethod
    def none(cls) -> "Candidates":
        """Return no candidates."""
        return cls(np.empty((0, 2), np.int64), np.empty(0, bool), np.empty(0, bool))

    @classmethod
    def in_any_orientation(cls, pairs: Pairs) -> "Candidates":
        """Return these pairs, each once, the smaller number first, in ascending order."""
        unique = np.unique(np.sort(pairs, axis=1), axis=0)
        return cls(unique, np.ones(len(unique), bool), np.ones(len(unique), bool))

    @classmethod
    def merged(cls, parts: Sequence["Candidates"]) -> "Candidates":
        """Return each pair of these candidates once, with all of its orientations, sorted."""
        pairs = np.sort(np.vstack([part.pairs for part in parts]), axis=1)
        unique, inverse = np.unique(pairs, axis=0, return_inverse=True)
        orientations = np.zeros((len(unique), 2), bool)
        for column, name in enumerate(("unmirrored", "mirrored")):
            flags = np.concatenate([getattr(part, name) for part in parts])
            orientations[inverse[flags], column] = True
        return cls(unique, *orientations.T)


def rank_in_group(sorted_keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the position of each entry among the entries with its key, from 0: (n,).

    ``searchsorted`` finds the first entry with the same key.
    """
    return np.arange(len(sorted_keys)) - np.searchsorted(sorted_keys, sorted_keys)
