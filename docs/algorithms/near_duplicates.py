"""Draw the figure of near-duplicates.md, and write its table of constants.

    python docs/algorithms/near_duplicates.py

The figure uses a synthetic image only. Run the script again after a change of the search.
"""

import io
import tempfile
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import ConnectionPatch
from PIL import Image

from skin_lesions.data.near_duplicates import NearDuplicateConfig
from skin_lesions.data.near_duplicates.alignment import Alignment, align
from skin_lesions.data.near_duplicates.features import REFERENCE_SIZE, describe
from skin_lesions.data.near_duplicates.overlap import compare_overlap
from skin_lesions.data.near_duplicates.verification import verify_pair
from skin_lesions.data.sources.synthetic import render_file, synthetic_table

PAGE = Path(__file__).with_name("near-duplicates.md")
FIGURE = PAGE.parents[1] / "images" / "near_duplicates.png"
TABLE_START = "<!-- table of constants, written by near_duplicates.py -->\n"
TABLE_END = "<!-- end of the table -->\n"

SEED = 20240501
SIZE = int(REFERENCE_SIZE)  # width and height of an image, pixels
ROTATION, SCALE = 40.0, 1.1  # transformation of the copy: degrees, factor
FIGURE_SIZE = (9.4, 4.95)  # width and height, inches
INK = "#222222"
TILES = 6  # rows and columns of the checkerboard
MAX_LINES = 40  # number of matches that are drawn as a line, about

Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Match:
    """A pair of images, (256, 256, 3), and the results of its verification.

    ``warped``: the second image, aligned with the first one; pixels outside of it are white.
    ``correlations``: (256,) of the cells, NaN where a cell is not compared.
    """

    image: Pixels
    copy: Pixels
    alignment: Alignment
    warped: Pixels
    correlations: npt.NDArray[np.float32]
    strength: float


def draw_image() -> Pixels:
    """Return the first synthetic image of a melanoma, stretched to a square."""
    table = synthetic_table(SEED)
    file = table.loc[table["label"].eq("Melanoma") & table["planted"].isna(), "file"].iloc[9]
    with Image.open(io.BytesIO(render_file(file, SEED))) as decoded:
        return np.asarray(decoded.convert("RGB").resize((SIZE, SIZE), Image.Resampling.LANCZOS))


def transform(image: Pixels) -> Pixels:
    """Rotate, enlarge, shift, recolor and blur an image, add noise, and encode it as JPEG."""
    matrix = cv2.getRotationMatrix2D((SIZE / 2, SIZE / 2), ROTATION, SCALE)
    matrix[:, 2] += (12, -8)  # pixels
    warped = cv2.warpAffine(image, matrix, (SIZE, SIZE), borderMode=cv2.BORDER_CONSTANT)
    noise = np.random.default_rng(0).normal(0, 7, image.shape)
    recolored = warped * np.array([0.85, 0.95, 1.1]) + 12 + noise
    blurred = cv2.GaussianBlur(recolored.clip(0, 255).astype(np.uint8), (0, 0), 0.8)
    buffer = io.BytesIO()
    Image.fromarray(blurred).save(buffer, "JPEG", quality=80)
    with Image.open(buffer) as encoded:
        return np.asarray(encoded)


def match_images(image: Pixels, copy: Pixels) -> Match:
    """Verify a pair with the functions of the search."""
    config = NearDuplicateConfig()
    with tempfile.TemporaryDirectory() as folder:
        features, _ = describe(np.stack([image, copy]), Path(folder), config)
        first, second = features.image(0), features.image(1)
    alignment = align(first, second, config, mirrored=False)
    verdict = verify_pair(first, second, config)
    if alignment is None or verdict is None:
        raise RuntimeError("The transformed copy is not found. Fix: a weaker transformation.")
    overlap = compare_overlap(first, second, alignment.affine, config, mirrored=False)
    warped = cv2.warpAffine(
        copy,
        alignment.affine,
        (SIZE, SIZE),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderValue=(255, 255, 255),
    )
    return Match(
        image=image,
        copy=copy,
        alignment=alignment,
        warped=warped.astype(np.uint8),
        correlations=overlap.correlations,
        strength=verdict.strength,
    )


def draw_figure(match: Match) -> Figure:
    """Draw the matched keypoints, the aligned copy and the correlation of the cells."""
    figure = Figure(figsize=FIGURE_SIZE, facecolor="white")
    _write(figure, 4.72, "Verification of a transformed copy", size=13, weight="bold")
    _write(
        figure,
        4.44,
        "Synthetic image. The copy is rotated, enlarged, shifted, recolored, blurred, noisy and "
        "encoded as JPEG.",
    )
    left = _add_panel(figure, x=0.12, y=0.75, size=3.2)
    right = _add_panel(figure, x=3.46, y=0.75, size=3.2)
    _show(left, match.image, "Image")
    _show(right, match.copy, "Transformed copy, and matched keypoints")
    _draw_matches(figure, left, right, match.alignment)
    checkerboard = _add_panel(figure, x=7.1, y=2.35, size=1.6)
    _show(checkerboard, _interleave(match.image, match.warped), "Aligned: tiles of both")
    _draw_cells(figure, _add_panel(figure, x=7.1, y=0.4, size=1.6), match.correlations)
    _write(
        figure,
        0.48,
        f"{len(match.alignment.points)} keypoints agree with one affine map, "
        f"{match.alignment.count} of them at independent positions (strength "
        f"{match.strength:.2f}).",
    )
    median = float(np.nanmedian(match.correlations))
    _write(figure, 0.24, f"Median correlation of the cells: {median:.2f}.")
    return figure


