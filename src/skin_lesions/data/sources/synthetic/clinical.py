"""The six classes of MSLD v2.0 as a camera shows them: close-ups of skin, with a rash or without.

All lesions of a rash are drawn together; ``rho`` tells each pixel how far it is from the middle of
the nearest lesion, in its radii, and everything else follows: rims, dimples, haloes.
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
DEW: Color = (0.93, 0.90, 0.86)
BLISTER: Color = (0.84, 0.82, 0.79)
SCAB: Color = (0.30, 0.15, 0.10)
ESCHAR: Color = (0.09, 0.06, 0.06)
GRANULATION: Color = (0.62, 0.18, 0.16)
PALM: Color = (0.90, 0.70, 0.60)
RIM: Color = (0.55, 0.8, 0.85)
CREASE: Color = (0.5, 0.9, 0.9)

MIMIC_FRACTION = 0.15  # of each diagnosis: rashes that look like another one


def healthy(image: Image, tone: float, rng: Rng) -> None:
    """Skin only; at times freckles, a mole, a flush, or a few pimples that mean nothing."""
    if rng.random() < 0.35:
        places = poisson_disk_points(rng, int(rng.integers(4, 40)), 5)
        rho, *_ = spots(places, rng.uniform(1, 2.6, len(places)))
        absorb(image, MELANIN, rng.uniform(0.2, 0.5) * smoothstep(rho, 1.3, 0.5))
    if rng.random() < 0.3:
        mole = outline(rng, rng.uniform(4, 8), center=tuple(rng.uniform(-60, 60, 2)))
        absorb(image, MELANIN, rng.uniform(0.6, 1.2) * smoothstep(mole, -2, 3))
    if rng.random() < 0.3:
        flush(image, tone, 0.5 * smoothstep(fractal_noise(rng, 40), 0, 1.2))
    if rng.random() < 0.3:
        places = poisson_disk_points(rng, int(rng.integers(1, 8)), 12)
        rho, *_ = spots(places, rng.uniform(2, 4, len(places)), reach=2)
        flush(image, tone, rng.uniform(0.3, 0.8) * smoothstep(rho, 2, 0.4))


def monkeypox(image: Image, tone: float, rng: Rng) -> None:
    """A few large firm pustules, all of one stage, each with a dimple and a dark or red rim.

    In some all are young: smaller, not yet white, hardly dimpled, like chickenpox.
    """
    young = rng.random() < MIMIC_FRACTION
    places = poisson_disk_points(rng, int(rng.integers(3, 13)) + 6 * young, 18 if young else 28)
    size = rng.uniform(5, 7) if young else rng.uniform(8, 13)
    radii = size * rng.uniform(0.75, 1.25, len(places))
    rho, lit, owner = spots(places, radii, reach=2.4, wobble=0.12 * value_noise(rng, 8))
    flush(image, tone, rng.uniform(0.3, 0.9) * smoothstep(rho, 2.2, 0.8))
    dome = smoothstep(rho, 1.1, 0.75)
    ripe = rng.uniform(0.25, 0.8) * rng.uniform(0.8, 1.2, len(places)).astype(np.float32)
    blend(image, on_skin(PUS, tone), dome * ripe[owner] * (1 + 0.2 * value_noise(rng, 4)))
    absorb(image, RIM, rng.uniform(0.3, 0.8) * smooth_band(rho, 1.1, 0.4))
    shade(image, (0.25 * lit + 0.1) * dome)
    shade(image, 0.35 * smoothstep(lit, 0.35, 0.6) * smoothstep(rho, 0.8, 0.6))
    dimple = smoothstep(rho, rng.uniform(0.4, 0.55), 0.15)
    absorb(image, RIM, (0.2 if young else rng.uniform(0.3, 1.1)) * dimple)


def chickenpox(image: Image, tone: float, rng: Rng) -> None:
    """Many small lesions of all stages at once: macules, papules, dewdrops on red, crusts.

    In some they are few and large, like monkeypox.
    """
    few = rng.random() < MIMIC_FRACTION
    places = poisson_disk_points(
        rng, int(rng.integers(16, 55)) // (2 if few else 1), rng.uniform(10, 13)
    )
    radii = rng.uniform(2.4, 5, len(places)) * (1.4 if few else 1)
    rho, lit, owner = spots(places, radii, reach=2.6, wobble=0.15 * value_noise(rng, 6))
    stage = rng.choice(4, len(places), p=rng.dirichlet((4, 3, 5, 3)))
    strength = rng.uniform(0.3, 1.2, len(places)).astype(np.float32)
    flush(image, tone, strength[owner] * smoothstep(rho, 2.4, 0.7))
    papule, dewdrop, crust = ((stage == i)[owner] for i in (1, 2, 3))
    shade(image, 0.2 * lit * papule * smoothstep(rho, 1.3, 0.5))
    blend(image, on_skin(DEW, tone), 0.6 * dewdrop * smoothstep(rho, 1.1, 0.5))
    shade(image, 0.4 * dewdrop * smoothstep(lit, 0.2, 0.5) * smoothstep(rho, 0.9, 0.4))
    blend(image, SCAB, 0.8 * crust * smoothstep(rho, 1.2, 0.5))


def cowpox(image: Image, tone: float, rng: Rng) -> None:
    """One or two large ulcers: black eschar, raised swollen rim, wide redness.

    Some are young: still a blister with a dark red middle, like a large monkeypox pustule.
    """
    young = rng.random() < MIMIC_FRACTION
    for center in poisson_disk_points(rng, int(rng.choice((1, 1, 2))), 70, _near_middle(50)):
        radius = rng.uniform(11, 18) if young else rng.uniform(15, 34)
        depth = outline(rng, radius, rough=0.06, aspect=rng.uniform(0.75, 1), center=tuple(center))
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


def measles(image: Image, tone: float, rng: Rng) -> None:
    """Blotches, flat to slightly raised, that run together; no blisters.

    Some rashes fade or have only begun, and leave little to see.
    """
    fading = rng.random() < MIMIC_FRACTION
    places = poisson_disk_points(
        rng, int(rng.integers(15, 50)) if fading else 110, rng.uniform(6, 10)
    )
    radii = rng.uniform(2, 6.5, len(places))
    rho, lit, owner = spots(places, radii, reach=2.2, wobble=0.25 * value_noise(rng, 7))
    crowd = smoothstep(value_noise(rng, 60), -1.0, 0.3)
    strength = rng.uniform(0.3, 1.0, len(places)).astype(np.float32) * (0.5 if fading else 1)
    flush(image, tone, 0.1 + crowd * (0.25 + strength[owner] * smoothstep(rho, 2, 0.3)))
    absorb(image, MELANIN, 0.15 * crowd * smoothstep(rho, 2, 0.3))
    shade(image, 0.04 * lit * smoothstep(rho, 1.2, 0.6))


def hand_foot_mouth(image: Image, tone: float, rng: Rng) -> None:
    """Oval flaccid grey blisters with a thin red halo, along the lines of palm or sole.

    Some are small and round, on other skin than palms, like chickenpox.
    """
    mimic = rng.random() < MIMIC_FRACTION
    palm, turn = rng.random() < 0.75 and not mimic, rng.uniform(0, np.pi)
    if palm:
        _palm(image, rng, turn)
    places = poisson_disk_points(
        rng, int(rng.integers(4, 18)) * (2 if mimic else 1), 13 if mimic else 19
    )
    rho, lit, owner = spots(
        places,
        rng.uniform(3, 6.5, len(places)),
        reach=2.4,
        stretch=1.2 if mimic else rng.uniform(1.4, 2.1),
        turn=turn + rng.normal(0, 0.15),
        wobble=0.1 * value_noise(rng, 12),
    )
    seen = tone * (0.6 if palm else 1)
    strength = rng.uniform(0.3, 1.1, len(places)).astype(np.float32)
    flush(
        image,
        seen,
        strength[owner] * (0.7 * smooth_band(rho, 1.2, 0.6) + 0.3 * smoothstep(rho, 2.3, 0.8)),
    )
    blend(image, on_skin(BLISTER, seen), rng.uniform(0.25, 0.75) * smoothstep(rho, 1.2, 0.4))
    shade(image, 0.12 * lit * smoothstep(rho, 1.1, 0.6))


DRAW: dict[str, Callable[[Image, float, Rng], None]] = {
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
    """Light what stands up around a centre from the upper left."""
    x, y = grid()
    dx, dy = x - center[0], y - center[1]
    shade(image, -(dx + dy) / (np.hypot(dx, dy) + 5) / np.sqrt(2) * amount)


def _palm(image: Image, rng: Rng, turn: float) -> None:
    """Palms and soles: paler than the rest of the skin, with ridges and long creases."""
    blend(image, PALM, np.full(image.shape[:2], 0.35, np.float32))
    x, y = grid()
    across = math.cos(turn) * y - math.sin(turn) * x + 7 * value_noise(rng, 60)
    shade(image, 0.02 * np.sin(across * 2 * np.pi / 3.4))
    for offset in rng.uniform(-60, 60, rng.integers(1, 4)):
        crease = smooth_band(across + 12 * value_noise(rng, 80), offset, rng.uniform(3, 6))
        absorb(image, CREASE, 0.15 * crease * smoothstep(value_noise(rng, 60), -0.6, 0.6))
