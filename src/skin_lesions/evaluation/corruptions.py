"""Corruptions of images at three strengths, to measure the robustness of a model.

Each corruption is applied to uint8 images at the input size of the network, before normalization.
Lengths are fractions of the image side, so that a corruption looks the same at each input size. The
random numbers of an image depend only on the seed, the corruption and its image_id. The result
therefore does not depend on the batch size or the order of the images. All strengths of a
corruption use the same random numbers: a stronger one has the same noise, hairs or direction.

Source:
    Hendrycks and Dietterich (2019), arXiv:1903.12261, for the method; Maron et al. (2021),
    doi:10.1016/j.ejca.2021.06.047, for corruptions of skin images.
"""

import hashlib
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageDraw
from torchvision.transforms.v2 import functional

from skin_lesions.config.evaluate import Corruption
from skin_lesions.data.loader import ImageDataset

_GRAY_WEIGHTS = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)  # of R, G and B (ITU-R BT.601)
_SUPERSAMPLING = 3  # overlays are drawn at this multiple of the image side, for smooth edges
_MAX_HAIRS = 24

Apply = Callable[[torch.Tensor, float, np.random.Generator], torch.Tensor]


@dataclass(frozen=True, kw_only=True)
class CorruptionSpec:
    """A corruption.

    Attributes:
        title: Name in reports.
        unit: What the settings are.
        settings: The three strengths, weakest first.
        apply: Function of a uint8 image (3, side, side), a setting and random numbers.
    """

    title: str
    unit: str
    settings: tuple[float, float, float]
    apply: Apply


def corrupt_batch(
    batch: torch.Tensor, image_ids: Sequence[str], name: Corruption, strength: int, seed: int
) -> torch.Tensor:
    """Return corrupted copies of images.

    Args:
        batch: uint8 (n, 3, side, side).
        image_ids: The image_id of each image, (n,).
        name: The corruption.
        strength: 1, 2 or 3.
        seed: Equal seeds and equal images give equal results.

    Returns:
        uint8 (n, 3, side, side).
    """
    spec = CORRUPTIONS[name]
    setting = spec.settings[strength - 1]
    corrupted = [
        spec.apply(image, setting, _random_numbers(seed, name, image_id))
        for image, image_id in zip(batch, image_ids, strict=True)
    ]
    return torch.stack(corrupted)


def _random_numbers(seed: int, name: str, image_id: str) -> np.random.Generator:
    digest = hashlib.sha256(f"{seed}/{name}/{image_id}".encode()).digest()
    return np.random.default_rng(int.from_bytes(digest[:16], "big"))


@dataclass(frozen=True, kw_only=True)
class CorruptedImages(ImageDataset):
    """A dataset whose images are corrupted when they are read.

    Attributes:
        image_ids: The image_id of each image, (n,).
        corruption: Name of the corruption.
        strength: 1, 2 or 3.
        seed: Seed of the random numbers.
    """

    image_ids: Sequence[str]
    corruption: Corruption
    strength: int
    seed: int

    @classmethod
    def of(
        cls,
        images: ImageDataset,
        *,
        image_ids: Sequence[str],
        corruption: Corruption,
        strength: int,
        seed: int,
    ) -> "CorruptedImages":
        """Return a dataset with corrupted copies of these images."""
        return cls(
            **vars(images),
            image_ids=image_ids,
            corruption=corruption,
            strength=strength,
            seed=seed,
        )

    def _load_resized(self, positions: npt.NDArray[np.int64]) -> torch.Tensor:
        batch = super()._load_resized(positions)
        ids = [self.image_ids[position] for position in positions]
        return corrupt_batch(batch, ids, self.corruption, self.strength, self.seed)


def _to_uint8(values: torch.Tensor) -> torch.Tensor:
    """Round and clip values from 0 to 255."""
    return values.round_().clamp_(0, 255).to(torch.uint8)


def _blur(image: torch.Tensor, setting: float, _: np.random.Generator) -> torch.Tensor:
    sigma = setting / 100 * image.shape[-1]  # pixels
    radius = min(math.ceil(3 * sigma), image.shape[-1] - 1)
    return functional.gaussian_blur(image, [2 * radius + 1, 2 * radius + 1], [sigma, sigma])


def _noise(image: torch.Tensor, setting: float, rng: np.random.Generator) -> torch.Tensor:
    noise = torch.from_numpy(rng.standard_normal(tuple(image.shape), np.float32))
    return _to_uint8(image + noise * (255 * setting / 100))


def _jpeg(image: torch.Tensor, setting: float, _: np.random.Generator) -> torch.Tensor:
    file = io.BytesIO()
    pixels = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    pixels.save(file, "JPEG", quality=int(setting))
    with Image.open(file) as decoded:
        return torch.from_numpy(np.array(decoded)).permute(2, 0, 1)


def _brightness(image: torch.Tensor, setting: float, rng: np.random.Generator) -> torch.Tensor:
    sign = 1 if rng.random() < 0.5 else -1
    return _to_uint8(image * (1 + sign * setting / 100))


def _contrast(image: torch.Tensor, setting: float, _: np.random.Generator) -> torch.Tensor:
    mean = (image * _GRAY_WEIGHTS).sum(dim=0).mean()
    return _to_uint8(mean + (image - mean) * (setting / 100))


