"""Examples of linked images side by side, to check the links by eye."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skin_lesions.core.text import pluralize
from skin_lesions.data.groups import (
    LINK_COLUMNS,
    NEAR_DUPLICATE_KINDS,
    across_splits,
    add_groups,
    attach_file_columns,
)
from skin_lesions.data.sources.base import is_synthetic
from skin_lesions.reporting.figures import titles
from skin_lesions.reporting.figures.style import (
    BODY,
    GRAY,
    INK,
    SMALL,
    ellipsize,
    escape_missing_glyphs,
    text_width,
    titled_figure,
)

# Link types in display order. Exact duplicates are not displayed: there is nothing to compare.
_KINDS = [
    *NEAR_DUPLICATE_KINDS.values(),
    *(column for column in LINK_COLUMNS if column != "image_id"),
]
_KIND_NAMES = {
    "identical_pixels": "Identical pixels",
    "near_duplicate_simple": "Near-duplicates (same framing)",
    "near_duplicate_transformed": "Near-duplicates (transformed)",
}
_WIDTH, _USABLE_WIDTH = 10.0, 9.88  # inches: width of the figure, with and without margins
_PAIRS_PER_ROW, _PAIR_GAP = 3, 0.34  # number of pairs; space between pairs, inches
_PAIR_WIDTH = (_USABLE_WIDTH - (_PAIRS_PER_ROW - 1) * _PAIR_GAP) / _PAIRS_PER_ROW  # inches
_IMAGE_GAP = 0.06  # inches, between the two images of a pair
_IMAGE_SIZE = (_PAIR_WIDTH - _IMAGE_GAP) / 2  # inches, of the longer side
_TEXT_WIDTH = 0.95 * 72 * _IMAGE_SIZE  # points; with a reserve, because text widths are estimates
_HEADING_HEIGHT, _LINE_HEIGHT = 0.34, 0.17  # inches
_TEXT_HEIGHT = 4 * _LINE_HEIGHT + 0.24  # inches: four lines below the images, and space

Pair = Mapping[Hashable, Any]


def draw_linked_image_pairs(
    image_table: pd.DataFrame,
    image_groups: pd.DataFrame,
    image_links: pd.DataFrame,
    pixels: Any,
    *,
    per_kind: int,
) -> Figure:
    """Draw some pairs of each link type, with file names, labels, splits and link strength.

    Pixel-identical pairs are displayed only as such, even if another link type links them too.

    Args:
        image_table: One row per file; file, image_id, label, original_split, width, height.
        image_groups: group_id and pixel_id of every file.
        image_links: Links between files, as returned by ``group_images``.
        pixels: ``pixels[image_id]`` is a (S, S, 3) uint8 image, resized to a square.
        per_kind: Maximum number of pairs of each link type.

    Raises:
        InputError: The groups and the image table describe different images.
    """
    pairs = attach_file_columns(image_links, add_groups(image_table, image_groups))
    rows = list(_rows(pairs, per_kind))
    height = sum(row.height for row in rows)
    with titled_figure(
        (_WIDTH, max(height, 0.1)),
        titles.pairs(pairs),
        note=f"Up to {pluralize(per_kind, 'pair')} of each link type, among them the strongest and "
        "the weakest. Pairs across the original splits or with conflicting labels (in bold) come "
        "first. Strength: 1 is certain. In two groups: no second pair confirmed the link, so the "
        "groups were not merged. Exact duplicates are identical and not displayed."
        if rows
        else "",
        synthetic=is_synthetic(image_table),
    ) as figure:
        if rows:
            _draw(figure.subplots(), rows, pixels, height)
    return figure


@dataclass(frozen=True)
class _Row:
    """Up to three pairs side by side, with a heading above the first pairs of a link type."""

    heading: str
    pairs: Sequence[Pair]

    @property
    def image_height(self) -> float:
        """Height of the tallest image, inches."""
        return max(_displayed_size(pair, end)[1] for pair in self.pairs for end in "ab")

    @property
    def height(self) -> float:
        """Height including heading, text and space, inches."""
        return (_HEADING_HEIGHT if self.heading else 0.0) + self.image_height + _TEXT_HEIGHT


def _rows(pairs: pd.DataFrame, per_kind: int) -> Iterator[_Row]:
    # Files with the same pixels are displayed only under the link type identical_pixels.
    eligible = pairs["pixel_id_a"].ne(pairs["pixel_id_b"]) | pairs["kind"].eq(
        NEAR_DUPLICATE_KINDS["pixels"]
    )
    displayed: set[tuple[str, str]] = set()
    for kind in _KINDS:
        of_kind = pairs[eligible & pairs["kind"].eq(kind)]
        # Two images of one lesion are also of one patient; each pair is displayed once.
        files = pd.MultiIndex.from_frame(of_kind[["file_a", "file_b"]])
        remaining = of_kind[~files.isin(list(displayed))] if displayed else of_kind
        selected = select_pairs(remaining, per_kind).to_dict("records")
        displayed |= {(pair["file_a"], pair["file_b"]) for pair in selected}
        for start in range(0, len(selected), _PAIRS_PER_ROW):
            heading = "" if start else _heading(kind, of_kind)
            yield _Row(heading, selected[start : start + _PAIRS_PER_ROW])


def select_pairs(pairs: pd.DataFrame, n: int) -> pd.DataFrame:
    """Select up to n pairs of one link type: the most severe, the strongest and the weakest.

    A pair is severe if it is across the original splits or has conflicting labels, and more severe
    if both apply. Among equally severe pairs, each group contributes one pair before any group
    contributes a second.

    Returns:
        The selected rows, the most severe first, with a column ``mark`` (``strongest``,
        ``weakest`` or empty).
    """
    ordered = pairs.assign(
        severity=across_splits(pairs).astype(int) + pairs["label_a"].ne(pairs["label_b"])
    )
    ordered = ordered.sort_values(
        ["severity", "strength", "file_a", "file_b"], ascending=[False, False, True, True]
    )
    # Position of a pair among the equally severe pairs of its group.
    rank = ordered.groupby(["severity", "group_id_a"]).cumcount()
    ordered = ordered.assign(rank_in_group=rank, mark="").sort_values(
        ["severity", "rank_in_group"], ascending=[False, True], kind="stable"
    )
    extremes: dict[Hashable, str] = {}
    if ordered["strength"].nunique() > 1:
        strength = ordered["strength"]
        extremes = {strength.idxmin(): "weakest", strength.idxmax(): "strongest"}
    selected = list(extremes)[: n - 1]  # one place is left for the most severe pair
    selected += [row for row in ordered.index if row not in selected][: n - len(selected)]
    ordered["mark"] = ordered.index.map(lambda row: extremes.get(row, ""))
    return ordered[ordered.index.isin(selected)]


def _draw(axes: Axes, rows: list[_Row], pixels: Any, height: float) -> None:
    y = 0.0
    for row in rows:
        bottom = y + row.height - _TEXT_HEIGHT  # of the images, above their file names
        if row.heading:
            axes.text(0, y + 0.22, row.heading, fontsize=BODY, fontweight="bold", va="baseline")
        for column, pair in enumerate(row.pairs):
            _draw_pair(axes, (column * (_PAIR_WIDTH + _PAIR_GAP), bottom), pair, pixels)
        y += row.height
    axes.set_xlim(0, _USABLE_WIDTH)
    axes.set_ylim(height, 0)
    axes.set_aspect("equal", anchor="NW")
    axes.set_axis_off()


def _heading(kind: str, rows: pd.DataFrame) -> str:
    name = _KIND_NAMES.get(kind, f"Same {kind}")
    counts = {
        "across splits": across_splits(rows).sum(),
        "with conflicting labels": rows["label_a"].ne(rows["label_b"]).sum(),
        "in two groups": (~rows["same_group"]).sum(),
    }
    parts = [pluralize(len(rows), "pair"), *(f"{n:,} {what}" for what, n in counts.items() if n)]
    return f"{name}: {', '.join(parts)}"


def _draw_pair(axes: Axes, corner: tuple[float, float], pair: Pair, pixels: Any) -> None:
    x, y = corner
    for left, end in ((x, "a"), (x + _IMAGE_SIZE + _IMAGE_GAP, "b")):
        width, height = _displayed_size(pair, end)
        axes.imshow(
            np.asarray(pixels[pair[f"image_id_{end}"]]),
            extent=(left, left + width, y, y - height),
            interpolation="antialiased",
        )
        for line, (text, bold) in enumerate(_caption(pair, end), start=1):
            _write(axes, left, y + line * _LINE_HEIGHT, text, bold)
    _write(axes, x, y + 4 * _LINE_HEIGHT, _link_description(pair), not pair["same_group"])


def _displayed_size(pair: Pair, end: str) -> tuple[float, float]:
    """Return width and height of an image in the figure, inches."""
    width, height = pair[f"width_{end}"], pair[f"height_{end}"]
    longer = max(width, height)
    return _IMAGE_SIZE * width / longer, _IMAGE_SIZE * height / longer


def _caption(pair: Pair, end: str) -> Iterator[tuple[str, bool]]:
    """Yield the lines below an image, and whether the two images differ in this line."""
    yield _file_name(pair[f"file_{end}"]), False
    if pair["label_a"] != pair["label_b"]:
        yield ellipsize(pair[f"label_{end}"], _TEXT_WIDTH, SMALL, "bold"), True
    else:  # written once, below both images
        yield (
            ellipsize(f"both {pair['label_a']}", 2 * _TEXT_WIDTH, SMALL) if end == "a" else "",
            False,
        )
    split = pair[f"original_split_{end}"]
    splits = {pair["original_split_a"], pair["original_split_b"]}
    has_splits = not any(pd.isna(name) for name in splits)
    yield "" if pd.isna(split) else f"in {split}", has_splits and len(splits) > 1


def _file_name(file: str) -> str:
    """Return the path if it fits, otherwise the file name, without its middle if it is too long."""
    name = PurePosixPath(file).name
    for text in (file, f"…/{name}"):
        if text_width(escape_missing_glyphs(text), SMALL) <= _TEXT_WIDTH:
            return escape_missing_glyphs(text)
    return ellipsize(name, _TEXT_WIDTH, SMALL)


def _link_description(pair: Pair) -> str:
    groups = "in one group" if pair["same_group"] else "in two groups"
    if pair["kind"] not in (NEAR_DUPLICATE_KINDS["simple"], NEAR_DUPLICATE_KINDS["changed"]):
        return groups
    mark = f" ({pair['mark']})" if pair["mark"] else ""
    # Never rounded up to 1, which means certain.
    return f"strength {min(pair['strength'], 0.999):.3f}{mark}, {groups}"


def _write(axes: Axes, x: float, y: float, text: str, bold: bool) -> None:
    weight, color = ("bold", INK) if bold else ("normal", GRAY)
    axes.text(x, y, text, fontsize=SMALL, fontweight=weight, color=color, va="baseline")
