"""Operations on gray images: weighted local mean, structuring element, correlation of pixels."""

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt

# From this standard deviation on, in pixels, two box filters replace the Gaussian. The time of a
# box filter does not depend on its width.
_MIN_SIGMA_OF_BOXES = 6.0


def pixel_correlation(
    a: npt.NDArray[np.float32], b: npt.NDArray[np.float32], min_contrast: float
) -> float:
    """Return the uncentered correlation of two vectors, (pixels,) both: a·b / (|a| |b|).

    It is 0 if the RMS of one of them is below ``min_contrast`` gray levels, which is noise.
    """
    energy_a = float(a @ a)
    energy_b = float(b @ b)
    # RMS² = energy / pixels
    if min(energy_a, energy_b) < min_contrast**2 * len(a):
        return 0.0
    return float(a @ b) / float(np.sqrt(energy_a * energy_b))


def square_element(margin: int) -> npt.NDArray[np.uint8]:
    """Return a structuring element that erodes a mask by ``margin`` pixels on each side."""
    return np.ones((2 * margin + 1, 2 * margin + 1), np.uint8)


def local_mean(
    gray: npt.NDArray[np.float32], weight: npt.NDArray[np.float32] | None, sigma: float
) -> npt.NDArray[np.float32]:
    """Return the local mean over the pixels with weight 1: blur(gray w) / blur(w).

    Otherwise, dark pixels would darken the mean of their neighbors. None: all pixels count.
    """
    return local_means([gray], weight, sigma)[0]


def local_means(
    images: Sequence[npt.NDArray[np.float32]],
    weight: npt.NDArray[np.float32] | None,
    sigma: float,
) -> list[npt.NDArray[np.float32]]:
    """Return the ``local_mean`` of several images with the same weight, which is blurred once."""

    def blur(image: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
        if sigma >= _MIN_SIGMA_OF_BOXES:
            # A box of w pixels has the variance (w² - 1) / 12; w is odd.
            width = 2 * round((np.sqrt(6 * sigma**2 + 1) - 1) / 2) + 1
            once = cv2.blur(image, (width, width))
            return cv2.blur(once, (width, width)).astype(np.float32, copy=False)
        return cv2.GaussianBlur(image, (0, 0), sigma).astype(np.float32, copy=False)

    if weight is None:
        return [blur(image) for image in images]
    total_weight = np.maximum(blur(weight), np.float32(0.01))
    means = (blur(image * weight) / total_weight for image in images)
    return [mean.astype(np.float32, copy=False) for mean in means]