def _write(
    figure: Figure,
    y: float,
    text: str,
    *,
    x: float = 0.12,
    size: float = 10,
    weight: str = "normal",
) -> None:
    """Write a line of text at x and y, in inches from the lower left corner."""
    width, height = FIGURE_SIZE
    figure.text(x / width, y / height, text, fontsize=size, weight=weight, color=INK, va="center")


def _add_panel(figure: Figure, *, x: float, y: float, size: float) -> Axes:
    """Add square axes. Position and size are in inches."""
    width, height = FIGURE_SIZE
    return figure.add_axes((x / width, y / height, size / width, size / height))


def _show(axes: Axes, pixels: Pixels, title: str) -> None:
    axes.imshow(pixels, extent=(0, SIZE, SIZE, 0), interpolation="lanczos")
    axes.set_title(title, fontsize=10, color=INK, loc="left", pad=4)
    axes.set_axis_off()


def _draw_matches(figure: Figure, left: Axes, right: Axes, alignment: Alignment) -> None:
    points = alignment.points
    matched_points = alignment.matched_points
    for axes, keypoints in ((left, points), (right, matched_points)):
        axes.scatter(
            keypoints[:, 0],
            keypoints[:, 1],
            s=11,
            facecolors="none",
            edgecolors="white",
            linewidths=0.8,
        )
    # Lines for some of the inliers, evenly spaced from top to bottom, colored by their height.
    order = np.argsort(points[:, 1])
    for i in order[:: max(1, len(order) // MAX_LINES)]:
        line = ConnectionPatch(
            points[i], matched_points[i], "data", "data", axesA=left, axesB=right
        )
        line.set(color=colormaps["plasma"](points[i, 1] / SIZE), linewidth=0.9, alpha=0.9)
        figure.add_artist(line)


def _interleave(image: Pixels, warped: Pixels) -> Pixels:
    """Return a checkerboard with tiles of both images."""
    tile = np.arange(SIZE) * TILES // SIZE
    is_warped = (tile[:, None] + tile[None, :]) % 2 == 1
    return np.where(is_warped[..., None], warped, image).astype(np.uint8)


def _draw_cells(figure: Figure, axes: Axes, correlations: npt.NDArray[np.float32]) -> None:
    size = int(np.sqrt(len(correlations)))
    grid = np.ma.masked_invalid(correlations.reshape(size, size))
    colors = colormaps["viridis"].with_extremes(bad="#DDDDDD")
    drawn = axes.imshow(grid, cmap=colors, vmin=0, vmax=1, extent=(0, SIZE, SIZE, 0))
    axes.set_title("Correlation of the cells", fontsize=10, color=INK, loc="left", pad=4)
    axes.set_axis_off()
    bar_axes = _add_panel(figure, x=8.8, y=0.4, size=1.6)
    bar_axes.set_axis_off()
    bar = figure.colorbar(drawn, cax=bar_axes.inset_axes((0, 0, 0.07, 1)))
    bar.outline.set_visible(False)
    bar.ax.tick_params(labelsize=9, length=0, colors=INK)
    _write(figure, 0.24, "gray: outside of one image, or flat", x=7.1, size=9)


def save_figure(figure: Figure, path: Path) -> None:
    """Save a figure as PNG with a palette of 256 colors, which is a quarter of the size."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    with Image.open(buffer) as drawn:
        reduced = drawn.convert("RGB").quantize(256, method=Image.Quantize.FASTOCTREE)
        reduced.save(path, optimize=True)


def constants_table() -> str:
    """Return the Markdown table of all fields of ``NearDuplicateConfig``."""
    lines = ["| constant | value | unit | meaning | origin |", "|---|---|---|---|---|"]
    for constant in fields(NearDuplicateConfig):
        about = constant.metadata
        lines.append(
            f"| `{constant.name}` | {constant.default} | {about['unit']} | {about['meaning']} "
            f"| {about['origin']} |"
        )
    return "\n".join(lines) + "\n"


def update_table(page: str) -> str:
    """Replace the table of constants in the text of the page."""
    before, rest = page.split(TABLE_START)
    after = rest.split(TABLE_END)[1]
    return f"{before}{TABLE_START}{constants_table()}{TABLE_END}{after}"


if __name__ == "__main__":
    source = draw_image()
    save_figure(draw_figure(match_images(source, transform(source))), FIGURE)
    PAGE.write_text(update_table(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
