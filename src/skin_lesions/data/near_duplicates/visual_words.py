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

from skin_lesions.data.near_duplicates.config import NearDuplicateConfig
from skin_lesions.data.near_duplicates.features import DESCRIPTOR_NORM, MIRRORED

# Principal axes of each part. Each axis gives one bit of the signature, which is a uint32.
AXES = 32

Float = npt.NDArray[np.float32]
Words = npt.NDArray[np.uint16]
Signatures = npt.NDArray[np.uint32]


@dataclass(frozen=True)
class VisualVocabulary:
    """Maps descriptors to visual words and signatures. Pairs are (even part, odd part).

    ``mean``: (128,), of the even part; the odd part is not centered. ``axes``: (128, AXES)
    principal axes. ``centroids``: (k, word axes); the second half of the odd centroids is the
    negative of the first half. ``rotation``: (AXES, AXES), a random rotation, so that all bits of
    a signature carry about the same information. ``tile``: descriptors per matrix product.
    """

    mean: Float
    axes: tuple[Float, Float]
    centroids: tuple[Float, Float]
    rotation: tuple[Float, Float]
    tile: int

    def quantize(self, descriptors: npt.NDArray[np.uint8]) -> tuple[Words, Signatures]:
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
        word_axes = self.centroids[0].shape[1]
        for part in (0, 1):
            projected = np.asarray(centered @ self.axes[part], np.float32)  # (m, AXES)
            nearest = _nearest(projected[:, :word_axes], self.centroids[part], 2, self.tile)
            # Centroids have word_axes coordinates. The remaining ones are taken as zero.
            rotated_centroids = self.centroids[part] @ self.rotation[part][:word_axes]  # (k, AXES)
            # (m, 1, AXES) > (m, 2, AXES) -> (m, 2, AXES), then 32 bits in one integer.
            bits = (projected @ self.rotation[part])[:, None] > rotated_centroids[nearest]
            words[:, part] = nearest
            signatures[:, part] = np.packbits(bits, axis=2).view(np.uint32)[..., 0]
        return words, signatures

    def combine_parts(
        self,
        words: Words,
        signatures: Signatures,
        *,
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
        even, odd = words[:, 0], words[:, 1]  # (m, w) both
        even_bits, odd_bits = signatures[:, 0], signatures[:, 1]
        if mirrored:
            # The centroid of opposite sign is half a vocabulary away.
            odd = (odd + self.words_per_part // 2) % self.words_per_part
            # The descriptor changes to the other side of the centroid along every axis.
            odd_bits = ~odd_bits
        # word = even * words_per_part + odd; signature = 32 even bits, then 32 odd bits.
        # Broadcasting gives all combinations: (m, w, 1) and (m, 1, w) -> (m, w, w).
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
    sample: npt.NDArray[np.uint8],
    total: int,
    rng: np.random.Generator,
    config: NearDuplicateConfig,
) -> VisualVocabulary:
    """Fit a visual vocabulary for ``total`` descriptors on a sample of them, (m, 128)."""
    descriptors = normalize_descriptors(sample)
    mirrored = descriptors[:, MIRRORED]
    even = (descriptors + mirrored) * np.float32(0.5)
    odd = (descriptors - mirrored) * np.float32(0.5)
    mean = even.mean(axis=0)  # the mean of the odd parts is 0 if mirrored images are included
    axes = (_principal_axes(even - mean), _principal_axes(odd))
    projected_even = (even - mean) @ axes[0][:, : config.word_axes]  # (m, word_axes)
    projected_odd = np.asarray(odd @ axes[1][:, : config.word_axes], np.float32)
    # k words of each part are k² words in total, so k is about sqrt(total / descriptors_per_word).
    k = min(
        int(np.sqrt(total / config.descriptors_per_word)),
        len(sample) // config.min_sample_per_word,
        config.max_words_per_part - 2,
    )
    half = k // 2 + 1  # so that the number of words of a part, 2 * half, is even
    # Odd parts are flipped so that their first coordinate is positive. The other half of the
    # centroids is the negative of this half.
    sign = np.where(projected_odd[:, :1] < 0, np.float32(-1), np.float32(1))  # (m, 1)
    positive_half = _kmeans(projected_odd * sign, half, rng, config)
    even_centroids = _kmeans(projected_even, 2 * half, rng, config)
    return VisualVocabulary(
        mean=mean,
        axes=axes,
        centroids=(even_centroids, np.vstack([positive_half, -positive_half])),
        rotation=(_random_rotation(rng), _random_rotation(rng)),
        tile=config.word_tile,
    )


def _principal_axes(part: Float) -> Float:
    """Return the leading principal axes of the rows of ``part``: (m, 128) -> (128, AXES)."""
    # eigh sorts eigenvalues in ascending order: the last AXES columns, in reverse order.
    eigenvectors = np.linalg.eigh(part.T @ part)[1]
    return eigenvectors[:, : -AXES - 1 : -1]


def _random_rotation(rng: np.random.Generator) -> Float:
    """Return a random orthogonal matrix, (AXES, AXES)."""
    return np.linalg.qr(rng.normal(size=(AXES, AXES)))[0].astype(np.float32)


def _kmeans(points: Float, k: int, rng: np.random.Generator, config: NearDuplicateConfig) -> Float:
    """Return k centroids (k, d) of points (m, d) by Lloyd's algorithm.

    The sums of scikit-learn's k-means depend on the number of threads, so it is not used here.
    """
    centroids = points[rng.choice(len(points), k, replace=False)]
    for _ in range(config.kmeans_iterations):
        nearest = _nearest(points, centroids, 1, config.word_tile)[:, 0]  # (m,)
        cluster_sizes = np.bincount(nearest, minlength=k)
        sums = [np.bincount(nearest, column, minlength=k) for column in points.T]  # d times (k,)
        means = np.stack(sums, axis=1) / np.maximum(cluster_sizes, 1)[:, None]
        # An empty cluster does not move.
        centroids = np.where(cluster_sizes[:, None] > 0, means, centroids).astype(np.float32)
    return centroids


def _nearest(points: Float, centroids: Float, count: int, tile: int) -> npt.NDArray[np.int64]:
    """Return the numbers of the nearest centroids of each point, the nearest one first.

    Args:
        points: (m, d).
        centroids: (k, d).
        count: Number of centroids to return per point.
        tile: Number of points per matrix product.

    Returns:
        (m, count) centroid numbers.
    """
    # The nearest centroid c maximizes x·c - |c|²/2. With 1 appended to x and -|c|²/2 appended to c,
    # this is one matrix product.
    half_squared_norms = np.float32(0.5) * (centroids**2).sum(axis=1)
    extended_centroids = np.vstack([centroids.T, -half_squared_norms])  # (d + 1, k)
    nearest = np.empty((len(points), count), np.int64)
    for start in range(0, len(points), tile):
        block = points[start : start + tile]
        extended_points = np.hstack([block, np.ones((len(block), 1), np.float32)])  # (tile, d + 1)
        similarity = extended_points @ extended_centroids  # (tile, k)
        for rank in range(count):
            best = similarity.argmax(axis=1)
            nearest[start : start + tile, rank] = best
            # The next maximum is the next nearest centroid.
            similarity[np.arange(len(block)), best] = -np.inf
    return nearest


def normalize_descriptors(descriptors: npt.NDArray[np.uint8]) -> Float:
    """Return descriptors as float32 with L2 norm 1."""
    return np.asarray(descriptors, np.float32) / np.float32(DESCRIPTOR_NORM)
