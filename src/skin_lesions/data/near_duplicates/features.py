"""What is kept of each image: its keypoints with their descriptors, and a small grey picture."""

from contextlib import ExitStack
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from skin_lesions.core.parallel import ordered_map

KEYPOINTS = 300  # kept of each image, those with the strongest contrast
THUMBNAIL = 128  # pixels
Pairs = npt.NDArray[np.int64]  # (m, 2) row numbers, the smaller first

REFERENCE_SIZE = 256.0  # keypoints are in pixels of an image this large
DESCRIPTOR_NORM = 512.0  # length of a descriptor in its uint8 steps

# A mirrored SIFT descriptor is a permutation: 4 rows of cells change places, and in each cell the 8
# directions turn the other way round.
MIRRORED = np.arange(128).reshape(4, 4, 8)[::-1][:, :, -np.arange(8) % 8].ravel()


class ImageSequence(Protocol):
    """An array, (n, size, size, 3), or anything else that gives one image at a time."""

    def __len__(self) -> int: ...

    def __getitem__(self, number: int, /) -> npt.NDArray[np.uint8]: ...


@dataclass(frozen=True)
class FileArray:
    """Arrays of one shape and type in a file, each read when asked for.

    A memory map would do too, but what is read of it counts as this process's memory.
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
    """Features of n images, in files, the keypoints with the largest surroundings first.

    ``counts``: (n,) how many keypoints are there. ``keypoints``: (n, KEYPOINTS, 4) x, y, size in
    pixels of a 256-pixel image, angle in degrees. ``descriptors``: (n, KEYPOINTS, 128) RootSIFT.
    ``thumbnails``: (n, 128, 128) grey.
    """

    counts: npt.NDArray[np.int64]
    keypoints: FileArray
    descriptors: FileArray
    thumbnails: FileArray

    @classmethod
    def of(cls, counts: npt.NDArray[np.int64], folder: Path) -> "Features":
        """Return the features of images with these counts of keypoints, in files of that folder."""
        return cls(
            counts,
            FileArray(folder / "keypoints", np.float32, (KEYPOINTS, 4)),
            FileArray(folder / "descriptors", np.uint8, (KEYPOINTS, 128)),
            FileArray(folder / "thumbnails", np.uint8, (THUMBNAIL, THUMBNAIL)),
        )

    def __len__(self) -> int:
        return len(self.counts)

    def local_features(
        self, first: int, last: int, most: int = KEYPOINTS
    ) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
        """Return image, keypoint and descriptor of the first few keypoints of images first to last - 1."""
        there = np.arange(most) < self.counts[first:last, None]
        keypoints, descriptors = (
            column[first:last][:, :most][there] for column in (self.keypoints, self.descriptors)
        )
        return np.nonzero(there)[0] + first, keypoints, descriptors

    def thumbnail(self, image: int) -> npt.NDArray[np.uint8]:
        """Return (128, 128), grey."""
        return np.asarray(self.thumbnails[image : image + 1][0])


def describe(images: ImageSequence, rows: npt.NDArray[np.int64], folder: Path) -> Features:
    """Compute the features of these rows of ``images`` into files of that folder."""
    features = Features.of(np.zeros(len(rows), np.int64), folder)
    columns = (features.keypoints, features.descriptors, features.thumbnails)
    with ExitStack() as stack:
        files = [stack.enter_context(column.path.open("wb")) for column in columns]
        described = ordered_map(lambda row: _describe_image(images[row]), rows)
        for number, (keypoints, descriptors, thumbnail) in enumerate(described):
            features.counts[number] = len(keypoints)
            room = ((0, KEYPOINTS - len(keypoints)), (0, 0))
            for file, array in zip(
                files, (np.pad(keypoints, room), np.pad(descriptors, room), thumbnail), strict=True
            ):
                file.write(np.ascontiguousarray(array).data)
    return features


def _describe_image(
    image: npt.NDArray[np.uint8],
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8], npt.NDArray[np.uint8]]:
    grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
    side = (THUMBNAIL, THUMBNAIL)
    thumbnail = cv2.resize(grey, side, interpolation=cv2.INTER_AREA).astype(np.uint8, copy=False)
    # Skin has little contrast: without equalising it, most keypoints lie on hairs and the rim.
    even = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(grey)
    finder = cv2.SIFT.create(nfeatures=KEYPOINTS, contrastThreshold=0.01)
    found, sift = finder.detectAndCompute(even, None)
    if not found:
        return np.empty((0, 4), np.float32), np.empty((0, 128), np.uint8), thumbnail
    scale = REFERENCE_SIZE / len(grey)
    keypoints = np.array(
        [(k.pt[0] * scale, k.pt[1] * scale, k.size * scale, k.angle) for k in found], np.float32
    )
    # Keypoints with the same response come in no fixed order, and at times more than asked for.
    strength = np.array([k.response for k in found], np.float32)
    strongest = np.lexsort((*keypoints.T, -strength))[:KEYPOINTS]
    order = strongest[np.argsort(-keypoints[strongest, 2], kind="stable")]
    return keypoints[order], _root_sift(sift[order]), thumbnail


def _root_sift(sift: npt.NDArray) -> npt.NDArray[np.uint8]:
    """Return RootSIFT: the root of each share, so that few strong gradients don't rule a distance.

    Source:
        Arandjelović and Zisserman (2012), doi:10.1109/CVPR.2012.6248018.
    """
    shares = sift / np.maximum(sift.sum(axis=1, keepdims=True), 1.0)
    return np.clip(np.sqrt(shares) * DESCRIPTOR_NORM + 0.5, 0, 255).astype(np.uint8)


def sort_pairs(pairs: Pairs) -> Pairs:
    """Return each pair once, the smaller number first, sorted."""
    return np.unique(np.sort(pairs, axis=1), axis=0)
