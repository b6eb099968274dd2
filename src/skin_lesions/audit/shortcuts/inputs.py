"""Probe inputs: a few measurements or levels of each image, in place of the lesion itself."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from skin_lesions.core.parallel import ordered_map
from skin_lesions.data.image_files import FORMATS
from skin_lesions.data.metadata_columns import IDENTIFIERS, is_free_text, repeats_label
from skin_lesions.data.missing_values import is_missing
from skin_lesions.data.pixel_store import PixelArray
from skin_lesions.data.raw_store import ObjectStore
from skin_lesions.data.sources.metadata import RESERVED_COLUMNS
from skin_lesions.data.tabular import TextColumn, infer_type, reason_without_information

Kind = Literal["files", "thumbnail", "border", "column", "text", "missingness"]

THUMBNAIL = 8  # pixels, width and height
BORDER = 0.04  # fraction of the image width, on each side
_SEGMENTS = 4  # of each side of the border
# Column values and file properties that occur in fewer groups are too rare to train and test on.
MIN_GROUPS = 5
_MAX_TERMS = 300  # of a column of texts
_BINS = 16  # of a numeric column; all bins have about the same number of images


@dataclass(frozen=True)
class ProbeInput:
    """One input of the classifiers, for n images.

    ``values``: levels as integers from 0, or float32 measurements, shape (n, c). ``columns``: the
    metadata columns of the input. ``terms``: the term of each measurement of a text. ``parts``: the
    columns of ``values`` that are also probed on their own, by name. ``reason``: why the input
    cannot be probed; c is then 0.
    """

    name: str
    kind: Kind
    values: NDArray[np.intp] | NDArray[np.float32]
    columns: tuple[str, ...] = ()
    terms: tuple[str, ...] = ()
    parts: Mapping[str, list[int]] = field(default_factory=dict)
    reason: str | None = None


def probe_inputs(table: pd.DataFrame, images: PixelArray, store: ObjectStore) -> list[ProbeInput]:
    """List all probe inputs: files, pixels, metadata columns and their missingness.

    Args:
        table: One row per image; the columns of the image table and ``group_id``.
        images: The decoded images.
        store: The raw images. Only their headers are read.
    """
    return [
        _file_properties(table, store),
        *_pixel_inputs(table, images),
        *_column_inputs(table),
        *_text_inputs(table),
        *missingness_inputs(table, _metadata_columns(table)),
    ]


class _Compression(NamedTuple):
    """How a file was compressed.

    Attributes:
        tables: The quantization tables of a JPEG file.
        luminance: Sum of its luminance table: the higher, the coarser.
        chrominance: Sum of its chrominance table.
        layout: Color mode, chroma subsampling, and whether the file is progressive.
    """

    tables: str
    luminance: float
    chrominance: float
    layout: str


def _file_properties(table: pd.DataFrame, store: ObjectStore) -> ProbeInput:
    """Return size, aspect, bytes, format and compression; no pixels are decoded."""
    headers = ordered_map(lambda image_id: _compression(store, image_id), table["image_id"])
    compression = pd.DataFrame(list(headers), columns=_Compression._fields, index=table.index)
    width = table["width"].astype(float)  # pixels
    height = table["height"].astype(float)
    size = table["bytes"].astype(float)
    parts = {
        "size": [width, height, width / height],
        "bytes": [size, size / (width * height)],
        "format": [table["format"]],
        "compression": [compression[name] for name in compression],
    }
    # All properties in one column, because two of them may predict the class only together.
    encoding = table["format"].astype(str) + compression["tables"]
    columns = [encoding + " " + table["width"].astype(str) + " x " + table["height"].astype(str)]
    part_columns: dict[str, list[int]] = {}
    for name, series in parts.items():
        part_columns[name] = list(range(len(columns), len(columns) + len(series)))
        columns += series
    groups = table["group_id"].to_numpy()
    codes = [_levels(column, groups) for column in columns]
    values = np.column_stack(codes)  # (n, columns)
    return ProbeInput("file properties", "files", values, parts=part_columns)


def _compression(store: ObjectStore, image_id: str) -> _Compression:
    """Read the compression of a file from its header.

    Raises:
        InputError: The file is missing, unreadable, or has changed since it was stored.
    """
    with store.open(image_id) as file:
        try:
            image = Image.open(file, formats=FORMATS)
        except OSError:
            store.get(image_id)  # raises an error with the cause and a fix
            raise
        tables = getattr(image, "quantization", {})
        layers = getattr(image, "layer", [])  # JPEG: chroma subsampling
        layout = f"{image.mode} {[layer[1:3] for layer in layers]}"
        layout += " progressive" if image.info.get("progressive") else ""
    return _Compression(
        tables=str([list(table) for table in tables.values()]),
        luminance=float(sum(tables.get(0, []))),
        chrominance=float(sum(tables.get(1, []))),
        layout=layout,
    )


def _pixel_inputs(table: pd.DataFrame, images: PixelArray) -> Iterator[ProbeInput]:
    rows = images.rows(table["image_id"])  # (n,)
    order = np.argsort(rows)  # the order on disk
    features = list(ordered_map(lambda i: _thumbnail_and_border(images.read(rows[[i]])[0]), order))
    position = np.argsort(order)  # position[i] is where image i is in the order on disk
    thumbnails = np.stack([thumbnail for thumbnail, _ in features])[position]
    borders = np.stack([border for _, border in features])[position]
    yield ProbeInput(f"{THUMBNAIL}x{THUMBNAIL} thumbnail", "thumbnail", thumbnails)
    yield ProbeInput(f"outer {100 * BORDER:g} % of each edge", "border", borders)


def _thumbnail_and_border(
    square: NDArray[np.uint8],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the thumbnail of a square, and mean and standard deviation of its border segments.

    Args:
        square: (size, size, 3).

    Returns:
        The thumbnail, (THUMBNAIL * THUMBNAIL * 3,), and the border, (2 * 4 * _SEGMENTS * 3,).
    """
    small = Image.fromarray(square).resize((THUMBNAIL, THUMBNAIL), Image.Resampling.BOX)
    size = len(square)
    depth = max(1, round(BORDER * size))  # pixels, from the edge inwards
    length = size // _SEGMENTS  # pixels of one segment, along the edge
    transposed = square.transpose(1, 0, 2)
    # (4, depth, size, 3): top, bottom, left, right
    strips = np.stack([square[:depth], square[-depth:], transposed[:depth], transposed[-depth:]])
    segments = strips[:, :, : length * _SEGMENTS].reshape(4, depth, _SEGMENTS, length, 3)
    # Mean and standard deviation per segment and channel: (4, _SEGMENTS, 3) each.
    border = [segments.mean(axis=(1, 3)), segments.std(axis=(1, 3))]
    return np.asarray(small, np.float32).ravel(), np.ravel(border).astype(np.float32)


