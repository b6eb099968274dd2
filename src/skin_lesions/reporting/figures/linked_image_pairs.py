"""A sheet of linked pictures, side by side: a look says whether a link is right."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skin_lesions.audit.finding import pluralize
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

# Exact copies aren't shown: there is nothing to judge.
_KINDS = [
    *NEAR_DUPLICATE_KINDS.values(),
    *(column for column in LINK_COLUMNS if column != "image_id"),
]
_KIND_NAMES = {
    "identical_pixels": "Identical pixels",
    "near_duplicate_simple": "Near-duplicates (same framing)",
    "near_duplicate_transformed": "Near-duplicates (transformed)",
}
_WIDTH, _USED = 10.0, 9.88  # inches: of the sheet; without its margins
_ACROSS, _GAP = 3, 0.34  # pairs in a row; inches between them
_PAIR = (_USED - (_ACROSS - 1) * _GAP) / _ACROSS  # inches
_BETWEEN = 0.06  # inches, between the two pictures of a pair
_EDGE = (_PAIR - _BETWEEN) / 2  # inches, of a picture
_ROOM = 0.95 * 72 * _EDGE  # points, for a name below it: widths of texts are estimates
_HEADING, _LINE = 0.34, 0.17  # inches
_TEXT = 4 * _LINE + 0.24  # inches: four lines below the pictures, and space

Pair = Mapping[Hashable, Any]


def linked_image_pairs(
    image_table: pd.DataFrame,
    image_groups: pd.DataFrame,
    image_links: pd.DataFrame,
    pixels: Any,
    *,
    per_kind: int,
) -> Figure:
    """Show some pairs of each kind of link, with names, labels, splits and how sure the link is.

    Pairs that show the same pixels are shown as such only, whatever else links them.

    Args:
        image_table: One row per file; file, image_id, label, original_split, width, height.
        image_groups: group_id and pixel_id of every file.
        image_links: As ``group_images`` gives them.
        pixels: ``pixels[image_id]`` is a (S, S, 3) uint8 square that was squashed.
        per_kind: How many pairs of each kind, if it has so many.

    Raises:
        InputError: The groups are of other images.
    """
    pairs = attach_file_columns(image_links, add_groups(image_table, image_groups))
    rows = list(_rows(pairs, per_kind))
    height = sum(row.height for row in rows)
    with titled_figure(
        (_WIDTH, max(height, 0.1)),
        titles.pairs(pairs),
        note=f"Of each kind of link up to {pluralize(per_kind, 'pair')}: first those across the shipped splits "
        "or under two labels (bold), with the strongest and the weakest. Strength: 1 is certain. Not joined: in "
        "two groups, for want of a second such pair. Exact copies look alike and are not shown."
        if rows
        else "",
        synthetic=is_synthetic(image_table),
    ) as figure:
        if rows:
            _draw(figure.subplots(), rows, pixels, height)
    return figure


@dataclass(frozen=True)
class _Row:
    """Up to three pairs side by side; a heading where a kind begins."""

    heading: str
    pairs: Sequence[Pair]

    @property
    def tall(self) -> float:
        """Height of the tallest picture, inches."""
        return max(_size(pair, end)[1] for pair in self.pairs for end in "ab")

    @property
    def height(self) -> float:
        """Height with heading, text and space, inches."""
        return (_HEADING if self.heading else 0.0) + self.tall + _TEXT


def _rows(pairs: pd.DataFrame, per_kind: int) -> Iterator[_Row]:
    other = pairs["pixel_id_a"].ne(pairs["pixel_id_b"]) | pairs["kind"].eq(
        NEAR_DUPLICATE_KINDS["pixels"]
    )
    shown: set[tuple[str, str]] = set()
    for kind in _KINDS:
        of_kind = pairs[other & pairs["kind"].eq(kind)]
        # Two pictures of one lesion are also of one patient: once is enough.
        files = pd.MultiIndex.from_frame(of_kind[["file_a", "file_b"]])
        fresh = of_kind[~files.isin(list(shown))] if shown else of_kind
        chosen = chosen_pairs(fresh, per_kind).to_dict("records")
        shown |= {(pair["file_a"], pair["file_b"]) for pair in chosen}
        for start in range(0, len(chosen), _ACROSS):
            heading = "" if start else _heading(kind, of_kind)
            yield _Row(heading, chosen[start : start + _ACROSS])


def chosen_pairs(pairs: pd.DataFrame, n: int) -> pd.DataFrame:
    """Choose up to n pairs of one kind: the gravest, and the strongest and weakest among them.

    A pair is grave if it lies across the shipped splits or under two labels, graver if both. Of
    equally grave ones each group gives one before any gives a second.

    Returns:
        The chosen rows, the gravest first, with a column ``mark`` (``strongest``, ``weakest``).
    """
    ordered = pairs.assign(
        gravity=across_splits(pairs).astype(int) + pairs["label_a"].ne(pairs["label_b"])
    )
    ordered = ordered.sort_values(
        ["gravity", "strength", "file_a", "file_b"], ascending=[False, False, True, True]
    )
    turn = ordered.groupby(["gravity", "group_id_a"]).cumcount()
    ordered = ordered.assign(turn=turn, mark="").sort_values(
        ["gravity", "turn"], ascending=[False, True], kind="stable"
    )
    extremes: dict[Hashable, str] = {}
    if ordered["strength"].nunique() > 1:
        strength = ordered["strength"]
        extremes = {strength.idxmin(): "weakest", strength.idxmax(): "strongest"}
    kept = list(extremes)[: n - 1]  # the gravest has its place in any case
    kept += [row for row in ordered.index if row not in kept][: n - len(kept)]
    ordered["mark"] = ordered.index.map(lambda row: extremes.get(row, ""))
    return ordered[ordered.index.isin(kept)]


def _draw(axes: Axes, rows: list[_Row], pixels: Any, height: float) -> None:
    y = 0.0
    for row in rows:
        bottom = y + row.height - _TEXT  # of the pictures, above their names
        if row.heading:
            axes.text(0, y + 0.22, row.heading, fontsize=BODY, fontweight="bold", va="baseline")
        for place, pair in enumerate(row.pairs):
            _draw_pair(axes, (place * (_PAIR + _GAP), bottom), pair, pixels)
        y += row.height
    axes.set_xlim(0, _USED)
    axes.set_ylim(height, 0)
    axes.set_aspect("equal", anchor="NW")
    axes.set_axis_off()


def _heading(kind: str, rows: pd.DataFrame) -> str:
    name = _KIND_NAMES.get(kind, f"Same {kind}")
    numbers = {
        "across splits": across_splits(rows).sum(),
        "under two labels": rows["label_a"].ne(rows["label_b"]).sum(),
        "not joined": (~rows["same_group"]).sum(),
    }
    told = [pluralize(len(rows), "pair"), *(f"{n:,} {what}" for what, n in numbers.items() if n)]
    return f"{name}: {', '.join(told)}"


def _draw_pair(axes: Axes, corner: tuple[float, float], pair: Pair, pixels: Any) -> None:
    x, y = corner
    for left, end in ((x, "a"), (x + _EDGE + _BETWEEN, "b")):
        width, height = _size(pair, end)
        axes.imshow(
            np.asarray(pixels[pair[f"image_id_{end}"]]),
            extent=(left, left + width, y, y - height),
            interpolation="antialiased",
        )
        for line, (text, bold) in enumerate(_below(pair, end), start=1):
            _write(axes, left, y + line * _LINE, text, bold)
    _write(axes, x, y + 4 * _LINE, _link_description(pair), not pair["same_group"])


def _size(pair: Pair, end: str) -> tuple[float, float]:
    """Return width and height of a picture on the sheet, inches."""
    width, height = pair[f"width_{end}"], pair[f"height_{end}"]
    longer = max(width, height)
    return _EDGE * width / longer, _EDGE * height / longer


def _below(pair: Pair, end: str) -> Iterator[tuple[str, bool]]:
    """List what stands below a picture, and whether the two pictures contradict each other in it."""
    yield _file_name(pair[f"file_{end}"]), False
    if pair["label_a"] != pair["label_b"]:
        yield ellipsize(pair[f"label_{end}"], _ROOM, SMALL, "bold"), True
    else:  # once, with room below both
        yield ellipsize(f"both {pair['label_a']}", 2 * _ROOM, SMALL) if end == "a" else "", False
    split = pair[f"original_split_{end}"]
    splits = {pair["original_split_a"], pair["original_split_b"]}
    known = not any(pd.isna(name) for name in splits)
    yield "" if pd.isna(split) else f"in {split}", known and len(splits) > 1


def _file_name(file: str) -> str:
    """Return as much of a path as has room: all, its last part, or the ends of that."""
    name = PurePosixPath(file).name
    for text in (file, f"…/{name}"):
        if text_width(escape_missing_glyphs(text), SMALL) <= _ROOM:
            return escape_missing_glyphs(text)
    return ellipsize(name, _ROOM, SMALL)


def _link_description(pair: Pair) -> str:
    joined = "in one group" if pair["same_group"] else "not joined"
    if pair["kind"] not in (NEAR_DUPLICATE_KINDS["simple"], NEAR_DUPLICATE_KINDS["changed"]):
        return joined
    mark = f" ({pair['mark']})" if pair["mark"] else ""
    # Never rounded up to certain.
    return f"strength {min(pair['strength'], 0.999):.3f}{mark}, {joined}"


def _write(axes: Axes, x: float, y: float, text: str, bold: bool) -> None:
    weight, colour = ("bold", INK) if bold else ("normal", GRAY)
    axes.text(x, y, text, fontsize=SMALL, fontweight=weight, color=colour, va="baseline")
