"""Image features: the SIFT keypoints with RootSIFT descriptors and a gray thumbnail of each image.

The features are stored in files, so that memory use hardly grows with the number of images.
"""

from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from skin_lesions.core.parallel import ordered_map
from skin_lesions.data.near_duplicates.config import NearDuplicateConfig

Pairs = npt.NDArray[np.int64]  # (m, 2) row numbers of two images, the smaller number first

REFERENCE_SIZE = 256.0  # pixels; keypoint coordinates refer to an image of this size
DESCRIPTOR_NORM = 512.0  # L2 norm of a descriptor in uint8 units

# The SIFT descriptor of a mirrored image is a permutation of the 128 values: the order of the 4
# rows of cells is reversed, and in each cell the 8 orientation bins are in reverse direction.
MIRRORED = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()


class ImageSequence(Protocol):
    """An array (n, size, size, 3), or any other sequence that returns one image per index."""

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
    """Local features of one or several images, sorted by image, then by size, the largest first.

    ``image``: (m,) number of the image. ``keypoints``: (m, 4) x, y and size in pixels of a
    256-pixel image, and angle in degrees. ``descriptors``: (m, 128) RootSIFT.
    """

    image: npt.NDArray[np.int64]
    keypoints: npt.NDArray[np.float32]
    descriptors: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class ImageFeatures:
    """Features of one image: keypoints (m, 4), descriptors (m, 128), gray thumbnail (128, 128)."""

    keypoints: npt.NDArray[np.float32]
    descriptors: npt.NDArray[np.uint8]
    thumbnail: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Features:
    """Features of n images, stored in files. Each image has up to K keypoints, the largest first.

    ``counts``: (n,) number of keypoints of each image. ``keypoints``: (n, K, 4) and
    ``descriptors``: (n, K, 128), as in ``LocalFeatures``; rows beyond ``counts`` are zero.
    ``thumbnails``: (n, 128, 128) gray.
    """

    counts: npt.NDArray[np.int64]
    keypoints: FileArray
    descriptors: FileArray
    thumbnails: FileArray

    @classmethod
    def of(
        cls,
        counts: npt.NDArray[np.int64],
        folder: Path,
        *,
        max_keypoints: int,
        thumbnail_size: int,
    ) -> "Features":
        """Return the features of images with these keypoint counts, in files of this folder."""
        thumbnail_shape = (thumbnail_size, thumbnail_size)
        return cls(
            counts=counts,
            keypoints=FileArray(folder / "keypoints", np.float32, (max_keypoints, 4)),
            descriptors=FileArray(folder / "descriptors", np.uint8, (max_keypoints, 128)),
            thumbnails=FileArray(folder / "thumbnails", np.uint8, thumbnail_shape),
        )

    def __len__(self) -> int:
        return len(self.counts)

    def local_features(self, first: int, last: int, max_keypoints: int) -> LocalFeatures:
        """Return the largest keypoints of the images ``first`` to ``last - 1``."""
        is_present = np.arange(max_keypoints) < self.counts[first:last, None]  # (images, keypoints)
        return LocalFeatures(
            image=np.nonzero(is_present)[0] + first,
            keypoints=self.keypoints[first:last][:, :max_keypoints][is_present],
            descriptors=self.descriptors[first:last][:, :max_keypoints][is_present],
        )

    def thumbnail(self, image: int) -> npt.NDArray[np.uint8]:
        """Return the gray thumbnail of one image, (128, 128)."""
        return np.asarray(self.thumbnails[image : image + 1][0])


