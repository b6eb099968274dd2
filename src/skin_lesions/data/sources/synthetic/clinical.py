"""Clinical photographs of the six classes of MSLD v2.0: close-ups of skin with or without a rash.

All lesions of a rash are drawn together. ``rho`` is the distance of each pixel from the center of
the nearest lesion, in radii of that lesion. Rims, dimples and halos are computed from it.

The function of cowpox returns the depth of each pixel in the lesions, which is negative outside.
The other images have no outline: they show a rash, which fades into the skin, or healthy skin.
"""

import math
from collections.abc import Callable

import numpy as np

from skin_lesions.data.sources.synthetic.drawing import (
    Color,
    Field,
    Image,
    Rng,
    absorb,
    blend,
    fractal_noise,
    grid,
    outline,
    poisson_disk_points,
    shade,
    smooth_band,
    smoothstep,
    spots,
    value_noise,
)
from skin_lesions.data.sources.synthetic.skin import MELANIN, flush, on_skin

PUS: Color = (0.90, 0.87, 0.76)
VESICLE: Color = (0.93, 0.90, 0.86)
BLISTER: Color = (0.84, 0.82, 0.79)
SCAB: Color = (0.30, 0.15, 0.10)
ESCHAR: Color = (0.09, 0.06, 0.06)
GRANULATION: Color = (0.62, 0.18, 0.16)
PALM: Color = (0.90, 0.70, 0.60)
RIM: Color = (0.55, 0.8, 0.85)
CREASE: Color = (0.5, 0.9, 0.9)

MIMIC_FRACTION = 0.15  # fraction of the rashes of a diagnosis that look like another diagnosis


def healthy(image: Image, tone: float, rng: Rng) -> None:
    """Draw healthy skin, sometimes with freckles, a mole, redness or a few harmless pimples."""
    if rng.random() < 0.35:
        centers = poisson_disk_points(rng, int(rng.integers(4, 40)), 5)
        rho, *_ = spots(centers, rng.uniform(1, 2.6, len(centers)))
        absorb(image, MELANIN, rng.uniform(0.2, 0.5) * smoothstep(rho, 1.3, 0.5))
    if rng.random() < 0.3:
        mole = outline(rng, rng.uniform(4, 8), center=tuple(rng.uniform(-60, 60, 2)))
        absorb(image, MELANIN, rng.uniform(0.6, 1.2) * smoothstep(mole, -2, 3))
    if rng.random() < 0.3:
        flush(image, tone, 0.5 * smoothstep(fractal_noise(rng, 40), 0, 1.2))
    if rng.random() < 0.3:
        centers = poisson_disk_points(rng, int(rng.integers(1, 8)), 12)
        rho, *_ = spots(centers, rng.uniform(2, 4, len(centers)), max_rho=2)
        flush(image, tone, rng.uniform(0.3, 0.8) * smoothstep(rho, 2, 0.4))


def monkeypox(image: Image, tone: float, rng: Rng) -> None:
    """Draw a few large firm pustules of one stage, each with a dimple and a dark or red rim.

    Some rashes are young: the pustules are smaller, not yet white and hardly dimpled. They look
    like chickenpox.
    """
    young = rng.random() < MIMIC_FRACTION
    centers = poisson_disk_points(rng, int(rng.integers(3, 13)) + 6 * young, 18 if young else 28)
    size = rng.uniform(5, 7) if young else rng.uniform(8, 13)
    radii = size * rng.uniform(0.75, 1.25, len(centers))
    rho, light_offset, index = spots(
        centers, radii, max_rho=2.4, edge_noise=0.12 * value_noise(rng, 8)
    )
    flush(image, tone, rng.uniform(0.3, 0.9) * smoothstep(rho, 2.2, 0.8))
    dome = smoothstep(rho, 1.1, 0.75)
    ripe = rng.uniform(0.25, 0.8) * rng.uniform(0.8, 1.2, len(centers)).astype(np.float32)
    blend(image, on_skin(PUS, tone), dome * ripe[index] * (1 + 0.2 * value_noise(rng, 4)))
    absorb(image, RIM, rng.uniform(0.3, 0.8) * smooth_band(rho, 1.1, 0.4))
    shade(image, (0.25 * light_offset + 0.1) * dome)
    shade(image, 0.35 * smoothstep(light_offset, 0.35, 0.6) * smoothstep(rho, 0.8, 0.6))
    dimple = smoothstep(rho, rng.uniform(0.4, 0.55), 0.15)
    absorb(image, RIM, (0.2 if young else rng.uniform(0.3, 1.1)) * dimple)


