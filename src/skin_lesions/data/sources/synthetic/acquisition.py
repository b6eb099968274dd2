"""From a lesion to a JPEG: framing, light, hair, gel, vignette, noise.

Nothing here depends on the diagnosis, only on the kind of image: what the camera adds must not
give the diagnosis away.
"""

import io
import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFilter

from skin_lesions.data.sources.synthetic import clinical, dermoscopic
from skin_lesions.data.sources.synthetic.cohort import Lesion, seeded_rng
from skin_lesions.data.sources.synthetic.drawing import (
    MIDDLE,
    SIZE,
    SUPERSAMPLING,
    Image,
    Rng,
    blend,
    grid,
    shade,
    smooth_band,
    smoothstep,
    strokes,
    value_noise,
)
from skin_lesions.data.sources.synthetic.skin import plain_skin

PADDING = 60  # mirrored skin around the canvas, for views that turn beyond its corners
DERMOSCOPY_SIZES = ((160, 120), (160, 120), (160, 120), (144, 144))
CLINICAL_SIZES = ((150, 150), (180, 135), (132, 176), (160, 160), (192, 144))
BLURRED_BACKGROUND = 0.3  # share of photographs

VISIBILITY = (0.75, 1.1)  # of a lesion on its skin; 1 is as drawn

Drawing = Callable[[Image, float, Rng], None]
Size = tuple[int, int]


def render_image(lesion: Lesion, number: int, seed: int) -> bytes:
    """Draw a lesion and take its picture of that number; equal arguments give equal bytes."""
    rng, of_lesion = seeded_rng(seed, lesion.key, number), seeded_rng(seed, lesion.key)
    if lesion.diagnosis.image_kind == "dermoscopy":
        picture = _dermoscopic(_lesion_on_skin(lesion, of_lesion), rng)
    else:
        picture = _clinical_view(_scene(lesion, of_lesion), number, of_lesion, rng)
    return _encode_jpeg(picture, rng)


def _lesion_on_skin(lesion: Lesion, rng: Rng) -> Image:
    image = plain_skin(rng, lesion.tone)
    return _draw_with_visibility(image, dermoscopic.DRAW[lesion.diagnosis.code], lesion.tone, rng)


def _scene(lesion: Lesion, rng: Rng) -> Image:
    image = plain_skin(rng, lesion.tone, relief=0.03)
    _creases(image, rng)
    image = _draw_with_visibility(image, clinical.DRAW[lesion.diagnosis.code], lesion.tone, rng)
    _limb(image, rng)
    return image


def _draw_with_visibility(skin: Image, draw: Drawing, tone: float, rng: Rng) -> Image:
    """Draw on the skin; some lesions stand out less than others."""
    drawn = skin.copy()
    draw(drawn, tone, rng)
    # A power of the ratio, not a mix: a faint lesion keeps its hue and does not turn grey.
    ratio = drawn.clip(0.01) / skin.clip(0.01)
    return skin * ratio ** np.float32(rng.uniform(*VISIBILITY))


def _creases(image: Image, rng: Rng) -> None:
    """Fine lines of the skin, in one main direction."""
    lines = smooth_band(
        value_noise(rng, 6, stretch=4) if rng.random() < 0.5 else value_noise(rng, 7), 0, 0.2
    )
    shade(image, -rng.uniform(0.02, 0.07) * lines)


def _limb(image: Image, rng: Rng) -> None:
    """Round the skin off towards two sides; at times it ends before a blurred background."""
    x, y = grid()
    turn = rng.uniform(0, 2 * np.pi)
    across = math.cos(turn) * x + math.sin(turn) * y
    shade(image, -rng.uniform(0.1, 0.4) * (across / MIDDLE) ** 2)
    if rng.random() < BLURRED_BACKGROUND:
        edge = across + 8 * value_noise(rng, 90) - rng.uniform(48, 70)
        shade(image, -0.35 * smoothstep(edge, -25, 0))
        blend(
            image,
            _muted_color(rng) * (1 + 0.15 * value_noise(rng, 60))[..., None],
            smoothstep(edge, -2, 3),
        )


def _muted_color(rng: Rng) -> NDArray[np.float64]:
    """Return a colour of cloth or wall."""
    return rng.uniform(0.15, 0.8) * (1 + 0.25 * rng.uniform(-1, 1, 3))


def _crop_frame(
    image: Image, size: Size, *, turn: float, zoom: float, shift: NDArray[np.float64]
) -> Image:
    """Cut a picture of that size out of the canvas."""
    pixels = (image.clip(0, 1) * 255).astype(np.uint8)
    padded = Pillow.fromarray(
        np.pad(pixels, ((PADDING, PADDING), (PADDING, PADDING), (0, 0)), "reflect")
    )
    step = 1 / zoom
    cos, sin = step * math.cos(turn), step * math.sin(turn)
    middle = SIZE / 2 + PADDING + shift
    half = np.array(size) / 2
    x0 = middle[0] - cos * half[0] + sin * half[1]
    y0 = middle[1] - sin * half[0] - cos * half[1]
    view = padded.transform(
        size, Pillow.Transform.AFFINE, (cos, -sin, x0, sin, cos, y0), Pillow.Resampling.BILINEAR
    )
    return np.asarray(view, np.float32) / np.float32(255)


