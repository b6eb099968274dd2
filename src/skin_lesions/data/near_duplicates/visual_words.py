"""Visual words: descriptors that are alike fall on one word, and a signature tells them apart there.

A descriptor is the sum of an even part, which a mirror leaves as it is, and an odd part, whose sign
a mirror changes. A word is a pair of words, one for each part, and the odd ones come in pairs of
opposite sign: so it is known without reckoning how a mirrored image would be spelt.

Source:
    Jégou, Douze and Schmid (2008), doi:10.1007/978-3-540-88682-2_24, for the signatures; Babenko
    and Lempitsky (2012), doi:10.1109/CVPR.2012.6248038, for words that are pairs of shorter ones.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skin_lesions.data.near_duplicates.features import DESCRIPTOR_NORM, MIRRORED

AXES = 32  # principal ones of each part; each gives a bit of the signature
WORD_AXES = 16  # the first of them, which tell the words apart
DESCRIPTORS_PER_WORD = (
    16  # descriptors on average, whatever the number of images: so the cost stays linear
)
MAX_WORDS = 2048  # of each part
CACHED = 256  # descriptors whose distances to all centres fit into the cache of a core

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class VisualVocabulary:
    """Turns descriptors into words and signatures; of each pair, the first is of the even part.

    ``mean``: (128,), even. ``axes``: (128, AXES) the principal ones. ``centres``: (k, WORD_AXES);
    the second half of the odd ones is opposite to the first. ``mixing``: (AXES, AXES), a rotation,
    so that all bits tell as much.
    """

    mean: Float
    axes: tuple[Float, Float]
    centroids: tuple[Float, Float]
    mixing: tuple[Float, Float]

    def quantize(
        self, descriptors: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint32]]:
        """Return the two nearest words of each part, and the signatures there: (m, 2, 2) both.

        A signature tells on which side of its centre a descriptor lies, in 32 directions.
        """
        words = np.empty((len(descriptors), 2, 2), np.uint16)
        signatures = np.empty((len(descriptors), 2, 2), np.uint32)
        centred = unit(descriptors) - self.mean
        for part in (0, 1):
            projected = np.asarray(centred @ self.axes[part], np.float32)
            nearest = _nearest(projected[:, :WORD_AXES], self.centroids[part], 2)
            there = self.centroids[part] @ self.mixing[part][:WORD_AXES]
            sides = (projected @ self.mixing[part])[:, None] > there[nearest]
            words[:, part] = nearest
            signatures[:, part] = np.packbits(sides, axis=2).view(np.uint32)[..., 0]
        return words, signatures

    def combine_parts(
        self,
        words: npt.NDArray[np.uint16],
        signatures: npt.NDArray[np.uint32],
        mirrored: bool = False,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint64]]:
        """Join the parts, (m, 2, w) both, to the w² whole words of each descriptor: (m, w²) both."""
        (even, odd), (sides, odd_sides) = words.swapaxes(0, 1), signatures.swapaxes(0, 1)
        if mirrored:
            odd, odd_sides = (odd + self.per_part // 2) % self.per_part, ~odd_sides
        word = even[:, :, None].astype(np.int32) * self.per_part + odd[:, None, :]
        signature = sides[:, :, None].astype(np.uint64) << np.uint64(AXES) | odd_sides[:, None, :]
        return word.reshape(len(words), -1), signature.reshape(len(words), -1)

    @property
    def per_part(self) -> int:
        """Count the words of one part."""
        return len(self.centroids[0])


def train_vocabulary(
    sample: npt.NDArray[np.uint8], total: int, rng: np.random.Generator
) -> VisualVocabulary:
    """Learn words for this many descriptors from a sample of them, (m, 128)."""
    described = unit(sample)
    mirrored = described[:, MIRRORED]
    even, odd = (described + mirrored) / 2, (described - mirrored) / 2
    mean = even.mean(axis=0)
    parts = even - mean, odd
    axes = [np.linalg.eigh(part.T @ part)[1][:, : -AXES - 1 : -1] for part in parts]
    first = [part @ axis[:, :WORD_AXES] for part, axis in zip(parts, axes, strict=True)]
    half = min(int(np.sqrt(total / DESCRIPTORS_PER_WORD)), len(sample) // 8, MAX_WORDS - 2) // 2 + 1
    # Flipped so that the first odd coordinate is positive: the other half of the words mirrors them.
    upright = _kmeans(first[1] * np.where(first[1][:, :1] < 0, -1, 1).astype(np.float32), half, rng)
    centroids = _kmeans(first[0], 2 * half, rng), np.vstack([upright, -upright])
    mixing = [np.linalg.qr(rng.normal(size=(AXES, AXES)))[0].astype(np.float32) for _ in parts]
    return VisualVocabulary(mean, (axes[0], axes[1]), centroids, (mixing[0], mixing[1]))


def _kmeans(points: Float, k: int, rng: np.random.Generator, rounds: int = 5) -> Float:
    """Return k means by Lloyd's rounds; scikit-learn's sums differ with the number of threads."""
    centroids = points[rng.choice(len(points), k, replace=False)]
    for _ in range(rounds):
        nearest = _nearest(points, centroids, 1)[:, 0]
        size = np.bincount(nearest, minlength=k)
        sums = [np.bincount(nearest, column, minlength=k) for column in points.T]
        means = np.stack(sums, axis=1) / np.maximum(size, 1)[:, None]
        centroids = np.where(size[:, None] > 0, means, centroids).astype(np.float32)
    return centroids


def _nearest(points: Float, centroids: Float, which: int) -> npt.NDArray[np.int64]:
    """Return the numbers of the nearest centres of each point: (m, which), the nearest first."""
    # The nearest centre c has the largest x·c - |c|²/2: the last factor makes this one product.
    lengths = np.float32(0.5) * (centroids**2).sum(axis=1)
    factors = np.vstack([centroids.T, -lengths])
    found = np.empty((len(points), which), np.int64)
    for start in range(0, len(points), CACHED):
        block = points[start : start + CACHED]
        close = np.hstack([block, np.ones((len(block), 1), np.float32)]) @ factors
        for place in range(which):
            best = close.argmax(axis=1)
            found[start : start + CACHED, place] = best
            close[np.arange(len(block)), best] = -np.inf
    return found


def unit(descriptors: npt.NDArray[np.uint8]) -> Float:
    """Return descriptors of length 1."""
    return np.asarray(descriptors, np.float32) / np.float32(DESCRIPTOR_NORM)
