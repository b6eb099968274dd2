"""What is looked at in place of the lesion: a few numbers, or levels, for each image."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from skin_lesions.core.parallel import ordered_map
from skin_lesions.data.decoding import FORMATS
from skin_lesions.data.diagnoses import diagnosis_of
from skin_lesions.data.pixel_store import PixelArray
from skin_lesions.data.raw_store import ObjectStore
from skin_lesions.data.sources.metadata import RESERVED_COLUMNS

Kind = Literal["files", "thumbnail", "border", "column", "missingness"]

THUMBNAIL = 8  # pixels, edge
BORDER = 0.04  # share of the edge, on each side
_SEGMENTS = 4  # of each side of the border
# Values of a column, or kinds of file, that stand in fewer groups can't be learned and tested.
MIN_GROUPS = 5
_BINS = 16  # of a column of numbers; each holds about equally many images
_KEYS = frozenset({"lesion_id", "patient_id"})
# How tables spell that something isn't known; letters' case doesn't count.
_UNKNOWN = frozenset({"", "?", "-", "na", "n/a", "nan", "null", "unknown", "not known"})
_IS_LABEL = 0.95  # share of the images whose label a column repeats


@dataclass(frozen=True)
class ProbeInput:
    """One thing a classifier gets to see of each of n images.

    ``values``: levels as whole numbers from 0, or measured float32 numbers, shape (n, c).
    ``columns`` are the metadata columns it stands for. ``parts`` names those of the c that also
    make sense alone. ``reason`` says why it isn't probed; then c is 0.
    """

    name: str
    kind: Kind
    values: NDArray[np.intp] | NDArray[np.float32]
    columns: tuple[str, ...] = ()
    parts: Mapping[str, list[int]] = field(default_factory=dict)
    reason: str | None = None


def probe_inputs(table: pd.DataFrame, images: PixelArray, store: ObjectStore) -> list[ProbeInput]:
    """List all that is probed: files, pixels, metadata columns and which of them are filled.

    Args:
        table: One row per image; the columns of the image table and ``group_id``.
        images: The decoded images.
        store: The raw images, of which only headers are read.
    """
    return [
        _files(table, store),
        *_pixels(table, images),
        *_columns(table),
        *_missingness(table),
    ]


def _files(table: pd.DataFrame, store: ObjectStore) -> ProbeInput:
    """Take size, aspect, bytes, format and how it was compressed; no pixel is decoded."""
    headers = ordered_map(lambda image_id: _compression(store, image_id), table["image_id"])
    tables, luminance, chrominance, layout = zip(*headers, strict=True)
    width, height, size = (table[name].astype(float) for name in ("width", "height", "bytes"))
    made = table["format"].astype(str) + pd.Series(tables, index=table.index)
    parts = {
        "size": [width, height, width / height],
        "bytes": [size, size / (width * height)],
        "format": [table["format"]],
        "compression": [pd.Series(part) for part in (tables, luminance, chrominance, layout)],
    }
    # All at once, so that two properties which tell the class only together do so.
    columns = [made + " " + table["width"].astype(str) + " x " + table["height"].astype(str)]
    places: dict[str, list[int]] = {}
    for name, series in parts.items():
        places[name] = list(range(len(columns), len(columns) + len(series)))
        columns += series
    groups = table["group_id"].to_numpy()
    codes = [_levels(column.reset_index(drop=True), groups) for column in columns]
    return ProbeInput("file properties", "files", np.column_stack(codes), parts=places)


def _compression(store: ObjectStore, image_id: str) -> tuple[str, float, float, str]:
    """Read how a file was compressed: its tables, how coarse they are, layout of its channels."""
    try:
        with Image.open(store.path(image_id), formats=FORMATS) as image:
            tables = getattr(image, "quantization", {})
            layers = getattr(image, "layer", [])  # JPEG: how finely each channel is sampled
            layout = f"{image.mode} {[layer[1:3] for layer in layers]}"
            layout += " progressive" if image.info.get("progressive") else ""
    except OSError:
        store.get(image_id)  # says what is wrong with it, and what to do
        raise
    coarseness = [float(sum(tables.get(number, []))) for number in (0, 1)]
    return str([list(t) for t in tables.values()]), coarseness[0], coarseness[1], layout


def _pixels(table: pd.DataFrame, images: PixelArray) -> Iterator[ProbeInput]:
    rows = images.rows(table["image_id"])
    order = np.argsort(rows)  # as they lie on disk
    looked = list(
        ordered_map(lambda row: _thumbnail_and_border(np.array(images.array[row])), rows[order])
    )
    thumbnails, borders = (np.stack(part)[np.argsort(order)] for part in zip(*looked, strict=True))
    yield ProbeInput(f"{THUMBNAIL}x{THUMBNAIL} thumbnail", "thumbnail", thumbnails)
    yield ProbeInput(f"outer {100 * BORDER:g} % of each edge", "border", borders)


def _thumbnail_and_border(
    square: NDArray[np.uint8],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the thumbnail of a square, and mean and spread of the segments of its border."""
    small = Image.fromarray(square).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    size = len(square)
    deep, long = max(1, round(BORDER * size)), size // _SEGMENTS
    sideways = square.transpose(1, 0, 2)
    strips = np.stack([square[:deep], square[-deep:], sideways[:deep], sideways[-deep:]])
    segments = strips[:, :, : long * _SEGMENTS].reshape(4, deep, _SEGMENTS, long, 3)
    border = [segments.mean(axis=(1, 3)), segments.std(axis=(1, 3))]
    return np.asarray(small, np.float32).ravel(), np.ravel(border).astype(np.float32)


