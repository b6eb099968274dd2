"""Draw the figure of near-duplicates.md that follows one image through the search.

    python docs/algorithms/one_image.py

The figure uses synthetic images only. Run the script again after a change of the search.
"""

import io
import tempfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from near_duplicates import FIGURE, INK, SEED, Pixels, save_figure
from skin_lesions.data.near_duplicates import NearDuplicateConfig, merge_pairs
from skin_lesions.data.near_duplicates.alignment import align
from skin_lesions.data.near_duplicates.features import Candidates, Features, describe
from skin_lesions.data.near_duplicates.global_descriptors import match_global_descriptors
from skin_lesions.data.near_duplicates.local_matching import match_local_features
from skin_lesions.data.near_duplicates.overlap import compare_overlap
from skin_lesions.data.near_duplicates.search import verify_candidates
from skin_lesions.data.sources.synthetic import render_file, synthetic_table

WIDTH, HEIGHT = 9.4, 5.0  # inches
DISTRACTORS = 250  # number of other synthetic images
COLUMNS, ROWS = 7, 2  # of the displayed candidates
ACCEPTED, REJECTED = "#1b7f47", "#666666"
QUERY = 0  # number of the followed image


@dataclass(frozen=True)
class Candidate:
    """A candidate of the followed image: its image number, the stages and the verdict."""

    image: int
    stages: str
    verdict: str
    is_verified: bool


def make_images() -> list[Pixels]:
    """Return the followed image, four images of parts of it, and other synthetic images."""
    table = synthetic_table(SEED)
    table = table[table["planted"].isna() & table["label"].ne("Healthy")]
    files = table.sort_values("file").drop_duplicates("lesion_id")["file"]
    chosen = files.sample(DISTRACTORS + 1, random_state=3).tolist()
    rendered = []
    for file in chosen:
        with Image.open(io.BytesIO(render_file(file, SEED))) as decoded:
            rendered.append(np.asarray(decoded.convert("RGB")))
    photograph = rendered[0]
    height, width = photograph.shape[:2]

    def part(top: float, left: float, rows: float, columns: float) -> Pixels:
        y, x = int(top * height), int(left * width)
        return photograph[y : y + int(rows * height), x : x + int(columns * width)]

    turn = cv2.getRotationMatrix2D((width / 2, height / 2), 35, 1.1)
    parts = [
        part(0.0, 0.0, 0.7, 0.7),  # the followed image
        part(0.35, 0.3, 0.65, 0.7),
        part(0.25, 0.25, 0.32, 0.32),
        cv2.warpAffine(photograph, turn, (width, height)).astype(np.uint8),
        np.ascontiguousarray(part(0.1, 0.1, 0.8, 0.5)[:, ::-1]),
    ]
    return [np.ascontiguousarray(image) for image in parts] + rendered[1:]


def candidates_of(features: Features, config: NearDuplicateConfig) -> list[Candidate]:
    """Return the candidates of the followed image, the verified ones first."""
    stages = {
        "global descriptor": match_global_descriptors(features, config),
        "visual words": match_local_features(features, config),
    }
    merged = Candidates.merged(list(stages.values()))
    is_own = (merged.pairs == QUERY).any(axis=1)
    own = Candidates(merged.pairs[is_own], merged.unmirrored[is_own], merged.mirrored[is_own])
    verified = verify_candidates(features, own, config).set_index("b")
    found = []
    for row, (_, image) in enumerate(own.pairs.tolist()):
        is_verified = image in verified.index
        verdict = (
            f"{verified.loc[image, 'kind']}, {verified.loc[image, 'strength']:.2f}"
            if is_verified
            else reason(features, image, config, mirrored=not own.unmirrored[row])
        )
        by = " + ".join(
            name
            for name, part in stages.items()
            if (part.pairs == (QUERY, image)).all(axis=1).any()
        )
        found.append(Candidate(image, by, verdict, is_verified))
    return sorted(found, key=lambda candidate: (not candidate.is_verified, candidate.image))


