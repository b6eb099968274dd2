"""Image features: the SIFT keypoints with RootSIFT descriptors and a gray thumbnail of each image.

The features are stored in files, so that memory use hardly grows with the number of images.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from skin_lesions.core.parallel import ordered_map

KEYPOINTS = 300  # maximum number of keypoints per image: those with the strongest response
THUMBNAIL = 128  # width and height of a thumbnail, pixels
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
class Features:
    """Features of n images, stored in files. Keypoints are sorted by size, the largest first.

    ``counts``: (n,) number of keypoints of each image. ``keypoints``: (n, KEYPOINTS, 4) x, y and
    size in pixels of a 256-pixel image, and angle in degrees. ``descriptors``: (n, KEYPOINTS, 128)
    RootSIFT. ``thumbnails``: (n, 128, 128) gray. Rows beyond ``counts`` are zero.
    """

    counts: npt.NDArray[np.int64]
    keypoints: FileArray
    descriptors: FileArray
    thumbnails: FileArray

    @classmethod
    def of(cls, counts: npt.NDArray[np.int64], folder: Path) -> "Features":
        """Return the features of images with these keypoint counts, in files of this folder."""
        return cls(
            counts,
            FileArray(folder / "keypoints", np.float32, (KEYPOINTS, 4)),
            FileArray(folder / "descriptors", np.uint8, (KEYPOINTS, 128)),
            FileArray(folder / "thumbnails", np.uint8, (THUMBNAIL, THUMBNAIL)),
        )

    def __len__(self) -> int:
        return len(self.counts)

    def local_features(
        self, first: int, last: int, max_keypoints: int = KEYPOINTS
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """Return the local features of the images ``first`` to ``last - 1``.

        Returns:
            Image number (m,), keypoint (m, 4) and descriptor (m, 128) of at most ``max_keypoints``
            keypoints per image, the largest keypoints first.
        """
        is_present = np.arange(max_keypoints) < self.counts[first:last, None]  # (images, keypoints)
        keypoints, descriptors = (
            column[first:last][:, :max_keypoints][is_present]
            for column in (self.keypoints, self.descriptors)
        )
        return np.nonzero(is_present)[0] + first, keypoints, descriptors

    def thumbnail(self, image: int) -> npt.NDArray[np.uint8]:
        """Return the gray thumbnail of one image, (128, 128)."""
        return np.asarray(self.thumbnails[image : image + 1][0])


def describe(images: ImageSequence, rows: npt.NDArray[np.int64], folder: Path) -> Features:
    """Compute the features of these rows of ``images`` and write them to files in ``folder``."""
    features = Features.of(np.zeros(len(rows), np.int64), folder)
    columns = (features.keypoints, features.descriptors, features.thumbnails)
    with ExitStack() as stack:
        files = [stack.enter_context(column.path.open("wb")) for column in columns]
        described = ordered_map(lambda row: _describe_image(images[row]), rows)
        for number, (keypoints, descriptors, thumbnail) in enumerate(described):
            features.counts[number] = len(keypoints)
            # Zero padding to KEYPOINTS rows, so that all images have the same size in the file.
            padding = ((0, KEYPOINTS - len(keypoints)), (0, 0))
            for file, array in zip(
                files,
                (np.pad(keypoints, padding), np.pad(descriptors, padding), thumbnail),
                strict=True,
            ):
                file.write(np.ascontiguousarray(array).data)
    return features


def _describe_image(
    image: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    """Return keypoints (m, 4), descriptors (m, 128) and thumbnail (128, 128) of an RGB image."""
    gray = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    size = (THUMBNAIL, THUMBNAIL)
    thumbnail = cv2.resize(gray, size, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    # Skin has low contrast. Without histogram equalization (CLAHE), most keypoints are on hairs
    # and on the rim of the dermatoscope.
    equalized = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(gray)
    detector = cv2.SIFT.create(nfeatures=KEYPOINTS, contrastThreshold=0.01)
    detected, sift = detector.detectAndCompute(equalized, None)
    if not detected:
        return np.empty((0, 4), np.float32), np.empty((0, 128), np.uint8), thumbnail
    scale = REFERENCE_SIZE / len(gray)
    keypoints = np.array(
        [(k.pt[0] * scale, k.pt[1] * scale, k.size * scale, k.angle) for k in detected], np.float32
    )
    # OpenCV returns keypoints of equal response in no fixed order, and sometimes more than
    # nfeatures. Ties are therefore sorted by x, y, size and angle.
    response = np.array([k.response for k in detected], np.float32)
    strongest = np.lexsort((*keypoints.T, -response))[:KEYPOINTS]
    order = strongest[np.argsort(-keypoints[strongest, 2], kind="stable")]
    return keypoints[order], _root_sift(sift[order]), thumbnail


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
