"""What drawings are made of: fields (noise, lattices, outlines, spots, strokes) and ways to mix them.

A field is one float per pixel of a square canvas; an image is RGB in 0 to 1. Lengths are canvas
pixels, with (0, 0) in the middle. Mixing changes the image in place.
"""

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw

SIZE = 168
MIDDLE = (SIZE - 1) / 2
SUPERSAMPLING = 3

Field = NDArray[np.floating]
Image = NDArray[np.float32]
Color = tuple[float, float, float]
Rng = np.random.Generator


@lru_cache(maxsize=1)
def grid() -> tuple[Field, Field]:
    """Return x and y of every pixel; x grows to the right, y downwards."""
    axis = np.arange(SIZE, dtype=np.float32) - np.float32(MIDDLE)
    x, y = np.meshgrid(axis, axis)
    x.flags.writeable = y.flags.writeable = False
    return x, y


def value_noise(rng: Rng, scale: float, stretch: float = 1.0) -> Field:
    """Return smooth noise, standard deviation about 0.6, with grains of that many pixels."""
    rows, columns = (max(2, round(SIZE / s)) + 1 for s in (scale, scale * stretch))
    grains = rng.standard_normal((rows, columns), dtype=np.float32)
    return np.asarray(Pillow.fromarray(grains).resize((SIZE, SIZE), Pillow.Resampling.BICUBIC))


def fractal_noise(rng: Rng, scale: float) -> Field:
    """Return noise of three scales, each half as coarse and half as strong as the one before."""
    return (
        value_noise(rng, scale) + value_noise(rng, scale / 2) / 2 + value_noise(rng, scale / 4) / 4
    )