def _color_cast(image: torch.Tensor, setting: float, rng: np.random.Generator) -> torch.Tensor:
    # A direction in the space of the log gains of R, G and B, without a change of their mean.
    direction = rng.standard_normal(3)
    direction -= direction.mean()
    direction /= abs(direction).max()
    gains = torch.from_numpy(np.exp(math.log1p(setting / 100) * direction)).float()
    return _to_uint8(image * gains.view(3, 1, 1))


def _hair(image: torch.Tensor, setting: float, rng: np.random.Generator) -> torch.Tensor:
    """Draw lines with a width of 0.4 to 0.9 % of the image side."""
    side = image.shape[-1] * _SUPERSAMPLING
    mask = Image.new("L", (side, side))
    draw = ImageDraw.Draw(mask)
    # All hairs are drawn for each strength, so that a weaker one has the first of the same hairs.
    ends = rng.uniform(-0.1, 1.1, size=(_MAX_HAIRS, 2, 2))  # in units of the side
    bends = rng.normal(0, 0.15, size=(_MAX_HAIRS, 2))
    widths = rng.uniform(0.004, 0.009, size=_MAX_HAIRS)
    t = np.linspace(0, 1, 40)[:, None]  # (points, 1)
    for (start, end), bend, width in list(zip(ends, bends, widths, strict=True))[: int(setting)]:
        middle = (start + end) / 2 + bend
        # Quadratic Bézier curve, (points, 2), in pixels.
        curve = side * ((1 - t) ** 2 * start + 2 * t * (1 - t) * middle + t**2 * end)
        draw.line([tuple(point) for point in curve.tolist()], fill=230, width=round(side * width))
    darkest, brightest = torch.tensor([20.0, 12.0, 8.0]), torch.tensor([70.0, 50.0, 40.0])
    color = darkest + rng.random() * (brightest - darkest)  # black to brown
    return _overlay(image, mask, color.view(3, 1, 1))


def _ruler(image: torch.Tensor, setting: float, rng: np.random.Generator) -> torch.Tensor:
    side = image.shape[-1] * _SUPERSAMPLING
    depth = setting / 100 * side  # of the strip
    strip, ticks = Image.new("L", (side, side)), Image.new("L", (side, side))
    ImageDraw.Draw(strip).rectangle((0, 0, side, depth), fill=235)
    draw = ImageDraw.Draw(ticks)
    spacing, offset = side / 30, rng.uniform(0, side / 30)
    for number in range(31):
        length = depth * (0.7 if number % 5 == 0 else 0.4)
        x = offset + number * spacing
        draw.line([(x, 0), (x, length)], fill=240, width=max(1, round(side * 0.005)))
    turn = int(rng.integers(4)) * 90  # the edge with the ruler
    white, black = torch.tensor(235.0), torch.tensor(25.0)
    with_strip = _overlay(image, strip.rotate(turn), white)
    return _overlay(with_strip, ticks.rotate(turn), black)


def _overlay(image: torch.Tensor, mask: Image.Image, color: torch.Tensor) -> torch.Tensor:
    """Blend a color into an image; the mask (0 to 255) is the opacity at a multiple of its size."""
    side = image.shape[-1]
    resized = np.asarray(mask.resize((side, side), Image.Resampling.BOX), np.float32)
    opacity = torch.from_numpy(resized / 255)
    return _to_uint8(image * (1 - opacity) + color * opacity)


CORRUPTIONS: dict[Corruption, CorruptionSpec] = {
    "blur": CorruptionSpec(
        title="Blur",
        unit="standard deviation of a Gaussian, % of the image side",
        settings=(0.5, 1.0, 2.0),
        apply=_blur,
    ),
    "noise": CorruptionSpec(
        title="Noise",
        unit="standard deviation of Gaussian noise per pixel and channel, % of the value range",
        settings=(4.0, 8.0, 16.0),
        apply=_noise,
    ),
    "jpeg": CorruptionSpec(
        title="JPEG compression",
        unit="quality of the JPEG encoder, 1 to 100",
        settings=(50.0, 25.0, 10.0),
        apply=_jpeg,
    ),
    "brightness": CorruptionSpec(
        title="Brightness",
        unit="change of all values, up or down at random, %",
        settings=(15.0, 30.0, 50.0),
        apply=_brightness,
    ),
    "contrast": CorruptionSpec(
        title="Contrast",
        unit="remaining distance of all values from the mean gray value, %",
        settings=(75.0, 50.0, 30.0),
        apply=_contrast,
    ),
    "color_cast": CorruptionSpec(
        title="Color cast",
        unit="largest gain of R, G or B in a random direction of constant mean, %",
        settings=(8.0, 15.0, 25.0),
        apply=_color_cast,
    ),
    "hair": CorruptionSpec(
        title="Hair",
        unit="number of dark curved lines",
        settings=(6.0, 12.0, float(_MAX_HAIRS)),
        apply=_hair,
    ),
    "ruler": CorruptionSpec(
        title="Ruler",
        unit="width of a white strip with ticks along a random edge, % of the image side",
        settings=(6.0, 10.0, 16.0),
        apply=_ruler,
    ),
}