def chickenpox(image: Image, tone: float, rng: Rng) -> None:
    """Draw many small lesions of all stages: macules, papules, vesicles on red skin, crusts.

    Some rashes have few and large lesions. They look like monkeypox.
    """
    few = rng.random() < MIMIC_FRACTION
    centers = poisson_disk_points(
        rng, int(rng.integers(16, 55)) // (2 if few else 1), rng.uniform(10, 13)
    )
    radii = rng.uniform(2.4, 5, len(centers)) * (1.4 if few else 1)
    rho, light_offset, index = spots(
        centers, radii, max_rho=2.6, edge_noise=0.15 * value_noise(rng, 6)
    )
    # Stage of each lesion: 0 macule, 1 papule, 2 vesicle, 3 crust; the mix differs by rash.
    stage = rng.choice(4, len(centers), p=rng.dirichlet((4, 3, 5, 3)))
    strength = rng.uniform(0.3, 1.2, len(centers)).astype(np.float32)
    flush(image, tone, strength[index] * smoothstep(rho, 2.4, 0.7))
    papule = (stage == 1)[index]
    vesicle = (stage == 2)[index]
    crust = (stage == 3)[index]
    shade(image, 0.2 * light_offset * papule * smoothstep(rho, 1.3, 0.5))
    blend(image, on_skin(VESICLE, tone), 0.6 * vesicle * smoothstep(rho, 1.1, 0.5))
    shade(image, 0.4 * vesicle * smoothstep(light_offset, 0.2, 0.5) * smoothstep(rho, 0.9, 0.4))
    blend(image, SCAB, 0.8 * crust * smoothstep(rho, 1.2, 0.5))


def cowpox(image: Image, tone: float, rng: Rng) -> Field:
    """Draw one or two large ulcers with a black eschar, a raised swollen rim and wide redness.

    Some are young: a blister with a dark red center, which looks like a large monkeypox pustule.
    """
    young = rng.random() < MIMIC_FRACTION
    lesions = np.full(image.shape[:2], -np.inf, np.float32)  # depth in the nearest lesion
    for center in poisson_disk_points(rng, int(rng.choice((1, 1, 2))), 70, _near_middle(50)):
        radius = rng.uniform(11, 18) if young else rng.uniform(15, 34)
        depth = outline(
            rng, radius, roughness=0.06, aspect=rng.uniform(0.75, 1), center=tuple(center)
        )
        flush(
            image,
            tone,
            rng.uniform(0.4, 1.1) * smoothstep(depth + 5 * fractal_noise(rng, 25), -42, 4),
        )
        ragged = depth + 2 * fractal_noise(rng, 9)
        rim = smooth_band(ragged, -1, 0.4 * radius)
        swollen = smoothstep(depth, -5, 2) if young else rim
        blend(image, on_skin(PUS, tone), rng.uniform(0.2, 0.5) * swollen)
        _relief(image, depth, center, 0.3 * rim)
        blend(image, GRANULATION, 0.7 * smoothstep(ragged, 0.1 * radius, 0.35 * radius))
        scab = smoothstep(ragged, rng.uniform(0.15, 0.4) * radius, rng.uniform(0.45, 0.7) * radius)
        blend(image, ESCHAR, (0.4 if young else rng.uniform(0.75, 0.95)) * scab)
        blend(image, SCAB, 0.6 * scab * smoothstep(fractal_noise(rng, 8), 0.1, 0.9))
        # The lesion ends where the rim has half of its strength; the redness is skin.
        lesions = np.maximum(lesions, ragged + 1 + 0.2 * radius)
    return lesions


