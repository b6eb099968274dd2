"""Skin: its tones from Fitzpatrick I to VI, its texture, and what melanin and blood do to it."""

import numpy as np

from skin_lesions.data.sources.synthetic.drawing import (
    SIZE,
    Color,
    Field,
    Image,
    Rng,
    absorb,
    lattice,
    shade,
    smoothstep,
    value_noise,
)

# Fitzpatrick I to VI.
TONES = np.array(
    [
        (0.95, 0.79, 0.72),
        (0.91, 0.73, 0.64),
        (0.83, 0.63, 0.51),
        (0.69, 0.49, 0.37),
        (0.52, 0.35, 0.26),
        (0.36, 0.24, 0.18),
    ]
)
MELANIN: Color = (0.62, 1.02, 1.25)
BLOOD: Color = (0.07, 0.55, 0.48)
BLOOD_UNDER_DARK_SKIN: Color = (0.42, 0.62, 0.30)  # violaceous rather than red


def skin_colour(tone: float) -> Color:
    """Return the colour of skin of a tone from 0 (Fitzpatrick I) to 1 (VI)."""
    red, green, blue = (float(np.interp(tone * 5, np.arange(6), of)) for of in TONES.T)
    return red, green, blue


def plain_skin(rng: Rng, tone: float, *, relief: float = 0.02) -> Image:
    """Return healthy skin: uneven in pigment and blood, with pores and the fine mesh of its lines."""
    image = np.empty((SIZE, SIZE, 3), np.float32)
    image[:] = skin_colour(tone)
    absorb(image, MELANIN, 0.08 * value_noise(rng, 40))
    flush(image, tone, 0.08 * value_noise(rng, 30) + rng.uniform(0, 0.15))
    mesh = smoothstep(lattice(rng, rng.uniform(5, 8), warp=4), 0.35, 0.05)
    shade(image, relief * (value_noise(rng, 2) + 0.6 * value_noise(rng, 4.5) - 1.5 * mesh))
    return image


def flush(image: Image, tone: float, amount: Field) -> None:
    """Fill the vessels: red on light skin, violaceous and darker on dark skin."""
    spectrum = np.array(BLOOD) * (1 - tone) + np.array(BLOOD_UNDER_DARK_SKIN) * tone
    absorb(image, tuple(spectrum), amount)


def on_skin(color: Color, tone: float) -> Color:
    """Return how a colour of the skin's surface looks under that much pigment."""
    red, green, blue = color
    left = 1 - 0.38 * tone
    return red * left, green * left, blue * left
