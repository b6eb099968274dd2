"""Acquisition of the synthetic images: framing, lighting, artifacts, noise and JPEG encoding.

The effects depend on the image kind only, never on the diagnosis. Otherwise a network could use
them as a shortcut.
"""

import io
import math
from collections.abc import Callable
from dataclasses import dataclass

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
    Field,
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
Drawing = Callable[[Image, float, Rng], Field | None]
Size = tuple[int, int]


@dataclass(frozen=True)
class Frame:
    """The part of the canvas that an image shows.

    Attributes:
        size: Width and height of the image, pixels.
        angle: Rotation, radians.
        zoom: Pixels of the image per pixel of the canvas.
        shift: Offset of the center of the image from the center of the canvas, x and y, pixels.
        brightness: Factor of all pixels.
        is_flipped: Whether the image is mirrored from left to right, after the rotation.
    """

    size: Size
    angle: float
    zoom: float
    shift: NDArray[np.float64]
    brightness: float = 1.0
    is_flipped: bool = False


def render_image(lesion: Lesion, number: int, seed: int) -> bytes:
    """Draw image ``number`` of a lesion as JPEG. Equal arguments give equal bytes."""
    # lesion_rng is the same for all images of a lesion, rng belongs to one image.
    rng, lesion_rng = seeded_rng(seed, lesion.key, number), seeded_rng(seed, lesion.key)
    scene, _ = _scene(lesion, lesion_rng)
    frame = _frame(lesion, number, lesion_rng, rng)
    image = _crop_frame(scene, frame)
    _lighting(image, rng)
    if lesion.diagnosis.image_kind == "dermoscopy":
        for probability, add_artifact in ARTIFACTS:
            if rng.random() < probability:
                add_artifact(image, rng)
    return _encode_jpeg(image, rng)


def render_lesion_mask(lesion: Lesion, number: int, seed: int) -> NDArray[np.bool_] | None:
    """Return the pixels of the lesion in the image that ``render_image`` draws.

    The mask is exact: it has the outline that the lesion is drawn with, under the same rotation,
    scale, shift and reflection. Artifacts and lighting do not change it. The streaks of a melanoma
    and the vessels of a carcinoma cross the outline by a few pixels.

    Returns:
        (height, width), or None if the drawing has no outline or the image does not show it.
    """
    rng, lesion_rng = seeded_rng(seed, lesion.key, number), seeded_rng(seed, lesion.key)
    _, depth = _scene(lesion, lesion_rng)
    if depth is None:
        return None
    mask = _crop_depth(depth, _frame(lesion, number, lesion_rng, rng)) > 0
    return mask if mask.any() else None


def _scene(lesion: Lesion, rng: Rng) -> tuple[Image, Field | None]:
    """Draw a lesion on the canvas.

    Returns:
        The image, and the depth of each pixel in the lesion (negative outside) or None.
    """
    if lesion.diagnosis.image_kind == "dermoscopy":
        skin = plain_skin(rng, lesion.tone)
        return _draw_with_visibility(
            skin, dermoscopic.DRAW[lesion.diagnosis.code], lesion.tone, rng
        )
    skin = plain_skin(rng, lesion.tone, relief=0.03)
    _creases(skin, rng)
    image, depth = _draw_with_visibility(
        skin, clinical.DRAW[lesion.diagnosis.code], lesion.tone, rng
    )
    background = _limb(image, rng)
    if depth is None or background is None:
        return image, depth
    return image, np.minimum(depth, -background)  # the background hides a part of the lesion


def _draw_with_visibility(
    skin: Image, draw: Drawing, tone: float, rng: Rng
) -> tuple[Image, Field | None]:
    """Draw a lesion on the skin, with a random contrast.

    Returns:
        The image, and the depth of each pixel in the lesion or None.
    """
    drawn = skin.copy()
    depth = draw(drawn, tone, rng)
    # A power of the ratio instead of a linear mix: a faint lesion keeps its hue and is not gray.
    ratio = drawn.clip(0.01) / skin.clip(0.01)
    return skin * ratio ** np.float32(rng.uniform(*VISIBILITY)), depth


def _creases(image: Image, rng: Rng) -> None:
    """Draw fine skin lines. In half of the images they have one main direction."""
    lines = smooth_band(
        value_noise(rng, 6, stretch=4) if rng.random() < 0.5 else value_noise(rng, 7), 0, 0.2
    )
    shade(image, -rng.uniform(0.02, 0.07) * lines)


