"""Comparison of the overlap: correlation of two aligned images, cell by cell.

Lines and edges of overlays, such as hair or a ruler, are not sufficient for equality.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from skin_lesions.data.near_duplicates.config import NearDuplicateConfig
from skin_lesions.data.near_duplicates.features import ImageFeatures
from skin_lesions.data.near_duplicates.gray_images import (
    local_mean,
    local_means,
    pixel_correlation,
    square_element,
)


@dataclass(frozen=True)
class Overlap:
    """Comparison of the common part of two aligned images, cell by cell.

    ``fixed``: (G, G) gray levels of the coarser image. ``moving``: (G, G) the finer image in the
    same frame, with the values of ``fixed`` outside of it. ``details``: (G, G) band-pass of each of
    them. ``is_inside``: (G, G) 1 inside of both images, otherwise 0. ``correlations``: (cells,)
    Pearson correlation of each cell. NaN: the cell is not inside of both images, or one of them is
    flat there. ``num_cells``: number of cells inside of both images, flat or not.
    """

    fixed: npt.NDArray[np.float32]
    moving: npt.NDArray[np.float32]
    details: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]
    is_inside: npt.NDArray[np.uint8]
    correlations: npt.NDArray[np.float32]
    num_cells: int

    @property
    def is_flat(self) -> bool:
        """Whether no cell can be compared."""
        return bool(np.isnan(self.correlations).all())

    def is_equal(self, config: NearDuplicateConfig) -> bool:
        """Return whether both images show the same in most of the cells.

        Lines and edges of an overlay, such as hair, a ruler or a rim, are not sufficient. Either
        the coarse structure, such as the shape of a lesion, must be equal too. Or the texture
        between the lines must be equal, and only few cells may be flat. Noise reduces the
        correlation of the texture, but not that of the coarse structure.
        """
        used = self.correlations[~np.isnan(self.correlations)]
        if len(used) < config.min_cells:
            return False
        median = float(np.median(used))
        if median < config.min_noisy_cell_correlation:
            return False
        # Lines also change the band-pass of the pixels around them, so they are left out before.
        skin = self._texture_mask(config)
        coarse = _coarse_correlation(self.fixed, self.moving, skin, config)
        if coarse >= config.min_coarse_correlation:
            return True
        return median >= config.min_cell_correlation and self._has_equal_texture(skin, config)

    def _texture_mask(self, config: NearDuplicateConfig) -> npt.NDArray[np.float32]:
        """Return 1 for pixels without lines and edges in both aligned images, otherwise 0: (G, G).

        Lines and edges have more contrast than ``texture_contrast`` times the lower quartile, which
        still belongs to the texture if an overlay covers half of the image. Strong lines raise it,
        so the search is repeated without the lines that are known. Cells without any
        texture, such as those of a caption, do not count: with a quarter of them, the quartile
        would be about zero, and all of the skin would be lines.
        """
        mask = self.is_inside.astype(np.float32)
        cells = _cell_correlations(*self.details, mask, config.min_texture_contrast, config)
        has_texture = _from_cells(~np.isnan(cells), mask.shape)
        is_line = np.zeros(mask.shape, bool)
        details: Sequence[npt.NDArray[np.float32]] = self.details
        for number in range(config.line_passes):
            inside = mask > 0
            # Every fourth pixel is sufficient for a quartile.
            sample = np.flatnonzero(inside & has_texture)[::4]
            if not sample.size:
                break
            if number:
                details = _band_passes((self.fixed, self.moving), mask, config)
            for detail in details:
                contrast = np.abs(detail)
                values = contrast.ravel()[sample]
                rank = len(values) // 4  # a quarter of the values is lower
                lower_quartile = float(np.partition(values, rank)[rank])
                is_line |= inside & (contrast > config.texture_contrast * lower_quartile)
            near_line = cv2.dilate(is_line.astype(np.uint8), square_element(config.line_margin)) > 0
            mask = np.where(near_line, np.float32(0), mask).astype(np.float32)
        return mask

    def _has_equal_texture(
        self, skin: npt.NDArray[np.float32], config: NearDuplicateConfig
    ) -> bool:
        """Return whether pixels without lines (``skin`` is 1) correlate in most of the cells.

        Two subjects on one background are equal in half of the cells only. Their median may be
        large, but their lower quartile is not.
        """
        x, y = _band_passes((self.fixed, self.moving), skin, config)
        texture = _cell_correlations(x, y, skin, config.min_texture_contrast, config)
        textured = texture[~np.isnan(texture) & ~np.isnan(self.correlations)]
        if len(textured) < max(1, config.min_textured_fraction * self.num_cells):
            return False
        lower_quartile, median = np.quantile(textured, [0.25, 0.5]).tolist()
        return bool(
            median >= config.min_texture_correlation
            and lower_quartile >= config.min_lower_texture_correlation
        )


def compare_overlap(
    a: ImageFeatures,
    b: ImageFeatures,
    affine: npt.NDArray[np.float64],
    config: NearDuplicateConfig,
    *,
    mirrored: bool,
) -> Overlap:
    """Align the two images and correlate them in each cell of the coarser one.

    Some content is the same in many images: black corners of two rotated images, a rim, a ruler,
    a caption, a watermark, hair. Its keypoints agree, and its cells correlate well. But either
    these cells are few, or only their lines and edges correlate, and not the skin between them.

    Args:
        a: Features of the first image.
        b: Features of the second image.
        affine: (2, 3) map from the first to the second image, reference pixels.
        config: Sizes and limits of the cells.
        mirrored: The map leads to the mirrored second image.
    """
    image_a = a.gray.astype(np.float32)
    image_b = (b.gray[:, ::-1] if mirrored else b.gray).astype(np.float32)
    # (3, 3) map between the squares: gray pixels of a -> reference pixels -> gray pixels of b.
    to_b = (
        np.linalg.inv(_gray_to_reference(b.frame, len(b.gray)))
        @ np.vstack([affine, [0, 0, 1]])
        @ _gray_to_reference(a.frame, len(a.gray))
    )
    magnification = float(np.sqrt(abs(np.linalg.det(to_b))))  # gray pixels of b per pixel of a
    # The finer image is warped onto the coarser one.
    if magnification >= 1:
        fixed = image_a
        warped, is_inside = _warp(image_b, to_b, magnification, config)
    else:
        fixed = image_b
        warped, is_inside = _warp(image_a, np.linalg.inv(to_b), 1 / magnification, config)
    # Pixels outside of the other image get the value of the fixed one, so that the filter creates
    # no edges there.
    moving = np.where(is_inside > 0, warped, fixed).astype(np.float32)
    x, y = _band_passes((fixed, moving), None, config)
    inside = _to_cells(is_inside, config.cell_size).mean(axis=1)  # (cells,) fraction of the pixels
    is_common = inside >= config.min_cell_overlap
    everything = np.ones_like(fixed)
    cells = _cell_correlations(x, y, everything, config.min_cell_contrast, config)
    cells[~is_common] = np.nan
    return Overlap(fixed, moving, (x, y), is_inside, cells, int(is_common.sum()))


def _gray_to_reference(frame: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float64]:
    """Return the (3, 3) map from pixel indices of a gray square to reference pixels.

    The center of pixel i is at (i + 0.5) * width / size.
    """
    scale_x, scale_y = frame.astype(np.float64) / size
    return np.array([[scale_x, 0, scale_x / 2], [0, scale_y, scale_y / 2], [0, 0, 1]])


def _warp(
    moving: npt.NDArray[np.float32],
    affine: npt.NDArray[np.float64],
    magnification: float,
    config: NearDuplicateConfig,
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.uint8]]:
    """Warp the finer image onto the coarser one.

    Returns:
        Gray levels, negative outside of the finer image, and a mask (0 or 1) of the pixels inside
        of it, without a margin: (G, G) both.
    """
    if magnification > 1:
        # Antialiasing: reduce the finer image to the resolution of the coarser one.
        sigma = 0.5 * float(np.sqrt(magnification**2 - 1))
        moving = cv2.GaussianBlur(moving, (0, 0), max(sigma, 0.1)).astype(np.float32, copy=False)
    # WARP_INVERSE_MAP: the map leads from the output (coarser) to the input (finer image). The
    # large negative value outside makes all interpolated pixels at the border negative.
    warped = cv2.warpAffine(
        moving,
        affine[:2],
        moving.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderValue=-1e6,
    ).astype(np.float32, copy=False)
    is_inside = cv2.erode((warped >= 0).astype(np.uint8), square_element(config.overlap_margin))
    return warped, is_inside.astype(np.uint8, copy=False)


def _band_passes(
    images: Sequence[npt.NDArray[np.float32]],
    weight: npt.NDArray[np.float32] | None,
    config: NearDuplicateConfig,
) -> list[npt.NDArray[np.float32]]:
    """Return the difference of two local means, which retains structure of a few pixels.

    Only pixels with weight 1 count; None: all pixels. The images are (G, G), as the results.
    """
    fine = local_means(images, weight, config.fine_blur)
    coarse = local_means(images, weight, config.coarse_blur)
    return [np.asarray(f - c, np.float32) for f, c in zip(fine, coarse, strict=True)]


def _cell_correlations(
    x: npt.NDArray[np.float32],
    y: npt.NDArray[np.float32],
    weight: npt.NDArray[np.float32],
    min_contrast: float,
    config: NearDuplicateConfig,
) -> npt.NDArray[np.float32]:
    """Return the Pearson correlation of the pixels with weight 1 in each cell: (cells,).

    It is mean(x y) / (std(x) std(y)) of centered x and y; NaN if too few pixels have weight 1, or
    an image is flat.
    """
    # (cells, pixels of a cell) each.
    x_cells = _to_cells(x, config.cell_size)
    y_cells = _to_cells(y, config.cell_size)
    weights = _to_cells(weight, config.cell_size)
    n = np.maximum(weights.sum(axis=1, keepdims=True), 1)  # (cells, 1)
    x_centered = (x_cells - (x_cells * weights).sum(axis=1, keepdims=True) / n) * weights
    y_centered = (y_cells - (y_cells * weights).sum(axis=1, keepdims=True) / n) * weights
    n = n[:, 0]
    covariance = (x_centered * y_centered).sum(axis=1) / n  # gray levels squared
    std_product = np.sqrt((x_centered**2).sum(axis=1) / n * ((y_centered**2).sum(axis=1) / n))
    has_pixels = n >= config.min_texture_fraction * config.cell_size**2
    used = has_pixels & (std_product > min_contrast)
    correlations = np.full(len(n), np.nan, np.float32)
    correlations[used] = covariance[used] / std_product[used]
    return correlations


def _coarse_correlation(
    fixed: npt.NDArray[np.float32],
    moving: npt.NDArray[np.float32],
    skin: npt.NDArray[np.float32],
    config: NearDuplicateConfig,
) -> float:
    """Return the correlation of the coarse structure of two aligned images where ``skin`` is 1.

    The dark rim of the dermatoscope is left out, as in ``_structure``.
    """
    size = (config.structure_size, config.structure_size)
    fraction = cv2.resize(skin, size, interpolation=cv2.INTER_AREA)  # of each structure pixel
    valid = fraction >= config.min_skin_fraction
    details = []
    for image in (fixed, moving):
        # The mean gray level of the skin in each structure pixel.
        total = cv2.resize(image * skin, size, interpolation=cv2.INTER_AREA)
        small = np.asarray(total / np.maximum(fraction, 0.01), np.float32)
        bright = ((small > config.dark_level) | (fraction < config.min_skin_fraction)).astype(
            np.float32
        )
        weight = np.asarray(bright * (fraction >= config.min_skin_fraction), np.float32)
        fine = local_mean(small, weight, config.coarse_fine_blur)
        coarse = local_mean(small, weight, config.coarse_coarse_blur)
        details.append(np.asarray(fine - coarse, np.float32))
        valid &= cv2.erode(bright, square_element(config.dark_margin)) > 0
    if valid.sum() < config.min_coarse_pixels:
        return 0.0
    centered = []
    for detail in details:
        clipped = np.clip(detail, -config.clip_level, config.clip_level)[valid]
        centered.append((clipped - clipped.mean()).astype(np.float32))
    return pixel_correlation(centered[0], centered[1], config.min_coarse_contrast)


def _to_cells(field: npt.NDArray, cell_size: int) -> npt.NDArray:
    """Divide a square field into cells: (256, 256) -> (256 cells, 256 pixels of a cell)."""
    cells = len(field) // cell_size  # cells in each row
    blocks = field.reshape(cells, cell_size, cells, cell_size)  # row, y in it, column, x in it
    return blocks.swapaxes(1, 2).reshape(cells * cells, cell_size * cell_size)


def _from_cells(cells: npt.NDArray[np.bool_], shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Return the value of the cell of each pixel: (256 cells,) -> ``shape``, (256, 256)."""
    per_row = round(np.sqrt(len(cells)))
    size = shape[0] // per_row
    return np.repeat(np.repeat(cells.reshape(per_row, per_row), size, axis=0), size, axis=1)