def reason(features: Features, image: int, config: NearDuplicateConfig, *, mirrored: bool) -> str:
    """Describe why a candidate was rejected."""
    a, b = features.image(QUERY), features.image(image)
    alignment = align(a, b, config, mirrored=mirrored)
    if alignment is None:
        return "no plausible map"
    if alignment.count < config.min_inliers:
        return f"{alignment.count} inliers"
    cells = compare_overlap(a, b, alignment.affine, config, mirrored=mirrored).correlations
    compared = cells[~np.isnan(cells)]
    if len(compared) < config.min_cells:
        return f"{len(compared)} common cells"
    return f"correlation {np.median(compared):.2f}"


def draw_figure() -> Figure:
    """Search the images, and draw the way of the first one through the stages."""
    config = NearDuplicateConfig()
    images = make_images()
    with tempfile.TemporaryDirectory() as folder:
        features, _ = describe(images, Path(folder), config)
        found = candidates_of(features, config)
        keypoints = features.image(QUERY).keypoints
        frame = features.image(QUERY).frame
        everything = Candidates.merged(
            [match_global_descriptors(features, config), match_local_features(features, config)]
        )
        pairs = verify_candidates(features, everything, config)
    groups = merge_pairs(len(images), pairs)
    group = np.flatnonzero(groups == groups[QUERY])
    num_verified = sum(candidate.is_verified for candidate in found)

    figure = Figure(figsize=(WIDTH, HEIGHT), facecolor="white")
    _write(figure, 0.12, 4.8, "The way of one image through the search", size=13, weight="bold")
    _write(
        figure,
        0.12,
        4.52,
        f"{len(images)} synthetic images, among them five parts of one photograph.",
    )
    _write(figure, 0.12, 4.16, f"1. {len(keypoints)} keypoints", weight="bold")
    axes = _add_image(figure, 0.12, 2.35, 1.7, images[QUERY])
    height, width = images[QUERY].shape[:2]
    x, y = keypoints[:, 0] * width / frame[0], keypoints[:, 1] * height / frame[1]
    axes.scatter(x, y, s=keypoints[:, 2] * 0.6, facecolors="none", edgecolors="w", linewidths=0.5)
    displayed = found[: ROWS * COLUMNS]
    _write(
        figure,
        2.15,
        4.16,
        f"2. {len(found)} candidates ({len(displayed)} displayed). 3. Verification of each: "
        f"{num_verified} verified",
        weight="bold",
    )
    for number, candidate in enumerate(displayed):
        row, column = divmod(number, COLUMNS)
        left, bottom = 2.15 + column * 1.03, 3.14 - row * 1.27
        color = ACCEPTED if candidate.is_verified else REJECTED
        _write(figure, left, bottom - 0.1, candidate.verdict, size=7.5, color=color)
        _write(figure, left, bottom - 0.24, candidate.stages, size=6.5)
        _add_image(figure, left, bottom, 0.86, images[candidate.image], color)
    _write(figure, 0.12, 1.28, f"4. Group of {len(group)} images", weight="bold")
    for number, image in enumerate(group.tolist()):
        _add_image(figure, 0.12 + number * 1.03, 0.25, 0.86, images[image], ACCEPTED)
    return figure


def _write(
    figure: Figure,
    x: float,
    y: float,
    text: str,
    *,
    size: float = 10,
    weight: str = "normal",
    color: str = INK,
) -> None:
    """Write a line of text at x and y, in inches from the lower left corner."""
    figure.text(x / WIDTH, y / HEIGHT, text, fontsize=size, weight=weight, color=color, va="center")


def _add_image(
    figure: Figure, x: float, y: float, size: float, pixels: Pixels, color: str | None = None
) -> Axes:
    """Show an image in a square of this size, with a border of this color. In inches."""
    axes = figure.add_axes((x / WIDTH, y / HEIGHT, size / WIDTH, size / HEIGHT))
    axes.imshow(pixels, interpolation="lanczos")
    axes.set_anchor("NW")
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set(visible=color is not None, edgecolor=color, linewidth=2)
    return axes


if __name__ == "__main__":
    save_figure(draw_figure(), FIGURE.with_name("near_duplicates_one_image.png"))
