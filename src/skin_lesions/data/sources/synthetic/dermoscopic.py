"""Dermoscopic images of the eight diagnoses of ISIC 2019.

Each function draws one lesion on skin, with the typical structures of the diagnosis. The random
generator determines shape and mix. Some lesions look like another diagnosis, as in clinical
practice. The function returns the depth of each pixel in the lesion, which is negative outside.
"""

from collections.abc import Callable

import numpy as np

from skin_lesions.data.sources.synthetic.dermoscopic_structures import (
    CRUST,
    KERATIN,
    SCAR,
    blotch,
    bumps,
    dots,
    globules,
    hairpins,
    nests,
    network,
    redness,
    regression,
    scale,
    streaks,
    tree_vessels,
    ulcer,
    veil,
    white_circles,
)
from skin_lesions.data.sources.synthetic.drawing import (
    Color,
    Field,
    Image,
    Rng,
    absorb,
    blend,
    fractal_noise,
    lattice,
    outline,
    poisson_disk_points,
    shade,
    smooth_band,
    smoothstep,
    spots,
    value_noise,
)
from skin_lesions.data.sources.synthetic.skin import MELANIN, flush, on_skin

# Fraction of nevi that look like an early melanoma, and of melanomas that look like a nevus.
ATYPICAL_FRACTION = 0.3
# Fraction of the lesions of each other diagnosis that lack their distinguishing structures.
MIMIC_FRACTION = 0.15

WAX: Color = (0.68, 0.50, 0.31)
MILIUM: Color = (0.97, 0.93, 0.82)
PEARL: Color = (0.96, 0.86, 0.86)
FOLLICLE: Color = (0.95, 0.86, 0.66)
LAGOONS: tuple[Color, ...] = (
    (0.66, 0.13, 0.15),
    (0.50, 0.10, 0.20),
    (0.33, 0.12, 0.28),
    (0.16, 0.10, 0.19),
)


def melanocytic_nevus(image: Image, tone: float, rng: Rng) -> Field:
    """Draw a symmetric round nevus: one or two browns, regular network or globules, fading border.

    Some are atypical: irregular in shape and color, like an early melanoma.
    """
    atypical = rng.random() < ATYPICAL_FRACTION
    radius = rng.uniform(32, 56)
    roughness = rng.uniform(0.07, 0.12) if atypical else rng.uniform(0.01, 0.05)
    depth = outline(rng, radius, roughness=roughness, aspect=rng.uniform(0.75, 1)) + value_noise(
        rng, 12
    )
    body = smoothstep(depth, -6, radius * rng.uniform(0.2, 0.5))
    pigment = rng.uniform(0.5, 1.15) * body * (1 + 0.15 * fractal_noise(rng, 20))
    if atypical:
        pigment *= 1 + 0.45 * fractal_noise(rng, 45)
    elif rng.random() < 0.4:
        pigment += 0.5 * smoothstep(depth, radius * 0.35, radius * 0.9)
    flush(image, tone, 0.2 * body)
    absorb(image, MELANIN, pigment)
    if atypical:
        blotch(image, rng, radius, body, amount=rng.uniform(0.1, 0.8))
    pattern = rng.choice(3, p=(0.5, 0.35, 0.15))
    if pattern == 0:
        network(image, rng, smoothstep(depth, -4, 10), period=rng.uniform(6, 8.5), warp=3)
    elif pattern == 1:
        globules(image, rng, smoothstep(depth, 0, 8), period=rng.uniform(7.5, 11))
    return depth


def melanoma(image: Image, tone: float, rng: Rng) -> Field:
    """Draw an asymmetric, notched melanoma of many colors.

    It has a veil, blotches, scar-like white areas and streaks at the edge. Some are early: small,
    brown, with little more than an irregular network, like an atypical nevus.
    """
    early = rng.random() < ATYPICAL_FRACTION
    radius = rng.uniform(32, 48) if early else rng.uniform(42, 60)
    roughness = rng.uniform(0.07, 0.12) if early else rng.uniform(0.1, 0.17)
    depth = outline(
        rng, radius, roughness=roughness, aspect=rng.uniform(0.6, 0.9)
    ) + 2 * fractal_noise(rng, 14)
    body = smoothstep(depth, -4, 8)
    flush(image, tone, 0.25 * body)
    absorb(image, MELANIN, body * (0.75 + 0.5 * fractal_noise(rng, 36)).clip(0.2, 1.7))
    network(
        image,
        rng,
        body * smoothstep(value_noise(rng, 40), -0.2, 0.5),
        period=rng.uniform(8, 12),
        warp=7,
    )
    if not early:
        structures = (veil, regression, streaks, dots, redness)
        for i in rng.permutation(len(structures))[: rng.integers(2, 5)]:
            structures[i](image, tone, rng, depth)
    blotch(image, rng, radius, body, amount=rng.uniform(0.4, 1.1))
    return depth