def _columns(table: pd.DataFrame) -> Iterator[ProbeInput]:
    """Take each metadata column alone; what isn't known is a level like any other."""
    groups = table["group_id"].to_numpy()
    for name in _metadata_columns(table):
        column = _known(table[name])
        levels = _levels(column, groups)
        reason = _why_not(column, levels, table["label"])
        values = np.empty((len(table), 0), np.intp) if reason else levels[:, None]
        yield ProbeInput(name, "column", values, (name,), reason=reason)


def _missingness(table: pd.DataFrame) -> Iterator[ProbeInput]:
    """Take which columns are filled; columns that lack the same rows are one clue."""
    lacking: dict[bytes, list[str]] = {}
    for name in _metadata_columns(table):
        missing = _known(table[name]).isna().to_numpy()
        if missing.any() and not missing.all():
            lacking.setdefault(missing.tobytes(), []).append(name)
    for pattern, names in lacking.items():
        missing = np.frombuffer(pattern, np.bool_)
        known = f"{', '.join(names)}: known or not"
        yield ProbeInput(known, "missingness", missing.astype(np.intp)[:, None], tuple(names))


def _metadata_columns(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table if name not in RESERVED_COLUMNS | _KEYS]


def _known(column: pd.Series) -> pd.Series:
    """Make everything that means "not known" missing, and numbers of what then is numbers."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.astype(float).replace([np.inf, -np.inf], np.nan)
    text = column.astype(object).where(column.notna(), None).map(str, na_action="ignore")
    text = text.mask(text.str.strip().str.casefold().isin(_UNKNOWN))
    numbers = pd.to_numeric(text, errors="coerce")
    return numbers if numbers.notna().eq(text.notna()).all() else text


def _levels(column: pd.Series, groups: NDArray[np.object_]) -> NDArray[np.intp]:
    """Number the levels of a column: 0 what isn't known, 1 what is rare, then the others.

    Numbers become bins of about equally many images; the labels have no part in it.
    """
    known = column.notna().to_numpy()
    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(dtype=float)
        distinct = np.unique(values[known])
        if len(distinct) > _BINS:
            inner = np.linspace(0, 1, _BINS + 1)[1:-1]
            distinct = np.unique(np.quantile(values[known], inner))
        codes = np.searchsorted(distinct, values, side="right") + 2
        return np.where(known, codes, 0).astype(np.intp)
    codes = pd.factorize(column.astype(object))[0] + 2
    frequent = pd.Series(groups).groupby(codes).nunique().loc[lambda n: n >= MIN_GROUPS].index
    return np.where(known, np.where(np.isin(codes, frequent), codes, 1), 0).astype(np.intp)


def _why_not(column: pd.Series, levels: NDArray[np.intp], label: pd.Series) -> str | None:
    if (levels == 0).all():
        return "it is empty"
    if set(levels) <= {0, 1}:
        return f"no value of it stands in {MIN_GROUPS} groups: it names single images"
    if column.nunique() == 1:
        return "it has one value only"
    if _repeats(column, label):
        return "it repeats the label"
    return None


def _repeats(column: pd.Series, label: pd.Series) -> bool:
    pairs = pd.DataFrame({"value": column.astype(str), "label": label})[column.notna()]
    counts = pairs.value_counts()
    same = [_same(value, name) for value, name in counts.index]
    return bool(counts[same].sum() >= _IS_LABEL * counts.sum())


def _same(value: str, label: str) -> bool:
    diagnosis = diagnosis_of(value)
    return value.casefold() == label.casefold() or (
        diagnosis is not None and diagnosis == diagnosis_of(label)
    )