def _limb(image: Image, rng: Rng) -> Field | None:
    """Darken the skin towards two sides like a limb, in some images before a blurred background.

    Returns:
        Depth of each pixel in the background (negative outside), or None.
    """
    x, y = grid()
    angle = rng.uniform(0, 2 * np.pi)
    offset = math.cos(angle) * x + math.sin(angle) * y
    shade(image, -rng.uniform(0.1, 0.4) * (offset / MIDDLE) ** 2)
    if rng.random() >= BLURRED_BACKGROUND:
        return None
    # Signed distance to the wavy edge of the limb, pixels; positive in the background.
    distance = offset + 8 * value_noise(rng, 90) - rng.uniform(48, 70)
    shade(image, -0.35 * smoothstep(distance, -25, 0))
    blend(
        image,
        _muted_color(rng) * (1 + 0.15 * value_noise(rng, 60))[..., None],
        smoothstep(distance, -2, 3),
    )
    return distance


def _muted_color(rng: Rng) -> NDArray[np.float64]:
    """Return a random muted color, for cloth or a wall."""
    return rng.uniform(0.15, 0.8) * (1 + 0.25 * rng.uniform(-1, 1, 3))


def _frame(lesion: Lesion, number: int, lesion_rng: Rng, rng: Rng) -> Frame:
    """Return the frame of image ``number`` of a lesion.

    Image 1 of a clinical scene is the photograph, and higher numbers are augmented versions of it.
    """
    if lesion.diagnosis.image_kind == "dermoscopy":
        return Frame(
            size=DERMOSCOPY_SIZES[rng.integers(len(DERMOSCOPY_SIZES))],
            angle=rng.uniform(0, 2 * np.pi),
            zoom=rng.uniform(0.9, 1.25),
            shift=rng.normal(0, 5, 2),
        )
    size = CLINICAL_SIZES[lesion_rng.integers(len(CLINICAL_SIZES))]
    # With this zoom, the longer side of the image is as long as the canvas.
    scale = max(size) / SIZE
    if number == 1:
        return Frame(size=size, angle=0, zoom=scale * 1.05, shift=np.zeros(2))
    return Frame(
        size=size,
        angle=rng.uniform(-0.5, 0.5),
        zoom=scale * rng.uniform(1.05, 1.35),
        shift=rng.normal(0, 6, 2),
        brightness=rng.uniform(0.8, 1.2),
        is_flipped=rng.random() < 0.5,
    )


def _crop_frame(image: Image, frame: Frame) -> Image:
    """Cut the image of a frame out of the canvas."""
    pixels = (image.clip(0, 1) * 255).astype(np.uint8)
    padding = ((PADDING, PADDING), (PADDING, PADDING), (0, 0))
    cropped = _transform(Pillow.fromarray(np.pad(pixels, padding, "reflect")), frame)
    view = np.asarray(cropped, np.float32) / np.float32(255) * np.float32(frame.brightness)
    return view[:, ::-1] if frame.is_flipped else view


def _crop_depth(depth: Field, frame: Frame) -> Field:
    """Cut the depths of a frame out of the canvas, (height, width)."""
    padded = np.pad(depth.astype(np.float32), PADDING, "reflect")
    view = np.asarray(_transform(Pillow.fromarray(padded), frame))
    return view[:, ::-1] if frame.is_flipped else view


def _transform(padded: Pillow.Image, frame: Frame) -> Pillow.Image:
    """Rotate, scale and shift a padded canvas."""
    # Affine map from output to canvas coordinates: scale 1 / zoom, rotation by the angle, and an
    # offset (x0, y0) that maps the center of the output to the shifted center of the canvas.
    step = 1 / frame.zoom
    cos, sin = step * math.cos(frame.angle), step * math.sin(frame.angle)
    center = SIZE / 2 + PADDING + frame.shift
    half = np.array(frame.size) / 2
    x0 = center[0] - cos * half[0] + sin * half[1]
    y0 = center[1] - sin * half[0] - cos * half[1]
    return padded.transform(
        frame.size,
        Pillow.Transform.AFFINE,
        (cos, -sin, x0, sin, cos, y0),
        Pillow.Resampling.BILINEAR,
    )


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