def basal_cell_carcinoma(image: Image, tone: float, rng: Rng) -> Field:
    """Draw a pink, pearly carcinoma with sharp branching vessels and blue-gray ovoid nests.

    Some have an ulcer. Some are superficial: pink with few fine vessels, like an actinic keratosis.
    """
    superficial = rng.random() < MIMIC_FRACTION
    radius = rng.uniform(36, 58)
    depth = outline(rng, radius, roughness=0.09, aspect=rng.uniform(0.65, 0.95)) + 2 * value_noise(
        rng, 14
    )
    body = smoothstep(depth, -6, 10)
    flush(image, tone, body * rng.uniform(0.25, 0.6))
    blend(image, on_skin(PEARL, tone), body * (0.25 + 0.25 * value_noise(rng, 18)).clip(0, 0.6))
    if superficial:
        scale(image, tone, rng, body)
        tree_vessels(image, tone, rng, radius, n=2, width=(0.6, 1.0))
        return depth
    pigmented = rng.random() < 0.6
    if pigmented:
        nests(image, rng, depth)
    if rng.random() < 0.4:
        ulcer(image, rng, radius)
    n = rng.integers(1, 4) if pigmented else rng.integers(3, 6)
    tree_vessels(image, tone, rng, radius, n=int(n), width=(1.2, 2.4))
    return depth


def benign_keratosis(image: Image, tone: float, rng: Rng) -> Field:
    """Draw a keratosis with the typical stuck-on appearance and a sharp moth-eaten border.

    It is waxy tan to brown, with white cysts, dark openings and ridges. Some are flat, pinkish and
    scaly, like an actinic keratosis.
    """
    flat = rng.random() < MIMIC_FRACTION
    radius = rng.uniform(34, 60)
    depth = outline(
        rng, radius, roughness=0.07, aspect=rng.uniform(0.65, 0.95)
    ) + 2 * fractal_noise(rng, 9)
    body = smoothstep(depth, -8, 8) if flat else smoothstep(depth, -1.5, 2)
    flush(image, tone, body * (0.4 if flat else 0.1))
    blend(image, on_skin(WAX, tone), body * (0.25 if flat else rng.uniform(0.45, 0.8)))
    absorb(image, MELANIN, body * (rng.uniform(0.0, 0.8) + 0.25 * fractal_noise(rng, 22)).clip(0))
    if flat:
        scale(image, tone, rng, body)
    elif rng.random() < 0.6:
        ridges = smooth_band(fractal_noise(rng, rng.uniform(14, 19)), 0, 0.3)
        absorb(image, MELANIN, body * ridges * rng.uniform(0.2, 0.8))
    cysts, openings = rng.integers(0, 18 - 14 * flat), rng.integers(0, 14 - 10 * flat)
    bumps(image, rng, depth, on_skin(MILIUM, tone), n=int(cysts), size=(1.4, 3.2), strength=0.7)
    bumps(image, rng, depth, CRUST, n=int(openings), size=(1.5, 3.4), strength=0.7)
    shade(image, 0.08 * body * (smoothstep(depth, 10, 0) + value_noise(rng, 4)))
    return depth


def actinic_keratosis(image: Image, tone: float, rng: Rng) -> Field:
    """Draw a strawberry pattern: red network between yellowish follicles with white halos.

    It has scale and no sharp border. Some are pigmented, which hides the follicles. They look like
    a flat seborrheic keratosis.
    """
    pigmented = rng.random() < MIMIC_FRACTION
    radius = rng.uniform(36, 68)
    depth = outline(rng, radius, roughness=0.12, aspect=rng.uniform(0.6, 0.95)) + 8 * fractal_noise(
        rng, 25
    )
    area = smoothstep(depth, -16, 22)
    cells = lattice(rng, rng.uniform(10, 16), warp=5) + 0.15 * value_noise(rng, 7)
    flush(image, tone, area * rng.uniform(0.4, 0.9) * (0.4 + smoothstep(cells, 0.6, 0.1)))
    if pigmented:
        absorb(image, MELANIN, area * (0.4 + 0.2 * fractal_noise(rng, 22)))
    follicles = area * smoothstep(fractal_noise(rng, 35), -0.8, 0.8) * rng.uniform(0.4, 0.9)
    follicles *= 0.4 if pigmented else 1
    blend(image, on_skin(SCAR, tone), follicles * 0.45 * smoothstep(cells, 0.4, 0.65))
    blend(image, on_skin(FOLLICLE, tone), follicles * 0.75 * smoothstep(cells, 0.75, 0.95))
    scale(image, tone, rng, area)
    return depth