def measles(image: Image, tone: float, rng: Rng) -> None:
    """Draw confluent blotches, flat or slightly raised, without blisters.

    Some rashes are faint, because they are fading or have only begun.
    """
    fading = rng.random() < MIMIC_FRACTION
    centers = poisson_disk_points(
        rng, int(rng.integers(15, 50)) if fading else 110, rng.uniform(6, 10)
    )
    radii = rng.uniform(2, 6.5, len(centers))
    rho, light_offset, index = spots(
        centers, radii, max_rho=2.2, edge_noise=0.25 * value_noise(rng, 7)
    )
    crowd = smoothstep(value_noise(rng, 60), -1.0, 0.3)
    strength = rng.uniform(0.3, 1.0, len(centers)).astype(np.float32) * (0.5 if fading else 1)
    flush(image, tone, 0.1 + crowd * (0.25 + strength[index] * smoothstep(rho, 2, 0.3)))
    absorb(image, MELANIN, 0.15 * crowd * smoothstep(rho, 2, 0.3))
    shade(image, 0.04 * light_offset * smoothstep(rho, 1.2, 0.6))


def hand_foot_mouth(image: Image, tone: float, rng: Rng) -> None:
    """Draw oval flaccid gray blisters with a thin red halo, along the lines of a palm or sole.

    Some blisters are small and round and not on a palm. They look like chickenpox.
    """
    mimic = rng.random() < MIMIC_FRACTION
    palm, angle = rng.random() < 0.75 and not mimic, rng.uniform(0, np.pi)
    if palm:
        _palm(image, rng, angle)
    centers = poisson_disk_points(
        rng, int(rng.integers(4, 18)) * (2 if mimic else 1), 13 if mimic else 19
    )
    rho, light_offset, index = spots(
        centers,
        rng.uniform(3, 6.5, len(centers)),
        max_rho=2.4,
        stretch=1.2 if mimic else rng.uniform(1.4, 2.1),
        angle=angle + rng.normal(0, 0.15),
        edge_noise=0.1 * value_noise(rng, 12),
    )
    # Palms and soles have less pigment than other skin.
    visible_tone = tone * (0.6 if palm else 1)
    strength = rng.uniform(0.3, 1.1, len(centers)).astype(np.float32)
    flush(
        image,
        visible_tone,
        strength[index] * (0.7 * smooth_band(rho, 1.2, 0.6) + 0.3 * smoothstep(rho, 2.3, 0.8)),
    )
    blend(
        image, on_skin(BLISTER, visible_tone), rng.uniform(0.25, 0.75) * smoothstep(rho, 1.2, 0.4)
    )
    shade(image, 0.12 * light_offset * smoothstep(rho, 1.1, 0.6))


DRAW: dict[str, Callable[[Image, float, Rng], Field | None]] = {
    "HEALTHY": healthy,
    "MKP": monkeypox,
    "CHP": chickenpox,
    "CWP": cowpox,
    "MSL": measles,
    "HFMD": hand_foot_mouth,
}


def _near_middle(radius: float) -> Field:
    return radius - np.hypot(*grid())


def _relief(image: Image, depth: Field, center: np.ndarray, amount: Field) -> None:
    """Shade a relief around a center, with light from the upper left."""
    x, y = grid()
    dx, dy = x - center[0], y - center[1]
    shade(image, -(dx + dy) / (np.hypot(dx, dy) + 5) / np.sqrt(2) * amount)


def _palm(image: Image, rng: Rng, angle: float) -> None:
    """Draw the skin of a palm or sole: paler than other skin, with ridges and long creases."""
    blend(image, PALM, np.full(image.shape[:2], 0.35, np.float32))
    x, y = grid()
    across = math.cos(angle) * y - math.sin(angle) * x + 7 * value_noise(rng, 60)
    shade(image, 0.02 * np.sin(across * 2 * np.pi / 3.4))
    for offset in rng.uniform(-60, 60, rng.integers(1, 4)):
        crease = smooth_band(across + 12 * value_noise(rng, 80), offset, rng.uniform(3, 6))
        absorb(image, CREASE, 0.15 * crease * smoothstep(value_noise(rng, 60), -0.6, 0.6))
