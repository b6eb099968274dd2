"""The eight diagnoses of ISIC 2019 as a dermatoscope shows them.

Each function draws one lesion on skin: what every lesion of the diagnosis has, in a shape and a
mix that its random generator decides. Some are made to look like another diagnosis.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from skin_lesions.demo.canvas import (
    SUPERSAMPLING,
    Colour,
    Field,
    Image,
    absorb,
    band,
    clouds,
    grid,
    lattice,
    noise,
    outline,
    pen,
    rise,
    scattered,
    shade,
    spots,
    strokes,
    tint,
)
from skin_lesions.demo.skin import MELANIN, flush, on_skin

ATYPICAL_SHARE = 0.2  # nevi that look like melanoma, melanomas that look like nevi
FLAT_SHARE = 0.2  # seborrhoeic keratoses and actinic keratoses that look like each other

BLUE_GREY: Colour = (0.40, 0.43, 0.54)
SCAR: Colour = (0.93, 0.86, 0.83)
KERATIN: Colour = (0.93, 0.85, 0.62)
WAX: Colour = (0.68, 0.50, 0.31)
MILIUM: Colour = (0.97, 0.93, 0.82)
PEARL: Colour = (0.96, 0.86, 0.86)
FOLLICLE: Colour = (0.95, 0.86, 0.66)
CRUST: Colour = (0.38, 0.14, 0.07)
LAGOONS: tuple[Colour, ...] = ((0.66, 0.13, 0.15), (0.50, 0.10, 0.20), (0.33, 0.12, 0.28), (0.16, 0.10, 0.19))

Rng = np.random.Generator
Brush = ImageDraw.ImageDraw
Points = NDArray[np.floating]


def melanocytic_nevus(image: Image, tone: float, rng: Rng) -> None:
    """Symmetric and round, one or two browns, regular network or globules, fading border."""
    atypical = rng.random() < ATYPICAL_SHARE
    radius = rng.uniform(32, 56)
    rough = rng.uniform(0.08, 0.13) if atypical else rng.uniform(0.01, 0.05)
    depth = outline(rng, radius, rough=rough, aspect=rng.uniform(0.75, 1)) + 2 * noise(rng, 12)
    body = rise(depth, -6, radius * rng.uniform(0.3, 0.7))
    pigment = rng.uniform(0.45, 1.15) * body * (1 + 0.15 * clouds(rng, 20))
    if atypical:
        pigment *= 1 + 0.45 * clouds(rng, 45)
    elif rng.random() < 0.4:
        pigment += 0.5 * rise(depth, radius * 0.35, radius * 0.9)
    flush(image, tone, 0.2 * body)
    absorb(image, MELANIN, pigment)
    pattern = rng.choice(3, p=(0.5, 0.35, 0.15))
    if pattern == 0:
        _network(image, rng, rise(depth, -4, 10), period=rng.uniform(6, 8.5), warp=3)
    elif pattern == 1:
        _globules(image, rng, rise(depth, 0, 8), period=rng.uniform(7.5, 11))


def melanoma(image: Image, tone: float, rng: Rng) -> None:
    """Asymmetric, notched, of many colours: veil, blotches, scar-like white, streaks at the edge."""
    early = rng.random() < ATYPICAL_SHARE
    radius = rng.uniform(32, 48) if early else rng.uniform(42, 60)
    rough = rng.uniform(0.07, 0.11) if early else rng.uniform(0.1, 0.17)
    depth = outline(rng, radius, rough=rough, aspect=rng.uniform(0.6, 0.9)) + 2 * clouds(rng, 14)
    body = rise(depth, -4, 8)
    flush(image, tone, 0.25 * body)
    absorb(image, MELANIN, body * (0.75 + 0.5 * clouds(rng, 36)).clip(0.2, 1.7))
    _network(image, rng, body * rise(noise(rng, 40), -0.2, 0.5), period=rng.uniform(8, 12), warp=7)
    if not early:
        signs = rng.permutation([_veil, _regression, _streaks, _dots, _redness])
        for sign in signs[: rng.integers(2, 5)]:
            sign(image, tone, rng, depth)
    _blotch(image, rng, radius, body, amount=rng.uniform(0.4, 1.1))


def basal_cell_carcinoma(image: Image, tone: float, rng: Rng) -> None:
    """Pink and pearly, with sharp branching vessels, blue-grey ovoid nests, at times an ulcer."""
    radius = rng.uniform(38, 58)
    depth = outline(rng, radius, rough=0.09, aspect=rng.uniform(0.65, 0.95))
    body = rise(depth, -6, 10)
    flush(image, tone, body * rng.uniform(0.25, 0.55))
    tint(image, on_skin(PEARL, tone), body * (0.25 + 0.25 * noise(rng, 18)).clip(0, 0.6))
    pigmented = rng.random() < 0.6
    if pigmented:
        _nests(image, rng, depth)
    if rng.random() < 0.4:
        _ulcer(image, rng, radius)
    _tree_vessels(image, tone, rng, radius, n=int(rng.integers(2, 4) if pigmented else rng.integers(3, 6)))


def benign_keratosis(image: Image, tone: float, rng: Rng) -> None:
    """Stuck on: sharp moth-eaten border, waxy tan to brown, white cysts, dark openings, ridges."""
    radius = rng.uniform(36, 60)
    depth = outline(rng, radius, rough=0.07, aspect=rng.uniform(0.65, 0.95)) + 2 * clouds(rng, 9)
    body = rise(depth, -1.5, 2)
    flat = rng.random() < FLAT_SHARE
    shade(image, -0.12 * band(depth, -3, 4))
    flush(image, tone, body * (0.4 if flat else 0.1))
    tint(image, on_skin(WAX, tone), body * (0.3 if flat else rng.uniform(0.45, 0.8)))
    absorb(image, MELANIN, body * (rng.uniform(0.0, 0.8) + 0.25 * clouds(rng, 22)).clip(0))
    if rng.random() < 0.6:
        ridges = band(clouds(rng, rng.uniform(14, 19)), 0, 0.3)
        absorb(image, MELANIN, body * ridges * (0.2 if flat else rng.uniform(0.3, 0.8)))
    cysts, openings = rng.integers(3, 18), rng.integers(0, 14)
    _bumps(image, rng, depth, on_skin(MILIUM, tone), n=int(cysts), size=(1.4, 3.2), strength=0.7)
    _bumps(image, rng, depth, CRUST, n=int(openings), size=(1.5, 3.4), strength=0.7)
    shade(image, 0.08 * body * (rise(depth, 10, 0) + noise(rng, 4)))


def actinic_keratosis(image: Image, tone: float, rng: Rng) -> None:
    """Strawberry: red network between yellowish follicles in white haloes, scale, no border."""
    radius = rng.uniform(44, 72)
    depth = outline(rng, radius, rough=0.12, aspect=rng.uniform(0.6, 0.95)) + 8 * clouds(rng, 25)
    area = rise(depth, -16, 22)
    cells = lattice(rng, rng.uniform(11, 16), warp=5) + 0.15 * noise(rng, 7)
    flat = rng.random() < FLAT_SHARE
    flush(image, tone, area * rng.uniform(0.5, 0.95) * (0.4 + rise(cells, 0.6, 0.1)))
    if flat:
        absorb(image, MELANIN, area * (0.4 + 0.15 * noise(rng, 20)))
    open_follicles = area * rise(clouds(rng, 35), -0.8, 0.6) * (0.5 if flat else 0.85)
    tint(image, on_skin(SCAR, tone), open_follicles * 0.45 * rise(cells, 0.4, 0.65))
    tint(image, on_skin(FOLLICLE, tone), open_follicles * 0.75 * rise(cells, 0.75, 0.95))
    scale = rise(noise(rng, 22), 0.3, 0.9) * (0.5 + 0.6 * noise(rng, 3.5)).clip(0, 1)
    tint(image, on_skin(KERATIN, tone), area * scale * rng.uniform(0.2, 0.8))


def squamous_cell_carcinoma(image: Image, tone: float, rng: Rng) -> None:
    """A mass of keratin with blood spots, white circles around, hairpin vessels at the edge."""
    radius = rng.uniform(42, 60)
    depth = outline(rng, radius, rough=0.08, aspect=rng.uniform(0.75, 1)) + 2 * noise(rng, 12)
    body = rise(depth, -5, 6)
    flush(image, tone, body * rng.uniform(0.5, 0.9))
    shade(image, 0.14 * body * rise(depth, 14, 0))
    middle = tuple(rng.normal(0, radius * 0.12, 2))
    size = radius * rng.uniform(0.28, 0.62)
    mass = outline(rng, size, rough=0.14, aspect=0.8, centre=middle) + 3 * noise(rng, 8)
    _white_circles(image, rng, np.minimum(depth - 8, -mass - 2), tone)
    _hairpins(image, tone, rng, radius)
    crust = rise(mass, -2, 5)
    tint(image, on_skin(KERATIN, tone), crust * (0.85 + 0.2 * noise(rng, 6)).clip(0, 1))
    absorb(image, MELANIN, crust * 0.5 * rise(noise(rng, 10), 0.1, 0.8))
    _bumps(image, rng, mass, CRUST, n=int(rng.integers(1, 8)), size=(2, 5), strength=0.75)


def dermatofibroma(image: Image, tone: float, rng: Rng) -> None:
    """A white scar-like patch in the middle of a delicate light brown ring of network."""
    radius = rng.uniform(34, 54)
    depth = outline(rng, radius, rough=0.04, aspect=rng.uniform(0.75, 1)) + 3 * noise(rng, 16)
    body = rise(depth, -12, 14)
    flush(image, tone, body * rng.uniform(0.1, 0.35))
    absorb(image, MELANIN, body * (rng.uniform(0.25, 0.6) + 0.1 * clouds(rng, 20)))
    _network(image, rng, body * 0.6, period=rng.uniform(6, 8), warp=3)
    size, centre = radius * rng.uniform(0.32, 0.56), rng.normal(0, 4, 2)
    scar = outline(rng, size, rough=0.1, aspect=0.8, centre=tuple(centre)) + 3 * clouds(rng, 9)
    patch = rise(scar, -8, 10)
    tint(image, on_skin(SCAR, tone), patch * rng.uniform(0.5, 0.8))
    flush(image, tone, patch * 0.3 * rise(noise(rng, 6), 0.3, 0.9))


def vascular_lesion(image: Image, tone: float, rng: Rng) -> None:
    """Lagoons: red, purple or blue-black, sharply bordered, parted by white; no network."""
    radius = rng.uniform(28, 54)
    depth = outline(rng, radius, rough=0.07, aspect=rng.uniform(0.7, 1))
    flush(image, tone, rise(depth, -14, 4) * rng.uniform(0.2, 0.7))
    tint(image, on_skin(PEARL, tone), rise(depth, -3, 5) * rng.uniform(0.1, 0.45))
    apart = rng.uniform(10, 20)
    places = scattered(rng, 40, apart, within=depth - apart * 0.3)
    radii = apart * rng.uniform(0.5, 0.85, len(places))
    rho, lit, owner = spots(places, radii, wobble=0.15 * noise(rng, 9))
    main = rng.integers(len(LAGOONS))
    each = np.clip(main + rng.choice((-1, 0, 0, 0, 1), len(places)), 0, len(LAGOONS) - 1)
    colours = np.array(LAGOONS, np.float32)[each] * rng.uniform(0.85, 1.15, (len(places), 1))
    tint(image, colours.astype(np.float32)[owner], rng.uniform(0.75, 0.95) * rise(rho, 1.15, 0.8))
    shade(image, 0.2 * (lit + clouds(rng, 14)) * rise(rho, 1, 0.7))


DRAW: dict[str, Callable[[Image, float, Rng], None]] = {
    "NV": melanocytic_nevus,
    "MEL": melanoma,
    "BCC": basal_cell_carcinoma,
    "BKL": benign_keratosis,
    "AK": actinic_keratosis,
    "SCC": squamous_cell_carcinoma,
    "DF": dermatofibroma,
    "VASC": vascular_lesion,
}


def _network(image: Image, rng: Rng, where: Field, *, period: float, warp: float) -> None:
    """Pigment network: brown lines of a honeycomb, lighter holes."""
    cells = lattice(rng, period, warp)
    contrast = rng.uniform(0.35, 0.75) * rise(noise(rng, 25), -1, 0.3)
    absorb(image, MELANIN, where * contrast * (rise(cells, 0.5, 0.05) - 0.25))


def _globules(image: Image, rng: Rng, where: Field, *, period: float) -> None:
    """Brown globules, evenly spread."""
    cells = lattice(rng, period, warp=6) + 0.15 * noise(rng, period / 2)
    absorb(image, MELANIN, where * rng.uniform(0.5, 0.9) * rise(cells, 0.4, 0.85))


def _blotch(image: Image, rng: Rng, radius: float, body: Field, *, amount: float) -> None:
    """A dark structureless blotch, off the centre."""
    angle = rng.uniform(0, 2 * np.pi)
    centre = 0.5 * radius * np.cos(angle), 0.5 * radius * np.sin(angle)
    blotch = outline(rng, radius * rng.uniform(0.3, 0.5), rough=0.2, aspect=0.7, centre=centre)
    absorb(image, MELANIN, amount * body * rise(blotch + 2 * noise(rng, 9), -3, 5))


def _veil(image: Image, tone: float, rng: Rng, depth: Field) -> None:
    """Blue-white veil: a hazy blue-grey area without structure."""
    where = rise(clouds(rng, 50), 0, 0.9) * rise(depth, 0, 12)
    tint(image, BLUE_GREY, rng.uniform(0.5, 0.8) * where)


def _regression(image: Image, tone: float, rng: Rng, depth: Field) -> None:
    """Regression: white like a scar, with grey-blue pepper."""
    where = rise(clouds(rng, 40), 0.2, 1.0) * rise(depth, 0, 10)
    tint(image, on_skin(SCAR, tone), rng.uniform(0.45, 0.75) * where)
    tint(image, BLUE_GREY, 0.6 * where * rise(noise(rng, 3.5), 0.5, 1))


def _redness(image: Image, tone: float, rng: Rng, depth: Field) -> None:
    """Milky red areas."""
    flush(image, tone, rng.uniform(0.6, 1.1) * rise(noise(rng, 40), 0, 0.9) * rise(depth, -2, 8))


def _streaks(image: Image, tone: float, rng: Rng, depth: Field) -> None:
    """Streaks and pseudopods: dark fingers that leave the border on one side."""
    x, y = grid()
    angle = np.arctan2(y, x) + 0.06 * noise(rng, 12)
    side = rise(np.cos(angle - rng.uniform(0, 2 * np.pi)), rng.uniform(-0.5, 0.5), 0.8)
    fingers = np.cos(angle * int(rng.integers(22, 34))) * (1 + 0.5 * noise(rng, 14))
    reach = depth + side * (3 + 5 * fingers)
    absorb(image, MELANIN, 1.1 * side * rise(reach, -1, 4) * rise(depth, 12, 2))


def _dots(image: Image, tone: float, rng: Rng, depth: Field) -> None:
    """Black dots of several sizes on one side."""
    x, y = grid()
    angle = rng.uniform(0, 2 * np.pi)
    side = np.cos(angle) * x + np.sin(angle) * y
    places = scattered(rng, int(rng.integers(8, 22)), 6, within=np.minimum(depth, side + 5))
    rho, *_ = spots(places, rng.uniform(1.3, 3.5, len(places)), wobble=0.2 * noise(rng, 3))
    absorb(image, MELANIN, 1.1 * rise(rho, 1.4, 0.6))


def _nests(image: Image, rng: Rng, depth: Field) -> None:
    """Blue-grey ovoid nests and leaf-like areas, rather towards the edge."""
    places = scattered(rng, int(rng.integers(3, 12)), 12, within=np.minimum(depth - 3, 34 - depth))
    rho, *_ = spots(
        places,
        rng.uniform(3, 8, len(places)),
        stretch=rng.uniform(1.1, 1.7),
        turn=rng.uniform(0, np.pi),
        wobble=0.3 * clouds(rng, 8),
    )
    tint(image, BLUE_GREY, 0.6 * rise(rho, 1.5, 0.6))
    absorb(image, (0.7, 0.65, 0.45), rng.uniform(0.3, 0.9) * rise(rho, 1.2, 0.5))


def _ulcer(image: Image, rng: Rng, radius: float) -> None:
    """A raw, crusted spot."""
    centre = tuple(rng.normal(0, radius * 0.2, 2))
    ulcer = outline(rng, radius * rng.uniform(0.15, 0.3), rough=0.15, centre=centre)
    where = rise(ulcer + 2 * noise(rng, 6), -2, 3)
    tint(image, (0.66, 0.2, 0.15), 0.85 * where)
    tint(image, CRUST, 0.8 * where * rise(noise(rng, 6), -0.1, 0.5))


def _tree_vessels(image: Image, tone: float, rng: Rng, radius: float, n: int) -> None:
    """Arborizing vessels: thick sharp trunks that branch into ever thinner ones."""

    def branch(brush: Brush, start: Points, angle: float, length: float, width: float) -> None:
        angles = angle + np.cumsum(rng.normal(0, 0.3, 8))
        steps = length / 8 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
        way = start + np.cumsum(np.vstack([[0, 0], steps]), axis=0)
        brush.line(pen(way), fill=255, width=round(width * SUPERSAMPLING), joint="curve")
        if width > 0.6:
            for i in rng.choice(np.arange(2, 8), 3, replace=False):
                turn = angles[i - 1] + rng.choice((-1, 1)) * rng.uniform(0.4, 1.0)
                branch(brush, way[i], turn, length * rng.uniform(0.4, 0.7), width * 0.6)

    def trees(brush: Brush) -> None:
        for angle in rng.uniform(0, 2 * np.pi, n):
            start = rng.uniform(0.5, 1) * radius * np.array([np.cos(angle), np.sin(angle)])
            inwards = angle + np.pi + rng.normal(0, 0.8)
            branch(brush, start, inwards, radius * rng.uniform(0.5, 0.9), rng.uniform(1.2, 2.4))

    flush(image, tone, rng.uniform(1.3, 2.0) * strokes(trees))


def _bumps(
    image: Image,
    rng: Rng,
    depth: Field,
    colour: Colour,
    *,
    n: int,
    size: tuple[float, float],
    strength: float,
) -> None:
    """Small soft dots of one colour: milia-like cysts, comedo-like openings, spots of blood."""
    places = scattered(rng, n, 2 * size[1], within=depth - size[0])
    rho, *_ = spots(places, rng.uniform(*size, len(places)))
    tint(image, colour, strength * rise(rho, 1.3, 0.6))


def _white_circles(image: Image, rng: Rng, where: Field, tone: float) -> None:
    """White rings around keratin-filled follicles."""
    places = scattered(rng, int(rng.integers(2, 9)), 12, within=where)
    rho, *_ = spots(places, rng.uniform(3, 5, len(places)), reach=2, wobble=0.2 * noise(rng, 6))
    tint(image, on_skin(SCAR, tone), 0.7 * band(rho, 1, 0.7))
    tint(image, on_skin(KERATIN, tone), 0.5 * rise(rho, 0.6, 0.2))


def _hairpins(image: Image, tone: float, rng: Rng, radius: float) -> None:
    """Hairpin vessels: red loops that stand on the edge like spokes."""

    def loops(brush: Brush) -> None:
        for angle in rng.uniform(0, 2 * np.pi, rng.integers(10, 24)):
            t = np.linspace(-np.pi / 2, np.pi / 2, 9)
            u = radius * rng.uniform(0.6, 0.95) - rng.uniform(5, 13) * np.cos(t)
            v = rng.uniform(1.5, 3.2) * np.sin(t) + rng.normal(0, 0.4, 9)
            x, y = np.cos(angle) * u - np.sin(angle) * v, np.sin(angle) * u + np.cos(angle) * v
            way = pen(np.stack([x, y], axis=1))
            brush.line(way, fill=255, width=round(1.3 * SUPERSAMPLING), joint="curve")

    flush(image, tone, rng.uniform(1.0, 1.7) * strokes(loops))


