"""Dermoscopic structures: network, globules, veil, streaks, nests, vessels, scale and others.

Each function draws one structure into an image in place. ``depth`` is the depth of each pixel in
the lesion (see ``outline``); ``where`` and ``body`` are the weights, 0 to 1, of each pixel.
"""

import math

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from skin_lesions.data.sources.synthetic.drawing import (
    SUPERSAMPLING,
    Color,
    Field,
    Image,
    Rng,
    absorb,
    blend,
    fractal_noise,
    grid,
    lattice,
    outline,
    poisson_disk_points,
    smooth_band,
    smoothstep,
    spots,
    strokes,
    to_canvas,
    value_noise,
)
from skin_lesions.data.sources.synthetic.skin import MELANIN, flush, on_skin

BLUE_GRAY: Color = (0.40, 0.43, 0.54)
SCAR: Color = (0.93, 0.86, 0.83)
KERATIN: Color = (0.93, 0.85, 0.62)
CRUST: Color = (0.38, 0.14, 0.07)

Brush = ImageDraw.ImageDraw
Points = NDArray[np.floating]


def network(image: Image, rng: Rng, where: Field, *, period: float, warp: float) -> None:
    """Draw a pigment network: a honeycomb of brown lines with lighter holes."""
    cells = lattice(rng, period, warp)
    contrast = rng.uniform(0.35, 0.75) * (1 + 0.3 * value_noise(rng, 25))
    absorb(image, MELANIN, where * contrast * (smoothstep(cells, 0.5, 0.05) - 0.25))


def globules(image: Image, rng: Rng, where: Field, *, period: float) -> None:
    """Draw evenly spaced brown globules."""
    cells = lattice(rng, period, warp=3) + 0.15 * value_noise(rng, period / 2)
    absorb(image, MELANIN, where * rng.uniform(0.5, 0.9) * smoothstep(cells, 0.4, 0.85))


def blotch(image: Image, rng: Rng, radius: float, body: Field, *, amount: float) -> None:
    """Draw a dark structureless blotch away from the center."""
    angle = rng.uniform(0, 2 * np.pi)
    center = 0.5 * radius * np.cos(angle), 0.5 * radius * np.sin(angle)
    spot = outline(rng, radius * rng.uniform(0.3, 0.5), roughness=0.2, aspect=0.7, center=center)
    absorb(image, MELANIN, amount * body * smoothstep(spot + 2 * value_noise(rng, 9), -3, 5))


def veil(image: Image, tone: float, rng: Rng, depth: Field) -> None:
    """Draw a blue-white veil: a hazy blue-gray area without structure."""
    where = smoothstep(fractal_noise(rng, 50), 0, 0.9) * smoothstep(depth, 0, 12)
    blend(image, BLUE_GRAY, rng.uniform(0.45, 0.7) * where * (1 + 0.25 * value_noise(rng, 7)))


def regression(image: Image, tone: float, rng: Rng, depth: Field) -> None:
    """Draw regression: a scar-like white area with gray-blue pepper-like dots."""
    where = smoothstep(fractal_noise(rng, 40), 0.2, 1.0) * smoothstep(depth, 0, 10)
    blend(image, on_skin(SCAR, tone), rng.uniform(0.45, 0.75) * where)
    blend(image, BLUE_GRAY, 0.6 * where * smoothstep(value_noise(rng, 3.5), 0.5, 1))


def redness(image: Image, tone: float, rng: Rng, depth: Field) -> None:
    """Draw milky red areas."""
    flush(
        image,
        tone,
        rng.uniform(0.6, 1.1) * smoothstep(value_noise(rng, 40), 0, 0.9) * smoothstep(depth, -2, 8),
    )


def streaks(image: Image, tone: float, rng: Rng, depth: Field) -> None:
    """Draw streaks and pseudopods: dark projections from the border on one side."""
    x, y = grid()
    # Polar angle of each pixel; ``side`` is 1 on one side of the lesion and 0 on the other.
    angle = np.arctan2(y, x) + 0.06 * value_noise(rng, 12)
    side = smoothstep(np.cos(angle - rng.uniform(0, 2 * np.pi)), rng.uniform(-0.5, 0.5), 0.8)
    fingers = np.cos(angle * int(rng.integers(22, 34))) * (1 + 0.5 * value_noise(rng, 14))
    finger_depth = depth + side * (3 + 5 * fingers)
    absorb(image, MELANIN, 1.1 * side * smoothstep(finger_depth, -1, 4) * smoothstep(depth, 12, 2))


def dots(image: Image, tone: float, rng: Rng, depth: Field) -> None:
    """Draw black dots of several sizes on one side."""
    x, y = grid()
    angle = rng.uniform(0, 2 * np.pi)
    side = math.cos(angle) * x + math.sin(angle) * y
    centers = poisson_disk_points(
        rng, int(rng.integers(8, 22)), 6, within=np.minimum(depth, side + 5)
    )
    rho, *_ = spots(
        centers, rng.uniform(1.3, 3.5, len(centers)), edge_noise=0.2 * value_noise(rng, 3)
    )
    absorb(image, MELANIN, 1.1 * smoothstep(rho, 1.4, 0.6))


def scale(image: Image, tone: float, rng: Rng, where: Field) -> None:
    """Draw flakes of yellowish-white scale."""
    flakes = smoothstep(value_noise(rng, 20), 0.1, 0.9) * (0.5 + 0.6 * value_noise(rng, 3.5)).clip(
        0, 1
    )
    blend(image, on_skin(KERATIN, tone), where * flakes * rng.uniform(0.2, 0.8))


