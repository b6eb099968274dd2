"""Clinical metadata as numbers: columns of the image table, encoded for a linear model.

The numbers of a column are centered on the known training values, and a missing value is all zeros.
Two things follow for a linear model of them:

- It adds nothing for a missing value.
- It cannot represent "the value is known", because its mean over the known training values is zero.
"""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal, Protocol, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from skin_lesions.config.metadata import ColumnType
from skin_lesions.core.errors import InputError
from skin_lesions.core.text import normalize_name, printable
from skin_lesions.data.clinical_values import canonical_value
from skin_lesions.data.missing_values import is_missing

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

MIN_IMAGES = 5  # training images with a category; rarer ones count as unseen
_MIN_TEXTS = 3  # training texts that contain a term
MAX_TERMS = 2000  # of a text column, the most frequent ones
_WORD = re.compile(r"\w\w+")
_CHARACTERS = (3, 4, 5)  # lengths of the n-grams of characters, within words
_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)  # knots of a numeric column
_MAX_CATEGORIES = 50  # of a column whose type is inferred
_TEXT_WORDS = 4  # mean number of words from which a column is inferred to be text


@dataclass(frozen=True)
class EncodedColumn:
    """Numbers of a column for n images.

    Attributes:
        values: (n, width); zeros for images without a usable value.
        known: (n,), whether the cell has a value.
        unseen: (n,), whether the value is known but not usable: a category that the training images
            do not contain, or a text that is no number.
    """

    values: Floats
    known: Bools
    unseen: Bools


