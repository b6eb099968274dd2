"""Acquisition of the synthetic images: framing, lighting, artifacts, noise and JPEG encoding.

The effects depend on the image kind only, never on the diagnosis. Otherwise a network could use
them as a shortcut.
"""

import io
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageFilter

from skin_lesions.data.sources.synthetic import clinical, dermoscopic
from skin_lesions.data.sources.synthetic.artifacts import ARTIFACTS
from skin_lesions.data.sources.synthetic.cohort import Lesion, seeded_rng
from skin_lesions.data.sources.synthetic.drawing import (
    MIDDLE,
    SIZE,
    Image,
    Rng,
    blend,
    grid,
    shade,
    smooth_band,
    smoothstep,
    value_noise,
)
from skin_lesions.data.sources.synthetic.skin import plain_skin

PADDING = 60  # pixels of mirrored skin around the canvas; rotated crops reach beyond its corners
# Width and height in pixels; a repeated size is drawn more often.
DERMOSCOPY_SIZES = ((160, 120), (160, 120), (160, 120), (144, 144))
CLINICAL_SIZES = ((150, 150), (180, 135), (132, 176), (160, 160), (192, 144))
BLURRED_BACKGROUND = 0.3  # probability that a photograph has one
VISIBILITY = (0.75, 1.1)  # range of the contrast of a lesion to its skin; 1 is as drawn
Drawing = Callable[[Image, float, Rng], None]
Size = tuple[int, int]


def render_image(lesion: Lesion, number: int, seed: int) -> bytes:
    """Draw image ``number`` of a lesion as JPEG. Equal arguments give equal bytes."""
    # lesion_rng is the same for all images of a lesion, rng belongs to one image.
    rng, lesion_rng = seeded_rng(seed, lesion.key, number), seeded_rng(seed, lesion.key)
    if lesion.diagnosis.image_kind == "dermoscopy":
        image = _dermoscopic_view(_lesion_on_skin(lesion, lesion_rng), rng)
    else:
        image = _clinical_view(_clinical_scene(lesion, lesion_rng), number, lesion_rng, rng)
    return _encode_jpeg(image, rng)


def _lesion_on_skin(lesion: Lesion, rng: Rng) -> Image:
    image = plain_skin(rng, lesion.tone)
    return _draw_with_visibility(image, dermoscopic.DRAW[lesion.diagnosis.code], lesion.tone, rng)


def _clinical_scene(lesion: Lesion, rng: Rng) -> Image:
    image = plain_skin(rng, lesion.tone, relief=0.03)
    _creases(image, rng)
    image = _draw_with_visibility(image, clinical.DRAW[lesion.diagnosis.code], lesion.tone, rng)
    _limb(image, rng)
    return image


def _draw_with_visibility(skin: Image, draw: Drawing, tone: float, rng: Rng) -> Image:
    """Draw a lesion on the skin, with a random contrast."""
    drawn = skin.copy()
    draw(drawn, tone, rng)
    # A power of the ratio instead of a linear mix: a faint lesion keeps its hue and is not gray.
    ratio = drawn.clip(0.01) / skin.clip(0.01)
    return skin * ratio ** np.float32(rng.uniform(*VISIBILITY))


def _creases(image: Image, rng: Rng) -> None:
    """Draw fine skin lines. In half of the images they have one main direction."""
    lines = smooth_band(
        value_noise(rng, 6, stretch=4) if rng.random() < 0.5 else value_noise(rng, 7), 0, 0.2
    )
    shade(image, -rng.uniform(0.02, 0.07) * lines)


def _limb(image: Image, rng: Rng) -> None:
    """Darken the skin towards two sides like a limb, in some images before a blurred background."""
    x, y = grid()
    angle = rng.uniform(0, 2 * np.pi)
    offset = math.cos(angle) * x + math.sin(angle) * y
    shade(image, -rng.uniform(0.1, 0.4) * (offset / MIDDLE) ** 2)
    if rng.random() < BLURRED_BACKGROUND:
        # Signed distance to the wavy edge of the limb, pixels; positive in the background.
        distance = offset + 8 * value_noise(rng, 90) - rng.uniform(48, 70)
        shade(image, -0.35 * smoothstep(distance, -25, 0))
        blend(
            image,
            _muted_color(rng) * (1 + 0.15 * value_noise(rng, 60))[..., None],
            smoothstep(distance, -2, 3),
        )