def nests(image: Image, rng: Rng, depth: Field) -> None:
    """Draw blue-gray ovoid nests and leaf-like areas, mostly near the edge."""
    centers = poisson_disk_points(
        rng, int(rng.integers(3, 12)), 12, within=np.minimum(depth - 3, 34 - depth)
    )
    rho, *_ = spots(
        centers,
        rng.uniform(3, 8, len(centers)),
        stretch=rng.uniform(1.1, 1.7),
        angle=rng.uniform(0, np.pi),
        edge_noise=0.3 * fractal_noise(rng, 8),
    )
    blend(image, BLUE_GRAY, 0.6 * smoothstep(rho, 1.5, 0.6))
    absorb(image, (0.7, 0.65, 0.45), rng.uniform(0.3, 0.9) * smoothstep(rho, 1.2, 0.5))


def ulcer(image: Image, rng: Rng, radius: float) -> None:
    """Draw an ulcer: a raw, crusted spot."""
    center = tuple(rng.normal(0, radius * 0.2, 2))
    edge = outline(rng, radius * rng.uniform(0.15, 0.3), roughness=0.15, center=center)
    where = smoothstep(edge + 2 * value_noise(rng, 6), -2, 3)
    blend(image, (0.66, 0.2, 0.15), 0.85 * where)
    blend(image, CRUST, 0.8 * where * smoothstep(value_noise(rng, 6), -0.1, 0.5))


def tree_vessels(
    image: Image, tone: float, rng: Rng, radius: float, *, n: int, width: tuple[float, float]
) -> None:
    """Draw arborizing vessels: thick sharp trunks that branch into ever thinner vessels."""

    def draw_branch(
        brush: Brush, start: Points, angle: float, length: float, thickness: float
    ) -> None:
        # A random walk of eight segments; its directions change by about 0.3 radians each.
        angles = angle + np.cumsum(rng.normal(0, 0.3, 8))
        steps = length / 8 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        path = start + np.cumsum(np.vstack([[0, 0], steps]), axis=0)
        brush.line(
            to_canvas(path), fill=255, width=max(1, round(thickness * SUPERSAMPLING)), joint="curve"
        )
        # Three branches per vessel, until the vessels are 0.6 pixels wide or less.
        if thickness > 0.6:
            for i in rng.choice(np.arange(2, 8), 3, replace=False):
                branch_angle = angles[i - 1] + rng.choice((-1, 1)) * rng.uniform(0.4, 1.0)
                draw_branch(
                    brush, path[i], branch_angle, length * rng.uniform(0.4, 0.7), thickness * 0.6
                )

    def draw_trees(brush: Brush) -> None:
        for angle in rng.uniform(0, 2 * np.pi, n):
            start = rng.uniform(0.5, 1) * radius * np.array([np.cos(angle), np.sin(angle)])
            inward_angle = angle + np.pi + rng.normal(0, 0.8)
            draw_branch(
                brush, start, inward_angle, radius * rng.uniform(0.5, 0.9), rng.uniform(*width)
            )

    flush(image, tone, rng.uniform(1.3, 2.0) * strokes(draw_trees))


def bumps(
    image: Image,
    rng: Rng,
    depth: Field,
    color: Color,
    *,
    n: int,
    size: tuple[float, float],
    strength: float,
) -> None:
    """Draw small soft dots of one color: milia-like cysts, comedo-like openings, blood spots."""
    centers = poisson_disk_points(rng, n, 2 * size[1], within=depth - size[0])
    rho, *_ = spots(centers, rng.uniform(*size, len(centers)))
    blend(image, color, strength * smoothstep(rho, 1.3, 0.6))


def white_circles(image: Image, rng: Rng, where: Field, tone: float) -> None:
    """Draw white rings around keratin-filled follicles."""
    centers = poisson_disk_points(rng, int(rng.integers(2, 9)), 12, within=where)
    rho, *_ = spots(
        centers, rng.uniform(3, 5, len(centers)), max_rho=2, edge_noise=0.2 * value_noise(rng, 6)
    )
    blend(image, on_skin(SCAR, tone), 0.7 * smooth_band(rho, 1, 0.7))
    blend(image, on_skin(KERATIN, tone), 0.5 * smoothstep(rho, 0.6, 0.2))


def hairpins(image: Image, tone: float, rng: Rng, radius: float) -> None:
    """Draw hairpin vessels: radial red loops at the edge."""

    def draw_loops(brush: Brush) -> None:
        for angle in rng.uniform(0, 2 * np.pi, rng.integers(10, 24)):
            t = np.linspace(-np.pi / 2, np.pi / 2, 9)
            # u: distance from the center of the lesion, v: offset across; both rotated by angle.
            u = radius * rng.uniform(0.6, 0.95) - rng.uniform(5, 13) * np.cos(t)
            v = rng.uniform(1.5, 3.2) * np.sin(t) + rng.normal(0, 0.4, 9)
            x = math.cos(angle) * u - math.sin(angle) * v
            y = math.sin(angle) * u + math.cos(angle) * v
            path = to_canvas(np.stack([x, y], axis=1))
            brush.line(path, fill=255, width=round(1.3 * SUPERSAMPLING), joint="curve")

    flush(image, tone, rng.uniform(1.0, 1.7) * strokes(draw_loops))
