"""Artifacts in dermoscopic images: hair, bubbles, ruler and vignette."""

import math

import numpy as np
from PIL import ImageDraw

from skin_lesions.data.sources.synthetic.drawing import (
    SUPERSAMPLING,
    Image,
    Rng,
    blend,
    shade,
    smooth_band,
    smoothstep,
    strokes,
)


def _hair(image: Image, rng: Rng) -> None:
    """Draw dark or light hairs with one main direction."""
    size = image.shape[1], image.shape[0]
    main_angle, curvature = rng.uniform(0, 2 * np.pi), rng.normal(0, 14)
    along = np.linspace(-1, 1, 12)

    def draw_hairs(brush: ImageDraw.ImageDraw) -> None:
        for _ in range(rng.integers(3, 14)):
            angle, length = main_angle + rng.normal(0, 0.35), rng.uniform(30, 90)
            # A parabola along u with its vertex in the middle, rotated by the angle.
            u, v = length * along, (curvature + rng.normal(0, 4)) * along**2
            x = math.cos(angle) * u - math.sin(angle) * v
            y = math.sin(angle) * u + math.cos(angle) * v
            points = np.stack([x, y], axis=1) + rng.uniform(0, 1, 2) * size
            width = round(rng.uniform(0.5, 1.2) * SUPERSAMPLING)
            brush.line([(a, b) for a, b in points * SUPERSAMPLING], fill=255, width=width)

    hair_color = (0.75, 0.65, 0.5) if rng.random() < 0.15 else (0.14, 0.09, 0.07)
    blend(image, hair_color, rng.uniform(0.6, 0.9) * strokes(draw_hairs, size))


def _vignette(image: Image, rng: Rng) -> None:
    """Draw the black rim of the tube of the dermatoscope."""
    rows, columns = image.shape[:2]
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    cx, cy = columns / 2 + rng.normal(0, 3), rows / 2 + rng.normal(0, 3)
    radius = rng.uniform(0.46, 0.56) * columns
    blend(image, (0.02, 0.02, 0.02), smoothstep(np.hypot(x - cx, y - cy), radius - 2, radius + 3))


def _bubbles(image: Image, rng: Rng) -> None:
    """Draw gel bubbles: bright rings with a highlight."""
    rows, columns = image.shape[:2]
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    for _ in range(rng.integers(1, 6)):
        dx, dy = x - rng.uniform(0, columns), y - rng.uniform(0, rows)
        radius = rng.uniform(3, 9)
        rho = np.hypot(dx, dy) / radius  # distance from the center in radii
        shade(image, 0.25 * smooth_band(rho, 1, 0.3) - 0.12 * smooth_band(rho, 0.75, 0.2))
        highlight = np.hypot(dx / radius + 0.4, dy / radius + 0.4)
        blend(image, (1, 1, 1), 0.8 * smoothstep(highlight, 0.3, 0.1))


def _ruler(image: Image, rng: Rng) -> None:
    """Draw the millimeter ticks of a ruler along one edge."""
    rows, columns = image.shape[:2]
    step, length = rng.uniform(6, 9), rng.uniform(5, 8)
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    if rng.random() < 0.5:
        x, y = y, x
    # Every fifth tick is longer.
    tick_length = np.where(np.round(x / step) % 5 == 0, 1.7, 1) * length
    tick = smoothstep(np.abs(x - step * np.round(x / step)), 1.1, 0.4) * (y < tick_length)
    blend(image, (0.1, 0.1, 0.12), 0.8 * tick.astype(np.float32))


# Probability of each artifact in a dermoscopic image. The order determines the random draws.
ARTIFACTS = ((0.3, _hair), (0.15, _bubbles), (0.12, _ruler), (0.3, _vignette))
