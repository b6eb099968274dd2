"""Skin model: tones from Fitzpatrick type I to VI, texture, and absorption by melanin and blood.

All drawings of lesions start from this skin.
"""

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

# RGB of Fitzpatrick types I to VI, (6, 3).
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
# Absorption of each channel; see ``absorb``.
MELANIN: Color = (0.62, 1.02, 1.25)
BLOOD: Color = (0.07, 0.55, 0.48)
BLOOD_UNDER_DARK_SKIN: Color = (0.42, 0.62, 0.30)  # violaceous rather than red


def skin_color(tone: float) -> Color:
    """Return the color of skin with a tone from 0 (Fitzpatrick type I) to 1 (type VI)."""
    red = np.interp(tone * 5, np.arange(6), TONES[:, 0])
    green = np.interp(tone * 5, np.arange(6), TONES[:, 1])
    blue = np.interp(tone * 5, np.arange(6), TONES[:, 2])
    return float(red), float(green), float(blue)


def plain_skin(rng: Rng, tone: float, *, relief: float = 0.02) -> Image:
    """Return healthy skin with uneven melanin and blood, pores and a fine mesh of skin lines."""
    image = np.empty((SIZE, SIZE, 3), np.float32)
    image[:] = skin_color(tone)
    absorb(image, MELANIN, 0.08 * value_noise(rng, 40))
    flush(image, tone, 0.08 * value_noise(rng, 30) + rng.uniform(0, 0.15))
    mesh = smoothstep(lattice(rng, rng.uniform(5, 8), warp=4), 0.35, 0.05)
    shade(image, relief * (value_noise(rng, 2) + 0.6 * value_noise(rng, 4.5) - 1.5 * mesh))
    return image


def flush(image: Image, tone: float, amount: Field) -> None:
    """Increase the amount of blood: red on light skin, violaceous and darker on dark skin."""
    spectrum = np.array(BLOOD) * (1 - tone) + np.array(BLOOD_UNDER_DARK_SKIN) * tone
    absorb(image, tuple(spectrum), amount)


def on_skin(color: Color, tone: float) -> Color:
    """Return a color of the skin surface, darkened for the skin tone."""
    red, green, blue = color
    brightness = 1 - 0.38 * tone
    return red * brightness, green * brightness, blue * brightness
