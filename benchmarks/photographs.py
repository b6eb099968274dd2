"""Photographs, and images made from them, for the benchmark of near-duplicate search.

Positive cells give two images that show parts of one photograph. Negative sets give images of
different subjects that share something else: a rim, a ruler, hair, ink, a watermark, a background.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from zlib import crc32

import cv2
import numpy as np
import pandas as pd

Image = np.ndarray  # (height, width, 3) RGB, uint8
Rng = np.random.Generator

MIN_SIDE = 96  # pixels, of each crop
HELD_OUT = 3  # one of so many photographs is kept out of all tuning
# Photographs in the packages scikit-image and scikit-learn. Drawings and scans are left out.
PACKAGED = {
    "skimage.data": (
        "astronaut.png",
        "brick.png",
        "camera.png",
        "chelsea.png",
        "clock_motion.png",
        "coffee.png",
        "coins.png",
        "grass.png",
        "gravel.png",
        "hubble_deep_field.jpg",
        "ihc.png",
        "moon.png",
        "motorcycle_left.png",
        "retina.jpg",
        "rocket.jpg",
    ),
    "sklearn.datasets.images": ("china.jpg", "flower.jpg"),
}
MAX_SIDE = 512  # pixels of a photograph, as in localisation


@dataclass(frozen=True)
class Photograph:
    """A photograph from which images are made.

    Attributes:
        name: Unique name.
        image: (height, width, 3) RGB, at most ``MAX_SIDE`` pixels on a side.
        subject: Equal for photographs that may show the same lesion.
        patient: Equal for photographs of one patient, where known.
        label: Diagnosis, where known.
    """

    name: str
    image: Image
    subject: str
    patient: str | None = None
    label: str | None = None

    @property
    def is_held_out(self) -> bool:
        """Whether the photograph is kept out of all tuning: by the hash of its subject."""
        return crc32(self.subject.encode()) % HELD_OUT == 0


def packaged_photographs() -> list[Photograph]:
    """Return the photographs that scikit-image and scikit-learn contain."""
    return [
        Photograph(name, _limit(_read(resources.files(package).joinpath(name).read_bytes())), name)
        for package, names in PACKAGED.items()
        for name in names
    ]


def lesion_photographs(data: Path) -> list[Photograph]:
    """Return one photograph of each lesion of the folders localisation, isic2017 and isic8_grouped.

    Images that occur in several folders are returned once.
    """
    photographs: dict[str, Photograph] = {}
    for path in sorted((data / "localisation" / "images").iterdir()):
        # PAT_<patient>_<lesion>_<image>.jpg of PAD-UFES-20, or ISIC_<image>.jpg.
        found = re.fullmatch(r"PAT_(\d+)_(\d+)_\d+", path.stem)
        subject = f"PAT_{found[1]}_{found[2]}" if found else path.stem
        patient = f"PAT_{found[1]}" if found else None
        image = _limit(_read(path.read_bytes()))
        photographs.setdefault(subject, Photograph(path.stem, image, subject, patient))
    grouped = pd.read_csv(data / "isic8_grouped" / "metadata.csv").drop_duplicates("group_id")
    for row in grouped.itertuples():
        if row.image_id not in photographs:
            image = _read((data / "isic8_grouped" / row.file).read_bytes())
            photographs[row.image_id] = Photograph(
                f"isic8/{row.image_id}", image, row.group_id, label=row.label
            )
    others = pd.read_csv(data / "isic2017" / "metadata.csv")
    for row in others[others["in_main_split"].isna()].itertuples():
        if row.image_id not in photographs:
            image = _read((data / row.file).read_bytes())
            photographs[row.image_id] = Photograph(f"isic2017/{row.image_id}", image, row.image_id)
    return list(photographs.values())


def _read(data: bytes) -> Image:
    decoded = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    return np.ascontiguousarray(decoded[..., ::-1])


def _limit(image: Image) -> Image:
    factor = MAX_SIDE / max(image.shape[:2])
    return resize(image, factor) if factor < 1 else image


def texture(image: Image) -> float:
    """Return the median contrast of fine structure: of smooth skin, it is small. Gray levels."""
    gray = cv2.cvtColor(resize_to(image, 256), cv2.COLOR_RGB2GRAY).astype(np.float32)
    return float(np.median(np.abs(gray - cv2.GaussianBlur(gray, (0, 0), 2))))


def resize(image: Image, factor: float) -> Image:
    interpolation = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return cv2.resize(image, None, fx=factor, fy=factor, interpolation=interpolation)


@dataclass(frozen=True)
class Box:
    """A rectangle of a photograph, in pixels."""

    x: int
    y: int
    width: int
    height: int

    @property
    def area(self) -> int:
        """Return the number of pixels."""
        return self.width * self.height

    def overlap(self, other: "Box") -> float:
        """Return the fraction of the less covered box that is inside of the other one."""
        width = min(self.x + self.width, other.x + other.width) - max(self.x, other.x)
        height = min(self.y + self.height, other.y + other.height) - max(self.y, other.y)
        return max(0, width) * max(0, height) / max(self.area, other.area)

    def zoom(self, other: "Box") -> float:
        """Return the factor by which the smaller box is magnified, relative to the larger one."""
        return float(np.sqrt(max(self.area, other.area) / min(self.area, other.area)))

    def cut(self, image: Image) -> Image:
        """Return this part of an image."""
        return image[self.y : self.y + self.height, self.x : self.x + self.width]


def random_box(image: Image, rng: Rng, *, max_area: float = 1.0) -> Box:
    """Draw a rectangle with a ratio of the sides from 3:4 to 4:3, as most photographs have."""
    height, width = image.shape[:2]
    largest = max_area * width * height
    area = float(np.exp(rng.uniform(np.log(MIN_SIDE**2), np.log(max(largest, MIN_SIDE**2 + 1)))))
    aspect = float(np.exp(rng.uniform(np.log(3 / 4), np.log(4 / 3))))
    box_width = int(np.clip(np.sqrt(area * aspect), MIN_SIDE, width))
    box_height = int(np.clip(np.sqrt(area / aspect), MIN_SIDE, height))
    x = int(rng.integers(0, width - box_width + 1))
    y = int(rng.integers(0, height - box_height + 1))
    return Box(x, y, box_width, box_height)


def random_boxes(
    image: Image, rng: Rng, *, overlap: tuple[float, float], zoom: tuple[float, float]
) -> tuple[Box, Box] | None:
    """Draw two rectangles with an overlap and a zoom in these ranges, or None after many tries."""
    if min(image.shape[:2]) < MIN_SIDE:
        return None
    for _ in range(3000):
        a, b = random_box(image, rng), random_box(image, rng)
        if overlap[0] <= a.overlap(b) < overlap[1] and zoom[0] <= a.zoom(b) < zoom[1]:
            return a, b
    return None


def jpeg(image: Image, quality: int) -> bytes:
    ordered = np.ascontiguousarray(image[..., ::-1])
    return cv2.imencode(".jpg", ordered, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def publish(image: Image, rng: Rng) -> bytes:
    """Resize, adjust brightness and contrast a little, and encode, as web pages do."""
    shortest = min(image.shape[:2])
    factor = max(float(rng.uniform(0.7, 1.5)), MIN_SIDE / shortest)
    contrast, bias = rng.uniform(0.9, 1.1), rng.uniform(-12, 12)
    toned = ((resize(image, factor) - 128.0) * contrast + 128 + bias).clip(0, 255)
    return jpeg(toned.astype(np.uint8), int(rng.integers(60, 95)))


Pair = tuple[bytes, bytes]
Cell = Callable[[Photograph, Rng], Pair | None]


def _crops(
    overlap: tuple[float, float],
    zoom: tuple[float, float] = (1, 2),
    edit: Callable[[Image, Rng], Image] = lambda image, _rng: image,
) -> Cell:
    """Return a cell of two crops; ``edit`` is applied to the second one."""

    def make(photograph: Photograph, rng: Rng) -> Pair | None:
        boxes = random_boxes(photograph.image, rng, overlap=overlap, zoom=zoom)
        if boxes is None:
            return None
        first, second = (box.cut(photograph.image) for box in boxes)
        return publish(first, rng), publish(edit(second, rng), rng)

    return make


def mirror(image: Image, _rng: Rng) -> Image:
    return np.ascontiguousarray(image[:, ::-1])


def change_aspect(image: Image, rng: Rng) -> Image:
    factor = float(rng.uniform(1.3, 1.8))
    factors = (1 / factor, 1.0) if rng.integers(2) else (1.0, 1 / factor)
    return cv2.resize(image, None, fx=factors[0], fy=factors[1], interpolation=cv2.INTER_AREA)


def add_caption(image: Image, rng: Rng) -> Image:
    """Cover the lowest 15 to 25 % of the image with a caption."""
    captioned = image.copy()
    height, width = image.shape[:2]
    top = int(height * rng.uniform(0.75, 0.85))
    captioned[top:] = rng.integers(200, 256)
    text = "".join(rng.choice(list("abcdefghij klmnop"), 24))
    scale = width / 420
    at = (int(0.03 * width), int((top + height) / 2))
    cv2.putText(captioned, text, at, cv2.FONT_HERSHEY_SIMPLEX, scale, (20, 20, 20), 1, cv2.LINE_AA)
    return captioned


CELLS: dict[str, Cell] = {
    "overlap 0.1 to 0.3": _crops((0.1, 0.3)),
    "overlap 0.3 to 0.6": _crops((0.3, 0.6)),
    "overlap 0.6 to 0.95": _crops((0.6, 0.95)),
    "detail, zoom 2 to 2.5": _crops((0.1, 0.3), (2, 2.5)),
    "detail, zoom 2.5 to 4": _crops((0.04, 0.2), (2.5, 4)),
    "aspect changed by 1.3 to 1.8": _crops((0.5, 1.01), edit=change_aspect),
    "mirrored, overlap 0.3 to 0.6": _crops((0.3, 0.6), edit=mirror),
    "caption, overlap 0.6 to 0.95": _crops((0.6, 0.95), edit=add_caption),
}


def collage(panels: list[Image], rng: Rng) -> Image:
    """Arrange two panels in a row or column, or four in a square, with white lines between them."""
    size = int(rng.integers(160, 320))
    line = int(rng.integers(0, 8))
    cells = [cv2.resize(panel, (size, size), interpolation=cv2.INTER_AREA) for panel in panels]
    order = rng.permutation(len(cells))
    framed = [
        cv2.copyMakeBorder(
            cells[i], line, line, line, line, cv2.BORDER_CONSTANT, value=(255, 255, 255)
        )
        for i in order
    ]
    if len(framed) == 4:
        return np.vstack([np.hstack(framed[:2]), np.hstack(framed[2:])])
    return np.hstack(framed) if rng.integers(2) else np.vstack(framed)


def collage_pair(photograph: Photograph, fillers: Iterator[Photograph], rng: Rng) -> Pair:
    """Return a crop of a photograph, and a collage of another crop of it and other photographs."""
    boxes = random_boxes(photograph.image, rng, overlap=(0.6, 1.01), zoom=(1, 2))
    first, second = (
        (box.cut(photograph.image) for box in boxes) if boxes else (photograph.image,) * 2
    )
    others = [next(fillers).image for _ in range(int(rng.choice([1, 3])))]
    return publish(first, rng), publish(collage([second, *others], rng), rng)


# Overlays that many photographs share: (image, random numbers of the overlay) -> image.


def add_rim(image: Image, _rng: Rng) -> Image:
    """Darken everything outside of a circle, as the rim of a dermatoscope does."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width]
    distance = np.hypot((x - width / 2) / width, (y - height / 2) / height)
    visible = np.clip((0.5 - distance) / 0.03, 0, 1)[..., None]
    notches = (np.sin(40 * np.arctan2(y - height / 2, x - width / 2)) > 0.9)[..., None]
    rim = 12 + 60 * notches * (distance[..., None] > 0.5)
    return (image * visible + rim * (1 - visible)).astype(np.uint8)