class _Column(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str


class NumericColumn(_Column):
    """A column of numbers, encoded as a piecewise linear curve.

    A value between two knots is a weighted mean of both. Values outside of the knots count as the
    nearest knot.

    Attributes:
        name: Name of the column.
        knots: Quantiles of the training values, increasing.
        means: Mean weight of each knot over the known training values.
    """

    kind: Literal["numeric"] = "numeric"
    knots: Annotated[tuple[float, ...], Field(min_length=2)]
    means: tuple[float, ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.means) != len(self.knots) or (np.diff(self.knots) <= 0).any():
            raise ValueError("the knots of a column must increase, and each has one mean")
        return self

    @classmethod
    def fit(cls, name: str, cells: pd.Series) -> Self:
        """Fit the knots to training cells with at least two different numbers."""
        values = _numbers(cells)
        values = values[~np.isnan(values)]
        knots = np.unique(np.quantile(values, _QUANTILES))
        if len(knots) < 2:
            knots = np.array([values.min(), values.max()])
        means = _knot_weights(values, knots).mean(axis=0)
        return cls(name=name, knots=tuple(knots.tolist()), means=tuple(means.tolist()))

    @property
    def features(self) -> tuple[str, ...]:
        """The name of each number."""
        return tuple(f"{knot:g}" for knot in self.knots)

    def encode(self, cells: pd.Series) -> EncodedColumn:
        """Encode the cells of n images, (n, knots)."""
        known = ~is_missing(cells).to_numpy()
        numbers = _numbers(cells)
        usable = ~np.isnan(numbers)
        weights = _knot_weights(np.where(usable, numbers, 0.0), np.asarray(self.knots))
        values = np.where(usable[:, None], weights - np.asarray(self.means), 0.0)
        return EncodedColumn(values, known, known & ~usable)

    def examples(self) -> tuple[list[object], Floats]:
        """Return typical values, and how frequent they are among the training images."""
        return list(self.knots), np.asarray(self.means)


class CategoricalColumn(_Column):
    """A column of categories, encoded as one number for each category.

    Attributes:
        name: Name of the column.
        categories: Categories of at least ``MIN_IMAGES`` training images, sorted.
        frequencies: Fraction of each category among the training images with one of them.
    """

    kind: Literal["categorical"] = "categorical"
    categories: Annotated[tuple[str, ...], Field(min_length=2)]
    frequencies: tuple[float, ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len(self.frequencies) != len(set(self.categories)):
            raise ValueError("the categories of a column must differ, and each has one frequency")
        return self

    @classmethod
    def fit(cls, name: str, cells: pd.Series) -> Self:
        """Fit the categories to training cells, of which at least two are frequent."""
        counts = _categories(name, cells).value_counts()
        counts = counts[counts >= MIN_IMAGES].sort_index()
        frequencies = counts / counts.sum()
        return cls(
            name=name,
            categories=tuple(counts.index.astype(str)),
            frequencies=tuple(frequencies.tolist()),
        )

    @property
    def features(self) -> tuple[str, ...]:
        """The name of each number."""
        return self.categories

    def encode(self, cells: pd.Series) -> EncodedColumn:
        """Encode the cells of n images, (n, categories)."""
        categories = _categories(self.name, cells)
        number = pd.Index(self.categories).get_indexer(pd.Index(categories))  # (n,)
        known, usable = categories.notna().to_numpy(), number >= 0
        one_hot = np.eye(len(self.categories))[number]
        values = np.where(usable[:, None], one_hot - np.asarray(self.frequencies), 0.0)
        return EncodedColumn(values, known, known & ~usable)

    def examples(self) -> tuple[list[object], Floats]:
        """Return typical values, and how frequent they are among the training images."""
        return list(self.categories), np.asarray(self.frequencies)


class TextColumn(_Column):
    """A column of texts, encoded by TF-IDF of words and of n-grams of characters.

    Attributes:
        name: Name of the column.
        terms: Words, and n-grams of characters with ``_`` at the start and end of a word.
        idf: Inverse document frequency of each term.
        means: Mean of each number over the known training texts.
    """

    kind: Literal["text"] = "text"
    terms: Annotated[tuple[str, ...], Field(min_length=1)]
    idf: tuple[float, ...]
    means: tuple[float, ...]

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not len(set(self.terms)) == len(self.idf) == len(self.means):
            raise ValueError("the terms of a column must differ, and each has one idf and one mean")
        return self

    @classmethod
    def fit(cls, name: str, cells: pd.Series, max_terms: int = MAX_TERMS) -> Self:
        """Fit the terms to training cells, of which some terms occur in ``_MIN_TEXTS``."""
        texts = cells[~is_missing(cells)]
        documents = Counter(term for text in texts for term in set(_terms(text)))
        frequent = [(term, n) for term, n in documents.items() if n >= _MIN_TEXTS]
        frequent.sort(key=lambda item: (-item[1], item[0]))
        frequent = sorted(frequent[:max_terms])
        counts = np.array([n for _, n in frequent])
        terms = tuple(term for term, _ in frequent)
        idf = np.log((1 + len(texts)) / (1 + counts)) + 1
        numbers = _tf_idf(texts, {term: i for i, term in enumerate(terms)}, idf)
        return cls(
            name=name, terms=terms, idf=tuple(idf.tolist()), means=tuple(numbers.mean(0).tolist())
        )

    @property
    def features(self) -> tuple[str, ...]:
        """The name of each number."""
        return self.terms

    def encode(self, cells: pd.Series) -> EncodedColumn:
        """Encode the cells of n images, (n, terms); each TF-IDF vector has length 1."""
        known = ~is_missing(cells).to_numpy()
        numbers = _tf_idf(
            cells.where(known, ""),
            {term: i for i, term in enumerate(self.terms)},
            np.asarray(self.idf),
        )
        usable = np.count_nonzero(numbers, axis=1) > 0  # (n,)
        values = np.where(usable[:, None], numbers - np.asarray(self.means), 0.0)
        return EncodedColumn(values, known, known & ~usable)

    def examples(self) -> tuple[list[object], Floats]:
        """Return no values: a text is not one of a few values."""
        return [], np.zeros(0)


EncoderColumn = Annotated[
    NumericColumn | CategoricalColumn | TextColumn, Field(discriminator="kind")
]


class _Fitted(Protocol):
    @classmethod
    def fit(cls, name: str, cells: pd.Series) -> "NumericColumn | CategoricalColumn | TextColumn":
        """Fit a column to training cells."""


_TYPES: Mapping[ColumnType, type[_Fitted]] = {
    "numeric": NumericColumn,
    "categorical": CategoricalColumn,
    "text": TextColumn,
}


@dataclass(frozen=True)
class EncodedMetadata:
    """Numbers of n images.

    Attributes:
        values: (n, width).
        columns: The encoded columns by name.
    """

    values: Floats
    columns: dict[str, EncodedColumn]


class MetadataEncoder(BaseModel):
    """The columns that a model uses, fitted on training images, sorted by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: Annotated[tuple[EncoderColumn, ...], Field(min_length=1)]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def width(self) -> int:
        """Number of numbers that encode an image."""
        return sum(len(column.features) for column in self.columns)

    def encode(self, table: pd.DataFrame) -> EncodedMetadata:
        """Encode n rows with metadata. A column that the table lacks is missing in all rows."""
        absent = pd.Series([None] * len(table), table.index, dtype=object)
        encoded = {
            column.name: column.encode(
                table[column.name] if column.name in table else absent.rename(column.name)
            )
            for column in self.columns
        }
        values = np.concatenate([column.values for column in encoded.values()], axis=1)
        return EncodedMetadata(values, encoded)


def fit_encoder(
    train: pd.DataFrame, columns: Sequence[str], types: Mapping[str, ColumnType]
) -> MetadataEncoder:
    """Fit the encoder to the metadata of the training images.

    Args:
        train: One row per training image.
        columns: Columns to use.
        types: Types of columns. The types of the others are inferred, see ``infer_type``.

    Raises:
        InputError: A column has no information: fewer than two different values that are frequent.
    """
    fitted = []
    for name in sorted(columns):
        kind = types.get(name) or infer_type(name, train[name])
        reason = reason_without_information(name, train[name], kind)
        if reason is not None:
            raise InputError(
                f"The metadata column {printable(name)} cannot be used: {reason}. Expected a "
                "column whose values differ between images. Fix: remove it from metadata.columns, "
                "or set metadata.types if its type is wrong"
            )
        fitted.append(_TYPES[kind].fit(name, train[name]))
    return MetadataEncoder(columns=tuple(fitted))


def infer_type(name: str, cells: pd.Series) -> ColumnType:
    """Infer the type of a column from its known cells.

    Numbers are ``numeric`` if there are more than two different ones. Cells with several words or
    with many different values are ``text``. All others are ``categorical``.
    """
    known = cells[~is_missing(cells)]
    categories = _categories(name, known)
    if not np.isnan(_numbers(known)).any() and categories.nunique() > 2:
        return "numeric"
    words = np.mean([len(str(cell).split()) for cell in known]) if len(known) else 0
    if words >= _TEXT_WORDS or categories.nunique() > _MAX_CATEGORIES:
        return "text"
    return "categorical"


def reason_without_information(name: str, train: pd.Series, kind: ColumnType) -> str | None:
    """Return why a column has no information about training images, or None."""
    known = train[~is_missing(train)]
    if known.empty:
        return "it has no value in the training images"
    if kind == "numeric":
        numbers = _numbers(known)
        if np.isnan(numbers).any():
            example = known[np.isnan(numbers)].iloc[0]
            return f"it is not numeric, because it contains {printable(repr(example))}"
        return None if np.unique(numbers).size > 1 else "all its training values are the same"
    if kind == "categorical":
        is_frequent = _categories(name, known).value_counts() >= MIN_IMAGES
        reason = f"fewer than two of its categories occur in {MIN_IMAGES} training images"
        return None if is_frequent.sum() > 1 else reason
    documents = Counter(term for text in known for term in set(_terms(text)))
    reason = f"no term occurs in {_MIN_TEXTS} of its training texts"
    return None if max(documents.values(), default=0) >= _MIN_TEXTS else reason


def _numbers(cells: pd.Series) -> Floats:
    """Convert cells to numbers, (n,); NaN for missing values and texts. ``85+`` is 85."""
    if pd.api.types.is_numeric_dtype(cells):
        values = cells.to_numpy(dtype=np.float64, na_value=np.nan)
    else:
        text = cells.where(~is_missing(cells), None).map(lambda cell: str(cell).rstrip("+ "))
        values = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64)
    return np.where(np.isfinite(values), values, np.nan)


def _knot_weights(values: Floats, knots: Floats) -> Floats:
    """Return the weight of each knot for each value, (n, knots); those of a value sum to 1."""
    return np.column_stack([np.interp(values, knots, unit) for unit in np.eye(len(knots))])


def _categories(name: str, cells: pd.Series) -> pd.Series:
    """Return the canonical categories; missing values are None."""
    known = ~is_missing(cells)
    values = [
        canonical_value(name, cell) if is_known else None
        for cell, is_known in zip(cells, known, strict=True)
    ]
    return pd.Series(values, cells.index, dtype=object)


def _terms(text: object) -> Iterator[str]:
    """Yield the words of a text and the n-grams of characters of each word."""
    for word in _WORD.findall(normalize_name(str(text)).casefold()):
        yield word
        marked = f"_{word}_"
        for n in _CHARACTERS:
            for start in range(len(marked) - n + 1):
                yield f"…{marked[start : start + n]}"


def _tf_idf(texts: pd.Series, numbers: Mapping[str, int], idf: Floats) -> Floats:
    """Return the TF-IDF vectors of n texts, (n, terms), each of length 1 or 0."""
    counts = np.zeros((len(texts), len(numbers)))
    for row, text in enumerate(texts):
        for term, n in Counter(_terms(text)).items():
            if term in numbers:
                counts[row, numbers[term]] = n
    weighted = counts * idf
    lengths = np.linalg.norm(weighted, axis=1, keepdims=True)
    return weighted / np.where(lengths > 0, lengths, 1.0)