def squamous_cell_carcinoma(image: Image, tone: float, rng: Rng) -> Field:
    """Draw a mass of keratin with blood spots, surrounded by white circles.

    Hairpin vessels are at the edge. Some are in situ: red and scaly without a mass, like actinic
    keratosis or basal cell carcinoma.
    """
    in_situ = rng.random() < MIMIC_FRACTION
    radius = rng.uniform(38, 60)
    depth = outline(rng, radius, roughness=0.08, aspect=rng.uniform(0.7, 1)) + 2 * value_noise(
        rng, 12
    )
    body = smoothstep(depth, -8, 8)
    flush(image, tone, body * rng.uniform(0.4, 0.9) * (1 + 0.2 * fractal_noise(rng, 25)))
    shade(image, 0.12 * body * smoothstep(depth, 14, 0))
    hairpins(image, tone, rng, radius)
    if in_situ:
        scale(image, tone, rng, body)
        return depth
    size, center = radius * rng.uniform(0.25, 0.62), rng.normal(0, radius * 0.14, 2)
    mass = outline(rng, size, roughness=0.14, aspect=0.8, center=tuple(center)) + 3 * fractal_noise(
        rng, 9
    )
    white_circles(image, rng, np.minimum(depth - 8, -mass - 2), tone)
    crust = smoothstep(mass, -2, 6)
    thickness = (rng.uniform(0.6, 0.9) + 0.2 * value_noise(rng, 5)).clip(0, 1)
    blend(image, on_skin(KERATIN, tone), crust * thickness)
    absorb(image, MELANIN, crust * rng.uniform(0.2, 0.8) * smoothstep(value_noise(rng, 10), 0, 0.9))
    bumps(image, rng, mass, CRUST, n=int(rng.integers(0, 8)), size=(2, 5), strength=0.75)
    return depth


def dermatofibroma(image: Image, tone: float, rng: Rng) -> Field:
    """Draw a white scar-like patch in the center of a fine light brown ring of network.

    In some lesions the patch is faint. They look like a nevus.
    """
    radius = rng.uniform(32, 54)
    depth = outline(rng, radius, roughness=0.05, aspect=rng.uniform(0.75, 1)) + 3 * value_noise(
        rng, 16
    )
    body = smoothstep(depth, -12, 14)
    flush(image, tone, body * rng.uniform(0.1, 0.35))
    absorb(image, MELANIN, body * (rng.uniform(0.25, 0.7) + 0.1 * fractal_noise(rng, 20)))
    network(image, rng, body * 0.6, period=rng.uniform(6, 8), warp=3)
    size, center = radius * rng.uniform(0.3, 0.56), rng.normal(0, 4, 2)
    scar = outline(rng, size, roughness=0.1, aspect=0.8, center=tuple(center)) + 3 * fractal_noise(
        rng, 9
    )
    patch = smoothstep(scar, -8, 10) * (0.3 if rng.random() < MIMIC_FRACTION else 1)
    blend(image, on_skin(SCAR, tone), patch * rng.uniform(0.4, 0.8))
    flush(image, tone, patch * 0.3 * smoothstep(value_noise(rng, 6), 0.3, 0.9))
    return depth


def vascular_lesion(image: Image, tone: float, rng: Rng) -> Field:
    """Draw sharply bordered red, purple or blue-black lagoons, separated by white, without network.

    In some lesions the lagoons merge into one dark area, as in a melanoma.
    """
    merged = rng.random() < MIMIC_FRACTION
    radius = rng.uniform(26, 54)
    depth = outline(rng, radius, roughness=0.07, aspect=rng.uniform(0.7, 1))
    flush(image, tone, smoothstep(depth, -14, 4) * rng.uniform(0.2, 0.7))
    blend(image, on_skin(PEARL, tone), smoothstep(depth, -3, 5) * rng.uniform(0.1, 0.45))
    distance = rng.uniform(9, 20)
    centers = poisson_disk_points(rng, 40, distance, within=depth - distance * 0.3)
    radii = distance * rng.uniform(0.5, 0.85, len(centers)) * (1.5 if merged else 1)
    rho, light_offset, index = spots(centers, radii, edge_noise=0.15 * value_noise(rng, 9))
    # All lagoons have one main color or a neighboring one.
    main_color = rng.integers(len(LAGOONS))
    color_index = np.clip(
        main_color + rng.choice((-1, 0, 0, 0, 1), len(centers)), 0, len(LAGOONS) - 1
    )
    colors = np.array(LAGOONS, np.float32)[color_index] * rng.uniform(0.85, 1.15, (len(centers), 1))
    blend(
        image,
        colors.astype(np.float32)[index],
        rng.uniform(0.6, 0.95) * smoothstep(rho, 1.15, 0.8),
    )
    shade(image, 0.2 * (light_offset + fractal_noise(rng, 14)) * smoothstep(rho, 1, 0.7))
    return np.maximum(depth, distance * (1 - rho))  # some lagoons cross the outline


DRAW: dict[str, Callable[[Image, float, Rng], Field]] = {
    "NV": melanocytic_nevus,
    "MEL": melanoma,
    "BCC": basal_cell_carcinoma,
    "BKL": benign_keratosis,
    "AK": actinic_keratosis,
    "SCC": squamous_cell_carcinoma,
    "DF": dermatofibroma,
    "VASC": vascular_lesion,
}