def add_ruler(image: Image, _rng: Rng) -> Image:
    """Draw a ruler with ticks and numbers along the lower border."""
    drawn = image.copy()
    height, width = image.shape[:2]
    top = int(0.86 * height)
    drawn[top:] = (235, 235, 225)
    for tick in range(41):
        x = int((tick + 0.5) * width / 41)
        length = 0.08 if tick % 10 == 0 else 0.05 if tick % 5 == 0 else 0.03
        cv2.line(drawn, (x, top), (x, top + int(length * height)), (30, 30, 30), 1, cv2.LINE_AA)
        if tick % 10 == 0:
            at = (x + 1, height - 2)
            cv2.putText(
                drawn, str(tick // 10), at, cv2.FONT_HERSHEY_SIMPLEX, height / 700, (30,) * 3
            )
    return drawn


def add_hair(image: Image, rng: Rng) -> Image:
    """Draw twelve dark hairs."""
    drawn = image.copy()
    size = np.array(image.shape[1::-1])
    for _ in range(12):
        start, control, end = rng.uniform(0, 1, (3, 2))
        t = np.linspace(0, 1, 40)[:, None]
        curve = (1 - t) ** 2 * start + 2 * t * (1 - t) * control + t**2 * end
        points = (curve * size * 8).astype(np.int32)
        thickness = max(1, int(min(size) / 120))
        cv2.polylines(
            drawn,
            [points],
            isClosed=False,
            color=(45, 35, 30),
            thickness=thickness,
            lineType=cv2.LINE_AA,
            shift=3,
        )
    return drawn


def add_ink(image: Image, rng: Rng) -> Image:
    """Draw purple marks of a pen around the lesion."""
    drawn = image.copy()
    height, width = image.shape[:2]
    for _ in range(5):
        center = (rng.uniform(0.15, 0.85, 2) * (width, height)).astype(int)
        axes = (int(rng.uniform(0.04, 0.16) * width), int(rng.uniform(0.04, 0.16) * height))
        angles = sorted(rng.uniform(0, 360, 2))
        thickness = max(2, width // 70)
        tilt = rng.uniform(0, 180)
        cv2.ellipse(drawn, center, axes, tilt, *angles, (95, 60, 140), thickness, cv2.LINE_AA)
    return drawn


def add_watermark(image: Image, _rng: Rng) -> Image:
    """Blend the image with large letters from corner to corner."""
    height, width = image.shape[:2]
    layer = np.zeros((height, width), np.uint8)
    for row in range(3):
        at = (int(0.02 * width), int((0.3 + 0.28 * row) * height))
        text = ("SKIN ATLAS", "example", "COPYRIGHT")[row]
        cv2.putText(layer, text, at, cv2.FONT_HERSHEY_SIMPLEX, width / 260, 255, 2, cv2.LINE_AA)
    alpha = 0.35 * (layer[..., None] / 255.0)
    return (image * (1 - alpha) + 255 * alpha).astype(np.uint8)


OVERLAYS: dict[str, Callable[[Image, Rng], Image]] = {
    "rim": add_rim,
    "ruler": add_ruler,
    "hair": add_hair,
    "ink": add_ink,
    "watermark": add_watermark,
}


def with_overlay(photograph: Photograph, overlay: str, rng: Rng) -> bytes:
    """Draw the same overlay as on all other photographs, and move half of the results a little."""
    # The numbers of the overlay do not depend on the photograph.
    drawn = OVERLAYS[overlay](resize_to(photograph.image, 300), np.random.default_rng(7))
    if rng.integers(2):
        margin = rng.uniform(0, 0.06, 4) * 300
        top, bottom, left, right = margin.astype(int)
        drawn = drawn[top : 300 - bottom, left : 300 - right]
    return publish(drawn, rng)


def resize_to(image: Image, size: int) -> Image:
    return cv2.resize(image, (size, size), interpolation=cv2.INTER_AREA)


def on_background(photograph: Photograph, background: Image, rng: Rng) -> bytes:
    """Place a subject on a background: an ellipse that covers 45 to 65 % of the image."""
    size = 320
    scene = resize_to(background, size).astype(np.float32)
    subject = resize_to(photograph.image, size)
    aspect = np.exp(rng.uniform(-0.2, 0.2))
    radius = np.sqrt(rng.uniform(0.45, 0.65) / np.pi)
    y, x = np.mgrid[:size, :size] / size - 0.5
    inside = np.hypot(x / aspect, y * aspect) < radius
    alpha = cv2.GaussianBlur(inside.astype(np.float32), (0, 0), 2)[..., None]
    return publish((subject * alpha + scene * (1 - alpha)).astype(np.uint8), rng)
