"""Visual vocabulary: product quantization of descriptors with Hamming embedding signatures.

Similar descriptors get the same visual word. A binary signature distinguishes the descriptors of
one word. A descriptor is the sum of an even part, which mirroring the image does not change, and
an odd part, whose sign it flips. Each visual word is a pair (even word, odd word), and the odd
words come in pairs of opposite sign. The word of the mirrored image is therefore known without
recomputing descriptors.

Source:
    Jégou, Douze and Schmid (2008), doi:10.1007/978-3-540-88682-2_24, for the signatures; Babenko
    and Lempitsky (2012), doi:10.1109/CVPR.2012.6248038, for the product of two vocabularies.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from skin_lesions.data.near_duplicates.features import DESCRIPTOR_NORM, MIRRORED

AXES = 32  # principal axes of each part; each axis gives one bit of the signature
WORD_AXES = 16  # number of leading principal axes that are used for quantization
# Mean number of descriptors per word, for any number of images: the cost of the search is linear.
DESCRIPTORS_PER_WORD = 16
MAX_WORDS = 2048  # maximum number of words of each part
TILE = 256  # descriptors per matrix product; distances to all centroids fit into one core's cache

Float = npt.NDArray[np.float32]


@dataclass(frozen=True)
class VisualVocabulary:
    """Maps descriptors to visual words and signatures. Pairs are (even part, odd part).

    ``mean``: (128,), of the even part; the odd part is not centered. ``axes``: (128, AXES)
    principal axes. ``centroids``: (k, WORD_AXES); the second half of the odd centroids is the
    negative of the first half. ``rotation``: (AXES, AXES), a random rotation, so that all bits of
    a signature carry about the same information.
    """

    mean: Float
    axes: tuple[Float, Float]
    centroids: tuple[Float, Float]
    rotation: tuple[Float, Float]

    def quantize(
        self, descriptors: npt.NDArray[np.uint8]
    ) -> tuple[npt.NDArray[np.uint16], npt.NDArray[np.uint32]]:
        """Return the two nearest words of each part and the signature of the descriptor for each.

        Each of the 32 bits of a signature is the side of the centroid on which the descriptor is,
        along one rotated axis.

        Returns:
            Words and signatures, both (m, 2, 2): descriptor, part, nearest and second nearest.
        """
        words = np.empty((len(descriptors), 2, 2), np.uint16)
        signatures = np.empty((len(descriptors), 2, 2), np.uint32)
        # Subtracting the even mean does not affect the odd part: the axes of the parts are
        # orthogonal.
        centered = normalize_descriptors(descriptors) - self.mean
        for part in (0, 1):
            projected = np.asarray(centered @ self.axes[part], np.float32)  # (m, AXES)
            nearest = _nearest(projected[:, :WORD_AXES], self.centroids[part], 2)  # (m, 2)
            # Centroids have WORD_AXES coordinates. The remaining ones are taken as zero.
            rotated_centroids = self.centroids[part] @ self.rotation[part][:WORD_AXES]  # (k, AXES)
            # (m, 1, AXES) > (m, 2, AXES) -> (m, 2, AXES), then 32 bits in one integer.
            bits = (projected @ self.rotation[part])[:, None] > rotated_centroids[nearest]
            words[:, part] = nearest
            signatures[:, part] = np.packbits(bits, axis=2).view(np.uint32)[..., 0]
        return words, signatures

    def combine_parts(
        self,
        words: npt.NDArray[np.uint16],
        signatures: npt.NDArray[np.uint32],
        mirrored: bool = False,
    ) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.uint64]]:
        """Combine even and odd parts into words and 64-bit signatures.

        Args:
            words: (m, 2, w) words of each part, as returned by ``quantize``.
            signatures: (m, 2, w) signatures of each part.
            mirrored: Return the words and signatures of the mirrored image.

        Returns:
            All combinations of an even and an odd word: words and signatures, both (m, w²).
        """
        (even, odd), (even_bits, odd_bits) = words.swapaxes(0, 1), signatures.swapaxes(0, 1)
        if mirrored:
            # The centroid of opposite sign is half a vocabulary away, and every side is the other.
            odd, odd_bits = (odd + self.words_per_part // 2) % self.words_per_part, ~odd_bits
        # word = even * words_per_part + odd; signature = 32 even bits, then 32 odd bits.
        word = even[:, :, None].astype(np.int32) * self.words_per_part + odd[:, None, :]
        signature = (
            even_bits[:, :, None].astype(np.uint64) << np.uint64(AXES) | odd_bits[:, None, :]
        )
        return word.reshape(len(words), -1), signature.reshape(len(words), -1)

    @property
    def words_per_part(self) -> int:
        """Return the number of words of one part."""
        return len(self.centroids[0])


def train_vocabulary(
    sample: npt.NDArray[np.uint8], total: int, rng: np.random.Generator
) -> VisualVocabulary:
    """Fit a visual vocabulary for ``total`` descriptors on a sample of them, (m, 128)."""
    descriptors = normalize_descriptors(sample)
    mirrored = descriptors[:, MIRRORED]
    even, odd = (descriptors + mirrored) / 2, (descriptors - mirrored) / 2
    mean = even.mean(axis=0)
    parts = even - mean, odd
    # PCA: eigh sorts eigenvalues in ascending order, so the last AXES columns come first here.
    axes = [np.linalg.eigh(part.T @ part)[1][:, : -AXES - 1 : -1] for part in parts]
    projected = [part @ axis[:, :WORD_AXES] for part, axis in zip(parts, axes, strict=True)]
    # k² words in total, so k is about sqrt(total / DESCRIPTORS_PER_WORD). k is even: 2 * half.
    half = min(int(np.sqrt(total / DESCRIPTORS_PER_WORD)), len(sample) // 8, MAX_WORDS - 2) // 2 + 1
    # Odd parts are flipped so that their first coordinate is positive. The other half of the
    # centroids is the negative of this half.
    positive_half = _kmeans(
        projected[1] * np.where(projected[1][:, :1] < 0, -1, 1).astype(np.float32), half, rng
    )
    centroids = (
        _kmeans(projected[0], 2 * half, rng),
        np.vstack([positive_half, -positive_half]),
    )
    rotation = [np.linalg.qr(rng.normal(size=(AXES, AXES)))[0].astype(np.float32) for _ in parts]
    return VisualVocabulary(mean, (axes[0], axes[1]), centroids, (rotation[0], rotation[1]))


def _kmeans(points: Float, k: int, rng: np.random.Generator, iterations: int = 5) -> Float:
    """Return k centroids (k, d) of points (m, d) by Lloyd's algorithm.

    The sums of scikit-learn's k-means depend on the number of threads, so it is not used here.
    """
    centroids = points[rng.choice(len(points), k, replace=False)]
    for _ in range(iterations):
        nearest = _nearest(points, centroids, 1)[:, 0]
        cluster_sizes = np.bincount(nearest, minlength=k)
        sums = [np.bincount(nearest, column, minlength=k) for column in points.T]  # d times (k,)
        means = np.stack(sums, axis=1) / np.maximum(cluster_sizes, 1)[:, None]
        # An empty cluster does not move.
        centroids = np.where(cluster_sizes[:, None] > 0, means, centroids).astype(np.float32)
    return centroids


def _nearest(points: Float, centroids: Float, count: int) -> npt.NDArray[np.int64]:
    """Return the numbers of the ``count`` nearest centroids of each point: (m, count), sorted."""
    # The nearest centroid c maximizes x·c - |c|²/2. With 1 appended to x and -|c|²/2 appended to c,
    # this is one matrix product.
    half_squared_norms = np.float32(0.5) * (centroids**2).sum(axis=1)
    extended_centroids = np.vstack([centroids.T, -half_squared_norms])  # (d + 1, k)
    nearest = np.empty((len(points), count), np.int64)
    for start in range(0, len(points), TILE):
        block = points[start : start + TILE]
        similarity = np.hstack([block, np.ones((len(block), 1), np.float32)]) @ extended_centroids
        for rank in range(count):
            best = similarity.argmax(axis=1)
            nearest[start : start + TILE, rank] = best
            similarity[np.arange(len(block)), best] = -np.inf
    return nearest


def normalize_descriptors(descriptors: npt.NDArray[np.uint8]) -> Float:
    """Return descriptors as float32 with L2 norm 1."""
    return np.asarray(descriptors, np.float32) / np.float32(DESCRIPTOR_NORM)