def smoothstep(field: Field, low: float, high: float) -> Field:
    """Go smoothly from 0 where the field is ``low`` to 1 where it is ``high``; low > high falls."""
    t = np.clip((field - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def smooth_band(field: Field, center: float, width: float) -> Field:
    """Return 1 where the field is at the centre, falling to 0 at a width's distance."""
    return smoothstep(np.abs(field - center), width, 0)


def lattice(rng: Rng, period: float, warp: float) -> Field:
    """Return a honeycomb: 1 in the middle of its cells, 0 where its lines meet, bent by ``warp``.

    Three plane waves at 60 degrees; the warp is in pixels.
    """
    x, y = grid()
    x = x + warp * (value_noise(rng, 4 * period) + value_noise(rng, 1.5 * period) / 3)
    y = y + warp * (value_noise(rng, 4 * period) + value_noise(rng, 1.5 * period) / 3)
    turn, wave = rng.uniform(0, np.pi), 4 * math.pi / math.sqrt(3) / period
    angles = (turn, turn + 2 * math.pi / 3, turn + 4 * math.pi / 3)
    total = sum(np.cos(wave * (math.cos(a) * x + math.sin(a) * y)) for a in angles)
    return (np.asarray(total, np.float32) + 1.5) / 4.5


def outline(
    rng: Rng,
    radius: float,
    *,
    rough: float = 0.05,
    aspect: float = 0.85,
    center: tuple[float, float] = (0, 0),
) -> Field:
    """Return how deep a pixel lies within a closed wavy line: pixels, negative outside.

    Args:
        rng: Draws turn and waves.
        radius: Of the circle that the line deviates from.
        rough: Deviation as a share of the radius.
        aspect: Short over long diameter.
        center: Of the line.
    """
    x, y = grid()
    x, y = x - center[0], y - center[1]
    turn, stretch = rng.uniform(0, np.pi), math.sqrt(aspect)
    u = (math.cos(turn) * x + math.sin(turn) * y) * stretch
    v = (math.cos(turn) * y - math.sin(turn) * x) / stretch
    angle = np.arctan2(v, u)
    waves = np.arange(2, 8)
    heights = rough * rng.standard_normal(6) / np.sqrt(waves)
    table = np.linspace(-np.pi, np.pi, 256)
    edge = 1 + np.cos(table[:, None] * waves + rng.uniform(0, 2 * np.pi, 6)) @ heights
    return (radius * np.interp(angle, table, edge) - np.hypot(u, v)).astype(np.float32)


def strokes(
    draw: Callable[[ImageDraw.ImageDraw], None], size: Sequence[int] = (SIZE, SIZE)
) -> Field:
    """Return what Pillow draws in white (255) on black, smooth-edged; see ``pen``.

    The brush works on a canvas ``SUPERSAMPLING`` times as wide and high.
    """
    large = Pillow.new("L", (int(size[0]) * SUPERSAMPLING, int(size[1]) * SUPERSAMPLING))
    draw(ImageDraw.Draw(large))
    return np.asarray(large.reduce(SUPERSAMPLING), np.float32) / 255


def to_canvas(points: NDArray[np.floating]) -> list[tuple[float, float]]:
    """Turn (n, 2) canvas coordinates into those of ``strokes``."""
    return [(float(x), float(y)) for x, y in (points + MIDDLE + 0.5) * SUPERSAMPLING]


class Spots(NamedTuple):
    """Round things seen from each pixel: the nearest one decides.

    ``rho`` is the distance from its middle in its radii, ``lit`` how far the pixel lies towards
    the light in its radii, ``owner`` which one it is.
    """

    rho: Field
    lit: Field
    owner: NDArray[np.intp]


def spots(
    places: NDArray[np.float64],
    radii: NDArray[np.floating],
    *,
    reach: float = 1.7,
    stretch: float = 1.0,
    turn: float = 0.0,
    wobble: Field | float = 0.0,
) -> Spots:
    """Lay round or oval spots on the canvas.

    Args:
        places: (n, 2) middles.
        radii: (n,) short radii.
        reach: How many radii around each middle are filled in; beyond, rho is ``reach``.
        stretch: Long over short radius.
        turn: Direction of the long radius, in radians.
        wobble: Added to rho, to make edges uneven.
    """
    x, y = grid()
    rho = np.full((SIZE, SIZE), reach, np.float32)
    lit, owner = np.zeros_like(rho), np.zeros(rho.shape, np.intp)
    cos, sin = math.cos(turn), math.sin(turn)
    for i, ((px, py), radius) in enumerate(zip(places, radii, strict=True)):
        size = reach * radius * stretch + 1
        window = tuple(
            slice(max(0, int(p - size)), max(0, int(p + size) + 2))
            for p in (py + MIDDLE, px + MIDDLE)
        )
        dx, dy = (x[window] - px) / radius, (y[window] - py) / radius
        distance = np.hypot((cos * dx + sin * dy) / stretch, cos * dy - sin * dx)
        nearer = distance < rho[window]
        rho[window][nearer] = distance[nearer]
        lit[window][nearer] = -(dx + dy)[nearer] / np.sqrt(2)
        owner[window][nearer] = i
    rho = np.where(rho < reach, rho + wobble, rho).astype(np.float32)
    return Spots(rho, lit, owner)


def poisson_disk_points(
    rng: Rng, n: int, apart: float, within: Field | None = None
) -> NDArray[np.float64]:
    """Return up to n random places with a distance between them.

    Args:
        rng: Draws the places.
        n: How many at most.
        apart: Least distance.
        within: Places only where this field is positive; everywhere without it.
    """
    free = rng.uniform(-MIDDLE, MIDDLE, (max(60, 12 * n), 2))
    if within is not None:
        column, row = np.round(free + MIDDLE).astype(int).T
        free = free[within[row, column] > 0]
    chosen: list[NDArray[np.float64]] = []
    while len(free) and len(chosen) < n:
        chosen.append(free[0])
        free = free[np.hypot(*(free - free[0]).T) > apart]
    return np.array(chosen).reshape(-1, 2)


def blend(image: Image, color: Sequence[float] | Image, amount: Field) -> None:
    """Mix a colour (or a picture) into the image, by 0 to 1 in each pixel."""
    image += (np.asarray(color, np.float32) - image) * amount[..., None]


def absorb(image: Image, spectrum: Color, amount: Field) -> None:
    """Let a pigment swallow light: amount 1 takes ``1 - exp(-spectrum)``, whatever lies below."""
    image *= np.exp(-amount[..., None] * np.asarray(spectrum, np.float32))


def shade(image: Image, light: Field) -> None:
    """Brighten (above 0) or darken (below 0) by that share."""
    image *= 1 + light[..., None]
