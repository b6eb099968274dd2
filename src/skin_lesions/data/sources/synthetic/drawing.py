"""Drawing primitives: fields (noise, lattices, outlines, spots, strokes) and color operations.

A field has one float per pixel of a square canvas, (SIZE, SIZE). An image is RGB in the range 0 to
1, (SIZE, SIZE, 3). Lengths are in canvas pixels, and (0, 0) is the center. The color operations
change the image in place.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

SIZE = 168  # width and height of the canvas, pixels
MIDDLE = (SIZE - 1) / 2  # row and column of the center
SUPERSAMPLING = 3  # factor by which strokes are drawn larger

Field = NDArray[np.floating]
Image = NDArray[np.float32]
Color = tuple[float, float, float]
Rng = np.random.Generator


@lru_cache(maxsize=1)
def grid() -> tuple[Field, Field]:
    """Return x and y of every pixel. x increases to the right, y downwards."""
    axis = np.arange(SIZE, dtype=np.float32) - np.float32(MIDDLE)
    x, y = np.meshgrid(axis, axis)
    x.flags.writeable = False
    y.flags.writeable = False
    return x, y


def value_noise(rng: Rng, scale: float, stretch: float = 1.0) -> Field:
    """Return smooth noise with a standard deviation of about 0.6.

    Args:
        rng: Draws the noise.
        scale: Vertical distance of the grid points, pixels.
        stretch: Horizontal distance of the grid points, relative to ``scale``.
    """
    rows = max(2, round(SIZE / scale)) + 1
    columns = max(2, round(SIZE / (scale * stretch))) + 1
    # One normal value per grid point, interpolated to the canvas.
    grid_values = rng.standard_normal((rows, columns), dtype=np.float32)
    return np.asarray(Pillow.fromarray(grid_values).resize((SIZE, SIZE), Pillow.Resampling.BICUBIC))


def fractal_noise(rng: Rng, scale: float) -> Field:
    """Return noise of three octaves, each with half the scale and half the amplitude."""
    return (
        value_noise(rng, scale) + value_noise(rng, scale / 2) / 2 + value_noise(rng, scale / 4) / 4
    )


def smoothstep(field: Field, low: float, high: float) -> Field:
    """Map ``low`` to 0 and ``high`` to 1 with the cubic 3t² - 2t³, constant beyond them.

    With ``low > high`` the result decreases with the field.
    """
    t = np.clip((field - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def smooth_band(field: Field, center: float, width: float) -> Field:
    """Return 1 where the field equals ``center``, decreasing to 0 at a distance of ``width``."""
    return smoothstep(np.abs(field - center), width, 0)


def lattice(rng: Rng, period: float, warp: float) -> Field:
    """Return a honeycomb: 1 in the center of the cells, 0 where the lines meet.

    The field is a sum of three plane waves at angles of 60 degrees.

    Args:
        rng: Draws the orientation and the warp.
        period: Distance of neighboring cells, pixels.
        warp: Strength of the distortion, pixels.
    """
    x, y = grid()
    x = x + warp * (value_noise(rng, 4 * period) + value_noise(rng, 1.5 * period) / 3)
    y = y + warp * (value_noise(rng, 4 * period) + value_noise(rng, 1.5 * period) / 3)
    # Wavenumber in radians per pixel. The sum of the cosines is in -1.5 to 3.
    angle, wavenumber = rng.uniform(0, np.pi), 4 * math.pi / math.sqrt(3) / period
    angles = (angle, angle + 2 * math.pi / 3, angle + 4 * math.pi / 3)
    total = sum(np.cos(wavenumber * (math.cos(a) * x + math.sin(a) * y)) for a in angles)
    return (np.asarray(total, np.float32) + 1.5) / 4.5


def outline(
    rng: Rng,
    radius: float,
    *,
    roughness: float = 0.05,
    aspect: float = 0.85,
    center: tuple[float, float] = (0, 0),
) -> Field:
    """Return the depth of each pixel inside an irregular closed outline.

    Args:
        rng: Draws the rotation and the waves of the outline.
        radius: Radius of the circle from which the outline deviates.
        roughness: Deviation as a fraction of the radius.
        aspect: Short diameter divided by long diameter.
        center: Center of the outline.

    Returns:
        Depth in pixels; negative outside.
    """
    x, y = grid()
    x, y = x - center[0], y - center[1]
    rotation, stretch = rng.uniform(0, np.pi), math.sqrt(aspect)
    # (u, v): coordinates rotated and scaled to the axes of the ellipse, in which it is a circle.
    u = (math.cos(rotation) * x + math.sin(rotation) * y) * stretch
    v = (math.cos(rotation) * y - math.sin(rotation) * x) / stretch
    polar_angle = np.arctan2(v, u)
    # relative_radius = 1 + sum of cosines with 2 to 7 periods, amplitude ~ 1 / sqrt(periods).
    waves = np.arange(2, 8)
    heights = roughness * rng.standard_normal(6) / np.sqrt(waves)
    angles = np.linspace(-np.pi, np.pi, 256)
    relative_radius = 1 + np.cos(angles[:, None] * waves + rng.uniform(0, 2 * np.pi, 6)) @ heights
    return (radius * np.interp(polar_angle, angles, relative_radius) - np.hypot(u, v)).astype(
        np.float32
    )


def strokes(
    draw: Callable[[ImageDraw.ImageDraw], None], size: Sequence[int] = (SIZE, SIZE)
) -> Field:
    """Return a field, 0 to 1, of what ``draw`` paints in white (255) on black, antialiased.

    The canvas of ``draw`` is ``SUPERSAMPLING`` times as wide and high; see ``to_canvas``.
    """
    large = Pillow.new("L", (int(size[0]) * SUPERSAMPLING, int(size[1]) * SUPERSAMPLING))
    draw(ImageDraw.Draw(large))
    return np.asarray(large.reduce(SUPERSAMPLING), np.float32) / 255


def to_canvas(points: NDArray[np.floating]) -> list[tuple[float, float]]:
    """Convert canvas coordinates, (n, 2), to the coordinates of ``strokes``."""
    return [(float(x), float(y)) for x, y in (points + MIDDLE + 0.5) * SUPERSAMPLING]


class Spots(NamedTuple):
    """Position of each pixel relative to its nearest spot.

    Attributes:
        rho: Distance from the center of the spot, in radii of the spot.
        light_offset: Offset from the center towards the light (upper left), in radii of the spot.
        spot_index: Index of the spot.
    """

    rho: Field
    light_offset: Field
    spot_index: NDArray[np.intp]


def spots(
    centers: NDArray[np.float64],
    radii: NDArray[np.floating],
    *,
    max_rho: float = 1.7,
    stretch: float = 1.0,
    angle: float = 0.0,
    edge_noise: Field | float = 0.0,
) -> Spots:
    """Place round or oval spots on the canvas.

    Args:
        centers: Centers of the spots, (n, 2).
        radii: Short radii of the spots, (n,).
        max_rho: Limit of rho, in radii. Pixels further away from all spots have this value.
        stretch: Long radius divided by short radius.
        angle: Direction of the long radius, radians.
        edge_noise: Added to rho, for irregular edges.
    """
    x, y = grid()
    rho = np.full((SIZE, SIZE), max_rho, np.float32)
    light_offset, spot_index = np.zeros_like(rho), np.zeros(rho.shape, np.intp)
    cos, sin = math.cos(angle), math.sin(angle)
    for i, ((px, py), radius) in enumerate(zip(centers, radii, strict=True)):
        # Only the window around the spot is computed.
        half_size = max_rho * radius * stretch + 1
        window = (_window(py + MIDDLE, half_size), _window(px + MIDDLE, half_size))
        dx, dy = (x[window] - px) / radius, (y[window] - py) / radius
        distance = np.hypot((cos * dx + sin * dy) / stretch, cos * dy - sin * dx)
        is_nearer = distance < rho[window]
        rho[window][is_nearer] = distance[is_nearer]
        light_offset[window][is_nearer] = -(dx + dy)[is_nearer] / np.sqrt(2)
        spot_index[window][is_nearer] = i
    rho = np.where(rho < max_rho, rho + edge_noise, rho).astype(np.float32)
    return Spots(rho, light_offset, spot_index)


def _window(center: float, half_size: float) -> slice:
    return slice(max(0, int(center - half_size)), max(0, int(center + half_size) + 2))


def poisson_disk_points(
    rng: Rng, n: int, min_distance: float, within: Field | None = None
) -> NDArray[np.float64]:
    """Return up to n random points with a minimum distance (Poisson disk sampling).

    Args:
        rng: Draws the points.
        n: Maximum number of points.
        min_distance: Minimum distance of two points, pixels.
        within: Points are drawn only where this field is positive; None: on the complete canvas.

    Returns:
        Points, (k, 2) with k at most n.
    """
    candidates = rng.uniform(-MIDDLE, MIDDLE, (max(60, 12 * n), 2))
    if within is not None:
        column, row = np.round(candidates + MIDDLE).astype(int).T
        candidates = candidates[within[row, column] > 0]
    points: list[NDArray[np.float64]] = []
    while len(candidates) and len(points) < n:
        points.append(candidates[0])
        candidates = candidates[np.hypot(*(candidates - candidates[0]).T) > min_distance]
    return np.array(points).reshape(-1, 2)


def blend(image: Image, color: Sequence[float] | Image, amount: Field) -> None:
    """Blend a color or another image into the image. ``amount`` is 0 to 1 in each pixel."""
    image += (np.asarray(color, np.float32) - image) * amount[..., None]


def absorb(image: Image, spectrum: Color, amount: Field) -> None:
    """Absorb light with a pigment (Beer-Lambert law).

    An amount of 1 absorbs the fraction ``1 - exp(-spectrum)`` of each channel.
    """
    image *= np.exp(-amount[..., None] * np.asarray(spectrum, np.float32))


def shade(image: Image, light: Field) -> None:
    """Brighten (above 0) or darken (below 0) the image by this fraction."""
    image *= 1 + light[..., None]