def _column_inputs(table: pd.DataFrame) -> Iterator[ProbeInput]:
    """Yield each metadata column on its own; unknown values are a level of their own."""
    groups = table["group_id"].to_numpy()
    for name in _metadata_columns(table):
        column = _without_unknown(table[name])
        levels = _levels(column, groups)
        reason = _skip_reason(column, levels, table["label"])
        values = np.empty((len(table), 0), np.intp) if reason else levels[:, None]
        yield ProbeInput(name, "column", values, (name,), reason=reason)


def _text_inputs(table: pd.DataFrame) -> Iterator[ProbeInput]:
    """Yield the TF-IDF of each column of texts; the terms are those of all images."""
    for name in _metadata_columns(table):
        if infer_type(name, table[name]) != "text" or not is_free_text(name, table[name]):
            continue
        if reason_without_information(name, table[name], "text") is None:
            column = TextColumn.fit(name, table[name], _MAX_TERMS)
            values = column.encode(table[name]).values.astype(np.float32)
            yield ProbeInput(f"words of {name}", "text", values, (name,), terms=column.terms)


def missingness_inputs(table: pd.DataFrame, columns: Iterable[str]) -> Iterator[ProbeInput]:
    """Yield which columns are filled; columns with the same missing rows are one input."""
    names_by_pattern: dict[bytes, list[str]] = {}
    for name in columns:
        missing = _without_unknown(table[name]).isna().to_numpy()
        if missing.any() and not missing.all():
            names_by_pattern.setdefault(missing.tobytes(), []).append(name)
    for pattern, names in names_by_pattern.items():
        missing = np.frombuffer(pattern, np.bool_)
        description = f"{', '.join(names)}: known or not"
        yield ProbeInput(description, "missingness", missing.astype(np.intp)[:, None], tuple(names))


def _metadata_columns(table: pd.DataFrame) -> list[str]:
    return [str(name) for name in table if name not in RESERVED_COLUMNS | IDENTIFIERS]


def _without_unknown(column: pd.Series) -> pd.Series:
    """Set missing values (``data.missing_values``) to None; convert numbers if possible."""
    if pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column):
        return column.astype(float).replace([np.inf, -np.inf], np.nan)
    text = column.astype(object).map(str).where(~is_missing(column), None)
    numbers = pd.to_numeric(text, errors="coerce")
    return numbers if numbers.notna().eq(text.notna()).all() else text


def _levels(column: pd.Series, groups: NDArray[np.object_]) -> NDArray[np.intp]:
    """Encode the levels of a column: 0 is unknown, 1 is rare, then the others.

    Numbers are binned into bins of about the same number of images. Labels are not used.
    """
    known = column.notna().to_numpy()  # (n,)
    if pd.api.types.is_numeric_dtype(column):
        values = column.to_numpy(dtype=float)
        distinct = np.unique(values[known])
        if len(distinct) > _BINS:
            inner = np.linspace(0, 1, _BINS + 1)[1:-1]  # without 0 and 1
            distinct = np.unique(np.quantile(values[known], inner))
        # The number of edges up to the value. Levels 0 and 1 are reserved: unknown and rare.
        codes = np.searchsorted(distinct, values, side="right") + 2
        return np.where(known, codes, 0).astype(np.intp)
    codes = pd.factorize(column.astype(object))[0] + 2
    groups_of_level = pd.Series(groups).groupby(codes).nunique()
    frequent = groups_of_level.index[groups_of_level >= MIN_GROUPS]
    codes = np.where(np.isin(codes, frequent), codes, 1)
    return np.where(known, codes, 0).astype(np.intp)


def _skip_reason(column: pd.Series, levels: NDArray[np.intp], label: pd.Series) -> str | None:
    if (levels == 0).all():
        return "the column is empty"
    if set(levels) <= {0, 1}:
        return f"no value occurs in {MIN_GROUPS} groups: the column identifies single images"
    if column.nunique() == 1:
        return "the column has only one value"
    if repeats_label(column, label):
        return "the column repeats the label"
    return None