def _dermoscopic(image: Image, rng: Rng) -> Image:
    size = DERMOSCOPY_SIZES[rng.integers(len(DERMOSCOPY_SIZES))]
    picture = _crop_frame(
        image,
        size,
        turn=rng.uniform(0, 2 * np.pi),
        zoom=rng.uniform(0.9, 1.25),
        shift=rng.normal(0, 5, 2),
    )
    _lighting(picture, rng)
    for share, disturb in DISTURBANCES:
        if rng.random() < share:
            disturb(picture, rng)
    return picture


def _clinical_view(image: Image, number: int, of_lesion: Rng, rng: Rng) -> Image:
    """The first picture is the photograph; the others are augmented copies of it."""
    size = CLINICAL_SIZES[of_lesion.integers(len(CLINICAL_SIZES))]
    fit = max(size) / SIZE
    if number == 1:
        picture = _crop_frame(image, size, turn=0, zoom=fit * 1.05, shift=np.zeros(2))
    else:
        picture = _crop_frame(
            image,
            size,
            turn=rng.uniform(-0.5, 0.5),
            zoom=fit * rng.uniform(1.05, 1.35),
            shift=rng.normal(0, 6, 2),
        )
        picture *= rng.uniform(0.8, 1.2)
        if rng.random() < 0.5:
            picture = picture[:, ::-1]
    _lighting(picture, rng)
    return picture


def _lighting(picture: Image, rng: Rng) -> None:
    """Uneven light and a colour cast."""
    rows, columns = picture.shape[:2]
    slope = np.linspace(-1, 1, columns) * rng.normal(0, 0.06)
    fall = np.linspace(-1, 1, rows)[:, None] * rng.normal(0, 0.06)
    picture *= ((1 + slope + fall)[..., None] * rng.normal(1, 0.03, 3)).astype(np.float32)


def _hair(picture: Image, rng: Rng) -> None:
    """Dark or light hairs that cross the picture in one main direction."""
    size = picture.shape[1], picture.shape[0]
    turn, bend = rng.uniform(0, 2 * np.pi), rng.normal(0, 14)
    along = np.linspace(-1, 1, 12)

    def hairs(brush: ImageDraw.ImageDraw) -> None:
        for _ in range(rng.integers(3, 14)):
            angle, length = turn + rng.normal(0, 0.35), rng.uniform(30, 90)
            u, v = length * along, (bend + rng.normal(0, 4)) * along**2
            x, y = (
                math.cos(angle) * u - math.sin(angle) * v,
                math.sin(angle) * u + math.cos(angle) * v,
            )
            way = np.stack([x, y], axis=1) + rng.uniform(0, 1, 2) * size
            width = round(rng.uniform(0.5, 1.2) * SUPERSAMPLING)
            brush.line([(a, b) for a, b in way * SUPERSAMPLING], fill=255, width=width)

    shaft = (0.75, 0.65, 0.5) if rng.random() < 0.15 else (0.14, 0.09, 0.07)
    blend(picture, shaft, rng.uniform(0.6, 0.9) * strokes(hairs, size))


def _vignette(picture: Image, rng: Rng) -> None:
    """The black rim of the dermatoscope's tube."""
    rows, columns = picture.shape[:2]
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    cx, cy = columns / 2 + rng.normal(0, 3), rows / 2 + rng.normal(0, 3)
    radius = rng.uniform(0.46, 0.56) * columns
    blend(picture, (0.02, 0.02, 0.02), smoothstep(np.hypot(x - cx, y - cy), radius - 2, radius + 3))


def _bubbles(picture: Image, rng: Rng) -> None:
    """Bubbles in the gel: bright rings with a glint."""
    rows, columns = picture.shape[:2]
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    for _ in range(rng.integers(1, 6)):
        dx, dy = x - rng.uniform(0, columns), y - rng.uniform(0, rows)
        radius = rng.uniform(3, 9)
        rho = np.hypot(dx, dy) / radius
        shade(picture, 0.25 * smooth_band(rho, 1, 0.3) - 0.12 * smooth_band(rho, 0.75, 0.2))
        glint = np.hypot(dx / radius + 0.4, dy / radius + 0.4)
        blend(picture, (1, 1, 1), 0.8 * smoothstep(glint, 0.3, 0.1))


def _ruler(picture: Image, rng: Rng) -> None:
    """Millimetre ticks along one edge."""
    rows, columns = picture.shape[:2]
    step, length = rng.uniform(6, 9), rng.uniform(5, 8)
    y, x = np.mgrid[:rows, :columns].astype(np.float32)
    if rng.random() < 0.5:
        x, y = y, x
    tall = np.where(np.round(x / step) % 5 == 0, 1.7, 1) * length
    tick = smoothstep(np.abs(x - step * np.round(x / step)), 1.1, 0.4) * (y < tall)
    blend(picture, (0.1, 0.1, 0.12), 0.8 * tick.astype(np.float32))


# Share of dermoscopic pictures and what disturbs them.
DISTURBANCES = ((0.3, _hair), (0.15, _bubbles), (0.12, _ruler), (0.3, _vignette))


def _encode_jpeg(picture: Image, rng: Rng) -> bytes:
    """Blur a little, add the sensor's noise, encode."""
    grain = rng.standard_normal(picture.shape, dtype=np.float32) * rng.uniform(0.008, 0.02)
    pixels = ((picture + grain).clip(0, 1) * 255).astype(np.uint8)
    file = io.BytesIO()
    image = Pillow.fromarray(pixels).filter(ImageFilter.GaussianBlur(rng.uniform(0.4, 0.9)))
    image.save(file, "JPEG", quality=int(rng.integers(80, 96)))
    return file.getvalue()