def _muted_color(rng: Rng) -> NDArray[np.float64]:
    """Return a random muted color, for cloth or a wall."""
    return rng.uniform(0.15, 0.8) * (1 + 0.25 * rng.uniform(-1, 1, 3))


def _crop_frame(
    image: Image, size: Size, *, angle: float, zoom: float, shift: NDArray[np.float64]
) -> Image:
    """Cut a rotated, scaled and shifted image of ``size`` out of the canvas."""
    pixels = (image.clip(0, 1) * 255).astype(np.uint8)
    padded = Pillow.fromarray(
        np.pad(pixels, ((PADDING, PADDING), (PADDING, PADDING), (0, 0)), "reflect")
    )
    # Affine map from output to canvas coordinates: scale 1 / zoom, rotation by the angle, and an
    # offset (x0, y0) that maps the center of the output to the shifted center of the canvas.
    step = 1 / zoom
    cos, sin = step * math.cos(angle), step * math.sin(angle)
    center = SIZE / 2 + PADDING + shift
    half = np.array(size) / 2
    x0 = center[0] - cos * half[0] + sin * half[1]
    y0 = center[1] - sin * half[0] - cos * half[1]
    cropped = padded.transform(
        size, Pillow.Transform.AFFINE, (cos, -sin, x0, sin, cos, y0), Pillow.Resampling.BILINEAR
    )
    return np.asarray(cropped, np.float32) / np.float32(255)


def _dermoscopic_view(image: Image, rng: Rng) -> Image:
    size = DERMOSCOPY_SIZES[rng.integers(len(DERMOSCOPY_SIZES))]
    view = _crop_frame(
        image,
        size,
        angle=rng.uniform(0, 2 * np.pi),
        zoom=rng.uniform(0.9, 1.25),
        shift=rng.normal(0, 5, 2),
    )
    _lighting(view, rng)
    for probability, add_artifact in ARTIFACTS:
        if rng.random() < probability:
            add_artifact(view, rng)
    return view


def _clinical_view(image: Image, number: int, lesion_rng: Rng, rng: Rng) -> Image:
    """Return the photograph for image 1, and augmented versions of it for higher numbers."""
    size = CLINICAL_SIZES[lesion_rng.integers(len(CLINICAL_SIZES))]
    # With this zoom, the longer side of the image is as long as the canvas.
    scale = max(size) / SIZE
    if number == 1:
        view = _crop_frame(image, size, angle=0, zoom=scale * 1.05, shift=np.zeros(2))
    else:
        view = _crop_frame(
            image,
            size,
            angle=rng.uniform(-0.5, 0.5),
            zoom=scale * rng.uniform(1.05, 1.35),
            shift=rng.normal(0, 6, 2),
        )
        view *= rng.uniform(0.8, 1.2)
        if rng.random() < 0.5:
            view = view[:, ::-1]
    _lighting(view, rng)
    return view


def _lighting(image: Image, rng: Rng) -> None:
    """Add uneven light and a color cast."""
    rows, columns = image.shape[:2]
    # Relative brightness at the sides, and one factor per channel.
    horizontal = np.linspace(-1, 1, columns) * rng.normal(0, 0.06)
    vertical = np.linspace(-1, 1, rows)[:, None] * rng.normal(0, 0.06)
    image *= ((1 + horizontal + vertical)[..., None] * rng.normal(1, 0.03, 3)).astype(np.float32)


def _encode_jpeg(image: Image, rng: Rng) -> bytes:
    """Add sensor noise, blur slightly and encode as JPEG."""
    noise = rng.standard_normal(image.shape, dtype=np.float32) * rng.uniform(0.008, 0.02)
    pixels = ((image + noise).clip(0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    blurred = Pillow.fromarray(pixels).filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 0.9)))
    blurred.save(buffer, "JPEG", quality=int(rng.integers(80, 96)))
    return buffer.getvalue()
