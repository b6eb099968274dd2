"""Examples of linked images side by side, to check the links by eye."""

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from skin_lesions.config.audit import Audit
from skin_lesions.config.ingest import Ingest
from skin_lesions.core.text import pluralize
from skin_lesions.data.groups import (
    LINK_COLUMNS,
    NEAR_DUPLICATE_KINDS,
    across_splits,
    add_groups,
    attach_file_columns,
)
from skin_lesions.data.pixel_store import PixelArray, PixelStore
from skin_lesions.data.tables import ImageTable
from skin_lesions.reporting.figures.fonts import escape_missing_glyphs, figure_name, text_width
from skin_lesions.reporting.figures.spec import FigureSpec
from skin_lesions.reporting.figures.style import (
    BODY,
    GRAY,
    INK,
    SMALL,
    ellipsize,
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


def draw_linked_image_pairs(
    image_table: ImageTable,
    image_groups: pd.DataFrame,
    image_links: pd.DataFrame,
    pixel_store: PixelStore,
    ingest: Ingest,
    audit: Audit,
) -> Figure:
    """Draw some pairs of each link type, with file names, labels, splits and link strength.

    Pixel-identical pairs are displayed only as such, even if another link type links them too.

    Args:
        image_table: One row per file; file, image_id, label, original_split, width, height.
        image_groups: group_id and pixel_id of every file.
        image_links: Links between files, as returned by ``group_images``.
        pixel_store: Decoded images.
        ingest: Its ``stored_image_size`` is the size of the decoded images.
        audit: Its ``example_pairs_per_type`` is the maximum number of pairs of each link type.

    Raises:
        InputError: The groups and the image table describe different images.
    """
    pairs = attach_file_columns(image_links, add_groups(image_table.frame, image_groups))
    per_kind = audit.example_pairs_per_type
    note = (
        f"Up to {pluralize(per_kind, 'pair')} of each link type, among them the strongest and "
        "the weakest. Pairs across the original splits or with conflicting labels (in bold) come "
        "first. Strength: 1 is certain. In two groups: no second pair confirmed the link, so the "
        "groups were not merged. Exact duplicates are identical and not displayed."
    )
    rows = list(_rows(pairs, per_kind))
    height = sum(row.height for row in rows)
    with titled_figure(
        (_WIDTH, max(height, 0.1)),
        title(pairs),
        note=note if rows else "",
        synthetic=image_table.provenance.origin.is_synthetic,
    ) as figure:
        if rows:
            _draw(figure.subplots(), rows, pixel_store.at(ingest.stored_image_size), height)
    return figure


def title(pairs: pd.DataFrame) -> str:
    """Count the links between files, the links across splits and those with label conflicts."""
    if pairs.empty:
        return "No two files are linked by bytes, pixels, names or metadata"
    start = f"{pluralize(len(pairs), 'link')} between files: "
    conflicts = f"{pairs['label_a'].ne(pairs['label_b']).sum():,} with conflicting labels"
    if pairs["original_split_a"].isna().all():
        return start + conflicts
    return f"{start}{across_splits(pairs).sum():,} across the original splits, {conflicts}"


@dataclass(frozen=True, kw_only=True)
class _Image:
    """One of the two images of a pair; width and height are pixels of the original."""

    file: str
    image_id: str
    label: str
    original_split: str | None
    width: int
    height: int

    @property
    def displayed_size(self) -> tuple[float, float]:
        """Width and height in the figure, inches."""
        longer = max(self.width, self.height)
        return _IMAGE_SIZE * self.width / longer, _IMAGE_SIZE * self.height / longer


@dataclass(frozen=True, kw_only=True)
class _Pair:
    """Two linked images; ``mark`` is ``strongest``, ``weakest`` or empty."""

    a: _Image
    b: _Image
    kind: str
    strength: float
    same_group: bool
    mark: str


def _pairs(rows: pd.DataFrame) -> list[_Pair]:
    return [
        _Pair(
            a=_image(row, "a"),
            b=_image(row, "b"),
            kind=row["kind"],
            strength=row["strength"],
            same_group=bool(row["same_group"]),
            mark=row["mark"],
        )
        for _, row in rows.iterrows()
    ]


def _image(row: pd.Series, end: str) -> _Image:
    split = row[f"original_split_{end}"]
    return _Image(
        file=row[f"file_{end}"],
        image_id=row[f"image_id_{end}"],
        label=row[f"label_{end}"],
        original_split=None if pd.isna(split) else split,
        width=row[f"width_{end}"],
        height=row[f"height_{end}"],
    )


@dataclass(frozen=True)
class _Row:
    """Up to three pairs side by side, with a heading above the first pairs of a link type."""

    heading: str
    pairs: Sequence[_Pair]

    @property
    def height(self) -> float:
        """Height including heading, tallest image, text and space, inches."""
        tallest = max(image.displayed_size[1] for pair in self.pairs for image in (pair.a, pair.b))
        return (_HEADING_HEIGHT if self.heading else 0.0) + tallest + _TEXT_HEIGHT


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
        selected = _pairs(select_pairs(remaining, per_kind))
        displayed |= {(pair.a.file, pair.b.file) for pair in selected}
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


def _heading(kind: str, rows: pd.DataFrame) -> str:
    name = _KIND_NAMES.get(kind, f"Same {kind}")
    counts = {
        "across splits": across_splits(rows).sum(),
        "with conflicting labels": rows["label_a"].ne(rows["label_b"]).sum(),
        "in two groups": (~rows["same_group"]).sum(),
    }
    parts = [pluralize(len(rows), "pair"), *(f"{n:,} {what}" for what, n in counts.items() if n)]
    return f"{name}: {', '.join(parts)}"


def _draw(axes: Axes, rows: list[_Row], images: PixelArray, height: float) -> None:
    y = 0.0
    for row in rows:
        bottom = y + row.height - _TEXT_HEIGHT  # of the images, above their file names
        if row.heading:
            axes.text(0, y + 0.22, row.heading, fontsize=BODY, fontweight="bold", va="baseline")
        for column, pair in enumerate(row.pairs):
            x = column * (_PAIR_WIDTH + _PAIR_GAP)
            _draw_image(axes, (x, bottom), pair.a, images)
            _write_lines(axes, (x, bottom), _caption(pair.a, pair))
            x_b = x + _IMAGE_SIZE + _IMAGE_GAP
            _draw_image(axes, (x_b, bottom), pair.b, images)
            _write_lines(axes, (x_b, bottom), _caption(pair.b, pair))
            link = _Line(_link_description(pair), bold=not pair.same_group)
            _write_lines(axes, (x, bottom + 3 * _LINE_HEIGHT), [link])
        y += row.height
    axes.set_xlim(0, _USABLE_WIDTH)
    axes.set_ylim(height, 0)
    axes.set_aspect("equal", anchor="NW")
    axes.set_axis_off()


def _draw_image(axes: Axes, corner: tuple[float, float], image: _Image, images: PixelArray) -> None:
    """Draw an image with this lower left corner, inches."""
    x, y = corner
    width, height = image.displayed_size
    axes.imshow(
        images[image.image_id],
        extent=(x, x + width, y, y - height),
        interpolation="antialiased",
    )


@dataclass(frozen=True)
class _Line:
    """A line of text; what differs between the two images of a pair is bold."""

    text: str
    bold: bool


def _write_lines(axes: Axes, corner: tuple[float, float], lines: Sequence[_Line]) -> None:
    """Write lines below a corner, inches."""
    x, y = corner
    for number, line in enumerate(lines, start=1):
        axes.text(
            x,
            y + number * _LINE_HEIGHT,
            line.text,
            fontsize=SMALL,
            fontweight="bold" if line.bold else "normal",
            color=INK if line.bold else GRAY,
            va="baseline",
        )


def _caption(image: _Image, pair: _Pair) -> list[_Line]:
    """Return the lines below an image of a pair: file name, label and split."""
    if pair.a.label != pair.b.label:
        label = ellipsize(figure_name(image.label), _TEXT_WIDTH, SMALL, "bold")
    elif image is pair.a:  # written once, below both images
        label = ellipsize(f"both {figure_name(image.label)}", 2 * _TEXT_WIDTH, SMALL)
    else:
        label = ""
    splits = {pair.a.original_split, pair.b.original_split}
    return [
        _Line(_file_name(image.file), bold=False),
        _Line(label, bold=pair.a.label != pair.b.label),
        _Line(
            f"in {image.original_split}" if image.original_split is not None else "",
            bold=None not in splits and len(splits) > 1,
        ),
    ]


def _file_name(file: str) -> str:
    """Return the path if it fits, otherwise the file name, without its middle if it is too long."""
    name = PurePosixPath(file).name
    for text in (file, f"…/{name}"):
        if text_width(escape_missing_glyphs(text), SMALL) <= _TEXT_WIDTH:
            return escape_missing_glyphs(text)
    return ellipsize(name, _TEXT_WIDTH, SMALL)


def _link_description(pair: _Pair) -> str:
    groups = "in one group" if pair.same_group else "in two groups"
    if pair.kind not in (NEAR_DUPLICATE_KINDS["simple"], NEAR_DUPLICATE_KINDS["changed"]):
        return groups
    mark = f" ({pair.mark})" if pair.mark else ""
    # Never rounded up to 1, which means certain.
    return f"strength {min(pair.strength, 0.999):.3f}{mark}, {groups}"


FIGURE = FigureSpec(
    name="linked_image_pairs",
    heading="Linked images",
    inputs=(
        "image_table",
        "image_groups",
        "image_links",
        "pixel_store",
        "params:ingest",
        "params:audit",
    ),
    draw=draw_linked_image_pairs,
    alt_text=lambda _: "Linked images side by side, examples of each link type",
    pipeline="audit",
    section="findings",
    shows_patients=True,
)
