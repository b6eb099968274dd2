"""Skin: its tones from Fitzpatrick I to VI, its texture, and what melanin and blood do to it."""

import numpy as np

from skin_lesions.demo.canvas import SIZE, Colour, Field, Image, absorb, clouds, noise

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
MELANIN: Colour = (0.62, 1.02, 1.25)
BLOOD: Colour = (0.07, 0.55, 0.48)
BLOOD_UNDER_DARK_SKIN: Colour = (0.42, 0.62, 0.30)  # violaceous rather than red


def skin_colour(tone: float) -> Colour:
    """Return the colour of skin of a tone from 0 (Fitzpatrick I) to 1 (VI)."""
    return tuple(np.interp(tone * 5, np.arange(6), channel) for channel in TONES.T)


def plain_skin(rng: np.random.Generator, tone: float, *, texture: float = 0.03) -> Image:
    """Return healthy skin: uneven in pigment and blood, finely grained."""
    image = np.empty((SIZE, SIZE, 3), np.float32)
    image[:] = skin_colour(tone)
    absorb(image, MELANIN, 0.05 * clouds(rng, 50))
    flush(image, tone, 0.06 * noise(rng, 35) + rng.uniform(0, 0.12))
    image *= 1 + texture * noise(rng, 2.5)[..., None]
    return image


def flush(image: Image, tone: float, amount: Field) -> None:
    """Fill the vessels: red on light skin, violaceous and darker on dark skin."""
    spectrum = np.array(BLOOD) * (1 - tone) + np.array(BLOOD_UNDER_DARK_SKIN) * tone
    absorb(image, tuple(spectrum), amount)


def on_skin(colour: Colour, tone: float) -> Colour:
    """Return how a colour of the skin's surface looks under that much pigment."""
    return tuple(c * (1 - 0.38 * tone) for c in colour)