def describe(
    images: ImageSequence,
    rows: npt.NDArray[np.int64],
    folder: Path,
    config: NearDuplicateConfig,
) -> Features:
    """Compute the features of these rows of ``images`` and write them to files in ``folder``."""
    features = Features.of(
        np.zeros(len(rows), np.int64),
        folder,
        max_keypoints=config.max_keypoints,
        thumbnail_size=config.thumbnail_size,
    )
    with (
        features.keypoints.path.open("wb") as keypoint_file,
        features.descriptors.path.open("wb") as descriptor_file,
        features.thumbnails.path.open("wb") as thumbnail_file,
    ):
        described = ordered_map(lambda row: _describe_image(images[row], config), rows)
        for number, image in enumerate(described):
            count = len(image.keypoints)
            features.counts[number] = count
            # Zero padding to K rows, so that all images have the same size in the file.
            padding = ((0, config.max_keypoints - count), (0, 0))
            keypoint_file.write(np.pad(image.keypoints, padding).data)
            descriptor_file.write(np.pad(image.descriptors, padding).data)
            thumbnail_file.write(np.ascontiguousarray(image.thumbnail).data)
    return features


def _describe_image(image: npt.NDArray[np.uint8], config: NearDuplicateConfig) -> ImageFeatures:
    """Compute the features of an RGB image, (size, size, 3)."""
    gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    size = (config.thumbnail_size, config.thumbnail_size)
    thumbnail = cv2.resize(gray, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    # Skin has low contrast. Without histogram equalization (CLAHE), most keypoints are on hairs
    # and on the rim of the dermatoscope.
    tiles = (config.clahe_tiles, config.clahe_tiles)
    equalized = cv2.createCLAHE(clipLimit=config.clahe_clip_limit, tileGridSize=tiles).apply(gray)
    detector = cv2.SIFT.create(
        nfeatures=config.max_keypoints, contrastThreshold=config.contrast_threshold
    )
    detected, sift = detector.detectAndCompute(equalized, None)  # sift: (detected, 128)
    if not detected:
        return ImageFeatures(np.empty((0, 4), np.float32), np.empty((0, 128), np.uint8), thumbnail)
    # Columns x, y, size (pixels of a 256-pixel image) and angle (degrees): (detected, 4).
    scale = REFERENCE_SIZE / len(gray)
    keypoints = np.array(
        [(k.pt[0] * scale, k.pt[1] * scale, k.size * scale, k.angle) for k in detected], np.float32
    )
    # OpenCV returns keypoints of equal response in no fixed order, and sometimes more than
    # nfeatures. They are therefore sorted by response, and ties by angle, size, y and x: the last
    # key of lexsort is the first criterion.
    x, y, keypoint_size, angle = keypoints.T
    response = np.array([k.response for k in detected], np.float32)
    strongest = np.lexsort((x, y, keypoint_size, angle, -response))[: config.max_keypoints]
    # The largest keypoints first: they survive blur and noise, and only they vote.
    order = strongest[np.argsort(-keypoint_size[strongest], kind="stable")]
    return ImageFeatures(keypoints[order], _root_sift(sift[order]), thumbnail)


def _root_sift(sift: npt.NDArray) -> npt.NDArray[np.uint8]:
    """Return RootSIFT: L1-normalize each descriptor, then take the square root of each value.

    A few strong gradients then do not dominate the distance between two descriptors. The L2 norm
    of a RootSIFT descriptor is 1; it is scaled by ``DESCRIPTOR_NORM`` to fit into uint8.

    Source:
        Arandjelović and Zisserman (2012), doi:10.1109/CVPR.2012.6248018.
    """
    l1_normalized = sift / np.maximum(sift.sum(axis=1, keepdims=True), 1.0)  # (m, 128)
    return np.clip(np.sqrt(l1_normalized) * DESCRIPTOR_NORM + 0.5, 0, 255).astype(np.uint8)


def sort_pairs(pairs: Pairs) -> Pairs:
    """Return each pair once, the smaller number first, in ascending order."""
    return np.unique(np.sort(pairs, axis=1), axis=0)


def rank_in_group(sorted_keys: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the position of each entry among the entries with its key, from 0: (n,).

    ``searchsorted`` finds the first entry with the same key.
    """
    return np.arange(len(sorted_keys)) - np.searchsorted(sorted_keys, sorted_keys)
